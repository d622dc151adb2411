import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.models import BACKBONES, SmallConv


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 12, 9), (2, 1, 1)])
def test_unit_vectors_from_images_of_any_size(shape):
    embedder = SmallConv(dim=7, width=0.25).build(shape)
    for mode in (True, False):
        embeddings = embedder.train(mode)(torch.rand(5, *shape))
        assert embeddings.shape == (5, 7)
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))


def test_width_scales_the_channels():
    def channels(width):
        modules = SmallConv(width=width).build((1, 8, 8)).modules()
        return [module.out_channels for module in modules if isinstance(module, torch.nn.Conv2d)]

    assert channels(1.0) == [16, 16, 32, 32]
    assert channels(0.25) == [4, 4, 8, 8]
    assert channels(0.001) == [1, 1, 1, 1]


def test_every_build_has_weights_of_its_own():
    backbone = BACKBONES.build("smallconv[dim=8,width=0.25]")
    first, second = backbone.build((1, 8, 8)), backbone.build((1, 8, 8))
    images = torch.rand(4, 1, 8, 8)
    assert not torch.allclose(first.eval()(images), second.eval()(images))


@pytest.mark.parametrize("parameter", ["width=0", "dim=0", "dim=-3", "depth=4"])
def test_bad_parameters(parameter):
    with pytest.raises(UsageError):
        BACKBONES.build(f"smallconv[{parameter}]")
