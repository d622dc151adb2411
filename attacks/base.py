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

CHUNK = 512
"""Images that are looked at together when an attack's result is checked."""


Access = Literal["white", "black", "transfer", "none"]
"""What an attack uses of the model: gradients, embeddings alone, another model's gradients, nothing."""


@dataclass
class AttackResult:
    """What an attack found.

    Attributes:
        images: attacked images in [0, 1], float32, shape (n, C, H, W), where the problem's are, or else on
            the CPU; all but the problem's targets are the clean ones.
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

    def perturb(self, problem: Problem) -> AttackResult:
        """Finds attacked images within the ball and the range."""
        raise NotImplementedError

    def passes_per_image(self) -> float:
        """Passes that one image takes, forward and backward, to tell a run's cost before it starts."""
        return 1.0

    def pools_held(self) -> int:
        """Pools of images that it needs memory for at once, besides the clean one: 1 is the attacked pool."""
        return 1

    def run(self, problem: Problem) -> AttackResult:
        """Runs the attack and asserts the shape, the ball, the range, and that every pixel is a number.

        Raises:
            AttackError: when one of these does not hold, or the clean images were overwritten.
            UsageError: when the attack does not know the problem's norm.
        """
        if not self.knows(problem.norm):
            raise UsageError(f"{self.spec} does not attack in the norm {problem.norm}.")
        version = _version(problem)
        if problem.num_classes < 2:
            raise AttackError("The pool has one class; an attack needs another to move images towards.")
        outcome = self.perturb(problem)
        if _version(problem) != version:
            raise AttackError(f"{self.spec} changed the clean images in place.")
        if tuple(outcome.images.shape) != problem.shape:
            raise AttackError(f"{self.spec} gave images of another shape: {tuple(outcome.images.shape)}.")
        if problem.attacked is not None:
            outcome.images = _with_clean_rest(problem, outcome.images)
        self._assert_within(problem, outcome.images)
        return outcome

    def _assert_within(self, problem: Problem, attacked: Tensor) -> None:
        worst, low, high, finite = 0.0, 0.0, 1.0, True
        for start in range(0, len(problem), CHUNK):
            part = slice(start, start + CHUNK)
            images = problem.get_batch(part, attacked)
            delta = (images - problem.get_batch(part)).flatten(1)
            size = delta.abs().amax(1) if problem.norm == "linf" else delta.norm(dim=1)
            finite = finite and bool(torch.isfinite(images).all())
            worst = max(worst, float(size.max()))
            low, high = min(low, float(images.min())), max(high, float(images.max()))
        # An L2 norm sums rounding over the pixels, hence the factor.
        slack = TOLERANCE * (1.0 if problem.norm == "linf" else 1.0 + problem.eps)
        if not finite:
            raise AttackError(f"{self.spec} produced pixels that are not numbers.")
        if worst > problem.eps + slack:
            raise AttackError(f"{self.spec} left its ball: {worst:.8f} > {problem.eps}.")
        if low < 0 or high > 1:
            raise AttackError(f"{self.spec} left the range [0, 1].")


def _version(problem: Problem) -> int:
    """How often the clean images were written to; a pool that hands out copies cannot be."""
    return problem.images._version if isinstance(problem.images, Tensor) else 0


def _with_clean_rest(problem: Problem, attacked: Tensor) -> Tensor:
    """The attacked pool with the clean images in all places that are no targets; seldom a copy."""
    rest = torch.ones(len(problem), dtype=torch.bool, device=problem.device)
    rest[problem.perturbed] = False
    for index in problem.all_indices[rest].split(CHUNK):
        if not torch.equal(problem.get_batch(index, attacked), problem.get_batch(index)):
            images = problem.empty_pool()
            for part in problem.perturbed.split(CHUNK):
                problem.write_batch(images, part, problem.get_batch(part, attacked))
            return images
    return attacked


ATTACKS: Registry[Attack] = Registry("attack", Attack)
