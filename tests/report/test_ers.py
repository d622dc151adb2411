from math import isnan, nan

import pytest

from benchmark.report.ers import NORMALIZED, empirical_robustness_score
from benchmark.report.ranking_board import HEADS

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
