"""Runs the parts of a report, each as a process with a time limit; finished parts are not run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_TEXT = 200_000
"""Characters of a part's output that are kept, its last ones."""


@dataclass(frozen=True)
class Part:
    """One measurement.

    Attributes:
        name: of its files.
        command: what runs; the last line that it writes is JSON.
        limit: seconds after which it is ended.
        environment: variables beside those of this process.
    """

    name: str
    command: Sequence[str]
    limit: float
    environment: Mapping[str, str] = field(default_factory=dict)


def run_part(part: Part, folder: Path) -> dict[str, Any]:
    """Runs a part unless it is done, and writes its text and its JSON at once.

    Args:
        part: the part.
        folder: where `NAME.json` and `NAME.txt` go.

    Returns:
        `status` ("done", "failed" or "timed out"), `reason`, `seconds` and, where it is done, `result`.
    """
    file = folder / f"{part.name}.json"
    if (known := _finished(file)) is not None:
        return known
    started = time.monotonic()
    text, reason = _run(part)
    found: dict[str, Any] = {"part": part.name, "command": list(part.command), "status": "done", "reason": ""}
    found["seconds"] = round(time.monotonic() - started, 1)
    if reason:
        found |= {"status": "timed out" if reason.startswith("more than") else "failed", "reason": reason}
    else:
        lines = text.strip().splitlines()
        try:
            found["result"] = json.loads(lines[-1] if lines else "")
        except ValueError:
            found |= {"status": "failed", "reason": "its last line is no JSON"}
    _write(folder / f"{part.name}.txt", text[-MOST_TEXT:])
    _write(file, json.dumps(found, indent=1))
    return found


def _finished(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not run yet, or written by half
        return None
    return found if isinstance(found, dict) and found.get("status") == "done" else None


def _run(part: Part) -> tuple[str, str]:
    """Returns what a part wrote, and why it failed; empty when it did not."""
    process = subprocess.Popen(
        part.command,
        env={**os.environ, **part.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that its own processes are ended with it
    )
    try:
        text, _ = process.communicate(timeout=part.limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], f"more than {part.limit:g} s"
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode:
        lines = text.strip().splitlines()
        return text, f"exit status {process.returncode}: {lines[-1] if lines else 'no output'}"
    return text, ""


def _write(file: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    half = file.with_name(f".{file.name}")
    half.write_text(text, encoding="utf-8")
    half.replace(file)


def write_summary(folder: Path, title: str, found: Sequence[Mapping[str, Any]]) -> Path:
    """Writes `summary.md`: a table of the parts, then a table of each part's rows.

    Args:
        folder: of the report.
        title: its first line.
        found: what `run_part` returned for each part.
    """
    lines = [f"# {title}", "", "| part | status | seconds |", "|---|---|---:|"]
    for part in found:
        reason = f": {part['reason']}".replace("|", "\\|") if part["reason"] else ""
        lines.append(f"| {part['part']} | {part['status']}{reason} | {part['seconds']} |")
    for part in found:
        if part["status"] == "done":
            lines += ["", f"## {part['part']}", "", f"`{' '.join(part['command'])}`", ""]
            lines += _tables(part["result"])
    file = folder / "summary.md"
    _write(file, "\n".join(lines) + "\n")
    return file


def _tables(result: object) -> list[str]:
    """Writes lists of rows as tables, and other values as a line each."""
    if not isinstance(result, Mapping):
        return [f"`{json.dumps(result)}`"]
    lines = []
    for name, value in result.items():
        if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
            columns = list(dict.fromkeys(key for row in value for key in row))
            lines += ["", f"{name}:", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
            lines += [f"| {' | '.join(_cell(row.get(key, '')) for key in columns)} |" for row in value]
            lines.append("")
        else:
            lines.append(f"- {name}: {_cell(value)}")
    return lines


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", "\\|").replace("\n", " ")
