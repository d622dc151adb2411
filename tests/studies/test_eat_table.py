from math import isnan, sqrt

import numpy as np
import pandas as pd
import pytest

from benchmark.studies.diversity import DIVERSITY_COLUMNS
from benchmark.studies.eat_table import paired_difference, write_table

EMPTY = pd.DataFrame(columns=DIVERSITY_COLUMNS)


def test_differences_are_paired_by_seed():
    rows = [("eat", 0, 0.5), ("eat", 1, 0.9), ("eat", 2, 0.1), ("eat", 3, 0.7)]
    rows += [("ensemble_at", 1, 0.8), ("ensemble_at", 0, 0.3), ("ensemble_at", 2, 0.1)]
    models = pd.DataFrame(rows, columns=["defense", "seed", "worst_ami"])
    difference, error = paired_difference(models, "eat", "worst_ami")
    assert difference == pytest.approx(0.1)
    assert error == pytest.approx(np.std([0.2, 0.1, 0.0], ddof=1) / sqrt(3))
    assert all(map(isnan, paired_difference(models, "pgd_at", "worst_ami")))
    one = paired_difference(models[models["seed"] == 1], "eat", "worst_ami")
    assert one[0] == pytest.approx(0.1)
    assert isnan(one[1])


def test_the_table_has_a_line_for_each_row(studied):
    studies, _, models = studied
    table = write_table(studies, models, EMPTY)
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == ["eat", "eat[members=2]", "ensemble_at", "pgd_at"]
    ami = models.loc[models["defense"] == "pgd_at", "worst_ami"]
    assert f"{100 * ami.mean():.1f} ± {100 * ami.std():.1f}" in lines[-1]
    difference, error = paired_difference(models, "pgd_at", "worst_ami")
    assert f"| {100 * difference:+.1f} ± {100 * error:.1f} |" in lines[-1]
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
