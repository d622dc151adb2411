"""The whole contract of a defense.

A defense is a class with parameters and two methods: `build` puts a model together from members that it is
handed, and `loss` says what one training step minimises; what is to be remembered between steps is a part of
the model, which is saved with it. Optimiser, learning rate, epochs, data, seeds,
checkpoints and costs are the benchmark's, the same for every defense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.models import Member

MemberFactory = Callable[[], Member]
"""Makes a new member: an embedder of the cell's backbone with the cell's loss, freshly initialised."""


@dataclass(frozen=True)
class Batch:
    """A batch of training images.

    Attributes:
        images: in [0, 1], shape (n, C, H, W).
        labels: classes, contiguous from 0, shape (n,).
        index: which rows of the training set these are, shape (n,).
    """

    images: Tensor
    labels: Tensor
    index: Tensor


class InnerMaximiser(Protocol):
    """The training attack: finds images within the training ball that raise an objective."""

    def __call__(
        self,
        objective: Callable[[Tensor], Tensor],
        images: Tensor,
        model: Embedder,
        *,
        start: str = "uniform",
    ) -> Tensor:
        """Returns adversarial images, detached, shape (n, C, H, W) in [0, 1].

        Batch norm is in evaluation mode meanwhile, and the parameters' gradients are not touched.

        Args:
            objective: maps candidate images, shape (n, C, H, W), to the scalar (or one value an image, which
                are summed) to be raised.
            images: the clean images.
            model: every module that the objective passes through.
            start: "uniform" in the ball, or "gaussian" (clean + 0.001 N(0, I), as TRADES has it).
        """
        ...


@dataclass(frozen=True)
class Range:
    """Values that tuning may give to a parameter: from `low` to `high`, both included.

    Attributes:
        low, high: the bounds; both whole for a parameter that is a whole number.
        log: whether values are drawn evenly on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


class Defense(Parameters):
    """A defense; subclasses implement `loss`, and `build` unless one plain member is what they train.

    Attributes:
        needs_proxies: whether the method needs a distribution over the training classes, and so a loss that
            has proxies.
        reference: whether rows are shown for orientation, without a rank.
        adaptive: specs of attacks made against this method, which join the suite of its rows; they may use an
            objective that the defense's own file registers.
        tunable: the parameters that `--tune` may choose, each with a range or with the values to choose from.
        epochs_scale: factor on the number of training epochs, for controls at equal compute.
    """

    needs_proxies: ClassVar[bool] = False
    reference: ClassVar[bool] = False
    adaptive: ClassVar[tuple[str, ...]] = ()
    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {}

    epochs_scale: PositiveFloat = 1.0

    def build(self, make_member: MemberFactory, labels: Tensor) -> Embedder:
        """Puts the model together.

        Args:
            make_member: makes one member at each call.
            labels: classes of the training set, shape (n,), for methods that divide it.

        Returns:
            The model: what is trained, saved, attacked and scored.
        """
        return make_member()

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """What one training step minimises, a scalar.

        Args:
            model: what `build` returned, in training mode.
            batch: the training images.
            attack: the training attack, for methods that train on adversarial images.
        """
        raise NotImplementedError


DEFENSES: Registry[Defense] = Registry("defense", Defense)
