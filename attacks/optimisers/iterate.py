"""The current images of a batch in gradient ascent, with all that their next step depends on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attacks.optimisers.gradient_check import GradientCheck
from attacks.optimisers.updates import Update
from attacks.result_builder import Best


class Iterate:
    """The state of one batch between two steps.

    Attributes:
        images: the current iterate, shape (b, C, H, W).
        update: the update rule, with its state.
        check: notes gradients that are not finite.
        best: the best iterates so far; None before the first step, and where none are kept.
    """

    def __init__(self, images: Tensor, update: Update) -> None:
        self.images = images
        self.update = update
        self.check = GradientCheck()
        self.best: Best | None = None

    def keep_best(self, values: Tensor) -> None:
        """Keeps the current images where their scores, shape (b,), are the highest so far."""
        if self.best is None:
            self.best = Best(self.images, values)
        else:
            self.best.add(self.images, values)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state, as `HasState`."""
        return {
            "images": self.images,
            "update": self.update.state_dict(),
            "check": self.check.state_dict(),
            "best": None if self.best is None else (self.best.images, self.best.values),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces the state."""
        self.images = state["images"]
        self.update.load_state_dict(state["update"])
        self.check.load_state_dict(state["check"])
        self.best = None if state["best"] is None else Best(*state["best"])
