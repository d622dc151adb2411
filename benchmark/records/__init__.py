"""The records of a run, the store that keeps them, and their provenance; without torch."""

from benchmark.records.cell import CellRecord
from benchmark.records.check import CheckRecord, CheckResult, CheckStatus
from benchmark.records.keys import CellKey, ModelKey
from benchmark.records.model import ModelRecord, TrainingRecord
from benchmark.records.provenance import Provenance
from benchmark.records.record import CLEAN, Record, Status
from benchmark.records.run import CellRef, ModelRef, Role, RunManifest
from benchmark.records.store import Store
from benchmark.records.validation import ValidationResult

__all__ = [
    "CLEAN",
    "CellKey",
    "CellRecord",
    "CellRef",
    "CheckRecord",
    "CheckResult",
    "CheckStatus",
    "ModelKey",
    "ModelRecord",
    "ModelRef",
    "Provenance",
    "Record",
    "Role",
    "RunManifest",
    "Status",
    "Store",
    "TrainingRecord",
    "ValidationResult",
]
