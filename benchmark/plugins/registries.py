"""All registries by their titles, as `--list` shows them; plugins may add to each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attacks import ATTACKS, MEASURES, OBJECTIVES, SUITES
from benchmark.core.registry import Registry
from benchmark.data import DATASETS
from benchmark.evaluation import CHECKS, SCENARIOS
from benchmark.loggers import LOGGERS
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES
from defenses import DEFENSES
from defenses.transforms import TRANSFORMS

REGISTRIES: Mapping[str, Registry[Any]] = {
    "defenses": DEFENSES,
    "transforms of random_transforms": TRANSFORMS,
    "attacks": ATTACKS,
    "suites of attacks": SUITES,
    "objectives of attacks": OBJECTIVES,
    "measures of robrank": MEASURES,
    "data sets": DATASETS,
    "backbones": BACKBONES,
    "losses": LOSSES,
    "scenarios": SCENARIOS,
    "checks for gradient masking": CHECKS,
    "loggers": LOGGERS,
}
