from math import isnan, nan
from pathlib import Path

import pytest

from benchmark.report.ers import NORMALIZED, empirical_robustness_score
from benchmark.report.ranking_board import HEADS, PLAIN

STRONG = dict.fromkeys(NORMALIZED, 0.3) | {"es_d": 0.5}


def test_the_score_of_published_tables():
    """A broken and an untouched model, and one in between, in the units of the published tables."""
    broken = dict.fromkeys(NORMALIZED, 0.0) | {"ca_minus": 1, "qa_minus": 1, "tma": 1, "es_d": 2}
    whole = dict.fromkeys(NORMALIZED, 1.0) | {"ca_plus": 0.5, "qa_plus": 0.5}
    whole |= {"ca_minus": 0, "qa_minus": 0, "tma": 0, "es_d": 0}
    assert empirical_robustness_score(broken) == 0
    assert empirical_robustness_score(whole) == pytest.approx(1)
    by_hand = 2 * 30 + (100 - 30) + 2 * 30 + (100 - 30) + 100 * (1 - 0.3) + 100 * (2 - 0.5) / 2 + 4 * 30
    assert 100 * empirical_robustness_score(STRONG) == pytest.approx(by_hand / 10)
    assert isnan(empirical_robustness_score({**STRONG, "gtt": nan}))
    assert isnan(empirical_robustness_score({name: STRONG[name] for name in list(STRONG)[1:]}))
    assert len(NORMALIZED) == 10 and set(HEADS) == set(NORMALIZED)


def test_the_published_scores_follow_from_their_measures():
    """Every row of docs/ranking.md with ten measures, which are rounded to a tenth of a percent."""
    text = (Path(__file__).parents[2] / "docs" / "ranking.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    rows = [row for row in rows if len(row) == 17 and row[0].startswith(("CUB", "Cars", "SOP"))]
    assert len(rows) == 31
    for row in rows:
        values = dict(zip(NORMALIZED, map(float, row[6:16]), strict=True))
        scaled = {name: value / (1 if name in PLAIN else 100) for name, value in values.items()}
        assert 100 * empirical_robustness_score(scaled) == pytest.approx(float(row[16]), abs=0.1), row[:3]
