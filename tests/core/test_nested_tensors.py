import json

import pytest
import torch

from benchmark.core.nested_tensors import can_be_packed, pack, unpack

CPU = torch.device("cpu")


def there_and_back(value):
    described, tensors = pack(value)
    for tensor in tensors.values():
        assert tensor.is_contiguous() and tensor.device == CPU
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
    assert len({tensor.data_ptr() for tensor in tensors.values() if tensor.numel()}) == len(
        [tensor for tensor in tensors.values() if tensor.numel()]
    )
    return unpack(json.loads(json.dumps(described)), tensors, CPU)


def test_plain_values_come_back_with_their_types():
    value = {"a": [1, 2.5, float("inf"), None, True], "b": (1, ("x", [])), "c": {}, "tensor": "no tensor"}
    assert there_and_back(value) == value


BASE = torch.arange(48.0).view(2, 3, 4, 2)


@pytest.mark.parametrize(
    "tensor",
    [
        BASE,
        BASE.to(memory_format=torch.channels_last),
        BASE[:, :1].to(memory_format=torch.channels_last),
        BASE[1],
        BASE[:, 1],
        BASE.transpose(0, 3),
        torch.tensor(3.0),
        torch.zeros(0, 3),
        torch.tensor([True, False]),
        torch.arange(3),
        torch.tensor([1.5], dtype=torch.bfloat16),
    ],
)
def test_tensors_come_back_in_their_memory_format(tensor):
    (found,) = there_and_back([tensor])
    assert found.dtype == tensor.dtype and torch.equal(found, tensor)
    dense = tensor.numel() * tensor.itemsize == tensor.untyped_storage().nbytes()
    if dense:
        assert found.stride() == tensor.stride()
    assert tensor.numel() == 0 or found.data_ptr() != tensor.data_ptr()


def test_expanded_tensors_come_back_whole():
    (found,) = there_and_back([torch.ones(1).expand(4)])
    assert found.tolist() == [1, 1, 1, 1]


def test_a_tensor_that_occurs_twice_is_one_tensor_again():
    shared = torch.ones(3)
    first, (second,), part = there_and_back([shared, (shared,), shared[:2]])
    assert first is second
    first += 1
    assert part.tolist() == [1, 1]


def test_what_needs_no_copy_is_not_copied():
    whole, last = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    _, tensors = pack([whole, last])
    assert [tensor.data_ptr() for tensor in tensors.values()] == [whole.data_ptr(), last.data_ptr()]


@pytest.mark.parametrize("value", [iter([1]), {1: "a"}, {"a": {2}}, [lambda: 0], torch.Size([1])])
def test_other_values_are_refused(value):
    assert not can_be_packed(value)
    if not isinstance(value, dict):
        with pytest.raises(TypeError, match="cannot be saved"):
            pack(value)
