"""In-Shop Clothes Retrieval: photographs of clothes, with separate queries and gallery."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import DATASETS, About, Counts
from benchmark.data.layouts import Archive, Entry, Layout, Side
from benchmark.data.metadata import number, table
from benchmark.data.photographs import Photographs

_SIDES: dict[str, Side] = {"train": "train", "query": "query", "gallery": "gallery"}


def _entries_of(file: Path) -> list[Entry]:
    """Read list_eval_partition.txt: the number of images, a line of titles, then file, item, side."""
    entries = []
    for image, item, side in table(file, 3, skip=2):
        if side not in _SIDES:
            raise BenchmarkError(
                f"{file}: '{side}' of {image} is not one of {', '.join(_SIDES)}; unpack the archive again."
            )
        entries.append(Entry(image, number(item.removeprefix("id_"), file), _SIDES[side]))
    listed = number((table(file, 1) or [["0"]])[0][0], file)
    if listed != len(entries):
        raise BenchmarkError(
            f"{file} announces {listed:,} images, but lists {len(entries):,}; unpack the archive again."
        )
    return entries


_FOLDERS = (
    "In-shop Clothes Retrieval Benchmark",
    "In-shop_Clothes_Retrieval_Benchmark",
    "Inshop_Clothes",
    "inshop/In-shop Clothes Retrieval Benchmark",
    "inshop/In-shop_Clothes_Retrieval_Benchmark",
    "inshop",
    ".",
)


def _layout(file: str) -> Layout:
    """Return the layout whose list of images is `file`; the images may be packed in two ways, or unpacked."""
    complete = (
        Archive(f"{name}.zip", (file,))
        for name in ("In-shop Clothes Retrieval Benchmark", "In-shop_Clothes_Retrieval_Benchmark")
    )
    return Layout(
        folders=_FOLDERS,
        metadata=(file,),
        images=("Img", "."),
        archives=(Archive("Img/img.zip"), Archive("img.zip"), *complete),
        entries=lambda find: _entries_of(find(file)),
    )


@DATASETS.register("inshop")
class InShop(Photographs):
    """In-Shop Clothes Retrieval of DeepFashion (Liu et al. 2016): queries and gallery are different images.

    For clustering, both form one pool.
    """

    recall_ks: ClassVar[tuple[int, ...]] = (1, 10, 20, 30)
    about: ClassVar[About | None] = About(
        source="https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
        size="3 GB",
        license="non-commercial research, by an agreement with its authors",
        layout="'In-shop Clothes Retrieval Benchmark' with Eval/list_eval_partition.txt and Img/img.zip",
    )
    official: ClassVar[Counts | None] = Counts(3_997, 25_882, 3_985, 14_218 + 12_612, queries=14_218)
    layouts: ClassVar[tuple[Layout, ...]] = (
        _layout("Eval/list_eval_partition.txt"),
        _layout("list_eval_partition.txt"),
    )
