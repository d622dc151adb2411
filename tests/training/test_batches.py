import os
import threading
import time

import pytest
import torch

from benchmark.data import ImageSet
from benchmark.training import Recipe
from benchmark.training import batches as module
from benchmark.training.batches import Batches

CROPS = Recipe(batch_size=8, crop=0.3, flip=True, shift=0)


@pytest.fixture
def data():
    images = torch.randint(0, 256, (40, 3, 12, 12), dtype=torch.uint8)
    return ImageSet(images, torch.arange(40) % 5, torch.arange(40))


@pytest.fixture
def cores(monkeypatch):
    def pretend(count):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(count)), raising=False)

    return pretend


def epoch(data, recipe=CROPS, number=0, seed=3, order=None):
    torch.manual_seed(seed)
    order = torch.arange(len(data)) if order is None else order
    return list(Batches(data, recipe, "cpu").epoch(order, 8, number))


@pytest.mark.parametrize(
    "recipe", [CROPS, Recipe(batch_size=8, shift=2), Recipe(batch_size=8, shift=2, flip=True)]
)
def test_batches_do_not_depend_on_the_number_of_cores(data, cores, recipe):
    found = []
    for count in (1, 2, 9):
        cores(count)
        found.append([images for images, _ in epoch(data, recipe)] + [torch.rand(3)])
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


def test_images_are_those_of_their_indices_as_floats(data):
    order = torch.randperm(40)[:35]
    found = epoch(data, Recipe(batch_size=8, shift=0, flip=True), order=order)
    assert [index.tolist() for _, index in found] == [part.tolist() for part in order[:32].split(8)]
    for images, index in found:
        assert images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1
        straight = data.images[index].float() / 255
        for image, one in zip(images, straight, strict=True):
            assert torch.equal(image, one) or torch.equal(image, one.flip(2))


def test_epochs_and_batches_differ(data):
    order = torch.zeros(16, dtype=torch.int64)
    first, second = (epoch(data, number=number, order=order) for number in (0, 1))
    assert not torch.equal(first[0][0], second[0][0])
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(first[0][0], epoch(data, seed=4, order=order)[0][0])


@pytest.mark.parametrize(("count", "threads"), [(1, 1), (4, 3), (64, 8)])
def test_one_batch_is_prepared_in_each_thread(data, cores, monkeypatch, count, threads):
    cores(count)
    lock, now, most = threading.Lock(), [0], [0]
    original = Batches._prepare

    def slow(self, index, seed):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return original(self, index, seed)

    monkeypatch.setattr(Batches, "_prepare", slow)
    assert len(epoch(data, order=torch.arange(160) % 40)) == 20
    assert most[0] == threads


def test_an_epoch_that_is_left_early_leaves_no_thread(data, cores):
    cores(4)
    before = threading.active_count()
    for _ in Batches(data, CROPS, "cpu").epoch(torch.arange(40), 8, 0):
        break
    assert threading.active_count() == before


def test_an_error_in_a_thread_is_an_error_of_the_training(data, monkeypatch):
    def broken(*arguments):
        raise OSError("the disk is gone")

    monkeypatch.setattr(module, "random_crops", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        epoch(data)


def test_waiting_time_is_counted(data, monkeypatch, cores):
    cores(2)
    original = module.random_crops

    def slow(*arguments):
        time.sleep(0.02)
        return original(*arguments)

    monkeypatch.setattr(module, "random_crops", slow)
    batches = Batches(data, CROPS, "cpu")
    list(batches.epoch(torch.arange(40), 8, 0))
    assert 0.05 < batches.waited < 5
