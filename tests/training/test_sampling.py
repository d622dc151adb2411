from typing import ClassVar

import pytest
import torch

from benchmark.core.errors import TrainingError
from benchmark.training.sampling import epoch_order, strata_of
from defenses import Vanilla


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


STRATA = torch.arange(100) % 3
"""34, 33 and 33 images."""


def counts(order, strata, size):
    return [strata[index].bincount(minlength=int(strata.max()) + 1).tolist() for index in order.split(size)]


@pytest.mark.parametrize("per_class", [None, 4])
def test_every_batch_of_an_epoch_has_the_same_share_of_each_stratum(per_class):
    labels = torch.arange(20).repeat_interleave(5)
    seen = set()
    for _ in range(20):
        found = counts(epoch_order(labels, 16, per_class, STRATA)[: 16 * 6], STRATA, 16)
        assert len(found) == 6
        assert found == [found[0]] * 6
        assert sum(found[0]) == 16 and set(found[0]) <= {5, 6}
        seen.add(tuple(found[0]))
    assert len(seen) > 1  # the part with one image more is drawn anew


def test_strata_of_unequal_sizes_have_shares_in_proportion():
    strata = (torch.arange(80) >= 60).long()
    found = counts(epoch_order(torch.zeros(80), 8, None, strata), strata, 8)
    assert found == [[6, 2]] * 10


def test_every_image_is_equally_likely_whatever_its_stratum():
    times = torch.zeros(100)
    for _ in range(2000):
        times += epoch_order(torch.zeros(100), 16, None, STRATA).bincount(minlength=100)
    expected = 2000 * 96 / 100  # 16 images in each of 6 batches
    assert (times - expected).abs().max() < 0.02 * expected  # which is at most 5 standard deviations
    strata_times = [times[stratum == STRATA].mean().item() for stratum in range(3)]
    assert strata_times == pytest.approx([expected] * 3, rel=0.006)


def test_no_image_is_twice_in_a_batch_and_at_most_one_part_of_them_is_left_out():
    left_out = set()
    for _ in range(30):
        order = epoch_order(torch.zeros(100), 16, None, STRATA)
        assert len(order) == 96
        assert all(len(index.unique()) == 16 for index in order.split(16))
        missing = set(range(100)) - set(order.tolist())
        assert len(missing) < 16
        left_out |= missing
    assert len(left_out) > 40  # others each time


def test_a_batch_of_all_images_holds_each_once():
    assert sorted(epoch_order(torch.zeros(100), 100, None, STRATA).tolist()) == list(range(100))


def test_the_order_within_a_batch_is_random():
    index = torch.stack([epoch_order(torch.zeros(100), 50, None, STRATA)[:50] for _ in range(400)])
    for stratum in range(3):
        assert ((STRATA[index] == stratum).double().mean(0) - 1 / 3).abs().max() < 0.13


def test_batches_of_classes_keep_their_images_of_each_class():
    labels = torch.arange(20).repeat_interleave(6)
    strata = torch.arange(120) % 3
    for batch in (labels[index] for index in epoch_order(labels, 16, 4, strata).split(16)):
        found = batch.bincount()
        assert found[found > 0].tolist() == [4] * 4


def test_a_class_without_a_stratum_leaves_its_place_to_others():
    labels = torch.arange(10).repeat_interleave(4)
    strata = torch.arange(40) % 2
    strata[labels == 0] = 0  # a class that is wholly in one stratum
    for index in epoch_order(labels, 20, 2, strata).split(20):
        assert strata[index].bincount().tolist() == [11, 9]
        assert len(labels[index].unique()) == 10


class Odd(Vanilla):
    returned: ClassVar = None

    def strata(self, model):
        return self.returned


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([0, 1], "strata returns list, not int64 of shape"),
        (torch.zeros(3, dtype=torch.int64), r"torch.int64 of shape \(3,\), not int64 of shape \(2,\)"),
        (torch.zeros(2), "torch.float32 of shape"),
        (torch.tensor([0, -1]), "strata returns -1"),
    ],
)
def test_wrong_strata_are_one_line(returned, message):
    class Wrong(Odd):
        pass

    Wrong.returned = returned
    with pytest.raises(TrainingError, match=message) as caught:
        strata_of(Wrong(), None, 2)
    assert len(str(caught.value).splitlines()) == 1
