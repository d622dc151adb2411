from fractions import Fraction

import pytest
import torch
from torch.nn import functional as F

from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.data import ImageSet
from benchmark.models import count_flops
from benchmark.records import ValidationResult
from benchmark.training import Recipe, Validator, train
from benchmark.training.loop import _BestEpoch
from defenses import DEFENSES

RECIPE = Recipe(epochs=6, batch_size=32, lr=0.02, validations=3)


@pytest.fixture
def member(make_member, images):
    member = make_member().train()
    with torch.no_grad():
        for _ in range(10):
            member(images.images)
    return member


class WholeNumbers(Embedder):
    """Embeds by vectors of -1, 0 and 1 (and a last 1), so that unequal cosines differ by 1e-4 and more."""

    def numbers(self, images):
        pixels = images.flatten(1)[:, :16]
        return torch.cat([(2 * pixels - 1).round(), torch.ones(len(images), 1)], dim=1)

    def forward(self, images):
        return F.normalize(self.numbers(images))


def exact_map_at_r(vectors, labels):
    """mAP@R, query by query, in exact arithmetic; of equally similar images, negatives come first."""
    vectors, values = vectors.int().tolist(), []
    for i, query in enumerate(vectors):

        def squared_cosine(j, query=query):  # with its sign, times the squared length of the query
            product = sum(x * y for x, y in zip(query, vectors[j], strict=True))
            return Fraction(product * abs(product), sum(x * x for x in vectors[j]))

        others = [j for j in range(len(labels)) if j != i]
        others.sort(key=lambda j: (-squared_cosine(j), bool(labels[j] == labels[i])))
        correct = [bool(labels[j] == labels[i]) for j in others]
        count = sum(correct)
        values.append(sum(sum(correct[: k + 1]) / (k + 1) for k in range(count) if correct[k]) / count)
    return sum(values) / len(values)


def test_the_clean_score_is_map_at_r(images):
    model = WholeNumbers()
    result = Validator(images, 0.0, "cpu").validate(model, 4)
    expected = exact_map_at_r(model.numbers(images.images), images.labels)
    assert 0.1 < expected < 0.9
    assert result.clean_map_r == pytest.approx(expected, abs=1e-9)
    assert result.attacked_map_r == result.clean_map_r
    assert result.epoch == 4


def test_a_larger_ball_leaves_less_of_the_score(member, images):
    weak, strong = (Validator(images, eps, "cpu").validate(member, 1) for eps in (0.02, 0.2))
    assert weak.clean_map_r == strong.clean_map_r
    assert strong.attacked_map_r < weak.attacked_map_r < weak.clean_map_r


@pytest.mark.parametrize("spec", ["vanilla", "random_transforms"])
def test_validation_changes_neither_the_model_nor_the_generator(make_member, images, spec):
    model = DEFENSES.build(spec).build(make_member, images.labels).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    Validator(images, 0.1, "cpu").validate(model, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_validation_does_not_change_the_training(make_member, images):
    curves = []
    for held_out in (None, images):
        torch.manual_seed(1)
        model = make_member()
        unit = count_flops(model, images.image_shape)
        trained = train(DEFENSES.build("pgd_at"), model, images, RECIPE, 0.1, unit, held_out=held_out)
        curves.append((trained.curve, trained.cost, trained.relative_cost))
    assert curves[0] == curves[1]


def test_the_best_epoch_is_kept(make_member, images, monkeypatch):
    scores = iter([0.2, 0.9, 0.4])
    seen = {}

    def validate(self, model, epoch):
        seen[epoch] = {key: value.clone() for key, value in model.state_dict().items()}
        return ValidationResult(epoch=epoch, clean_map_r=(score := next(scores)), attacked_map_r=score)

    monkeypatch.setattr(Validator, "validate", validate)
    model = make_member()
    unit = count_flops(model, images.image_shape)
    trained = train(DEFENSES.build("vanilla"), model, images, RECIPE, 0.1, unit, held_out=images)
    assert [result.epoch for result in trained.validations] == [2, 4, 6]
    assert (trained.best_epoch, trained.epochs, len(trained.curve)) == (4, 6, 6)
    assert all(torch.equal(value, seen[4][key]) for key, value in model.state_dict().items())
    assert not all(torch.equal(value, seen[6][key]) for key, value in model.state_dict().items())


def test_without_validation_classes_the_last_epoch_is_kept(make_member, images):
    model = make_member()
    unit = count_flops(model, images.image_shape)
    trained = train(DEFENSES.build("vanilla"), model, images, RECIPE, 0.1, unit, epochs=3)
    assert (trained.best_epoch, trained.epochs, trained.validations) == (3, 3, [])


def test_of_two_epochs_with_equal_scores_the_later_is_kept():
    best, model = _BestEpoch(), torch.nn.Linear(1, 1)
    for epoch, score in ((1, 0.5), (2, 0.5), (3, 0.4)):
        best.offer(ValidationResult(epoch=epoch, clean_map_r=score, attacked_map_r=score), model)
    assert best.result.epoch == 2


def test_whole_classes_are_held_out_and_always_the_same(make_images):
    images = make_images(classes=20, per_class=3)
    kept, held_out = images.hold_out(0.15)
    assert (kept.num_classes, held_out.num_classes) == (17, 3)
    assert len(kept) + len(held_out) == len(images)
    assert set(kept.ids.tolist()).isdisjoint(held_out.ids.tolist())
    assert held_out.labels.bincount().tolist() == [3, 3, 3]
    torch.manual_seed(5)
    assert torch.equal(images.hold_out(0.15)[1].ids, held_out.ids)
    assert not torch.equal(held_out.ids, images.ids[:9])
    assert not torch.equal(held_out.ids, images.ids[-9:])


def test_too_few_classes_to_hold_any_out():
    images = ImageSet(torch.zeros(6, 1, 2, 2), torch.tensor([0, 0, 1, 1, 2, 2]), torch.arange(6))
    with pytest.raises(UsageError, match="3 training classes are too few to hold out 2"):
        images.hold_out(0.1)


def test_half_precision_trains_with_weights_in_full_precision(make_member, images):
    model = make_member()
    unit = count_flops(model, images.image_shape)
    recipe = Recipe(epochs=4, batch_size=32, lr=0.02, precision="bfloat16")
    seen = []
    model.embedder.network[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    trained = train(DEFENSES.build("pgd_at"), model, images, recipe, 0.1, unit, held_out=images)
    assert set(seen) == {torch.bfloat16, torch.float32}  # validation runs in full precision
    assert trained.curve[-1] < trained.curve[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
