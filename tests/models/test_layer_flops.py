import pytest
import torch
from torch import nn

from benchmark.models import BACKBONES, BackboneEmbedder, count_flops
from benchmark.models.layer_flops import layer_flops
from benchmark.models.traced_flops import traced_flops
from defenses import DEFENSES

IMAGES = torch.rand(2, 3, 9, 11)


class Twice(nn.Conv2d):
    def forward(self, images):
        super().forward(images)
        return super().forward(images)


class Doubled(BackboneEmbedder):
    def forward(self, images):
        return super().forward(images) + super().forward(images)


class Wider(nn.Module):
    def forward(self, images):
        return images.flatten(1) @ torch.ones(3 * 9 * 11, 4)


def shared():
    layer = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Flatten())


KNOWN = {
    "strided": lambda: nn.Sequential(
        nn.Conv2d(3, 4, (3, 2), stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU()
    ),
    "grouped": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, dilation=2), nn.Flatten(), nn.Identity()),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 11, 5), nn.Linear(5, 7, bias=False)),
    "one layer twice": shared,
    "smallconv": lambda: BACKBONES.build("smallconv[width=2]").build((3, 9, 11)),
    "pixels": lambda: DEFENSES.build("pixels").build(None, torch.arange(2)),
}
OTHER = {
    "a subclass of a layer": lambda: nn.Sequential(Twice(3, 4, 3)),
    "a subclass of an embedder": lambda: Doubled(nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 11, 4))),
    "a module of the user's": lambda: BackboneEmbedder(nn.Sequential(Wider())),
    "another layer": lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_layers_have_the_flops_of_the_operations_that_they_run(name):
    module = KNOWN[name]().eval()
    assert layer_flops(module, IMAGES) == traced_flops(module, IMAGES)
    assert not any(part._forward_hooks for part in module.modules())


def test_a_member_has_the_flops_of_its_embedder(make_member):
    member = make_member().eval()
    images = torch.rand(1, 1, 8, 8)
    assert layer_flops(member, images) == traced_flops(member, images) > 0


@pytest.mark.parametrize("name", OTHER)
def test_other_networks_are_traced(name):
    module = OTHER[name]().eval()
    assert layer_flops(module, IMAGES) is None
    assert count_flops(module, tuple(IMAGES.shape[1:])) == traced_flops(module, IMAGES[:1]) > 0
