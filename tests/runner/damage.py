"""Ways in which the files of a store are damaged, each drawn from a random generator."""

import random as randomness
from collections.abc import Callable
from pathlib import Path

FOLDERS = ("models", "cells", "arrays", "unfinished", "checks", "leases", "identities", ".")
"""Folders of a store whose files are damaged; "." has the manifest."""


def files(store: Path) -> list[Path]:
    """The files of a store that a run may read, in order."""
    found = [path for folder in FOLDERS for path in (store / folder).glob("*") if _is_read(path)]
    return sorted(found)


def _is_read(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".writing-") and ".damaged" not in path.name


def flip(random: randomness.Random, path: Path) -> None:
    """Changes one bit."""
    data = bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    path.write_bytes(data)


def truncate(random: randomness.Random, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: random.randrange(len(data))])


def append(random: randomness.Random, path: Path) -> None:
    path.write_bytes(path.read_bytes() + random.randbytes(9))


def zeros(random: randomness.Random, path: Path) -> None:
    """Keeps the length, as a file whose blocks were not written before the power went."""
    path.write_bytes(bytes(path.stat().st_size))


def swap(random: randomness.Random, path: Path) -> None:
    """Exchanges a file with another of its folder."""
    others = [one for one in path.parent.glob(f"*{path.suffix}") if _is_read(one) and one != path]
    if not others:
        flip(random, path)
        return
    other = random.choice(sorted(others))
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def remove(random: randomness.Random, path: Path) -> None:
    path.unlink()


def folder(random: randomness.Random, path: Path) -> None:
    """Puts a folder with a file in a file's place."""
    path.unlink()
    path.mkdir()
    (path / "note.txt").write_text("in its place")


def litter(random: randomness.Random, path: Path) -> None:
    """Leaves a temporary file and folder of a process that has ended, and a file of no known name."""
    made = path.with_name(f".writing-{random.randrange(10**9)}")
    made.write_bytes(b"half")
    path.with_name(f"{path.stem}.bak").write_bytes(path.read_bytes())


KINDS: tuple[Callable[[randomness.Random, Path], None], ...] = (
    flip, flip, flip, truncate, append, zeros, swap, swap, remove, folder, litter,
)  # fmt: skip


def damage(random: randomness.Random, store: Path) -> str:
    """Damages a file of a store; returns how, and which kind of file: "flip cells"; empty without files."""
    kinds = sorted({path.parent for path in files(store)})
    if not kinds:
        return ""
    parent = random.choice(kinds)
    path = random.choice([path for path in files(store) if path.parent == parent])
    kind = random.choice(KINDS)
    try:
        if path.stat().st_size == 0:
            kind = remove
        kind(random, path)
    except OSError:  # a run has just removed or replaced it
        return ""
    return f"{kind.__name__} {parent.name if parent != store else 'manifest'}"


def remove_many(random: randomness.Random, store: Path) -> int:
    """Removes records, arrays and checkpoints, so that there is work; returns how many."""
    part = random.uniform(0.2, 0.7)
    chosen = [
        path
        for path in files(store)
        if path.parent.name in ("models", "cells", "arrays") and random.random() < part
    ]
    for path in chosen:
        path.unlink(missing_ok=True)
    return len(chosen)
