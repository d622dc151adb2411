import pytest

from benchmark.runner.view.estimate import Estimate, duration


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(None), "time left unknown yet"),
        (Estimate(0.0), "almost done"),
        (Estimate(0.0, over=True), "all done"),
        (Estimate(1.9), "almost done"),
        (Estimate(61.0), "about 61 s left"),
        (Estimate(600.0, known=False), "at most 10 min left"),
        (Estimate(600.0, 7200.0), "about 10 min left, at most 2.0 h"),
        (Estimate(600.0, 601.0), "about 10 min left"),
        (Estimate(0.1, 7200.0), "about 2 s left, at most 2.0 h"),
    ],
)
def test_in_words(estimate, text):
    assert str(estimate) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h")])
def test_time_spans(seconds, text):
    assert duration(seconds) == text
