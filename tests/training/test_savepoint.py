import random
import shutil
import time

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from benchmark.core import state_file
from benchmark.core.errors import InterruptedJobError, StorageFullError
from benchmark.models import count_flops
from benchmark.training import Recipe, train
from benchmark.training.savepoint import SavePoint
from defenses import DEFENSES

RECIPE = Recipe(epochs=6, batch_size=32, lr=0.02, validations=3, warm_up=2)


class KilledError(Exception):
    """Ends a training in these tests; tests/runner kills a real process."""


@pytest.fixture
def go(make_member, images):
    def run(spec="vanilla", recipe=RECIPE, path=None, killed_after=None, seed=0):
        def on_epoch(done, total, loss):
            epochs.append(done)
            if done == killed_after:
                raise KilledError

        epochs = []
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        defense = DEFENSES.build(spec)
        model = defense.build(make_member, images.labels).to(memory_format=torch.channels_last)
        point = SavePoint(path, every=0) if path else None
        unit = count_flops(make_member(), images.image_shape)
        try:
            trained = train(
                defense,
                model,
                images,
                recipe,
                0.1,
                unit,
                on_epoch=on_epoch,
                held_out=images,
                save_point=point,
            )
        except KilledError:
            return None, None, epochs
        return model, trained, epochs

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "schedule"),
    [
        ("vanilla", "one_cycle"),
        ("pgd_at", "step"),
        ("random_transforms", "constant"),
        ("random_transforms[transform=quilting]", "one_cycle"),
        ("mixup[mixes=2]", "one_cycle"),
        ("hm", "one_cycle"),
        ("eat[members=2,proxies=shared]", "step"),
    ],
)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(go, tmp_path, spec, schedule):
    recipe = RECIPE.model_copy(update={"schedule": schedule, "decay_every": 2, "crop": 0.5, "flip": True})
    whole, expected, _ = go(spec, recipe)
    path = tmp_path / "point.safetensors"
    for seed, epoch in ((0, 2), (9, 4)):  # the state of the previous epoch is left
        assert go(spec, recipe, path, killed_after=epoch, seed=seed)[0] is None
    model, trained, epochs = go(spec, recipe, path, seed=7)  # the initial model and generators do not matter
    assert epochs == [4, 5, 6]
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())
    for name in ("curve", "validations", "best_epoch", "cost", "relative_cost", "epochs"):
        assert getattr(trained, name) == getattr(expected, name), name
    assert (trained.resumed, expected.resumed) == (3, 0)


def test_the_generators_of_python_and_numpy_are_restored_too(tmp_path):
    point = SavePoint(tmp_path / "point.safetensors")
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    np.random.randn()  # leaves a second normal number for the next call
    point.save(model, optimizer, schedule, {}, {"epoch": 1})

    def drawn():
        return random.random(), np.random.randn(), np.random.rand(), torch.rand(3).tolist()

    expected = drawn()
    assert point.restore(model, optimizer, schedule) == ({"epoch": 1}, {})
    assert drawn() == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b""),
        lambda path: save_file({"model.x": torch.zeros(1)}, path),
        lambda path: save_file({"model.x": torch.zeros(1)}, path, {"about": '{"environment": {}}'}),
    ],
)
def test_without_a_sound_file_of_the_same_environment_a_training_starts_over(go, tmp_path, damage):
    path = tmp_path / "point.safetensors"
    go(path=path, killed_after=3)
    assert SavePoint(path).notes()["epoch"] == 2
    damage(path)
    assert SavePoint(path).notes() is None
    assert go(path=path)[2] == [1, 2, 3, 4, 5, 6]


