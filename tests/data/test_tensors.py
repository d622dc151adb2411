"""A file of tensors as a data set."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.data import DATASETS, Folders

NOWHERE = Folders(Path("nowhere"), Path("nowhere"))


def tensors(classes=6, each=3, **changed):
    labels = 10 * torch.arange(classes).repeat_interleave(each) - 7
    images = torch.arange(len(labels)).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).to(torch.uint8)
    given = {"images": images, "labels": labels, **changed}
    return {name: tensor.contiguous() for name, tensor in given.items() if tensor is not None}


def write(path, **changed):
    save_file(tensors(**changed), path)
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "my tensors, 2.safetensors")


def build(path, inner=""):
    return DATASETS.build(f'tensors:"{path}"[{inner}]')


def test_every_image_is_read_once_and_labels_are_made_contiguous(file):
    split = build(file).load(NOWHERE)
    assert split.train.num_classes == split.test.num_classes == 3
    ids = torch.cat([split.train.ids, split.test.ids])
    assert sorted(ids.tolist()) == list(range(18))
    for part in (split.train, split.test):
        # Rows are ids here, so the class of an image is its row over three.
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.ids)
        of_labels = {int(label): {*(part.ids[part.labels == label] // 3).tolist()} for label in part.labels}
        assert all(len(rows) == 1 for rows in of_labels.values())


def test_floats_ids_and_queries(tmp_path):
    images = torch.rand(18, 1, 4, 4)
    marks = torch.arange(18) % 3 == 0
    path = write(
        tmp_path / "a.safetensors", images=images, ids=torch.arange(18, dtype=torch.int32) + 50, queries=marks
    )
    split = build(path).load(NOWHERE)
    assert torch.equal(split.test.images, images[split.test.ids - 50])
    assert torch.equal(split.test.queries, marks[split.test.ids - 50]) and split.train.queries is None
    whole = build(path, "pool=all").load(NOWHERE).test
    assert len(whole) == 18 and torch.equal(whole.queries, marks[whole.ids - 50])


def test_the_split_depends_on_labels_and_seed(file, tmp_path):
    first = build(file).load(NOWHERE).train.ids
    assert torch.equal(build(file).load(NOWHERE).train.ids, first)
    assert not torch.equal(build(file, "seed=1").load(NOWHERE).train.ids, first)
    assert build(file, "train=0.34").load(NOWHERE).train.num_classes == 2


def test_names_and_fingerprints(file, tmp_path):
    dataset = build(file, "linf=8/255,seed=2")
    assert dataset.spec == f'"tensors:{file}"[linf=8/255,seed=2]'
    assert DATASETS.build(dataset.spec) == dataset
    assert dataset.short_name == "my-tensors-2[linf=8/255,seed=2]"
    assert dataset.portable == "tensors[linf=8/255,seed=2]"
    assert build(file, "name=mine").short_name == "mine"
    assert dataset.headline_eps == {"linf": 8 / 255}
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    assert build(copy).fingerprint(NOWHERE) == build(file).fingerprint(NOWHERE)
    write(copy, classes=7)
    assert build(copy).fingerprint(NOWHERE) != build(file).fingerprint(NOWHERE)
    long = DATASETS.build(f'tensors[path="{file}"]')
    assert long.fingerprint(NOWHERE) == build(file).fingerprint(NOWHERE)
    assert long.short_name == "my-tensors-2" and long.portable == build(file).portable


def test_three_channels_are_photographs(file, tmp_path):
    assert build(file).natural
    assert not build(write(tmp_path / "a.safetensors", images=torch.rand(18, 1, 4, 4))).natural


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"images": None}, "has no tensor 'images', only labels"),
        ({"labels": None}, "has no tensor 'labels', only images"),
        ({"lables": torch.arange(3)}, "has a tensor 'lables'; known are images, labels, ids, queries"),
        ({"labels": torch.rand(18)}, r"labels of type torch.float32 and shape \(18,\); needed are integers"),
        ({"labels": torch.zeros(18, 1).long()}, r"labels of type torch.int64 and shape \(18, 1\)"),
        ({"labels": torch.arange(17) // 2}, "has 17 labels for 18 images"),
        ({"labels": torch.arange(18) // 2 * 2 % 17}, "one image with the label"),
        ({"classes": 3}, "classes in .*, 2 would be for training and 1 for testing; .* pool=all"),
    ],
)
def test_a_wrong_file_is_refused_before_images_are_read(tmp_path, changed, match):
    if "one image" in match:
        changed = {"labels": torch.tensor([0] * 5 + [1] * 5 + [2] * 4 + [3] * 3 + [4])}
    dataset = build(write(tmp_path / "a.safetensors", **changed))
    with pytest.raises(UsageError, match=match) as caught:
        dataset.load(NOWHERE)
    assert dataset.missing(NOWHERE) == str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"ids": torch.rand(18)}, "ids of type torch.float32"),
        ({"ids": torch.arange(17)}, r"ids of shape \(17,\) for 18 labels"),
        ({"ids": torch.zeros(18).long()}, "ids: 18 images have the id 0"),
        ({"queries": torch.arange(18) % 3}, "queries: torch.int64"),
        ({"queries": torch.ones(18).bool()}, "queries: 9 of 9 images"),
        ({"images": torch.rand(18, 4, 4)}, r"images: shape \(9, 4, 4\)"),
        ({"images": 255 * torch.rand(18, 1, 4, 4)}, "images: float32 from"),
    ],
)
def test_other_wrong_tensors_are_refused_when_it_is_loaded(tmp_path, changed, match):
    with pytest.raises(UsageError, match=match):
        build(write(tmp_path / "a.safetensors", **changed)).load(NOWHERE)


def test_a_file_that_is_missing_or_damaged(tmp_path):
    assert "There is no file" in build(tmp_path / "gone.safetensors").missing(NOWHERE)
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    dataset = build(tmp_path / "bad.safetensors")
    with pytest.raises(BenchmarkError, match=r"bad\.safetensors cannot be read as safetensors: "):
        dataset.load(NOWHERE)
    assert "tensors:PATH" in DATASETS.build("tensors").missing(NOWHERE)


def test_a_bare_path_gets_the_name_to_write():
    with pytest.raises(UsageError, match=r'For a file of tensors write "tensors:/a, b\.safetensors"\.'):
        DATASETS.build('"/a, b.safetensors"')
    with pytest.raises(UsageError, match=r"For a folder of images write folder:~/birds\."):
        DATASETS.build("~/birds")
