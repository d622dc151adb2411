"""Batch norm that is folded while a model in training is attacked."""

import pytest
import torch
from torch import nn

from benchmark.models import BACKBONES, frozen
from benchmark.models.folded import FoldedBatchNorm

SHAPE = (3, 16, 16)


@pytest.fixture(params=["smallconv", "mobilenetv2_100"])
def network(request):
    torch.manual_seed(0)
    network = BACKBONES.build(request.param).build_random(SHAPE)
    move(network)
    return network.train()


def move(network):
    """Changes weights and running statistics, as steps of a training do."""
    with torch.no_grad():
        for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.running_mean.add_(0.1 * torch.randn_like(norm.running_mean))
            norm.running_var.mul_(1 + torch.rand_like(norm.running_var))
            norm.weight.add_(0.3 * torch.randn_like(norm.weight))
            norm.bias.add_(0.3 * torch.randn_like(norm.bias))
        for parameter in network.parameters():
            parameter.mul_(1.1)


def embedded(network, images):
    given = images.clone().requires_grad_(True)
    embeddings = network(given)
    (gradient,) = torch.autograd.grad(embeddings[:, 0].sum(), given)
    return embeddings.detach(), gradient


def test_a_block_computes_the_same_with_the_weights_of_now(network):
    images, folded = torch.rand(4, *SHAPE), FoldedBatchNorm(network)
    for _ in range(2):
        with frozen(network):
            expected = embedded(network, images)
            with folded.block():
                found = embedded(network, images)
                assert not any(norm.running_mean is None for norm in norms(network))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()) + 1e-6)
        move(network)


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_fewer_modules_run_within_a_block_and_all_are_back_after_it(network):
    before, modules, state = len(norms(network)), list(network.modules()), dict(network.state_dict())
    folded = FoldedBatchNorm(network)
    with frozen(network), pytest.raises(KeyError), folded.block():
        assert len(norms(network)) < before / 2
        assert not any(parameter.requires_grad for parameter in network.parameters())
        raise KeyError
    assert list(map(id, network.modules())) == list(map(id, modules))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())


def test_a_network_without_batch_norm_stays_as_it_is():
    folded = FoldedBatchNorm(nn.Linear(2, 2))
    with folded.block():
        pass
