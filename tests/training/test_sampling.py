import pytest
import torch

from benchmark.training.sampling import epoch_order


def batches(labels, size, per_class):
    return [labels[index] for index in epoch_order(labels, size, per_class).split(size)]


def test_all_images_once_in_random_order():
    labels = torch.arange(30) % 3
    first, second = (epoch_order(labels, 8, None) for _ in range(2))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(30))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("per_class", [2, 4])
def test_so_many_of_each_class(per_class):
    labels = torch.arange(20).repeat_interleave(6)[torch.randperm(120)]
    found = batches(labels, 16, per_class)
    assert len(found) == 120 // 16
    for batch in found:
        counts = batch.bincount()
        assert counts[counts > 0].tolist() == [per_class] * (16 // per_class)
    assert len(torch.cat(found).unique()) > 16 // per_class  # not the same classes every time


def test_different_images_of_a_class_where_it_has_them():
    labels = torch.arange(10).repeat_interleave(4)
    for index in epoch_order(labels, 8, 4).split(8):
        assert len(index.unique()) == 8


def test_too_few_classes_give_more_images_each():
    labels = torch.arange(3).repeat_interleave(20)
    for batch in batches(labels, 12, 2):
        assert batch.bincount().tolist() == [4, 4, 4]


def test_a_class_with_too_few_images_repeats_them_evenly():
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    (index,) = epoch_order(labels, 10, 5).split(10)
    counts = index.bincount(minlength=10)
    assert counts[:3].sum() == counts[3:].sum() == 5
    assert sorted(counts[:3].tolist()) == [1, 2, 2]
    assert counts[3:].max() == 1


def test_a_batch_that_is_no_multiple_has_fewer_of_one_class():
    labels = torch.arange(10).repeat_interleave(5)
    for batch in batches(labels, 10, 4):
        counts = batch.bincount()
        assert sorted(counts[counts > 0].tolist()) == [2, 4, 4]


@pytest.mark.parametrize("per_class", [None, 4])
def test_the_order_follows_the_seed(per_class):
    labels = torch.arange(10).repeat_interleave(5)
    found = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        found.append(epoch_order(labels, 8, per_class).tolist())
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(("size", "per_class"), [(4, 4), (8, 16), (5, 4)])
def test_a_batch_never_holds_one_class_alone(size, per_class):
    labels = torch.arange(10).repeat_interleave(20)
    for batch in batches(labels, size, per_class):
        assert len(batch) == size and len(batch.unique()) >= 2
