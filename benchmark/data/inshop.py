"""In-Shop Clothes Retrieval: clothes in a shop's photographs, queries and gallery apart."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import DATASETS, About, Counts
from benchmark.data.photographs import Entry, Layout, Photographs, Side, number, table

_SIDES: dict[str, Side] = {"train": "train", "query": "query", "gallery": "gallery"}


def _entries_of(file: Path) -> list[Entry]:
    """list_eval_partition.txt: their number, a line of titles, then file, item, side."""
    entries = []
    for image, item, side in table(file, 3, skip=2):
        if side.strip() not in _SIDES:
            raise BenchmarkError(f"{file}: '{side}' of {image} is none of {', '.join(_SIDES)}.")
        entries.append(Entry(image, number(item.removeprefix("id_"), file), _SIDES[side.strip()]))
    listed = number((table(file, 1) or [["0"]])[0][0], file)
    if listed != len(entries):
        raise BenchmarkError(f"{file} says that it lists {listed:,} images, and lists {len(entries):,}.")
    return entries


def _in_eval(folder: Path) -> list[Entry]:
    return _entries_of(folder / "Eval" / "list_eval_partition.txt")


def _beside(folder: Path) -> list[Entry]:
    return _entries_of(folder / "list_eval_partition.txt")


_FOLDERS = (
    "In-shop Clothes Retrieval Benchmark",
    "In-shop_Clothes_Retrieval_Benchmark",
    "inshop/In-shop Clothes Retrieval Benchmark",
    "inshop",
    ".",
)
_IMAGES = ("Img", ".")
_ARCHIVES = ("Img/img.zip", "img.zip")


@DATASETS.register("inshop")
class InShop(Photographs):
    """In-Shop Clothes Retrieval of DeepFashion (Liu et al. 2016): queries and gallery are different images.

    Its pool for clustering is both together.
    """

    recall_ks: ClassVar[tuple[int, ...]] = (1, 10, 20, 30)
    about: ClassVar[About | None] = About(
        source="https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
        size="3 GB",
        licence="non-commercial research, by an agreement with its authors",
        layout="'In-shop Clothes Retrieval Benchmark' with Eval/list_eval_partition.txt and Img/img.zip",
    )
    official: ClassVar[Counts | None] = Counts(3_997, 25_882, 3_985, 14_218 + 12_612)
    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(_FOLDERS, "Eval/list_eval_partition.txt", _IMAGES, _ARCHIVES, _in_eval),
        Layout(_FOLDERS, "list_eval_partition.txt", _IMAGES, _ARCHIVES, _beside),
    )
