"""What a data set hands over is checked before anything is trained."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.data import DATASETS, Dataset, Folders, ImageSet, Split
from benchmark.data.checks import check_split
from benchmark.data.packed import PackedImages
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve

from ..counted_calls import calls_of

NOWHERE = Folders(Path("nowhere"), Path("nowhere"))


def part(first_id=0, **changed):
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    given = {"images": torch.rand(6, 1, 4, 4), "labels": labels, "ids": torch.arange(6) + first_id, **changed}
    return ImageSet(**given)


def pixels(value, kind=torch.float32):
    images = torch.rand(6, 1, 4, 4, dtype=kind)
    images[4, 0, 1, 2] = value
    return images


def queries(*rows):
    return torch.tensor([row in rows for row in range(6)])


LABELS = torch.tensor([0, 0, 1, 1, 2, 2])

WRONG = {
    "labels from 5": ({"labels": LABELS + 5}, "labels: 3 classes with labels from 5 to 7; .* 0 to 2"),
    "a gap": ({"labels": LABELS * 2}, "labels: 3 classes with labels from 0 to 4; .* 0 to 2"),
    "negative": ({"labels": LABELS - 1}, "labels: 3 classes with labels from -1 to 1"),
    "uint8 labels": ({"labels": LABELS.byte()}, r"labels: torch.uint8; .*int64, as \.long"),
    "int32 labels": ({"labels": LABELS.int()}, "labels: torch.int32"),
    "float labels": ({"labels": LABELS.float()}, "labels: torch.float32"),
    "a list": ({"labels": LABELS.tolist()}, "labels: a list; needed: a torch tensor"),
    "too few labels": ({"labels": LABELS[:5]}, r"labels: shape \(5,\); .* each of the 6 images"),
    "a column": ({"labels": LABELS[:, None]}, r"labels: shape \(6, 1\)"),
    "one class": ({"labels": LABELS * 0}, "labels: 1 class; needed: 2 or more"),
    "float ids": ({"ids": torch.arange(6.0)}, "ids: torch.float32"),
    "too many ids": ({"ids": torch.arange(7)}, r"ids: shape \(7,\)"),
    "an id twice": ({"ids": torch.tensor([90, 91, 92, 92, 93, 94])}, "ids: 2 images have the id 92; "),
    "an array": ({"images": torch.rand(6, 1, 4, 4).numpy()}, "images: a ndarray; needed: a torch tensor"),
    "no channels": ({"images": torch.rand(6, 4, 4)}, r"images: shape \(6, 4, 4\); needed: \(n, C, H, W\)"),
    "channels last": ({"images": torch.rand(6, 4, 4, 3)}, r"images: shape \(6, 4, 4, 3\)"),
    "float64": ({"images": torch.rand(6, 1, 4, 4).double()}, "images: torch.float64; needed: uint8"),
    "float16": ({"images": torch.rand(6, 1, 4, 4).half()}, "images: torch.float16"),
    "0 to 255": ({"images": pixels(255.0)}, r"images: float32 from .* to 255; needed: \[0, 1\], or uint8"),
    "below 0": ({"images": pixels(-0.5)}, "images: float32 from -0.5 to "),
    "not a number": ({"images": pixels(float("nan"))}, "images: a pixel that is not a finite number"),
    "infinite": ({"images": pixels(float("inf"))}, "images: a pixel that is not a finite number"),
    "two dimensions": ({"images": torch.rand(6, 16)}, r"images: shape \(6, 16\); needed: \(n, C, H, W\)"),
    "complex": ({"images": torch.rand(6, 1, 4, 4) + 0j}, "images: torch.complex64"),
    "sparse images": ({"images": torch.rand(6, 1, 4, 4).to_sparse()}, r"images: a sparse tensor; .*to_dense"),
    "sparse labels": ({"labels": LABELS.to_sparse()}, "labels: a sparse tensor"),
    "elsewhere": ({"images": torch.rand(6, 1, 4, 4, device="meta")}, r"images: a tensor on the device meta"),
    "with a gradient": (
        {"images": torch.rand(6, 1, 4, 4).requires_grad_()},
        r"images: .* requires a gradient",
    ),
}


def refused(split, match, trains=True):
    with pytest.raises(UsageError, match=match) as caught:
        check_split(split, "mine", trains)
    message = str(caught.value)
    assert message.startswith("The data set 'mine' hands over ") and len(message.splitlines()) == 1


@pytest.mark.parametrize("side", ["training", "test"])
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_value(side, case):
    changed, match = WRONG[case]
    wrong, right = part(0, **changed), part(100)
    where = "" if match.startswith("ids: 2") else f"wrong {side} "
    refused(Split(wrong, right) if side == "training" else Split(right, wrong), where + match)


@pytest.mark.parametrize(
    ("split", "match"),
    [
        (Split(part(0), part(5)), "ids: 2 images have the id 5"),
        (Split(part(0), part(9, images=torch.rand(6, 1, 5, 4))), r"\(1, 4, 4\) .training. and \(1, 5, 4\)"),
        (Split(part(0), part(9, images=pixels(0, torch.float32).byte())), "float32 .training. and .*uint8"),
        (Split(part(0), part(9, queries=queries(0).long())), "queries: torch.int64"),
        (Split(part(0), part(9, queries=queries())), "queries: 0 of 6 images; "),
        (Split(part(0), part(9, queries=queries(*range(6)))), "queries: 6 of 6 images; "),
        (Split(part(0), part(9, queries=queries(0, 2, 3))), "queries: no image of class 1 in the gallery"),
        (Split(part(0), part(9).of_classes(torch.arange(0))), "test labels: 0 classes; needed: 2 or more"),
        (
            Split(part(0), part(9, labels=torch.randperm(6))),
            "test labels: one image of each class; needed: 2 or more of some class",
        ),
        (Split((torch.rand(6, 1, 4, 4), LABELS), part(9)), "training images: a tuple; needed: an ImageSet"),
        (Split(part(0), None), "test images: a NoneType; needed: an ImageSet"),
        ((part(0), part(9)), "a tuple: return a Split"),
    ],
)
def test_what_is_wrong_in_both_parts_together(split, match):
    refused(split, match)


def test_right_ones_pass():
    check_split(Split(part(0), part(9, queries=queries(0, 2))), "mine")
    check_split(
        Split(
            part(0, images=pixels(255, torch.float32).byte()), part(9, images=torch.ones(6, 1, 4, 4).byte())
        ),
        "mine",
    )
    black = torch.zeros(6, 1, 4, 4).byte()
    check_split(Split(part(0, images=black), part(9, images=black)), "mine")
    rounded = torch.ones(6, 1, 4, 4).byte()
    refused(
        Split(part(0, images=black), part(9, images=rounded)),
        "images: uint8 with values of 0 and 1 only; needed: uint8 to 255, or float32",
    )
    few = part(0).of_classes(torch.arange(0))
    check_split(Split(few, part(9)), "mine", trains=False)
    refused(Split(few, part(9)), "training labels: 0 classes; needed: 2")
    check_split(Split(part(0), part(9, labels=torch.randperm(6))), "mine", trains=False)
    check_split(Split(part(0, labels=torch.randperm(6)), part(9)), "mine")


ONE_CLASS = "test labels: a gallery of one class; needed: 2 or more, or no query finds a wrong image"


def test_a_gallery_of_one_class_is_refused():
    # Where one part alone tells queries from the gallery, the test images are the whole pool.
    alone = part(9, labels=LABELS * 0, queries=queries(0, 2))
    refused(Split(part(0), alone), ONE_CLASS, trains=False)
    no_right = part(9, labels=LABELS.clamp(max=1), queries=queries(2, 3, 4, 5))
    refused(Split(part(0), no_right), "queries: no image of class 1 in the gallery", trains=False)
    check_split(Split(part(0), part(9, queries=queries(0, 2))), "mine", trains=False)


def test_a_pool_is_checked_as_it_is_joined():
    asked = part(0, queries=queries(0, 2))
    refused(Split(asked, part(9, labels=LABELS * 0)), ONE_CLASS, trains=False)
    refused(Split(asked, part(9).of_classes(torch.arange(0))), "test images: none; needed: ", trains=False)
    first, second = (part(i, labels=LABELS * 0, queries=queries(i % 5)) for i in (0, 9))
    check_split(Split(first, second), "mine", trains=False)
    check_split(Split(part(0, labels=LABELS * 0), part(9, labels=LABELS * 0)), "mine", trains=False)


def test_memory_mapped_images_are_not_read(monkeypatch):
    def packed():
        side = torch.full((6, 2), 4)
        return PackedImages(torch.zeros(6 * 48, dtype=torch.uint8), torch.arange(6) * 48, side, 4)

    monkeypatch.setattr(PackedImages, "whole", lambda *_: pytest.fail("read"))
    check_split(Split(part(0, images=packed()), part(9, images=packed())), "mine")


def test_a_check_calls_nothing_for_each_image():
    def calls(count):
        images = torch.rand(count, 1, 4, 4)
        sides = [part(first, images=images, labels=torch.arange(count) % 3, ids=torch.arange(count) + first)
                 for first in (0, 1000)]  # fmt: skip
        return calls_of(check_split, Split(*sides), "mine")[1]

    assert calls(240) == calls(6)


class FromFive(Dataset):
    """Test labels 5 to 9."""

    headline_eps: ClassVar[dict[str, float]] = {"linf": 0.1}

    def read(self, folders):
        digits = DATASETS.build("digits").read(folders)
        moved = ImageSet(digits.test.images, digits.test.labels + 5, digits.test.ids)
        return Split(digits.train, moved)


def test_a_run_stops_before_it_trains():
    DATASETS.register("from_five")(FromFive)
    try:
        with pytest.raises(
            UsageError, match=r"'from_five' hands over wrong test labels: 5 classes with .* 9"
        ):
            build_grid(resolve({"datasets": "from_five", "attacks": "noise"}), NOWHERE)
    finally:
        DATASETS.forget("from_five")
