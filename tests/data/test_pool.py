"""`pool=all`: every class of a data set is in the pool."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmark.core.errors import UsageError
from benchmark.data import DATASETS, Folders, ImageSet, Split
from benchmark.data.base import Counts
from benchmark.data.blank import blank_split
from benchmark.data.packed import PackedImages

NOWHERE = Folders(Path("nowhere"), Path("nowhere"))


def make_folder(root, classes, images=2):
    for name in range(classes):
        (root / f"c{name}").mkdir(parents=True)
        for index in range(images):
            Image.new("RGB", (8, 8), (20 * name, 30 * index, 9)).save(root / f"c{name}" / f"{index}.png")
    return root


def at(tmp_path):
    return Folders(tmp_path / "cache", tmp_path / "data")


def test_the_training_images_follow_the_test_images():
    official = DATASETS.build("digits").load(NOWHERE)
    whole = DATASETS.build("digits[pool=all]").load(NOWHERE)
    train, test, pool = official.train, official.test, whole.test
    assert torch.equal(whole.train.images, train.images)
    assert pool.num_classes == 10 and len(pool) == 1797
    assert torch.equal(pool.images, torch.cat([test.images, train.images]))
    assert torch.equal(pool.labels, torch.cat([test.labels, train.labels + 5]))
    assert torch.equal(pool.ids, torch.cat([test.ids, train.ids])) and len(pool.ids.unique()) == 1797
    assert DATASETS.build("digits[pool=test]").spec == "digits"


def test_it_is_part_of_every_name_but_not_of_the_fingerprint(tmp_path):
    plain, whole = (DATASETS.build(name) for name in ("glyphs", "glyphs[pool=all]"))
    assert whole.spec == whole.portable == whole.short_name == "glyphs[pool=all]"
    assert whole.identity(at(tmp_path)) == plain.identity(at(tmp_path))
    with pytest.raises(UsageError, match="pool='every'"):
        DATASETS.build("glyphs[pool=every]")


def test_nothing_may_be_trained_on_it():
    assert DATASETS.build("digits").training_refusal == ""
    reason = DATASETS.build("digits[pool=all]").training_refusal
    assert "nothing can be trained on 'digits[pool=all]'" in reason and "leave out pool=all" in reason


def test_every_class_of_the_validation_split():
    pool = DATASETS.build("digits[pool=all,validation=true]").load(NOWHERE).test
    assert pool.num_classes == 5 and len(pool) == 901


def test_packed_images_are_not_read(monkeypatch):
    pixels = torch.arange(6 * 12, dtype=torch.uint8)
    packed = PackedImages(pixels, torch.arange(6) * 12, torch.full((6, 2), 2), 2)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    everything = ImageSet(packed, labels, torch.arange(6))
    split = Split(everything.of_classes(torch.tensor([0])), everything.of_classes(torch.tensor([1, 2])))
    with monkeypatch.context() as patch:
        patch.setattr(PackedImages, "whole", lambda *_: pytest.fail("read"))
        pool = split.with_whole_pool().test
        assert isinstance(pool.images, PackedImages) and len(pool.images) == 6
    assert torch.equal(pool.images[:], packed[:][[2, 3, 4, 5, 0, 1]])
    assert pool.labels.tolist() == [0, 0, 1, 1, 2, 2] and pool.ids.tolist() == [2, 3, 4, 5, 0, 1]


def test_black_images_take_no_memory():
    pool = blank_split(Counts(2, 40, 3, 60), (3, 224, 224)).with_whole_pool().test
    assert pool.images.shape == (100, 3, 224, 224) and pool.images.untyped_storage().nbytes() == 1
    assert pool.num_classes == 5


def test_official_queries_and_gallery_stay():
    part = ImageSet(torch.rand(4, 1, 2, 2), torch.tensor([0, 0, 1, 1]), torch.arange(4))
    marked = ImageSet(part.images, part.labels, part.ids + 4, torch.tensor([True, False, True, False]))
    assert Split(part, marked).with_whole_pool().test is marked


def test_blank_data_counts_every_image(tmp_path):
    folders = Folders(tmp_path, tmp_path, blank=True)
    dataset = DATASETS.build("cub200[pool=all]")
    pool = dataset.load(folders).test
    assert (len(pool), pool.num_classes) == (11_788, 200)
    assert dataset.seen_shape(folders) == pool.image_shape


def test_a_data_set_as_a_pool():
    assert DATASETS.build("digits").as_pool().spec == "digits[pool=all]"
    assert DATASETS.build("glyphs[seed=3]").as_pool(size=224).spec == "glyphs[pool=all,seed=3]"


def test_a_folder_takes_the_size_that_a_model_needs(tmp_path):
    root = make_folder(tmp_path / "images", 4)
    name = f"folder:{root}"
    assert DATASETS.build(name).as_pool(size=224).spec == f"{name}[pool=all,size=224]"
    with pytest.raises(UsageError, match=r"No size is given .* images of images.*make_model\[size=224\]"):
        DATASETS.build(f"{name}[linf=0.1]").as_pool()
    assert DATASETS.build(f"{name}[size=32]").as_pool(size=224).spec == f"{name}[pool=all,size=32]"
    # Given, although it is the default.
    assert DATASETS.build(f"{name}[size=28]").as_pool(size=224).spec == f"{name}[pool=all]"
    named = DATASETS.build(f"folder[name=mine,path={root}]").as_pool(size=64)
    assert named.short_name == "mine[pool=all,size=64]" and named.load(at(tmp_path)).test.image_shape[1] == 64


@pytest.mark.parametrize("classes", [2, 3])
def test_a_folder_with_too_few_classes_to_split_is_a_pool(tmp_path, classes):
    root = make_folder(tmp_path / "images", classes)
    assert "pool=all" in DATASETS.build(f"folder:{root}").missing(at(tmp_path))
    dataset = DATASETS.build(f"folder:{root}").as_pool(size=8)
    assert dataset.missing(at(tmp_path)) is None
    pool = dataset.load(at(tmp_path)).test
    assert pool.num_classes == classes and len(pool) == 2 * classes


@pytest.mark.parametrize("train", [0.01, 0.5, 0.99])
def test_any_fraction_gives_the_whole_pool(tmp_path, train):
    root = make_folder(tmp_path / "images", 3)
    pool = DATASETS.build(f"folder:{root}[pool=all,size=8,train={train}]").load(at(tmp_path)).test
    assert pool.num_classes == 3 and len(pool) == 6


def test_one_class_is_no_pool(tmp_path):
    root = make_folder(tmp_path / "images", 1)
    assert "has 1 class; 2 are needed" in DATASETS.build(f"folder:{root}[pool=all]").missing(at(tmp_path))


def test_lists_of_classes_choose_the_pool(tmp_path):
    root = make_folder(tmp_path / "images", 5)
    (tmp_path / "a.txt").write_text("c0\n")
    (tmp_path / "b.txt").write_text("c3\nc4\n")
    lists = f"train_classes={tmp_path / 'a.txt'},test_classes={tmp_path / 'b.txt'}"
    pool = DATASETS.build(f"folder:{root}[pool=all,size=8,{lists}]").load(at(tmp_path)).test
    assert pool.num_classes == 3 and len(pool) == 6


def test_a_file_of_tensors_with_two_classes_is_a_pool(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"images": torch.rand(4, 1, 8, 8), "labels": torch.tensor([5, 5, 9, 9])}, path)
    pool = DATASETS.build(f"tensors:{path}").as_pool().load(NOWHERE).test
    assert pool.num_classes == 2 and sorted(pool.ids.tolist()) == [0, 1, 2, 3]
