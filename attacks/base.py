"""The contract of an attack, and the assertions that every attack's result must pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor

from attacks.geometry import CONVEX, sizes
from attacks.problem import Problem
from benchmark.core.errors import AttackError, ObjectiveError, UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry

TOLERANCE = 1e-6
"""What float32 rounding may add to a perturbation's norm, in units of pixels in [0, 1]."""

CHUNK = 512
"""Images compared at a time when an attack's result is checked."""


Access = Literal["white", "black", "transfer", "none"]
"""What an attack uses of the model: gradients, embeddings only, another model's gradients, nothing."""


@dataclass
class AttackResult:
    """Attacked images and their objective values.

    Attributes:
        images: the attacked pool in [0, 1], float32, shape (n, C, H, W), on the device of the problem's
            images or else on the CPU; images outside `problem.perturbed` are the clean ones.
        objective: value of the maximized objective at the attacked images, shape (t,); None for attacks
            without an objective.
        zero_gradient: fraction of the perturbed images whose first gradient was zero, or so small that the
            objective would rise by less than 1e-4 of its standard deviation within the ball; None for
            attacks that take none.
        execution: how the steps were computed: "eager", "CUDA graph", or "eager: " and why a capture failed.
    """

    images: Tensor
    objective: Tensor | None = None
    zero_gradient: float | None = None
    execution: str = "eager"


class Attack(Parameters):
    """An attack on an embedder; subclasses implement `perturb`.

    Attributes:
        access: what it uses of the model it attacks.
        norms: the norms whose balls it supports: those with gradient steps, unless it says otherwise.
        scenarios: names of the scenarios that it is made for, the only ones that its images are scored in;
            empty for all the usual ones.
    """

    access: ClassVar[Access] = "white"
    norms: ClassVar[tuple[str, ...]] = CONVEX
    scenarios: ClassVar[tuple[str, ...]] = ()

    @property
    def needs(self) -> str | None:
        """Spec of a defense whose model, of the same cell, the attack also needs; None for most."""
        return None

    def made_on(self, source: str) -> Attack:
        """Returns this attack with another source, given by its spec; itself when it needs none."""
        return self

    def without_gradients(self) -> Attack | None:
        """Returns what is left of the attack on a model without gradients; None for a white-box attack."""
        return None if self.access == "white" else self

    def made_for(self) -> tuple[str, ...]:
        """Names of the only scenarios that its images are scored in; empty for all the usual ones."""
        return self.scenarios

    def knows(self, norm: str) -> bool:
        """Whether the attack supports that norm's ball."""
        return norm in self.norms

    def perturb(self, problem: Problem) -> AttackResult:
        """Finds attacked images within the ball and the range."""
        raise NotImplementedError

    def cost_per_image(self) -> float:
        """Cost of one image in cost units (one forward or backward pass each), known before a run starts."""
        return 1.0

    def pools_in_memory(self) -> int:
        """Number of pools that the attack holds in memory at once besides the clean one; 1 for its result."""
        return 1

    def run(self, problem: Problem) -> AttackResult:
        """Runs the attack and asserts shape, ball, range, and that every pixel is a finite number.

        Raises:
            AttackError: when one of these does not hold, when the clean images were overwritten, when the
                pool has one class only, or when a gradient of the objective or of the model is not finite.
            UsageError: when the attack does not support the problem's norm.
        """
        if not self.knows(problem.norm):
            raise UsageError(f"{self.spec} does not support the norm {problem.norm}.")
        version = _version(problem)
        if problem.num_classes < 2:
            raise AttackError("The pool has one class; an attack needs at least two.")
        try:
            result = self.perturb(problem)
        except ObjectiveError as error:
            raise AttackError(f"{self.spec}: {error}") from None
        if _version(problem) != version:
            raise AttackError(f"{self.spec} changed the clean images in place.")
        if tuple(result.images.shape) != problem.shape:
            found = tuple(result.images.shape)
            raise AttackError(f"{self.spec} returned images of shape {found}; expected {problem.shape}.")
        if problem.attacked is not None:
            result.images = _with_clean_rest(problem, result.images)
        self._assert_within(problem, result.images)
        return result

    def _assert_within(self, problem: Problem, attacked: Tensor) -> None:
        largest, low, high, finite = 0.0, 0.0, 1.0, True
        for start in range(0, len(problem), CHUNK):
            part = slice(start, start + CHUNK)
            images = problem.get_batch(part, attacked)
            size = sizes(images - problem.get_batch(part), problem.norm)
            finite = finite and bool(torch.isfinite(images).all())
            largest = max(largest, float(size.max()))
            low, high = min(low, float(images.min())), max(high, float(images.max()))
        # An L2 norm sums rounding errors over the pixels, hence the factor; a count has none.
        slack = {"linf": TOLERANCE, "l2": TOLERANCE * (1.0 + problem.eps), "l0": 0.0}[problem.norm]
        if not finite:
            raise AttackError(f"{self.spec} produced pixels that are not numbers.")
        if largest > problem.eps + slack:
            raise AttackError(f"{self.spec} left its ball: {largest:.8f} > {problem.eps}.")
        if low < 0 or high > 1:
            raise AttackError(f"{self.spec} left the range [0, 1].")


def _version(problem: Problem) -> int:
    """Returns torch's version counter of the clean images; 0 for a pool that returns copies."""
    return problem.images._version if isinstance(problem.images, Tensor) else 0


def _with_clean_rest(problem: Problem, attacked: Tensor) -> Tensor:
    """Returns the attacked pool with clean images outside `problem.perturbed`; copies it only if needed."""
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

AttackSpec = Annotated[str, AfterValidator(ATTACKS.canonical)]
"""The spec string of an attack, as a parameter of another: `noise` or `pgd[objective=own,steps=5]`."""
