"""Keys: the names of a model and of a cell, from the specs that define them."""

from __future__ import annotations

from benchmark.records.record import Record


class ModelKey(Record):
    """Names one trained model; every field but the seed is a canonical spec string."""

    dataset: str
    backbone: str
    loss: str
    defense: str
    seed: int


class CellKey(ModelKey):
    """Names one cell: one model under one attack, scored in one scenario.

    Attributes:
        scenario: canonical spec of the scenario.
        attack: canonical spec of the attack, "none" for clean cells.
        norm: "linf", "l2" or "l0", "none" for clean cells.
        eps: radius of the ball, in the units of pixels in [0, 1]; 0 for clean cells.
    """

    scenario: str
    attack: str
    norm: str
    eps: float

    @property
    def model(self) -> ModelKey:
        """The model that the cell belongs to."""
        return ModelKey(**{name: getattr(self, name) for name in ModelKey.model_fields})
