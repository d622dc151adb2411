"""The base of every record, and the values that records share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["done", "failed", "skipped"]

CLEAN = "none"
"""The attack (and norm) name of a clean cell; its eps is 0."""


class Record(BaseModel):
    """Base of all records: frozen; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def impossible(self) -> str:
        """Describes the first value that no run can have written, as a clause; empty without any."""
        return ""
