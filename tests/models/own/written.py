"""A network, and files that hold it; sides of 8 and 12 pixels."""

import pytest
import torch

from .networks import SOURCE


def network(side=12):
    space = {}
    exec(SOURCE, space)
    torch.manual_seed(3)
    made = space["Net"]()
    made(torch.rand(16, 1, side, side))  # batch norm is no identity
    return made.eval()


def exported(net, path, side=12, **dynamic):
    torch.export.save(torch.export.export(net, (torch.rand(4, 1, side, side),), **dynamic), path)


def script(net, path, side=12):
    torch.jit.trace(net, torch.rand(2, 1, side, side)).save(str(path))


def onnx(net, path, side=12, count="n"):
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
        helper.make_node(
            "AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2] if side == 12 else [1, 1]
        ),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "lw", "lb"], ["y"], transB=1),
    ]
    floats = onnx_module.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", floats, [count, 1, side, side])],
        [helper.make_tensor_value_info("y", floats, [count, 8])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx_module.save(model, str(path))
