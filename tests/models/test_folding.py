import copy

import torch
from torch import nn

from benchmark.models import BACKBONES, Ensemble, fold_batch_norm, frozen


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


def test_other_architectures_are_left_alone():
    model = settled(BACKBONES.build("resnet18[dim=8]").build((3, 32, 32)), (3, 32, 32))
    images = torch.rand(2, 3, 32, 32)
    before = model(images)
    fold_batch_norm(model)
    torch.testing.assert_close(model(images), before, atol=1e-5, rtol=1e-4)


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
