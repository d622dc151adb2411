"""The fonts and colors that every figure is drawn and saved with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": "#888888",
    "text.parse_math": False,  # names may hold a $
    "savefig.bbox": None,  # a user's own setting would change the size of what is drawn
}


def in_style() -> AbstractContextManager[None]:
    """Sets the report's fonts and colors for what is drawn or saved inside."""
    from matplotlib import rc_context

    return rc_context(SETTINGS)
