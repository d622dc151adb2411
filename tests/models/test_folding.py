import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from benchmark.models import BACKBONES, BackboneEmbedder, Ensemble, count_flops, fold_batch_norm, frozen


def settled(model, shape):
    model.train()
    with torch.no_grad():
        for _ in range(5):
            model(torch.rand(16, *shape))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model.eval().requires_grad_(False)


def test_the_function_and_its_gradient_stay(make_member):
    model = settled(Ensemble([make_member(), make_member()]), (1, 8, 8))
    folded = copy.deepcopy(model)
    fold_batch_norm(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    images = torch.rand(7, 1, 8, 8, requires_grad=True)
    target = torch.randn(7, 16)
    outputs = [(embed(images) * target).sum(1) for embed in (model, folded)]
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*(torch.autograd.grad(output.sum(), images)[0] for output in outputs))
    assert not any(parameter.requires_grad for parameter in folded.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv2_100", "resnet18", "bn_inception"])
def test_the_nets_of_other_libraries(name):
    shape = (3, 64, 64)
    model = BACKBONES.build(f"{name}[dim=8]").build(shape)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    model.eval().requires_grad_(False).double()  # in float32 a deep net's rounding is as large as a mistake
    images = torch.rand(2, *shape, dtype=torch.float64)
    before = model(images)
    keys, flops = len(model.state_dict()), count_flops(model, shape)
    fold_batch_norm(model)
    assert (model(images) - before).abs().max() < 1e-6
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert len(model.state_dict()) < keys / 2 and count_flops(model, shape) == flops


@pytest.mark.parametrize(
    "change",
    [
        lambda convolution: convolution.register_forward_hook(lambda module, inputs, maps: 2 * maps),
        lambda convolution: convolution.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],)),
        lambda convolution: prune.random_unstructured(convolution, "weight", 0.5),
        nn.utils.spectral_norm,
        nn.utils.parametrizations.weight_norm,
    ],
)
def test_convolutions_that_hooks_or_parametrizations_change_are_left_alone(change):
    model = BACKBONES.build("smallconv[dim=8,width=0.25]").build((1, 8, 8))
    for convolution in [module for module in model.modules() if isinstance(module, nn.Conv2d)]:
        change(convolution)
    settled(model, (1, 8, 8))
    images = torch.rand(7, 1, 8, 8)
    before = model(images)
    fold_batch_norm(model)
    torch.testing.assert_close(model(images), before)


class Twice(nn.Module):
    """One convolution for two batch norms, a batch norm used twice, and one of a kind that is not known."""

    class Doubled(nn.BatchNorm2d):
        def forward(self, maps):
            return 2 * super().forward(maps)

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.one, self.two = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)
        self.norm, self.other = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
        self.doubled = self.Doubled(2)

    def forward(self, images):
        if self.how == "shared convolution":
            maps = self.norm(self.one(images)) + self.other(self.one(images))
        elif self.how == "shared output":
            found = self.one(images)
            maps = self.norm(found) + found
        elif self.how == "shared norm":
            maps = self.norm(self.one(images)) + self.norm(self.two(images))
        elif self.how == "unknown norm":
            maps = self.doubled(self.one(images))
        else:  # a branch that depends on the images cannot be traced
            maps = self.norm(self.one(images)) if images.sum() > 0 else images
        return maps.flatten(1)


@pytest.mark.parametrize(
    "how", ["shared convolution", "shared output", "shared norm", "unknown norm", "untraceable"]
)
def test_what_cannot_be_folded_is_left_alone(how):
    model = settled(BackboneEmbedder(Twice(how)), (1, 8, 8))
    images = torch.rand(3, 1, 8, 8)
    before, keys = model(images), set(model.state_dict())
    fold_batch_norm(model)
    torch.testing.assert_close(model(images), before)
    assert set(model.state_dict()) == keys


def test_batch_statistics_are_used_but_not_kept(make_member, images):
    model = make_member().train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    plain = model(images.images)  # in training mode: by the batch
    running = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    with frozen(model, batch_statistics=True):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        torch.testing.assert_close(model(images.images), plain)
    assert all(torch.equal(v, running[k]) for k, v in model.state_dict().items() if "running" in k)
    assert not all(torch.equal(v, before[k]) for k, v in running.items())
    with frozen(model):
        assert not torch.allclose(model(images.images), plain, atol=1e-3)
    model(images.images)
    assert not all(torch.equal(v, running[k]) for k, v in model.state_dict().items() if "running" in k)
