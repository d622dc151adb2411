"""Where an attack keeps its state on the way, so that it resumes when its process was killed."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor


class SavePoint(Protocol):
    """Keeps one state of an attack; `ResultBuilder` calls it.

    A state is nested: dictionaries with strings as keys, lists and tuples of tensors, numbers, strings, None.
    """

    def read(self) -> tuple[dict[str, Any], Tensor | None] | None:
        """Returns the state that a loop resumes from; None where it starts from the beginning.

        Called once at the start of each outer loop, of the attack and of those that it runs: the n-th call
        returns only a state that was saved after the n-th call and before the next.

        Returns:
            The state, on the devices that it was saved from, and the attacked images as `save` got them, on
            the CPU, which may be mapped from a file.
        """

    def rewind(self) -> None:
        """Sets random generators, counters and the clock to what they were when the read state was saved."""

    def due(self) -> bool:
        """Whether the state is to be saved now."""

    def save(self, state: dict[str, Any], images: Tensor | None) -> None:
        """Saves a state in place of the one before; it is not kept or changed afterwards.

        Args:
            state: the state.
            images: the attacked images so far, shape (k, C, H, W); None where there are none.

        Raises:
            InterruptedJobError: when the run is being stopped; the state is saved then.
        """


@runtime_checkable
class HasState(Protocol):
    """What has a state that can be saved between two steps, in the form that `SavePoint` describes."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces the state by one that `state_dict` has returned."""


class Stateful:
    """An object whose attributes are its state, as `HasState`; those that have a state themselves are kept.

    Attributes:
        constant: names of the attributes that are the same whenever the object is made again.
    """

    constant: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """Returns the attributes that may change, by name."""
        return {
            name: value.state_dict() if isinstance(value, HasState) else value
            for name, value in vars(self).items()
            if name not in self.constant
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Sets the attributes that may change."""
        for name, value in state.items():
            part = getattr(self, name, None)
            if isinstance(part, HasState):
                part.load_state_dict(value)
            else:
                setattr(self, name, value)
