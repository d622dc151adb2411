"""The contract of each kind of class; importing this module fills each with its checks."""

from __future__ import annotations

from typing import Any

from benchmark.core.parameters import Parameters
from benchmark.evaluation.conformance import (  # noqa: F401
    basics,
    declarations,
    embedding,
    persistence,
    step,
    surroundings,
)
from benchmark.evaluation.conformance.attack_suites import SUITE
from benchmark.evaluation.conformance.attacks import ATTACK
from benchmark.evaluation.conformance.backbones import BACKBONE
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.datasets import DATASET
from benchmark.evaluation.conformance.defense_contract import DEFENSE
from benchmark.evaluation.conformance.losses import LOSS
from benchmark.evaluation.conformance.masking_checks import MASKING_CHECK
from benchmark.evaluation.conformance.objectives import OBJECTIVE
from benchmark.evaluation.conformance.run_loggers import LOGGER
from benchmark.evaluation.conformance.scenarios import SCENARIO
from benchmark.evaluation.conformance.transforms import TRANSFORM

CONTRACTS: dict[type[Parameters], Contract[Any, Any]] = {
    contract.base: contract
    for contract in (
        DEFENSE,
        TRANSFORM,
        ATTACK,
        SUITE,
        OBJECTIVE,
        DATASET,
        BACKBONE,
        LOSS,
        SCENARIO,
        MASKING_CHECK,
        LOGGER,
    )
}
"""Every contract, by the class that its kind derives from."""
