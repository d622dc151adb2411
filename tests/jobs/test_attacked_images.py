import pytest
import torch

from benchmark.jobs.attacked_images import NEIGHBORS, SHOWN, SHOWN_BYTES, shown_images


class Pool:
    """A pool of random images with embeddings, of which every image is query and gallery."""

    def __init__(self, count, side):
        draw = torch.Generator().manual_seed(0)
        self.labels = torch.arange(count) // 3
        self.query_indices = self.gallery_indices = torch.arange(count)
        self._images = torch.rand(count, 3, side, side, generator=draw)
        self._embedded = torch.nn.functional.normalize(torch.randn(count, 8, generator=draw), dim=1)

    def images(self, pool, indices):
        return self._images[indices]

    def clean(self, repeat=0):
        return self._embedded

    attacked = clean


@pytest.mark.parametrize(("side", "kept"), [(8, SHOWN), (128, 2), (400, 1)])
def test_as_many_queries_are_shown_as_fit_and_at_least_one(side, kept):
    images = shown_images(Pool(12, side))
    assert len(images["query"]) == kept and int(images["asked"]) == 0
    assert images["before"].shape == (kept, NEIGHBORS, 3, side, side)
    size = sum(tensor.numel() * 4 for name, tensor in images.items() if tensor.ndim >= 4)
    assert size <= SHOWN_BYTES or kept == 1
