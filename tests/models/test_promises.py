import pytest
import torch
import torch.nn.functional as F

from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.models import check_embedder, in_float32

IMAGES = torch.rand(4, 1, 8, 8)


class Fixed(Embedder):
    """Projects images to unit vectors of 5 entries."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 5)

    def forward(self, images):
        return F.normalize(self.layer(images.flatten(1)))


def broken(**changes):
    """A class that differs from `Fixed` in what its embeddings become, or in its attributes."""
    change = changes.pop("change", None)

    def forward(self, images):
        embeddings = Fixed.forward(self, images)
        return embeddings if change is None else change(embeddings)

    return type("Broken", (Fixed,), {"forward": forward, **changes})()


class WritesItsInput(Fixed):
    def forward(self, images):
        return super().forward(images.sub_(0.5))


class Elsewhere(Fixed):
    def differentiable(self):
        return broken(change=lambda embeddings: embeddings[:, :2])


def with_nan(embeddings):
    return embeddings * torch.where(torch.arange(len(embeddings)) == 1, torch.nan, 1.0)[:, None]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (broken(change=lambda x: 3 * x), "The model's embeddings have length 3, not 1. End its forward"),
        (
            broken(change=lambda x: x * torch.tensor([1.0, 2.0, 1.0, 0.5])[: len(x), None]),
            "The model's embeddings have lengths from 0.5 to 2, not 1.",
        ),
        (broken(change=with_nan), "1 of 4 embeddings are not finite (nan)."),
        (broken(change=lambda x: x.int()), "The model's embeddings are torch.int32."),
        (broken(change=lambda x: x + 0j), "The model's embeddings are torch.complex64."),
        (
            broken(change=lambda x: x.to_sparse()),
            "The model's embeddings are a sparse tensor. Return a dense",
        ),
        (broken(change=lambda x: x[..., None]), "The model embeds 4 images as shape (4, 5, 1)."),
        (broken(change=lambda x: x[:1]), "The model embeds 4 images as shape (1, 5)."),
        (broken(change=lambda x: (x, x)), "The model returns tuple, not a tensor."),
        (
            broken(change=lambda x: F.normalize(x - x.mean(0) / 2)),
            "Images embedded alone and in a batch of 4 get embeddings ",
        ),
        (
            broken(change=lambda x: F.normalize(x + 0.1 * torch.rand_like(x))),
            "Two embeddings of one image are 0.",
        ),
        (broken(randomised=True), "The model's `randomised` is True, but 8 forward passes gave the same"),
        (WritesItsInput(), "The model changes its images in place. Begin with images = images.clone()."),
        (Elsewhere(), "differentiable() embeds as shape (4, 2), the model as (4, 5)."),
    ],
)
def test_a_broken_promise_is_one_line_with_what_to_do(model, message):
    with pytest.raises(BenchmarkError) as caught:
        check_embedder(model, IMAGES.clone())
    text = str(caught.value)
    assert text.startswith(message)
    assert len(text.splitlines()) == 1 and text.endswith(".")


@pytest.mark.parametrize(
    "model",
    [
        Fixed(),
        broken(change=lambda x: F.normalize(x + 0.1 * torch.rand_like(x)), randomised=True),
        broken(change=lambda x: x * 1.0005),  # rounding
        broken(change=lambda x: x * (x[:, :1] > 0)),  # the zero vector, as normalization leaves it
        broken(change=lambda x: x.double()),
        in_float32(broken(change=lambda x: x.bfloat16()), IMAGES),
    ],
)
def test_what_is_kept_passes(model):
    check_embedder(model, IMAGES)


def test_the_check_changes_nothing(make_member, images):
    member = make_member().train()
    before = {name: value.clone() for name, value in member.state_dict().items()}
    state, allowed = torch.get_rng_state(), torch.backends.cudnn.allow_tf32
    check_embedder(member, images.images[:4])
    assert member.training and all(parameter.requires_grad for parameter in member.parameters())
    assert all(torch.equal(value, before[name]) for name, value in member.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.cudnn.allow_tf32 == allowed
