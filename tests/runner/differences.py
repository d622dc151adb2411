"""Compares the output of a run that was disturbed with that of one that was not."""

import json
import subprocess
from collections import Counter
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from benchmark.core.source import ROOT

from .kills import LONG, command


def differences(whole: Path, output: Path) -> list[str]:
    """Runs the tables of two output folders anew, and says where their records differ and what is left."""
    for folder in (whole, output):
        subprocess.run(command("table", folder), cwd=ROOT, check=True, timeout=LONG)
    return [*_cells(whole, output), *_models(whole, output), *_identities(whole, output), *_left(output)]


def _cells(whole: Path, output: Path) -> list[str]:
    sound, found = ((folder / "cells.csv").read_text() for folder in (whole, output))
    rows = zip(sound.splitlines(), found.splitlines(), strict=False)
    problems = [f"{one} != {other}" for one, other in rows if one != other]
    if sound != found and not problems:
        problems.append("cells.csv has other rows")
    if ",failed," in sound:
        problems.append("the undisturbed run has failed cells")
    return problems


def _models(whole: Path, output: Path) -> list[str]:
    problems = []
    for path in files_in(whole, "models"):
        other = output / "store" / "models" / path.name
        if not other.is_file():
            problems.append(f"{path.name} is missing")
        elif path.suffix == ".json":
            curves = [json.loads(one.read_text())["curve"] for one in (path, other)]
            problems += [] if curves[0] == curves[1] else [f"the curves of {path.name} differ"]
        else:
            problems += [] if weights(path) == weights(other) else [f"the weights of {path.name} differ"]
    return problems


def _identities(whole: Path, output: Path) -> list[str]:
    problems = []
    for path in files_in(whole, "identities"):
        other = output / "store" / "identities" / path.name
        if not other.is_file() or other.read_bytes() != path.read_bytes():
            problems.append(f"identities/{path.name} is damaged for ever")
    return problems


def _left(output: Path) -> list[str]:
    return [
        f"{folder}/{path.name} is left"
        for folder in ("leases", "unfinished")
        for path in files_in(output, folder)
    ]


def set_aside(output: Path) -> Counter[str]:
    """Counts the damaged files that runs have set aside, by the folder."""
    kinds = ("models", "cells", "arrays", "unfinished", "checks", "store")
    names = (path.parent.name for path in (output / "store").rglob("*.damaged*"))
    return Counter(name for name in names if name in kinds)


def weights(path: Path) -> dict[str, bytes] | str:
    """The weights of a checkpoint, or why they cannot be read."""
    try:
        return {name: array.tobytes() for name, array in load_file(path).items()}
    except SafetensorError as error:
        return str(error)


def files_in(output: Path, folder: str) -> list[Path]:
    found = (output / "store" / folder).glob("*")
    left = (".bak", ".damaged", ".writing-")  # what `damage` leaves, and what was set aside
    return sorted(path for path in found if not any(part in path.name for part in left))
