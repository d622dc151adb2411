from math import isnan

import pytest

from .own_models import MY_MODEL, OTHER, PLUGIN, TRAINING, models_alone, models_beside_defenses


def costs(table):
    return {row.defense: row.embed_cost for row in table.rows}


def test_beside_defenses_the_unit_is_the_plain_backbone(tables_of):
    training = {"vanilla": {"embed_flops": 6e6, "embed_cost": 3.0}, "pixels": {"embed_cost": 0.0}}
    _, (table, _) = tables_of(models_beside_defenses(training=TRAINING | training))
    found = costs(table)
    assert found[MY_MODEL] == pytest.approx(2.0) and found[OTHER] == pytest.approx(1.0)
    assert (found["vanilla"], found[PLUGIN], found["pixels"]) == (3.0, 1.0, 0.0)


def test_without_defenses_the_unit_is_the_lightest_own_model(tables_of):
    _, (table,) = tables_of(models_alone(training=TRAINING | {"pixels": {"embed_cost": 0.0}}))
    assert costs(table) == {MY_MODEL: 2.0, OTHER: 1.0, "pixels": 0.0}


def test_unknown_flops_leave_the_cost_unknown(tables_of):
    _, (table,) = tables_of(models_alone(training={OTHER: {"embed_flops": 2e6}}), "alone")
    found = costs(table)
    assert found[OTHER] == 1.0 and isnan(found[MY_MODEL]) and isnan(found["pixels"])
    _, (table, _) = tables_of(models_beside_defenses(training={MY_MODEL: {"embed_flops": 2e6}}), "beside")
    found = costs(table)
    assert isnan(found[MY_MODEL]) and found["vanilla"] == 1.0  # no record of a plain backbone's FLOPs
    _, (table,) = tables_of(models_alone(training={}), "none")
    assert all(isnan(cost) for cost in costs(table).values())
