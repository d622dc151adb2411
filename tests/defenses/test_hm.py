import pytest
import torch
from safetensors.torch import load_model, save_model

from defenses import DEFENSES
from defenses.triplets import mine


@pytest.fixture
def build(make_member, settle, images):
    """A defense with random triplets, and its settled model in evaluation mode."""

    def make(parameters):
        defense = DEFENSES.build(f"hm[mining=random,{parameters}]")
        return defense, settle(defense.build(make_member, images.labels)).eval()

    return make


@pytest.mark.parametrize(
    ("previous", "expected"), [(2.0, -0.2), (0.2, -0.2), (0.15, -0.15), (0.05, -0.05), (0.0, 0.0)]
)
def test_the_gradual_destination(build, batch, previous, expected):
    defense, model = build("ics=0.5")
    model.previous_loss.fill_(previous)
    assert defense.destinations(model, batch).item() == pytest.approx(expected)


@pytest.mark.parametrize("previous", [2.0, 0.07, 0.0])
def test_the_attack_raises_hardness_to_the_destination_and_no_further(
    build, batch, recorder, rows, seeded_loss, hardness_by_loops, previous
):
    defense, model = build("ics=0.5")
    model.previous_loss.fill_(previous)
    seeded_loss(defense, model)
    images = rows.select(batch.images).stacked()  # all three elements
    objective = recorder.only_objective(model, images)
    other = torch.rand_like(images).requires_grad_(True)
    value = objective(other)
    hardnesses = hardness_by_loops(*model(other).chunk(3))
    destination = -min(previous, 0.2)
    terms = [min(0.0, h - destination) ** 2 for h in hardnesses]
    assert value.item() == pytest.approx(-sum(terms) / len(terms), rel=1e-3)
    (gradient,) = torch.autograd.grad(value, other)
    has_gradient = (gradient.flatten(1).abs().amax(1) > 0).view(3, -1).any(0).tolist()
    assert has_gradient == [h < destination for h in hardnesses]
    assert len(set(has_gradient)) == 2


@pytest.mark.parametrize("base", ["none", "clean", "adversarial"])
@pytest.mark.parametrize(("ics", "margin"), [(0.5, 0.2), (0, 0.4)])
def test_the_loss_and_the_stored_loss_by_loops(
    build, batch, recorder, rows, seeded_loss, expected_loss, triplet_loss_by_loops, base, ics, margin
):
    defense, model = build(f"ics={ics},margin={margin},base={base},weight=3")
    loss = seeded_loss(defense, model)
    clean = rows.select(batch.images)
    perturbed = [model(recorder.changed(images)) for images in (clean.anchor, clean.positive, clean.negative)]
    term = triplet_loss_by_loops(*perturbed, margin)
    assert model.previous_loss.item() == pytest.approx(term, rel=1e-4)  # without the intra-class part
    structure = triplet_loss_by_loops(model(clean.anchor), perturbed[0], model(clean.positive), 0.0)
    expected = expected_loss(model, perturbed, term + ics * structure, base, 3)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert term > 0.01


def test_a_destination_from_another_benign_triplet_of_the_same_anchor(
    build, batch, recorder, rows, seeded_loss, hardness_by_loops
):
    defense, model = build("destination=hard")
    seeded_loss(defense, model)
    torch.manual_seed(11)
    mine(batch.labels, "random", 0.2)  # the draw of the triplets that are trained on
    embeddings = model(batch.images)
    harder = mine(batch.labels, "hard", 0.2, embeddings)
    assert torch.equal(harder.anchor, rows.anchor)
    images = rows.select(batch.images).stacked()
    triplets = harder.select(embeddings)
    destinations = hardness_by_loops(triplets.anchor, triplets.positive, triplets.negative)
    terms = [
        min(0.0, h - destination) ** 2
        for h, destination in zip(hardness_by_loops(*model(images).chunk(3)), destinations, strict=True)
    ]
    objective = recorder.only_objective(model, images)
    assert objective(images).item() == pytest.approx(-sum(terms) / len(terms), rel=1e-3)
    assert sum(terms) > 0.01


def test_the_stored_loss_is_part_of_the_model_and_of_its_checkpoint(build, batch, recorder, tmp_path):
    defense, first = build("ics=0.5")
    _, second = build("ics=0.5")
    defense.loss(first, batch, recorder)
    assert first.previous_loss.item() < 1
    assert second.previous_loss.item() == 2
    save_model(first, str(tmp_path / "model.safetensors"))
    load_model(second, str(tmp_path / "model.safetensors"))
    assert torch.equal(second.previous_loss, first.previous_loss)
