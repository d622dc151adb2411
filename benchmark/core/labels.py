"""Labels: short names for what is known by a path, so that nothing that is published shows a path."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

from benchmark.core.registry import RESERVED

_LABEL = re.compile(r"\w[\w.+-]*")
_NOT_IN_A_LABEL = re.compile(r"[^\w.+-]+")


def _check(text: str) -> str:
    if text in RESERVED:
        raise ValueError("has another meaning; choose another name")
    if not _LABEL.fullmatch(text):
        raise ValueError(
            "must begin with a letter, a digit or _, and may hold only letters, digits, _, ., + and -"
        )
    return text


Label = Annotated[str, AfterValidator(_check)]
"""A short name of letters, digits, `_`, `.`, `+` and `-`; the first is a letter, a digit or `_`."""


def as_label(text: str, default: str) -> str:
    """Turn any text, such as the name of a folder, into a label.

    A run of characters that a label cannot hold becomes one `-`, and is dropped at both ends.

    Args:
        text: any text; a label stays as it is.
        default: a label, for text without a letter or digit; put before reserved words.

    Returns:
        A valid label.
    """
    if _LABEL.fullmatch(text) and text not in RESERVED:
        return text
    label = _NOT_IN_A_LABEL.sub("-", unicodedata.normalize("NFC", text)).strip("-.+")
    if not label:
        return default
    return f"{default}-{label}" if label in RESERVED else label
