"""The conformance suite: checks the contract of every defense on a tiny data set, in a second or two."""

from benchmark.evaluation.conformance import basics, declarations, embedding, step, surroundings  # noqa: F401
from benchmark.evaluation.conformance.contract_check import ConformanceError, ContractCheck
from benchmark.evaluation.conformance.suite import (
    ContractResult,
    check_contract,
    check_defense,
    defense_checks,
)

__all__ = [
    "ConformanceError",
    "ContractCheck",
    "ContractResult",
    "check_contract",
    "check_defense",
    "defense_checks",
]
