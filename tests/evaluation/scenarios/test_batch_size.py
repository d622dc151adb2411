"""The number of images in one forward pass, which depends only on their size."""

import pytest
import torch
import torch.nn.functional as F

from attacks import Problem, images_per_pass
from benchmark.core.embedder import Embedder
from benchmark.evaluation import PoolEmbeddings


class Recording(Embedder):
    """Records the number of images of each forward pass."""

    def __init__(self):
        super().__init__()
        self.batch_sizes = []

    def forward(self, images):
        self.batch_sizes.append(len(images))
        return F.normalize(images.flatten(1)[:, :8] + 1)


class Blank:
    """Images that use no memory until a batch is read."""

    def __init__(self, count, side):
        self.count, self.image_shape = count, (1, side, side)

    def __len__(self):
        return self.count

    def batch(self, indices, device):
        return torch.zeros(len(torch.arange(self.count)[indices]), *self.image_shape, device=device)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 28, 28), 256),
        ((3, 32, 32), 256),
        ((3, 64, 64), 64),
        ((3, 96, 96), 16),
        ((3, 128, 128), 16),
        ((3, 224, 224), 16),
        ((3, 512, 512), 9),
        ((3, 4000, 4000), 1),
    ],
)
def test_small_images_keep_their_batch_and_large_ones_have_a_smaller(shape, expected):
    assert images_per_pass(shape) == expected


@pytest.mark.parametrize(("side", "largest"), [(28, 256), (224, 16)])
def test_the_batch_size_of_attacks_and_scores(side, largest):
    count = 2 * largest + 88 if side == 28 else 2 * largest + 6
    images = Blank(count, side)
    labels, ids = torch.arange(count) % 5, torch.arange(count)
    model = Recording()
    problem = Problem(model, images, labels, ids, "linf", 0.1)
    assert problem.clean.shape == (count, 8)
    assert model.batch_sizes == [largest, largest, count - 2 * largest]
    embeddings = PoolEmbeddings(model, images, Blank(count, side), labels, ids, 1)
    model.batch_sizes.clear()
    embeddings.clean()
    assert model.batch_sizes == [largest, largest, count - 2 * largest]
    model.batch_sizes.clear()
    embeddings.reembed()
    assert model.batch_sizes == [largest // 2] * (count // (largest // 2)) + [count % (largest // 2)]
