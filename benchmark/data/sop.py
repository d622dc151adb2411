"""Stanford Online Products: 22,634 products, with a few photographs of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import DATASETS, About, Counts
from benchmark.data.layouts import Archive, Entry, Layout, Side
from benchmark.data.metadata import number, table
from benchmark.data.photographs import Photographs

_METADATA = ("Ebay_train.txt", "Ebay_test.txt")


def _entries(find: Callable[[str], Path]) -> list[Entry]:
    """Read Ebay_train.txt and Ebay_test.txt: a line of titles, then image, class, superclass, file."""
    sides: tuple[Side, Side] = ("train", "test")
    entries = []
    for side in sides:
        file = find(f"Ebay_{side}.txt")
        rows = table(file, 4)
        if not rows or rows[0][1].isdecimal():
            raise BenchmarkError(f"{file} lacks its first line, of titles; unpack the archive again.")
        entries += [Entry(row[3], number(row[1], file), side) for row in rows[1:]]
    return entries


@DATASETS.register("sop")
class StanfordOnlineProducts(Photographs):
    """Stanford Online Products (Song et al. 2016, arXiv 1511.06452), with its authors' split."""

    recall_ks: ClassVar[tuple[int, ...]] = (1, 10, 100, 1000)
    about: ClassVar[About | None] = About(
        source="https://cvgl.stanford.edu/projects/lifted_struct/",
        size="2.9 GB",
        license="none stated; research use",
        layout="Stanford_Online_Products.zip or the folder Stanford_Online_Products",
    )
    official: ClassVar[Counts | None] = Counts(11_318, 59_551, 11_316, 60_502)
    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            folders=("Stanford_Online_Products", "sop/Stanford_Online_Products", "sop", "."),
            metadata=_METADATA,
            images=(".",),
            archives=(Archive("Stanford_Online_Products.zip", _METADATA),),
            entries=_entries,
        ),
    )
