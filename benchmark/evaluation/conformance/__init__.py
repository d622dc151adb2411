"""The conformance suite: checks the contract of every class that a plugin may register, in seconds."""

from benchmark.evaluation.conformance.contract_check import ConformanceError, ContractCheck
from benchmark.evaluation.conformance.suite import (
    ContractResult,
    check_contract,
    check_defense,
    check_plugin_class,
    defense_checks,
    run_contract,
)

__all__ = [
    "ConformanceError",
    "ContractCheck",
    "ContractResult",
    "check_contract",
    "check_defense",
    "check_plugin_class",
    "defense_checks",
    "run_contract",
]
