import pytest
import torch

from benchmark.core.errors import UsageError
from defenses import DEFENSES

from .networks import SOURCE


def network():
    space = {}
    exec(SOURCE, space)
    torch.manual_seed(3)
    made = space["Net"]()
    made(torch.rand(16, 1, 12, 12))  # batch norm is no identity
    return made.eval()


def build(path):
    return DEFENSES.build(str(path)).model


def exported(net, path, **dynamic):
    torch.export.save(torch.export.export(net, (torch.rand(4, 1, 12, 12),), **dynamic), path)


def script(net, path):
    torch.jit.trace(net, torch.rand(2, 1, 12, 12)).save(str(path))


def onnx(net, path):
    pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx").helper
    onnx_module = pytest.importorskip("onnx")
    conv, norm, linear = net.layers[0], net.layers[1], net.layers[5]
    weights = {
        "w": conv.weight, "b": conv.bias, "scale": norm.weight, "shift": norm.bias, "mean": norm.running_mean,
        "var": norm.running_var, "lw": linear.weight, "lb": linear.bias,
    }  # fmt: skip
    tensors = [onnx_module.numpy_helper.from_array(v.detach().numpy(), k) for k, v in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], epsilon=1e-5),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "lw", "lb"], ["y"], transB=1),
    ]
    floats = onnx_module.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", floats, ["n", 1, 12, 12])],
        [helper.make_tensor_value_info("y", floats, ["n", 8])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx_module.save(model, str(path))


DYNAMIC = {"dynamic_shapes": ({0: torch.export.Dim("n", min=1, max=4096)},)}


@pytest.mark.parametrize(
    ("suffix", "save", "gradients"),
    [(".pt", script, True), (".pt2", lambda n, p: exported(n, p, **DYNAMIC), True), (".onnx", onnx, False)],
)
def test_a_file_embeds_as_the_network_that_it_was_made_of(tmp_path, images, suffix, save, gradients):
    net = network()
    path = tmp_path / f"net{suffix}"
    save(net, path)
    model = build(path).embedder()
    assert [note for note in model.settle(images) if "gradient" not in note] == []
    assert model.gradients == gradients
    expected = torch.nn.functional.normalize(net(images))
    assert torch.allclose(model(images), expected, atol=1e-4)
    assert str(tmp_path) not in build(path).short_name
    if gradients:
        inputs = images.clone().requires_grad_(True)
        (theirs,) = torch.autograd.grad(model(inputs).sum(), inputs)
        (own,) = torch.autograd.grad(torch.nn.functional.normalize(net(inputs)).sum(), inputs)
        assert torch.allclose(theirs, own, atol=1e-5)


def test_another_content_is_another_model(tmp_path):
    net = network()
    script(net, tmp_path / "net.pt")
    before = build(tmp_path / "net.pt").fingerprint()
    with torch.no_grad():
        net.layers[5].bias.add_(1.0)
    script(net, tmp_path / "net.pt")
    assert build(tmp_path / "net.pt").fingerprint() != before


def test_weights_in_place_of_a_network_are_named(tmp_path):
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=r"is no TorchScript file\. Weights alone .* --weights weights\.pt"):
        build(tmp_path / "weights.pt").embedder()


@pytest.mark.parametrize("name", ["net.pt", "net.pt2", "net.onnx"])
def test_missing_and_damaged_files_are_one_line(tmp_path, name):
    with pytest.raises(UsageError, match=f"{name} cannot be read: No such file"):
        build(tmp_path / name).embedder()
    (tmp_path / name).write_bytes(b"nothing that a library reads")
    with pytest.raises(UsageError, match=name) as caught:
        build(tmp_path / name).embedder()
    assert "\n" not in str(caught.value)


def test_a_program_for_one_size_of_batch_says_so(tmp_path, images):
    exported(network(), tmp_path / "fixed.pt2")
    with pytest.raises(UsageError, match=r"fixed\.pt2 cannot embed images of 1x12x12: .*"):
        build(tmp_path / "fixed.pt2").embedder().settle(images)


def test_a_program_exported_in_training_mode_is_refused(tmp_path, images):
    exported(network().train(), tmp_path / "train.pt2", **DYNAMIC)
    with pytest.raises(UsageError, match=r"embeds an image alone otherwise than in a batch|cannot embed"):
        build(tmp_path / "train.pt2").embedder().settle(images)
