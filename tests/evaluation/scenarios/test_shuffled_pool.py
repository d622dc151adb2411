"""What a model is given in a score: shuffled batches as attacks have them, and unit vectors expected."""

import pytest
import torch
import torch.nn.functional as F

from attacks import Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import PoolEmbeddings


class Noting(Embedder):
    """Embeds by the first pixels, and notes what each pass is like."""

    def __init__(self, randomised=False, length=1.0):
        super().__init__()
        self.randomised, self.length, self.passes, self.first = randomised, length, [], []

    def forward(self, images):
        self.passes.append((len(images), images.requires_grad, images.is_leaf, torch.is_grad_enabled()))
        self.first += images[:, 0, 0, 0].tolist()
        return self.length * F.normalize(images.flatten(1)[:, :8] + 1)


class StandIn(Noting):
    def differentiable(self):
        return Noting()


def pool_of(count=40):
    images = torch.rand(count, 1, 4, 4)
    return images, torch.arange(count) // 5, torch.arange(count)


def embeddings_of(model, images, labels, ids, **given):
    return PoolEmbeddings(model, images, images.flip(0), labels, ids, 2, batch_size=16, **given)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Noting(), (True, True, True)),
        (Noting(randomised=True), (True, False, True)),
        (StandIn(), (True, True, False)),
    ],
)
def test_a_score_is_like_a_step_of_an_attack(model, expected):
    embeddings_of(model, *pool_of()).attacked()
    assert model.passes == [(size, *expected) for size in (16, 16, 8)]


def test_images_are_embedded_again_in_another_order_in_smaller_batches_without_gradients():
    images, labels, ids = pool_of()
    model = Noting()
    embeddings = embeddings_of(model, images, labels, ids)
    scored, order = embeddings.attacked(), list(model.first)
    model.first.clear(), model.passes.clear()
    again = embeddings.reembed()
    assert model.passes == [(8, False, True, False)] * 5
    assert list(model.first) != order != images.flip(0)[:, 0, 0, 0].tolist()
    assert torch.allclose(scored, again, atol=1e-6)
    few = PoolEmbeddings(model, images[:6], images[:6].clone(), labels[:6], ids[:6], 1)
    model.passes.clear()
    few.reembed()
    assert [size for size, *_ in model.passes] == [3, 3]  # never all at once


def test_no_batch_of_a_score_or_of_an_attack_holds_the_classes_in_their_order():
    images, labels, ids = pool_of(200)
    problem = Problem(Noting(), images, labels, ids, "linf", 0.1, batch_size=50)
    for batch in problem.batches(problem.all_indices):
        assert len(labels[batch].unique()) > 20
    assert torch.cat(problem.batches(problem.all_indices)).sort().values.tolist() == list(range(200))
    parts = [index.double() for index in problem.batches(problem.perturbed)]
    assert problem.in_order(parts).tolist() == list(range(200))


@pytest.mark.parametrize("length", [30.0, float("nan")])
def test_embeddings_of_another_length_are_no_score(length):
    embeddings = embeddings_of(Noting(length=length), *pool_of())
    with pytest.raises(BenchmarkError, match=r"have length 30, not 1|are not finite"):
        embeddings.attacked()
    with pytest.raises(BenchmarkError, match=r"have length 30, not 1|are not finite"):
        embeddings.reembed()
