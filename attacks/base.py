"""What an attack is, and the assertions that every attack is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.geometry import NORMS
from attacks.problem import Problem
from benchmark.core.errors import AttackError, UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry

TOLERANCE = 1e-6
"""What float32 rounding may add to a perturbation's norm, in units of pixels in [0, 1]."""


Access = Literal["white", "black", "transfer", "none"]
"""What an attack uses of the model: gradients, embeddings alone, another model's gradients, nothing."""


@dataclass
class Outcome:
    """What an attack found.

    Attributes:
        images: attacked images in [0, 1], shape (n, C, H, W); all but the problem's targets
            are the clean ones.
        objective: what was maximised, at the attacked images, shape (targets,); None for attacks without an
            objective.
        zero_gradient: share of the targets whose first gradient was exactly zero; None where none was taken.
    """

    images: Tensor
    objective: Tensor | None = None
    zero_gradient: float | None = None


class Attack(Parameters):
    """An attack on an embedder; subclasses implement `perturb`.

    Attributes:
        access: what it uses of the model it attacks.
        norms: the balls that it knows.
        scenarios: names of the scenarios that it is made for, the only ones that its images are scored in;
            empty for all the usual ones.
    """

    access: ClassVar[Access] = "white"
    norms: ClassVar[tuple[str, ...]] = NORMS
    scenarios: ClassVar[tuple[str, ...]] = ()

    @property
    def needs(self) -> str | None:
        """Spec of a defense whose model, of the same cell, it also needs; None for most."""
        return None

    def made_for(self) -> tuple[str, ...]:
        """Names of the only scenarios that its images are scored in; empty for all the usual ones."""
        return self.scenarios

    def knows(self, norm: str) -> bool:
        """Whether the attack can keep to that norm's ball."""
        return norm in self.norms

    def perturb(self, problem: Problem) -> Outcome:
        """Finds attacked images within the ball and the range."""
        raise NotImplementedError

    def passes_per_image(self) -> float:
        """Passes that one image takes, forward and backward, to tell a run's cost before it starts."""
        return 1.0

    def run(self, problem: Problem) -> Outcome:
        """Runs the attack and asserts the shape, the ball, the range, and that every pixel is a number.

        Raises:
            AttackError: when one of these does not hold, or the clean images were overwritten.
            UsageError: when the attack does not know the problem's norm.
        """
        if not self.knows(problem.norm):
            raise UsageError(f"{self.spec} does not attack in the norm {problem.norm}.")
        version = problem.images._version
        if problem.num_classes < 2:
            raise AttackError("The pool has one class; an attack needs another to move images towards.")
        outcome = self.perturb(problem)
        if problem.attacked is not None:
            images = problem.images.clone()
            images[problem.targets] = outcome.images[problem.targets]
            outcome.images = images
        if problem.images._version != version:
            raise AttackError(f"{self.spec} changed the clean images in place.")
        if outcome.images.shape != problem.images.shape:
            raise AttackError(f"{self.spec} gave images of another shape: {tuple(outcome.images.shape)}.")
        delta = (outcome.images - problem.images).flatten(1)
        size = delta.abs().amax(1) if problem.norm == "linf" else delta.norm(dim=1)
        # An L2 norm sums rounding over the pixels, hence the factor.
        slack = TOLERANCE * (1.0 if problem.norm == "linf" else 1.0 + problem.eps)
        if not torch.isfinite(outcome.images).all():
            raise AttackError(f"{self.spec} produced pixels that are not numbers.")
        if (worst := float(size.max())) > problem.eps + slack:
            raise AttackError(f"{self.spec} left its ball: {worst:.8f} > {problem.eps}.")
        if float(outcome.images.min()) < 0 or float(outcome.images.max()) > 1:
            raise AttackError(f"{self.spec} left the range [0, 1].")
        return outcome


ATTACKS: Registry[Attack] = Registry("attack", Attack)