def test_it_writes_no_more_often_than_the_interval(tmp_path, monkeypatch):
    path = tmp_path / "point.safetensors"
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    clock = iter([0.0, 59.0, 61.0, 61.0, 100.0, 122.0, 122.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    point = SavePoint(path, every=60)
    written = []
    for epoch in range(4):
        point.save(model, optimizer, schedule, {}, {"epoch": epoch})
        written.append(point.notes()["epoch"] if path.exists() else None)
    assert written == [None, 1, 1, 3]


@pytest.mark.parametrize(
    "other",
    [
        lambda: (torch.nn.Linear(3, 2), {}),
        lambda: (torch.nn.Sequential(torch.nn.Linear(2, 2)), {}),
        lambda: (torch.nn.Linear(2, 2), {"packages": {"torch": "1.0"}}),
        lambda: (torch.nn.Linear(2, 2), {"groups": 2}),
    ],
    ids=["shape", "names", "packages", "groups"],
)
def test_a_state_that_does_not_fit_changes_nothing(tmp_path, other):
    def parts(model, packages=None, groups=1):
        parameters = list(model.parameters())
        given = [{"params": parameters[:1]}, {"params": parameters[1:]}] if groups == 2 else parameters
        optimizer = torch.optim.AdamW(given)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
        return SavePoint(tmp_path / "point.safetensors", packages=packages), model, optimizer, schedule

    point, *trained = parts(torch.nn.Linear(2, 2))
    point.save(*trained, {}, {"epoch": 1})
    assert point.restore(*trained) is not None
    model, options = other()
    point, *trained = parts(model, **options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert point.restore(*trained) is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_optimizer_state_has_the_memory_format_of_the_weights(tmp_path):
    point = SavePoint(tmp_path / "point.safetensors")
    model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    model(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    point.save(model, optimizer, schedule, {}, {"epoch": 1})
    assert point.restore(model, optimizer, schedule) is not None
    state = optimizer.state[model.weight]
    assert state["exp_avg"].stride() == model.weight.stride()
    assert state["step"].shape == ()


@pytest.fixture
def saved(tmp_path):
    """A save point on disk, and the parts that it is restored into."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    model(torch.rand(1, 2)).sum().backward()
    optimizer.step()
    point = SavePoint(tmp_path / "unfinished" / "x.safetensors")
    point.save(model, optimizer, schedule, {}, {"epoch": 1})
    return point, (model, optimizer, schedule)


def test_no_flipped_bit_is_restored(saved, capsys):
    point, parts = saved
    sound, before = point.path.read_bytes(), parts[0].weight.detach().clone()
    for place in random.Random(0).sample(range(8 * len(sound)), 80):
        changed = bytearray(sound)
        changed[place // 8] ^= 1 << place % 8
        point.path.write_bytes(changed)
        assert point.restore(*parts) is None and not point.path.exists()
    assert torch.equal(parts[0].weight, before)
    assert len(list(point.path.parent.glob("x.safetensors.damaged*"))) == 80
    assert capsys.readouterr().err.count("is damaged (") == 80
    point.path.write_bytes(sound)
    assert point.restore(*parts) is not None


def without(name):
    def change(path):
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        kept = {key: value for key, value in tensors.items() if not key.endswith(name)}
        assert len(kept) < len(tensors)
        save_file(kept, path, metadata)

    return change


def copy_of_another(path):
    other = path.with_name("y.safetensors")
    shutil.copy(path, other)
    path.write_bytes(other.read_bytes().replace(b"unfinished/x.", b"unfinished/y."))


@pytest.mark.parametrize(
    "damage",
    [
        without(".step"),
        without(".exp_avg"),
        copy_of_another,
        lambda path: path.write_bytes(b""),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_damage_is_set_aside_and_the_training_starts_over(saved, damage, capsys):
    point, parts = saved
    damage(point.path)
    assert point.restore(*parts) is None
    assert point.path.with_name("x.safetensors.damaged").exists() and not point.path.exists()
    assert f"warning: {point.path} is damaged (" in capsys.readouterr().err
    assert point.restore(*parts) is None


def test_the_save_point_of_another_training_is_not_restored(saved):
    point, parts = saved
    other = SavePoint(point.path.with_name("y.safetensors"))
    shutil.copy(point.path, other.path)
    assert other.restore(*parts) is None
    assert point.restore(*parts) is not None


def test_notes_that_lack_what_a_training_needs_are_set_aside(saved, capsys):
    point, parts = saved
    assert point.restore(*parts, needed=("epoch",)) is not None
    assert point.restore(*parts, needed=("epoch", "curve")) is None
    assert "is damaged (it has no curve)" in capsys.readouterr().err


def test_a_full_disk_ends_the_run_and_keeps_what_was_saved(saved, monkeypatch):
    point, parts = saved
    sound = point.path.read_bytes()

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(state_file, "save_file", full)
    with pytest.raises(StorageFullError, match=f"{point.path} cannot be written: the disk is full"):
        point.save(*parts, {}, {"epoch": 2})
    assert point.path.read_bytes() == sound and list(point.path.parent.iterdir()) == [point.path]


def test_a_training_of_a_run_that_is_stopped_saves_after_its_epoch_and_resumes(make_member, images, tmp_path):
    def go(stopping):
        torch.manual_seed(0)
        model = DEFENSES.build("vanilla").build(make_member, images.labels)
        point = SavePoint(tmp_path / "point.safetensors", every=1000, stopping=stopping)
        unit = count_flops(make_member(), images.image_shape)
        return train(
            DEFENSES.build("vanilla"), model, images, RECIPE, 0.1, unit, held_out=images, save_point=point
        )

    asked = iter([False, True])
    with pytest.raises(InterruptedJobError, match="the training is saved"):
        go(lambda: next(asked))
    assert SavePoint(tmp_path / "point.safetensors").notes()["epoch"] == 2
    assert go(lambda: False).resumed == 2
