import torch
from sklearn.datasets import load_digits

from benchmark.data import DATASETS, Folders


def at(cache):
    return Folders(cache, cache / "data")


def test_counts_shapes_and_ranges(tmp_path):
    split = DATASETS.build("digits").load(at(tmp_path))
    assert (len(split.train), len(split.test)) == (901, 896)
    for part in (split.train, split.test):
        assert part.images.dtype == torch.float32
        assert part.image_shape == (1, 8, 8)
        assert part.images.min() == 0
        assert part.images.max() == 1
        assert part.labels.unique().tolist() == [0, 1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


def test_ids_are_rows_of_the_table(tmp_path):
    split = DATASETS.build("digits").load(at(tmp_path))
    table = load_digits()
    assert sorted(torch.cat([split.train.ids, split.test.ids]).tolist()) == list(range(1797))
    for part, first in ((split.train, 0), (split.test, 5)):
        rows = part.ids.numpy()
        assert (table.target[rows] - first == part.labels.numpy()).all()
        assert (table.images[rows] / 16 == part.images[:, 0].numpy()).all()


def test_validation_touches_no_test_class(tmp_path):
    official = DATASETS.build("digits").load(at(tmp_path))
    split = DATASETS.build("digits[validation=true]").load(at(tmp_path))
    assert (split.train.num_classes, split.test.num_classes) == (3, 2)
    ids = torch.cat([split.train.ids, split.test.ids])
    assert sorted(ids.tolist()) == sorted(official.train.ids.tolist())
