import math

import pytest
import torch
from safetensors.torch import load_model, save_model

from defenses import DEFENSES
from defenses.triplets import mine


def euclidean(x, y):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)))


def slow_hardness(anchors, positives, negatives):
    return [euclidean(a, p) - euclidean(a, n) for a, p, n in zip(anchors, positives, negatives, strict=True)]


def slow_triplet_loss(anchors, positives, negatives, margin):
    values = [max(0.0, h + margin) for h in slow_hardness(anchors, positives, negatives)]
    return sum(values) / len(values)


@pytest.fixture
def build(make_member, images):
    """A defense with random triplets, its model in evaluation mode, and the triplets that it will draw."""

    def make(parameters, batch):
        defense = DEFENSES.build(f"hm[mining=random,{parameters}]")
        model = defense.build(make_member, images.labels).train()
        for _ in range(30):  # batch norm's running statistics settle: else all embeddings are alike
            model(batch.images)
        model.eval()
        torch.manual_seed(11)
        rows = mine(batch.labels, "random", 0.2)
        torch.manual_seed(11)
        return defense, model, (rows.anchor, rows.positive, rows.negative)

    return make


@pytest.mark.parametrize(
    ("previous", "wanted"), [(2.0, -0.2), (0.2, -0.2), (0.15, -0.15), (0.05, -0.05), (0.0, 0.0)]
)
def test_the_gradual_destination(build, batch, previous, wanted):
    defense, model, _ = build("ics=0.5", batch)
    model.previous_loss.fill_(previous)
    assert defense.destinations(model, batch).item() == pytest.approx(wanted)
    assert wanted == pytest.approx(-0.2 * min(max(previous, 0), 0.2) / 0.2)


@pytest.mark.parametrize("previous", [2.0, 0.07, 0.0])
def test_the_attack_raises_hardness_to_the_destination_and_no_further(build, batch, recorder, previous):
    defense, model, rows = build("ics=0.5", batch)
    model.previous_loss.fill_(previous)
    defense.loss(model, batch, recorder)
    ((objective, images, attacked, start),) = recorder.calls
    assert (attacked, start) == (model, "uniform")
    assert torch.equal(images, torch.cat([batch.images[row] for row in rows]))  # all three elements
    other = torch.rand_like(images).requires_grad_(True)
    value = objective(other)
    reached = slow_hardness(*model(other).chunk(3))
    destination = -min(previous, 0.2)
    slow = [min(0.0, h - destination) ** 2 for h in reached]
    assert value.item() == pytest.approx(-sum(slow) / len(slow), rel=1e-3)
    (gradient,) = torch.autograd.grad(value, other)
    moves = (gradient.flatten(1).abs().amax(1) > 0).view(3, -1).any(0).tolist()
    assert moves == [h < destination for h in reached]
    assert len(set(moves)) == 2


@pytest.mark.parametrize("base", ["none", "clean", "adversarial"])
@pytest.mark.parametrize(("ics", "margin"), [(0.5, 0.2), (0, 0.4)])
def test_the_loss_and_what_is_remembered_by_loops(build, batch, recorder, base, ics, margin):
    defense, model, rows = build(f"ics={ics},margin={margin},base={base},weight=3", batch)
    loss = defense.loss(model, batch, recorder).item()
    perturbed = [model(recorder.changed(batch.images[row])) for row in rows]
    clean_anchors, clean_positives = model(batch.images[rows[0]]), model(batch.images[rows[1]])
    term = slow_triplet_loss(*perturbed, margin)
    assert model.previous_loss.item() == pytest.approx(term, rel=1e-4)  # without the intra-class part
    structure = slow_triplet_loss(clean_anchors, perturbed[0], clean_positives, 0.0)
    robust = term + ics * structure
    labels = torch.cat([batch.labels[row] for row in rows])
    expected = {
        "none": robust,
        "clean": model.criterion(model(batch.images), batch.labels).item() + 3 * robust,
        "adversarial": model.criterion(torch.cat(perturbed), labels).item() + 3 * robust,
    }[base]
    assert loss == pytest.approx(expected, rel=1e-4)
    assert term > 0.01


def test_a_destination_from_another_benign_triplet_of_the_same_anchor(build, batch, recorder):
    defense, model, rows = build("destination=hard", batch)
    defense.loss(model, batch, recorder)
    torch.manual_seed(11)
    mine(batch.labels, "random", 0.2)
    embeddings = model(batch.images)
    harder = mine(batch.labels, "hard", 0.2, embeddings)
    assert torch.equal(harder.anchor, rows[0])
    ((objective, images, *_),) = recorder.calls
    triplets = (embeddings[row] for row in (harder.anchor, harder.positive, harder.negative))
    slow = [
        min(0.0, reached - wanted) ** 2
        for reached, wanted in zip(
            slow_hardness(*model(images).chunk(3)), slow_hardness(*triplets), strict=True
        )
    ]
    assert objective(images).item() == pytest.approx(-sum(slow) / len(slow), rel=1e-3)
    assert sum(slow) > 0.01


def test_what_is_remembered_is_the_models_own_and_in_its_checkpoint(build, batch, recorder, tmp_path):
    defense, first, _ = build("ics=0.5", batch)
    _, second, _ = build("ics=0.5", batch)
    defense.loss(first, batch, recorder)
    assert first.previous_loss.item() < 1
    assert second.previous_loss.item() == 2
    save_model(first, str(tmp_path / "model.safetensors"))
    load_model(second, str(tmp_path / "model.safetensors"))
    assert torch.equal(second.previous_loss, first.previous_loss)
