"""Consistency checks of the images that a data set's metadata list, and of their official counts."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data.base import Counts
from benchmark.data.layouts import Entry


def find_inconsistency(entries: Sequence[Entry], official: Counts | None) -> str | None:
    """Return what is wrong with the images listed, or None.

    Training and test classes must not overlap, no image may be listed twice, and the class of each query must
    be in the gallery.

    Args:
        entries: the images.
        official: the required counts; None to accept any.

    Returns:
        Words that follow the name of the data set, such as "has 5 train classes instead of 100".
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
    if unmatched := {*queries} - gallery:
        return f"has queries of class {min(unmatched)}, but no image of it in the gallery"
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
