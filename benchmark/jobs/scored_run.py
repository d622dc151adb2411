"""What came of an attack on one model."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmark.evaluation import PoolEmbeddings, ScenarioScore


@dataclass
class ScoredRun:
    """An attack's scores in each scenario, with its time and cost.

    Attributes:
        scores: by scenario; the reason instead where it cannot be scored.
        objective: mean of what the attack maximized; None for attacks without one.
        diagnostics: measurements for the checks, the same in every scenario.
        embeddings: of the clean and the attacked pool, with both pools; None where nothing was attacked
            because no query stands.
        seconds: wall-clock time of the attack.
        forward_passes, backward_passes: its cost, in units.
        batch_size: images (times EOT samples) in one forward pass with gradients.
        notes: what a reader should know of how it was run, a sentence each.
        execution: how its steps were computed; empty where nothing is attacked.
        attacked_queries: how many queries were attacked; None for attacks on the whole pool.
    """

    scores: dict[str, ScenarioScore | str]
    objective: float | None
    diagnostics: dict[str, float]
    embeddings: PoolEmbeddings | None = None
    seconds: float = 0.0
    forward_passes: float = 0.0
    backward_passes: float = 0.0
    attacked_queries: int | None = None
    execution: str = ""
    batch_size: int = 0
    notes: list[str] = field(default_factory=list)
