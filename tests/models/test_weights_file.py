import hashlib
from argparse import Namespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmark.core.errors import UsageError
from benchmark.models.weights_file import load_weights, read_weights, weights_digest


class Net(nn.Sequential):
    def __init__(self, classes=None):
        super().__init__()
        self.add_module("conv", nn.Conv2d(3, 4, 3))
        self.add_module("norm", nn.BatchNorm2d(4))
        if classes:
            self.add_module("fc", nn.Linear(4, classes))


def save(state, path):
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return path


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt"])
def test_all_but_the_classifier_is_loaded(tmp_path, suffix):
    whole, body = Net(classes=5), Net()
    nn.init.normal_(whole.norm.running_mean)
    path = save(whole.state_dict(), tmp_path / f"w.{suffix}")
    load_weights(body, path, ("fc",))
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in body.state_dict().items())
    with pytest.raises(UsageError, match=r"has no 'fc\.(weight|bias)'"):
        load_weights(Net(), path, ())


def test_old_files_that_count_no_batches_are_fine(tmp_path):
    state = {key: value for key, value in Net().state_dict().items() if "num_batches" not in key}
    load_weights(Net(), save(state, tmp_path / "w.pth"), ())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: state.pop("norm.bias"), "does not fit: it has no 'norm.bias'"),
        (lambda state: state.update({"conv2.weight": torch.ones(1)}), "the backbone has no 'conv2.weight'"),
        (
            lambda state: state.update({"conv.bias": torch.ones(7)}),
            "does not fit: 'conv.bias' is 7, not 4",
        ),
        (lambda state: state.update({"fcx.weight": torch.ones(1)}), "the backbone has no 'fcx.weight'"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(tmp_path, change, message):
    state = dict(Net(classes=2).state_dict())
    change(state)
    for name in ("w.safetensors", "w.pth"):
        path = save(state, tmp_path / name)
        with pytest.raises(UsageError, match=message) as caught:
            load_weights(Net(), path, ("fc",))
        assert str(path) in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_missing_and_damaged_files(tmp_path, name):
    path = tmp_path / name
    for read in (read_weights, weights_digest):
        with pytest.raises(UsageError, match=f"{name} does not exist"):
            read(path)
    save(Net().state_dict(), path)
    whole = path.read_bytes()
    for damaged in (b"", b"not weights", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match=f"{name} cannot be read") as caught:
            read_weights(path)
        assert len(str(caught.value).splitlines()) == 1


def test_files_that_hold_something_else(tmp_path):
    path = tmp_path / "w.pth"
    for content, key in (({"epoch": 3}, "epoch"), ({0: torch.ones(1)}, "0"), ({"net": {1: 2}}, "1")):
        with pytest.raises(UsageError, match=f"no state dict: '{key}' names no tensor"):
            read_weights(save(content, path))
    with pytest.raises(UsageError, match="no state dict but Tensor"):
        read_weights(save(torch.ones(2), path))


def test_nothing_that_a_file_holds_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    path = save({"conv.weight": Trap()}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="contains more than tensors"):
        read_weights(path)
    assert not tmp_path.joinpath("sprung").exists()


@pytest.mark.parametrize("content", [Net(), {"state_dict": {}, "args": Namespace(lr=1)}])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run_and_the_message_says_so(tmp_path, content, zipped):
    path = tmp_path / "w.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UsageError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert message.endswith("contains more than tensors. No code in it was run; save only its state_dict().")
    assert ("damaged" in message) is not zipped  # an old file that was cut off fails in the same way
    assert message.isprintable()


@pytest.mark.parametrize("name", ["state_dict", "model", "model_state_dict", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_is_found_in_what_training_scripts_save(tmp_path, name, prefix):
    whole, body = Net(classes=5), Net()
    state = {prefix + key: value for key, value in whole.state_dict().items()}
    path = save({"epoch": 3, name: state, "optimizer": {"state": {}}}, tmp_path / "w.pth")
    load_weights(body, path, ("fc",))
    assert torch.equal(body.conv.weight, whole.conv.weight)
    body = Net()
    load_weights(body, save(state, tmp_path / "bare.safetensors"), ("fc",))
    assert torch.equal(body.conv.weight, whole.conv.weight)


def test_a_prefix_of_some_keys_alone_is_a_name(tmp_path):
    path = save({"module.weight": torch.ones(1), "bias": torch.ones(1)}, tmp_path / "w.pth")
    assert set(read_weights(path)) == {"module.weight", "bias"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, value):
    state = Net(classes=2).state_dict()
    state["fc.bias"][0] = value  # not used, so its value does not matter
    path = save(state, tmp_path / "w.pth")
    load_weights(Net(), path, ("fc",))
    state["norm.bias"][2] = value
    with pytest.raises(UsageError, match=r"'norm\.bias' has values that are not finite"):
        load_weights(Net(), save(state, path), ("fc",))


def test_the_digest_is_of_the_content(tmp_path):
    path = tmp_path / "w.pth"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        assert weights_digest(path) == hashlib.sha256(content).hexdigest()
