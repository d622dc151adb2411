import copy

import pytest
import torch
from torch import nn

from benchmark.models import SmallConv, fold_batch_norm
from benchmark.models.folding import conv_norm_pairs
from benchmark.models.smallconv_layers import GrayConv2d, LayoutFlatten, _GrayConvolution

SHAPES = pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((28, 28), 3, 2, 1),
        ((8, 9), 3, 2, 1),
        ((7, 5), 3, 1, 0),
        ((1, 1), 3, 2, 1),
        ((9, 6), (5, 2), (3, 1), (2, 0)),
    ],
)
FLOATS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def pair(kernel, stride, padding, bias=True):
    """One of ours and torch's own with the same weights."""
    ours = GrayConv2d(1, 4, kernel, stride=stride, padding=padding, bias=bias).double()
    plain = nn.Conv2d(1, 4, kernel, stride=stride, padding=padding, bias=bias).double()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@pytest.fixture
def products(monkeypatch):
    """How often our own backward pass was chosen."""
    calls = []
    apply = _GrayConvolution.apply
    monkeypatch.setattr(_GrayConvolution, "apply", lambda *arguments: calls.append(1) or apply(*arguments))
    return calls


@FLOATS
@SHAPES
@pytest.mark.parametrize("number", [0, 3])
def test_maps_and_all_gradients_are_those_of_torch(number, size, kernel, stride, padding, dtype, products):
    ours, plain = (layer.to(dtype) for layer in pair(kernel, stride, padding))
    images = torch.rand(number, 1, *size, dtype=dtype, requires_grad=True)
    found, expected = ours(images), plain(images)
    assert products == [1] and torch.equal(found, expected)
    above = torch.randn_like(found)
    gradients = [
        torch.autograd.grad(maps, [images, *layer.parameters()], above)
        for maps, layer in ((found, ours), (expected, plain))
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_second_derivatives_are_those_of_torch():
    ours, plain = pair(3, 2, 1, bias=False)
    images = torch.rand(2, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    found = []
    for layer in (ours, plain):
        (gradient,) = torch.autograd.grad(layer(images).square().sum(), images, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), [images, layer.weight]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_any_layout(layout):
    ours, plain = pair(3, 2, 1)
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    above = torch.randn(3, 4, 4, 4, dtype=torch.float64).to(memory_format=layout)
    one, other = (torch.autograd.grad(layer(images), images, above)[0] for layer in (ours, plain))
    torch.testing.assert_close(one, other)


def embedder(layout=torch.channels_last):
    return SmallConv(dim=3).build((1, 6, 6)).double().eval().to(memory_format=layout)


def test_jacobians_by_vmap_are_those_of_single_gradients():
    model = embedder()
    images = torch.rand(2, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    outputs = model(images).sum(0)
    above = torch.eye(3, dtype=torch.float64)
    single = [torch.autograd.grad(outputs, images, row, retain_graph=True)[0] for row in above]
    (batched,) = torch.autograd.grad(outputs, images, above, is_grads_batched=True)
    torch.testing.assert_close(batched, torch.stack(single))
    jacobian = torch.func.jacrev(lambda given: model(given).sum(0))(images.detach())
    torch.testing.assert_close(jacobian, torch.stack(single))


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_traced_network_holds_torchs_layers(tmp_path):
    images = torch.rand(2, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    network = embedder().network
    expected = torch.autograd.grad(network(images).sum(), images)[0]
    torch.jit.save(torch.jit.trace(network, images), tmp_path / "network.pt")
    loaded = torch.jit.load(tmp_path / "network.pt")
    torch.testing.assert_close(torch.autograd.grad(loaded(images).sum(), images)[0], expected)


def test_a_gradient_hook_is_left_on_no_leaf():
    maps = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    LayoutFlatten()(maps)
    assert not maps._backward_hooks


def test_torch_does_the_work_where_it_is_as_fast(products):
    images = torch.rand(2, 1, 8, 8)
    GrayConv2d(1, 4, 3)(images)  # no gradient of images
    with torch.no_grad():
        GrayConv2d(1, 4, 3)(images.clone().requires_grad_())
    with torch.autocast("cpu", torch.bfloat16):
        maps = GrayConv2d(1, 4, 3)(images.clone().requires_grad_())
    assert maps.dtype == torch.bfloat16
    colored = torch.rand(2, 3, 8, 8, requires_grad=True)
    GrayConv2d(3, 4, 3)(colored).sum().backward()
    assert products == [] and colored.grad is not None


def test_the_gradient_of_flattened_maps_has_their_layout():
    for layout in (torch.channels_last, torch.contiguous_format):
        maps = 1 * torch.rand(2, 3, 4, 5).to(memory_format=layout).requires_grad_()
        flat = LayoutFlatten()(maps)
        assert torch.equal(flat, maps.flatten(1))
        above = torch.randn_like(flat)
        (gradient,) = torch.autograd.grad(flat, maps, above)
        assert gradient.is_contiguous(memory_format=layout)
        assert torch.equal(gradient, above.view(2, 3, 4, 5))


def test_an_embedder_has_the_weights_and_gradients_of_one_of_torchs_layers(products):
    ours = SmallConv(dim=8).build((1, 12, 12)).double().eval().to(memory_format=torch.channels_last)
    plain = copy.deepcopy(ours)
    first = plain.network[0]
    plain.network[0] = nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False).double()
    plain.network[0].load_state_dict(first.state_dict())
    plain.network[12] = nn.Flatten()
    assert list(plain.state_dict()) == list(ours.state_dict())
    images = torch.rand(5, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    target = torch.randn(5, 8, dtype=torch.float64)
    one, other = (
        torch.autograd.grad((network(images) * target).sum(), images)[0] for network in (ours, plain)
    )
    torch.testing.assert_close(one, other)
    assert products == [1]


def test_batch_norm_is_folded_into_it(products):
    model = SmallConv(dim=8).build((1, 12, 12))
    assert len(conv_norm_pairs(model.network)) == 4
    images = torch.rand(2, 1, 12, 12, requires_grad=True)
    target = torch.randn(2, 8)
    before = torch.autograd.grad((model.eval()(images) * target).sum(), images)[0]
    fold_batch_norm(model.requires_grad_(False))
    after = torch.autograd.grad((model(images) * target).sum(), images)[0]
    torch.testing.assert_close(after, before)
    assert products == [1, 1]
