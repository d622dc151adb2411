"""Writes some attacked images of each row with their nearest neighbors before and after the attack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from benchmark.core.errors import BenchmarkError, StoredFileError
from benchmark.core.files import write_atomically
from benchmark.core.unfinished import remove_unfinished
from benchmark.report.cell_results import RETRIEVAL, CellResult, Run
from benchmark.report.drawing import draw_all
from benchmark.report.file_names import table_slug
from benchmark.report.fonts import in_style
from benchmark.report.rows import Row
from benchmark.report.style import save as save_figure
from benchmark.report.style import slug
from benchmark.report.tables import Table

FOLDER = "images"
IMAGES = ("clean", "attacked")
NEIGHBORS = ("before", "after")
OWN_PICTURE, OWN_TENSORS = re.compile(r"\d+\.png"), re.compile(r"[a-z0-9._-]+\.safetensors")


@dataclass(frozen=True)
class RowImages:
    """The attacked images of one row.

    Attributes:
        row: the name of the row.
        heading: the name of its table.
        attack: the name of the attack.
        pictures: a PNG for each image; empty where they cannot be read.
        tensors: the images and their neighbors as tensors; None where they cannot be read.
        problem: why they cannot be read; empty where they can.
        failed: why pictures could not be drawn, by their name.
    """

    row: str
    heading: str
    attack: str
    pictures: list[Path] = field(default_factory=list)
    tensors: Path | None = None
    problem: str = ""
    failed: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Path]:
        yield from self.pictures
        if self.tensors is not None:
            yield self.tensors


@dataclass(frozen=True)
class _Panel:
    """The picture of one attacked image."""

    path: Path
    image: dict[str, np.ndarray]
    title: str

    def draw(self, source: object) -> str:
        """Draws the file, and returns its title."""
        from benchmark.report.image_panel import panel

        with in_style():
            save_figure(panel(self.image, self.title), self.path, vector=False)
        return self.title


def write_attacked_images(run: Run, tables: list[Table], output: Path) -> list[RowImages]:
    """Writes the attacked images of each row into `images/`, and removes those of an earlier report.

    Shown is the single retrieval attack that is worst for the row's first seed, of those whose images the
    run kept.
    """
    folder = output / FOLDER
    for unfinished in (folder, *folder.glob("*/")):
        remove_unfinished(unfinished)
    written = []
    taken: set[Path] = set()
    for table in tables:
        for row in table.rows:
            if (cell := _worst(run, row)) is not None:
                target = folder / f"{table_slug(table)}_{slug(row.name)}"
                if target in taken:
                    target = target.with_name(f"{target.name}-{cell.ref.id[-8:]}")
                taken.add(target)
                written.append(_write(run, table, row, cell, target))
    _clear(folder, {path for images in written for path in images})
    return written


def _worst(run: Run, row: Row) -> CellResult | None:
    """The done cell of the first seed with the lowest R@1 of those whose images were kept."""
    cells = [cell for attacked in row.attacked(RETRIEVAL).values() for cell in attacked]
    kept = [cell for cell in cells if cell.key.seed == row.first_seed and _were_asked_for(run.images(cell))]
    return min(kept, key=lambda cell: (cell.metric("r1"), cell.key.attack), default=None)


def _were_asked_for(path: Path) -> bool:
    """Whether a file of attacked images is there and was asked for; others serve the board's picture only."""
    try:
        return bool(load(path.read_bytes()).get("asked", np.array(1)) > 0)
    except FileNotFoundError:
        return False
    except (OSError, SafetensorError):
        return True  # the page says what is wrong with it


def _write(run: Run, table: Table, row: Row, cell: CellResult, target: Path) -> RowImages:
    attack = table.names.short(cell.key.attack)
    try:
        run.check_images(cell)
        tensors = read_images(run.images(cell))
    except StoredFileError as error:
        problem = f"{error.path.name} is damaged ({error.reason})"
        return RowImages(row.name, table.heading, attack, problem=problem)
    except BenchmarkError as error:
        return RowImages(row.name, table.heading, attack, problem=run.names.sentence(str(error)))
    panels = [
        _Panel(
            target / f"{index + 1}.png",
            {key: value[index] for key, value in tensors.items()},
            f"{row.name} under {attack}: query {tensors['query'][index]}",
        )
        for index in range(len(tensors["clean"]))
    ]
    drawn = draw_all(panels, None)
    pictures = [path for path, result in drawn.items() if result.there]
    failed = {f"{target.name}/{path.name}": one.failure for path, one in drawn.items() if one.failure}
    file = target.with_name(f"{target.name}.safetensors")
    data = save(tensors)
    write_atomically(file, lambda temporary: temporary.write_bytes(data))
    return RowImages(row.name, table.heading, attack, pictures, file, failed=failed)


def read_images(path: Path) -> dict[str, np.ndarray]:
    """Reads the attacked images of a cell.

    Returns:
        "clean" and "attacked", float32 of shape (N, C, H, W); "before" and "after", the images of the K
        nearest neighbors, float32 of shape (N, K, C, H, W); int64 "query" and "label" of shape (N,),
        "before_labels", "after_labels", "before_index" and "after_index" of shape (N, K).

    Raises:
        BenchmarkError: when the file is damaged or does not hold these.
    """
    try:
        tensors = dict(load(path.read_bytes()))
    except (OSError, SafetensorError) as error:
        raise BenchmarkError(f"{path.name} is damaged ({error})") from None
    wanted = [*IMAGES, *NEIGHBORS, "query", "label"]
    wanted += [f"{name}_{what}" for name in NEIGHBORS for what in ("labels", "index")]
    if missing := [name for name in wanted if name not in tensors]:
        raise BenchmarkError(f"{path.name} has no {', '.join(missing)}")
    shape, near = tensors["clean"].shape, tensors["before"].shape
    fits = (
        len(shape) == 4
        and shape[1] in (1, 3)
        and len(near) == 5
        and near == (*shape[:1], near[1], *shape[1:])
    )
    expected = {name: shape if name in IMAGES else near if name in NEIGHBORS else near[:2] for name in wanted}
    expected |= {"query": shape[:1], "label": shape[:1]}
    wrong = [name for name in wanted if tensors[name].shape != expected[name]]
    if not fits or wrong:
        shapes = ", ".join(f"{name} {tensors[name].shape}" for name in wrong or ("clean", "before"))
        raise BenchmarkError(f"{path.name} has shapes that do not fit: {shapes}")
    if not all(np.isfinite(tensors[name]).all() for name in (*IMAGES, *NEIGHBORS)):
        raise BenchmarkError(f"{path.name} has values that are not finite")
    return {name: tensors[name] for name in wanted}


def _clear(folder: Path, current: set[Path]) -> None:
    """Removes stale files; those that do not have one of the report's own names are not touched."""
    if not folder.is_dir():
        return
    for path in folder.rglob("*"):
        own = OWN_PICTURE if path.parent.parent == folder else OWN_TENSORS if path.parent == folder else None
        if own is not None and path.is_file() and own.fullmatch(path.name) and path not in current:
            path.unlink()
    for path in folder.iterdir():
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
