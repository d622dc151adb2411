"""The ranges of metrics: a value outside of them is a mistake of the program, or damage on disk."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_RANGES = (
    (
        re.compile("ami"),
        (-1.0, 1.0),
    ),  # adjusted for chance, and so below 0 where clusters are worse than chance
    (re.compile(r"nmi|f1|r\d+|map_r|r_precision|eer|tar_far_\w+"), (0.0, 1.0)),
)
_ROUNDING = 1e-6


def wrong_metric(metrics: Mapping[str, float]) -> str:
    """Describe the first metric that is not finite or outside its range, as a clause; empty without any.

    Args:
        metrics: values by name. The benchmark's own have ranges: AMI [-1, 1], the other fractions [0, 1];
            others, as robrank's measures have, need only be finite.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            return f"the metric {name} is {value}, not a finite number"
        for names, (low, high) in _RANGES:
            if names.fullmatch(name) and not low - _ROUNDING <= value <= high + _ROUNDING:
                return f"the metric {name} is {value:.6g}, outside its range [{low:g}, {high:g}]"
    return ""


def wrong_number(numbers: Mapping[str, float | None]) -> str:
    """Name the first number that is not finite, as a clause; empty without any."""
    for name, value in numbers.items():
        if value is not None and not math.isfinite(value):
            return f"{name} is {value}, not a finite number"
    return ""
