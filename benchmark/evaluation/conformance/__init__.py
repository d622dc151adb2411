"""The conformance suite: what every defense must do, checked on a tiny data set in a second or two."""

from benchmark.evaluation.conformance import basics, declarations, embedding, step, surroundings  # noqa: F401
from benchmark.evaluation.conformance.check import Check, ConformanceError
from benchmark.evaluation.conformance.suite import Result, check_defense, defense_checks, run_checks

__all__ = ["Check", "ConformanceError", "Result", "check_defense", "defense_checks", "run_checks"]
