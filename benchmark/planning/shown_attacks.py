"""Which attack of a model is the one whose attacked queries the board shows."""

from __future__ import annotations

from attacks import Attack
from benchmark.jobs import AttackJob
from benchmark.planning.planned_attack import PlannedAttack


class ShownAttacks:
    """Marks the suite's first attack of each budget that uses the model and attacks every query."""

    def __init__(self) -> None:
        self._budgets: set[tuple[str, float]] = set()

    def marked(self, job: AttackJob, planned: PlannedAttack, attack: Attack | None) -> AttackJob:
        """Returns the job, marked as shown when it is the first."""
        budget = planned.norm, planned.eps
        uses_model = attack is not None and attack.access != "none"
        if planned.role != "suite" or not uses_model or job.pictured is None or budget in self._budgets:
            return job
        self._budgets.add(budget)
        return job.model_copy(update={"shown": True})
