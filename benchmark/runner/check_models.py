"""Runs the checks for gradient masking on the records of a finished run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from attacks import ATTACKS, FGSM, Attack, Objective
from benchmark.core.errors import CheckpointError
from benchmark.evaluation import RetrievalQuery
from benchmark.evaluation.check_input import CheckInput, ScoredAttack, ScoredClean
from benchmark.evaluation.checks import run_checks
from benchmark.records import CLEAN, CellRecord, CellRef, CheckRecord, CheckResult, RunManifest, Store
from defenses import DEFENSES


def check_models(store: Store, manifest: RunManifest) -> list[CheckRecord]:
    """Writes the results of the checks on each model at each budget of the suite, over earlier results.

    No model is run: a check is "not run" when a cell that it needs was not run, failed or is damaged.

    Args:
        store: the records; the results are written there too.
        manifest: the grid, whose provenance the results carry.

    Returns:
        The results, in the order of the grid.
    """
    by_model: dict[str, list[CellRef]] = defaultdict(list)
    # A cell may be listed under several roles; the suite's has precedence.
    for cell in {c.id: c for c in sorted(manifest.cells, key=lambda c: c.role == "suite")}.values():
        by_model[cell.model_id].append(cell)
    found = []
    built: dict[str, _Attack] = {}
    attacked = {cell.key.attack for cell in manifest.cells} - {CLEAN}
    sources = {DEFENSES.build(need).spec for text in attacked if (need := ATTACKS.build(text).needs)}
    for model in {ref.id: ref for ref in manifest.models}.values():
        cells = by_model[model.id]
        suite = [cell.key for cell in cells if cell.role == "suite"]
        clean = [cell for cell in cells if cell.key.attack == CLEAN]
        diagnostics, scored_clean = _diagnostics(store, clean), _scored_clean(store, clean)
        for norm in sorted({key.norm for key in suite}):
            in_norm = [cell for cell in cells if cell.key.norm == norm]
            attacks = tuple(_scored_attacks(store, in_norm, built))
            kept: dict[str, CheckResult] = {}
            for eps in sorted({key.eps for key in suite if key.norm == norm}):
                measured = CheckInput(
                    eps=eps,
                    whole_range=manifest.whole_range.get(model.key.dataset, {}).get(norm),
                    model=diagnostics,
                    clean=scored_clean,
                    attacks=attacks,
                    is_source=model.key.defense in sources,
                )
                record = CheckRecord(
                    model_id=model.id,
                    key=model.key,
                    norm=norm,
                    eps=eps,
                    cells=sorted(cell.id for cell in cells),
                    results=run_checks(measured, kept),
                    provenance=manifest.provenance,
                )
                store.save_checks(record)
                found.append(record)
    return found


def _done(store: Store, cell: CellRef) -> tuple[CellRecord, dict[str, np.ndarray]] | None:
    """Reads a cell's record and arrays; None unless the cell is done and its arrays can be read."""
    record = store.cell(cell.id)
    if record is None or record.status != "done":
        return None
    try:
        arrays = store.arrays(cell.id)
    except CheckpointError:
        return None
    return (record, arrays) if "success" in arrays and "r1" in record.metrics else None


def _diagnostics(store: Store, cells: Iterable[CellRef]) -> dict[str, float]:
    """Reads the diagnostics of the model itself, which are the same in all its clean cells."""
    found: dict[str, float] = {}
    for cell in cells:
        record = store.cell(cell.id)
        if record is not None and record.status == "done":
            found |= record.diagnostics
    return found


def _scored_clean(store: Store, cells: Iterable[CellRef]) -> ScoredClean | None:
    for cell in cells:
        if cell.key.scenario == RetrievalQuery.name:
            done = _done(store, cell)
            if done is None:
                return None
            record, arrays = done
            return ScoredClean(record.metrics["r1"], arrays["success"], arrays.get("halves"))
    return None


class _Attack(NamedTuple):
    """What the checks need to know of an attack, whatever the model.

    Attributes:
        attack: the attack.
        objective: what it maximizes; None where it maximizes nothing.
        steps: its number of steps; None where it has none.
        doubled_steps: spec of the same attack with twice the steps; empty where there is none.
    """

    attack: Attack
    objective: Objective | None
    steps: int | None
    doubled_steps: str

    @classmethod
    def build(cls, spec: str) -> _Attack:
        """Builds the attack that a spec names."""
        attack = ATTACKS.build(spec)
        objective = next((part for part in attack.parts() if isinstance(part, Objective)), None)
        steps = 1 if isinstance(attack, FGSM) else getattr(attack, "steps", None)
        doubled = ""
        if steps is not None and hasattr(attack, "steps"):
            doubled = attack.model_copy(update={"steps": 2 * steps}).spec
        return cls(attack, objective, steps, doubled)


def _scored_attacks(
    store: Store, cells: Iterable[CellRef], attacks: dict[str, _Attack]
) -> Iterable[ScoredAttack]:
    """Reads the attacks that are done; `attacks` keeps those that were built, by their spec."""
    for cell in cells:
        if cell.key.attack == CLEAN or cell.key.scenario != RetrievalQuery.name:
            continue
        done = _done(store, cell)
        if done is not None:
            spec = cell.key.attack
            attack = attacks[spec] = attacks.get(spec) or _Attack.build(spec)
            yield _scored_attack(*done, attack, in_suite=cell.role == "suite")


def _scored_attack(
    record: CellRecord, arrays: dict[str, np.ndarray], made_by: _Attack, in_suite: bool
) -> ScoredAttack:
    attack, objective = made_by.attack, made_by.objective
    return ScoredAttack(
        attack=record.key.attack,
        access=attack.access,
        eps=record.key.eps,
        r1=record.metrics["r1"],
        success=arrays["success"],
        before=arrays.get("before"),
        own=arrays.get("own"),
        halves=arrays.get("halves"),
        left_out=record.attacked_queries == 0,
        objective=objective.spec if objective else "",
        steps=made_by.steps,
        from_clean=isinstance(attack, FGSM) or getattr(attack, "start", "") == "clean",
        # An objective on the attacked pool depends on that pool, so values of two attacks cannot be compared.
        objective_values=arrays.get("objective") if objective and not objective.pooled else None,
        doubled_steps=made_by.doubled_steps,
        in_suite=in_suite,
        diagnostics=record.diagnostics,
    )
