"""Other images of the test classes, of data sets that draw their images."""

import pytest
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.data import DATASETS, Folders
from benchmark.data.fresh import fresh_images, is_drawn


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path, tmp_path)


@pytest.mark.parametrize("more", ["", ",validation=true", ",pool=all"])
def test_fresh_glyphs_are_other_images_of_the_same_letters(folders, more):
    dataset = DATASETS.build(f"glyphs[classes=16,per_class=3{more}]")
    fresh, pool = fresh_images(dataset, folders), dataset.load(folders).test
    assert torch.equal(fresh.labels, pool.labels)
    assert torch.equal(fresh.ids, pool.ids)
    assert (fresh.images != pool.images).flatten(1).any(1).all()
    assert is_drawn(dataset)


def test_nothing_is_drawn_of_data_sets_that_are_read(folders):
    dataset = DATASETS.build("digits")
    assert fresh_images(dataset, folders) is None
    assert not is_drawn(dataset)


def test_fresh_images_of_other_classes_are_refused(folders, monkeypatch):
    dataset = DATASETS.build("digits")
    other = dataset.load(folders).train
    monkeypatch.setattr("benchmark.data.fresh.draw_fresh", lambda *_: other)
    with pytest.raises(BenchmarkError, match=r"fresh images of 'digits' have other labels .* draw one image"):
        fresh_images(dataset, folders)
