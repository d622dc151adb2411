import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmark.core.source import ROOT
from benchmark.models import BACKBONES
from benchmark.models.traced_flops import traced_flops

IMAGES = torch.rand(2, 3, 32, 32)


class Attention(nn.Module):
    def forward(self, images):
        return F.scaled_dot_product_attention(images, images, images)


class Products(nn.Module):
    def forward(self, images):
        rows = images.flatten(2)
        return torch.einsum("bcp,bdp->bcd", rows, rows) @ torch.ones(3, 4) + F.linear(
            rows, torch.ones(4, 1024)
        )


class InInferenceMode(nn.Sequential):
    @torch.inference_mode()
    def forward(self, images):
        return super().forward(images)


class Branches(nn.Module):
    def forward(self, images):
        rows = images.flatten(2)
        return torch.cond(rows.sum() > 0, lambda x: x @ x.mT, lambda x: 2 * x[:, :, :3], (rows,))


class Faked(nn.Module):
    def forward(self, images):
        with FakeTensorMode():
            return nn.Conv2d(3, 4, 3)(torch.rand(2, 3, 8, 8)).numel()


NETWORKS = {
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3), nn.ConvTranspose2d(6, 2, 3, stride=2)
    ),
    "attention": Attention,
    "products": Products,
    "in inference mode": lambda: InInferenceMode(nn.Flatten(), nn.Linear(3 * 32 * 32, 4), nn.Linear(4, 4)),
    "without products": nn.Flatten,
    "branches": Branches,
    "fake tensors": Faked,
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())),
    "mobilenetv2_100": lambda: BACKBONES.build("mobilenetv2_100").build_random((3, 32, 32)),
    "bn_inception": lambda: BACKBONES.build("bn_inception").build_random((3, 32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("gradients", [False, True])
def test_the_flops_are_those_of_torch_s_counter(name, gradients):
    network = NETWORKS[name]().eval()
    with torch.set_grad_enabled(gradients):
        with FlopCounterMode(display=False) as counter:
            expected = network(IMAGES)
        assert traced_flops(network, IMAGES) == counter.get_total_flops()
        found = network(IMAGES)
    assert found == expected if isinstance(found, int) else torch.equal(found, expected)


def test_torch_s_compiler_is_not_imported():
    code = (
        "import sys, torch\nfrom benchmark.models.traced_flops import traced_flops\n"
        "assert traced_flops(torch.nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)) > 0\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
