"""The check that a model embeds images again as they were scored."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.evaluation.check_input import SAME, CheckInput, ScoredAttack, repeat_tolerance
from benchmark.evaluation.masking_check import CHECKS, Comparison, MaskingCheck


@CHECKS.register("rescored")
class Rescored(MaskingCheck):
    """Images embedded again, in other batches and without gradients, get other embeddings or another R@1.

    The embeddings are compared where the model is not randomised, R@1 everywhere. Some attacked images of
    other people's models are embedded in a process that has nothing else, too.
    """

    needs = "attacked images that were embedded again"
    at_every_budget = True

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares embeddings, also of clean images, and R@1, with the tolerance for as many repeats."""
        rescored = [scored for scored in measured.attacks if "rescored_r1" in scored.diagnostics]
        found = _apart(measured.model, "clean images") if rescored else []
        for scored in rescored:
            found += [self._r1(scored), *_apart(scored.diagnostics, _place(scored)), *_isolated(scored)]
        return found

    def _r1(self, scored: ScoredAttack) -> Comparison:
        r1 = scored.diagnostics["rescored_r1"]
        return Comparison.above(
            abs(r1 - scored.diagnostics.get("mixed_r1", scored.r1)),
            repeat_tolerance(
                scored.diagnostics.get("rescored_error", 0.0),
                scored.diagnostics.get("rescored_passes", 0.0),
            ),
            f"R@1 {100 * scored.r1:.1f} of {_place(scored)}, {100 * r1:.1f} embedded again",
        )


def _place(scored: ScoredAttack) -> str:
    return f"images under {scored.attack} at eps {scored.eps:.4g}"


def _apart(diagnostics: Mapping[str, float], images: str) -> list[Comparison]:
    """Compares two embeddings of each image with what rounding allows; empty where they were not measured."""
    if "rescored_difference" not in diagnostics:
        return []
    apart = diagnostics["rescored_difference"]
    explanation = f"two embeddings of {images} in other batches differ by up to {apart:.2g}"
    return [Comparison.above(apart, diagnostics.get("rescored_allowed", SAME), explanation)]


def _isolated(scored: ScoredAttack) -> list[Comparison]:
    """Compares with what a process found that had the attacked images alone; empty where none was started."""
    found, alone = scored.diagnostics, f"{_place(scored)} embedded by a process that has nothing else"
    if (apart := found.get("isolated_difference")) is not None:
        explanation = f"{alone} differ by up to {apart:.2g}"
        return [Comparison.above(apart, found.get("rescored_allowed", SAME), explanation)]
    if (apart := found.get("isolated_r1")) is not None:
        allowed = repeat_tolerance(found.get("isolated_error", 0.0), found.get("rescored_passes", 0.0))
        return [Comparison.above(abs(apart), allowed, f"R@1 of {alone} differs by {100 * apart:.1f}")]
    return []
