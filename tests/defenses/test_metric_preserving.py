import pytest
import torch

from benchmark.core.errors import UsageError
from defenses import DEFENSES
from defenses.metric_preserving import class_means


@pytest.fixture
def teacher(make_member, settle):
    return settle(make_member()).eval().requires_grad_(False)


def test_class_means_by_loops():
    embeddings, labels = torch.rand(7, 3), torch.tensor([0, 4, 0, 1, 4, 0, 2])
    for row, mean in zip(labels, class_means(embeddings, labels), strict=True):
        own = [x.tolist() for x, y in zip(embeddings, labels, strict=True) if y == row]
        assert mean.tolist() == pytest.approx([sum(column) / len(own) for column in zip(*own, strict=True)])


@pytest.mark.parametrize("attacked", ["original", "current"])
def test_images_are_moved_away_from_those_of_their_class(
    attacked, make_member, settle, teacher, batch, recorder, euclidean
):
    defense = DEFENSES.build(f"metric_preserving[attacked={attacked}]")
    trained = dict.fromkeys(defense.needs, teacher)
    assert set(trained) == ({"vanilla"} if attacked == "original" else set())
    model = defense.build_from(make_member, batch.labels, trained).eval()
    (member,) = model.members
    settle(member).eval()
    defense.loss(model, batch, recorder)
    source = teacher if attacked == "original" else member
    objective = recorder.only_objective(source, batch.images)
    clean, moved = source(batch.images).detach(), source(recorder.changed(batch.images)).detach()
    expected = []
    for z, label in zip(moved, batch.labels, strict=True):
        squares = [euclidean(z, c) ** 2 for c, y in zip(clean, batch.labels, strict=True) if y == label]
        expected.append(sum(squares) / len(squares))
    assert max(expected) > 0.01
    found = objective(recorder.changed(batch.images)).tolist()
    # One image of a class moves from all of them, and not from a mean alone.
    shift = [a - b for a, b in zip(found, expected, strict=True)]
    by_class = {}
    for value, label in zip(shift, batch.labels.tolist(), strict=True):
        by_class.setdefault(label, []).append(value)
    assert all(max(values) - min(values) < 1e-5 for values in by_class.values())
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("attacked", ["original", "current"])
def test_the_loss_is_that_of_clean_and_adversarial_images_as_one_batch(
    attacked, make_member, settle, teacher, batch, recorder
):
    defense = DEFENSES.build(f"metric_preserving[attacked={attacked}]")
    model = defense.build_from(make_member, batch.labels, dict.fromkeys(defense.needs, teacher))
    (member,) = model.members
    settle(member).eval()
    loss = defense.loss(model, batch, recorder)
    parts = [member(batch.images), member(recorder.changed(batch.images))]
    torch.testing.assert_close(loss, member.criterion(torch.cat(parts), torch.cat([batch.labels] * 2)))


def test_a_step_leaves_the_original_as_it_was(make_member, teacher, batch, recorder):
    defense = DEFENSES.build("metric_preserving")
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    model = defense.build_from(make_member, batch.labels, {"vanilla": teacher}).train()
    model.teacher.eval()
    defense.loss(model, batch, recorder).backward()
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert not torch.equal(model.student(batch.images), teacher(batch.images))  # trained anew


def test_bad_parameters():
    with pytest.raises(UsageError, match="original"):
        DEFENSES.build("metric_preserving[attacked=both]")
