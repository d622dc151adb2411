import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmark.core.errors import CheckpointError
from benchmark.models import Ensemble, load_checkpoint, save_checkpoint


def test_shared_weights_in_channels_last_come_back(make_member, images, tmp_path):
    member = make_member(shape=(3, 8, 8)).to(memory_format=torch.channels_last)
    model = Ensemble([member, member]).to(memory_format=torch.channels_last)
    save_checkpoint(model, tmp_path / "model.safetensors")
    other = make_member(shape=(3, 8, 8))
    fresh = Ensemble([other, other]).to(memory_format=torch.channels_last)
    load_checkpoint(fresh, tmp_path / "model.safetensors")
    state = fresh.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert fresh.models[0] is fresh.models[1]


def model_with(**buffers):
    model = torch.nn.Linear(2, 2)
    for name, shape in buffers.items():
        model.register_buffer(name, torch.zeros(shape))
    return model


@pytest.mark.parametrize(
    ("saved", "built", "reason"),
    [
        ({"queue": (3, 2)}, {"queue": (0,)}, "queue has shape (3, 2) in it and (0,) in the model"),
        ({"queue": (3, 2)}, {}, "it holds queue, which the model has not"),
        ({}, {"queue": (3, 2)}, "it lacks queue"),
    ],
)
def test_what_is_sized_while_training_is_said(tmp_path, saved, built, reason):
    path = tmp_path / "model.safetensors"
    save_checkpoint(model_with(**saved), path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(model_with(**built), path)
    assert str(caught.value) == (
        f"The checkpoint {path} does not fit the model that `build` makes: {reason}. What is created "
        "or sized while training cannot be loaded: give parameters and buffers their final size in `build`."
    )


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*model.safetensors"):
        load_checkpoint(model_with(), tmp_path / "model.safetensors")


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(model_with(), path)
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"cannot be used .*delete it and run again"):
        load_checkpoint(model_with(), path)


def flip_exponent(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x38  # of the last weight
    path.write_bytes(data)


def rename_keys(path):
    save_file({f"{name}x": value for name, value in load_file(path).items()}, path)


def copy_another(path):
    save_checkpoint(model_with(), path.with_name("other.safetensors"))
    path.with_name("other.safetensors").replace(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_exponent, "its checksum is not that of its content"),
        (rename_keys, "it has no checksum"),
        (copy_another, r"it was written as .*/other\.safetensors"),
        (lambda path: path.write_bytes(b""), "it is empty"),
    ],
)
def test_what_was_changed_or_is_of_another_model_is_not_loaded(tmp_path, damage, reason):
    path = tmp_path / "model.safetensors"
    save_checkpoint(model_with(), path)
    damage(path)
    model = model_with()
    before = model.weight.detach().clone()
    with pytest.raises(CheckpointError, match=rf"cannot be used \({reason}\); delete it"):
        load_checkpoint(model, path)
    assert torch.equal(model.weight, before)


def test_a_file_without_a_checksum_is_loaded_only_on_request(tmp_path):
    path, saved, loaded = tmp_path / "model.safetensors", model_with(), model_with()
    save_file(saved.state_dict(), path)
    load_checkpoint(loaded, path, unchecked=True)
    assert torch.equal(loaded.weight, saved.weight)
    with pytest.raises(CheckpointError, match="it has no checksum"):
        load_checkpoint(loaded, path)


def test_a_checkpoint_says_which_model_it_is_of(tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(model_with(), path, {"defense": "vanilla", "seed": 3})
    with safe_open(path, framework="pt") as file:
        seal = json.loads(file.metadata()["seal"])
    assert seal["key"] == {"defense": "vanilla", "seed": 3}
