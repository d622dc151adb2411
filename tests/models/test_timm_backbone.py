import pytest
import torch
import torch.nn.functional as F

from benchmark.core.errors import UsageError
from benchmark.models import BACKBONES

NAME = "mobilenetv3_small_050"


@pytest.mark.parametrize("channels", [1, 3])
def test_unit_vectors_and_gradients(channels):
    embedder = BACKBONES.build(f"{NAME}[dim=16]").build((channels, 32, 32)).eval()
    images = torch.rand(3, channels, 32, 32, requires_grad=True)
    embeddings = embedder(images)
    assert embeddings.shape == (3, 16)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
    (gradient,) = torch.autograd.grad(embeddings[:, 0].sum(), images)
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


def test_mean_and_deviation_are_applied_inside():
    embedder = BACKBONES.build(f"{NAME}[dim=16]").build((3, 32, 32)).eval()
    images = torch.rand(2, 3, 32, 32)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    expected = F.normalize(embedder.network.network((images - mean) / std))
    torch.testing.assert_close(embedder(images), expected)
    assert not any("mean" in key.split(".")[-1] and "running" not in key for key in embedder.state_dict())


def test_the_spec_is_canonical():
    assert BACKBONES.build(f"{NAME}[dim=512,pretrained=false]").spec == NAME
    assert BACKBONES.build(f"{NAME}[pretrained=true,dim=8]").spec == f"{NAME}[dim=8,pretrained=true]"
    assert BACKBONES.get(NAME) is BACKBONES.get(NAME)
    assert NAME not in BACKBONES.names()


def test_an_unknown_architecture_gets_the_nearest_name():
    with pytest.raises(UsageError, match=r"Unknown backbone 'resnet18x'\. Did you mean 'resnet18'") as caught:
        BACKBONES.build("resnet18x")
    assert len(str(caught.value).splitlines()) == 1
    assert "smallconv" in str(caught.value)
    with pytest.raises(UsageError, match="Did you mean 'smallconv'"):
        BACKBONES.build("smalconv")


def test_an_architecture_that_cannot_take_the_images():
    with pytest.raises(UsageError, match="cannot take images of 3x32x32") as caught:
        BACKBONES.build("vit_tiny_patch16_224").build((3, 32, 32))
    assert len(str(caught.value).splitlines()) == 1
