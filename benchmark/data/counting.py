"""What the metadata of a data set list, held against what its authors say."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data.base import Counts
from benchmark.data.layouts import Entry


def fault(entries: Sequence[Entry], official: Counts | None) -> str | None:
    """What is wrong with the images listed, or None.

    Training and test classes must not overlap, no image may be listed twice, and what is queried with must be
    in the gallery.

    Args:
        entries: the images.
        official: how many there must be; None where any number will do.

    Returns:
        Words that go on from the name of the data set, as "has 5 train classes instead of 100".
    """
    train = {entry.label for entry in entries if entry.side == "train"}
    test = {entry.label for entry in entries if entry.side != "train"}
    queries = [entry.label for entry in entries if entry.side == "query"]
    gallery = {entry.label for entry in entries if entry.side not in ("train", "query")}
    if both := train & test:
        return f"has class {min(both)} in the training and in the test set"
    if twice := len(entries) - len({entry.file for entry in entries}):
        return f"lists {twice:,} images twice"
    if min(len(train), len(test)) < 2:
        return f"has {len(train)} training and {len(test)} test classes, and needs two of each"
    if lonely := {*queries} - gallery:
        return f"has queries of class {min(lonely)}, but no image of it in the gallery"
    if official is None:
        return None
    train_images = sum(entry.side == "train" for entry in entries)
    have = Counts(len(train), train_images, len(test), len(entries) - train_images, len(queries))
    wrong = [
        f"{count:,} {name.replace('_', ' ')} instead of {wanted:,}"
        for name, count, wanted in zip(Counts._fields, have, official, strict=True)
        if count != wanted
    ]
    return f"has {', '.join(wrong)}" if wrong else None
