import pytest
import torch

from benchmark.core.errors import UsageError
from defenses import DEFENSES


@pytest.fixture
def teacher(make_member, settle):
    return settle(make_member()).eval().requires_grad_(False)


@pytest.fixture
def model(make_member, settle, teacher, batch):
    model = DEFENSES.build("fare").build_from(make_member, batch.labels, {"vanilla": teacher})
    model.student.load_state_dict(settle(make_member()).state_dict())  # as after some training
    return model.eval()


def test_it_starts_at_the_teacher_and_embeds_with_the_student(make_member, batch, teacher):
    model = DEFENSES.build("fare").build_from(make_member, batch.labels, {"vanilla": teacher}).eval()
    assert torch.equal(model(batch.images), teacher(batch.images))
    assert model.members == [model.student] and model.teacher is teacher
    assert all(parameter.requires_grad for parameter in model.student.parameters())


def test_the_loss_is_the_squared_distance_from_the_teacher(model, batch, recorder, teacher, euclidean):
    value = DEFENSES.build("fare").loss(model, batch, recorder)
    targets = teacher(batch.images)
    moved = model(recorder.changed(batch.images)).detach()
    squares = [euclidean(x, y) ** 2 for x, y in zip(moved, targets, strict=True)]
    assert sum(squares) > 0.001
    assert value.item() == pytest.approx(sum(squares) / len(squares), abs=1e-5)
    objective = recorder.only_objective(model.student, batch.images)
    assert objective(recorder.changed(batch.images)).tolist() == pytest.approx(squares, abs=1e-5)


def test_a_step_leaves_the_teacher_as_it_was(model, batch, recorder, teacher):
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    DEFENSES.build("fare").loss(model.train(), batch, recorder).backward()
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(parameter.grad is not None for parameter in model.student.parameters())


def test_no_label_is_used(model, batch, recorder):
    defense = DEFENSES.build("fare")
    assert torch.equal(
        defense.loss(model, batch, recorder),
        defense.loss(model, type(batch)(batch.images, batch.labels.flip(0), batch.index), recorder),
    )


def test_the_clean_weight_mixes_in_the_distance_of_the_clean_images(model, batch, recorder, teacher):
    def distance(images):
        return (model(images) - teacher(batch.images)).square().sum(1).mean().item()

    value = DEFENSES.build("fare[clean_weight=0.25]").loss(model, batch, recorder).item()
    robust, clean = distance(recorder.changed(batch.images)), distance(batch.images)
    assert abs(robust - clean) > 1e-3
    assert value == pytest.approx(0.75 * robust + 0.25 * clean, abs=1e-5)


@pytest.mark.parametrize("value", ["-0.1", "1", "nan"])
def test_a_clean_weight_out_of_range_is_an_error(value):
    with pytest.raises(UsageError, match="clean_weight"):
        DEFENSES.build(f"fare[clean_weight={value}]")
