import pytest
import torch

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


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"no")])
def test_a_file_that_cannot_be_read_is_said(tmp_path, damage):
    path = tmp_path / "model.safetensors"
    save_checkpoint(model_with(), path)
    damage(path)
    with pytest.raises(CheckpointError, match=r"cannot be used .*delete it and run again"):
        load_checkpoint(model_with(), path)
