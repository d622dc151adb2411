"""Which options the commands that run nothing read; any other would be ignored, and is refused."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.cli.check_plugin import VARIANTS
from benchmark.core.errors import UsageError

_PLUGINS = frozenset({"--plugin"})
_DATA = frozenset({"--plugin", "--data-root"})
_RECORDS = frozenset({"--config"})  # it may name the output folder
_BOARD = _RECORDS | {"--export", "--open"}

_READS = {
    "--list": _PLUGINS,
    "--list-data": _DATA,
    "--check-plugin": _DATA | {f"--{option}" for option in VARIANTS},
    "--new-defense": frozenset[str](),
    "--explain": _RECORDS,
    "--status": _RECORDS,
    "--report-only": _BOARD,
    "--merge": _BOARD,
}
"""The options beside those of `_EVERYWHERE`, by command, in the order in which commands are looked for."""

_EVERYWHERE = frozenset({"--output", "--no-progress"})
"""Options that are no mistake beside any command."""


def refuse_unread(arguments: Sequence[str]) -> None:
    """Refuses options that a command beside them does not read.

    Args:
        arguments: those of the command line, which the parser accepts.

    Raises:
        UsageError: when there is such an option.
    """
    given = [text.partition("=")[0] for text in arguments if text.startswith("--")]
    command = next((name for name in _READS if name in given), None)
    if command is None:
        return
    unread = [name for name in dict.fromkeys(given) if name not in {command, *_EVERYWHERE, *_READS[command]}]
    if unread:
        raise UsageError(f"{command} runs nothing, and does not read {', '.join(unread)}. Leave it out.")
