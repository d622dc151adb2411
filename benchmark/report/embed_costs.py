"""The cost of embedding an image for each row of a table, in one unit."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from benchmark.report.rows import Row
from benchmark.report.worst_case import mean


def set_embed_costs(rows: Sequence[Row]) -> None:
    """Sets the embed cost of each row of a table.

    The unit is one plain backbone where models were trained; what it costs an own model, which has no
    backbone of the run's, follows from the FLOPs of both. Where none were, it is the lightest own model.
    """
    trained = any(row.trained for row in rows) or not any(row.own for row in rows)
    unit = _plain_backbone(rows) if trained else _lightest(rows)
    for row in rows:
        cost = row.training("embed_cost")
        row.embed_cost = cost if cost == 0 or (trained and not row.own) else _flops(row) / unit


def _plain_backbone(rows: Sequence[Row]) -> float:
    """FLOPs of embedding an image with one plain backbone; nan where no record holds them."""
    models = [model for row in rows if row.trained for model in row.models if model.status == "done"]
    return mean(
        model.embed_flops / model.embed_cost
        for model in models
        if model.embed_cost > 0 and model.embed_flops > 0
    )


def _lightest(rows: Sequence[Row]) -> float:
    """FLOPs of embedding an image with the lightest own model; nan where none are known."""
    return min((flops for row in rows if row.own and (flops := _flops(row)) > 0), default=nan)


def _flops(row: Row) -> float:
    models = [model for model in row.models if model.status == "done"]
    return mean(model.embed_flops if model.embed_flops > 0 else nan for model in models)
