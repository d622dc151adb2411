import math

import pytest
import torch

from defenses import DEFENSES
from defenses.triplets import mine

ELEMENTS = ("anchor", "positive", "negative")


def euclidean(x, y):
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)))


@pytest.fixture
def rows(batch):
    torch.manual_seed(11)
    return mine(batch.labels, "random", 0.2)


def test_the_positive_unless_told_otherwise():
    assert DEFENSES.build("panum").element == "positive"


@pytest.mark.parametrize("element", ELEMENTS)
def test_one_element_is_perturbed_and_the_others_stay(make_member, batch, recorder, rows, element):
    member = make_member().train()
    for _ in range(30):
        member(batch.images)
    before = {key: value.clone() for key, value in member.state_dict().items()}
    torch.manual_seed(11)  # as for the fixture
    DEFENSES.build(f"panum[element={element}]").loss(member, batch, recorder)
    ((objective, images, model, start),) = recorder.calls
    assert (model, start) == (member, "uniform")
    assert torch.equal(images, batch.images[getattr(rows, element)])
    member.load_state_dict(before)
    member.eval()
    other = torch.rand_like(images)
    embedded = {name: member(batch.images[getattr(rows, name)]) for name in ELEMENTS}
    embedded[element] = member(other)
    values = objective(other).tolist()
    for value, a, p, n in zip(values, *(embedded[name] for name in ELEMENTS), strict=True):
        assert value == pytest.approx(euclidean(a, p) - euclidean(a, n), abs=1e-5)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("base", ["none", "clean", "adversarial"])
def test_the_loss_by_loops(make_member, batch, recorder, rows, element, base):
    member = make_member().train()
    for _ in range(30):  # batch norm's running statistics settle: else all embeddings are alike
        member(batch.images)
    member.eval()
    defense = DEFENSES.build(f"panum[element={element},base={base},weight=3,margin=0.3]")
    torch.manual_seed(11)  # as for the fixture
    loss = defense.loss(member, batch, recorder).item()
    embedded = []
    for name in ELEMENTS:
        images = batch.images[getattr(rows, name)]
        embedded.append(member(recorder.changed(images) if name == element else images))
    values = [max(0.0, euclidean(a, p) - euclidean(a, n) + 0.3) for a, p, n in zip(*embedded, strict=True)]
    term = sum(values) / len(values)
    labels = torch.cat([batch.labels[getattr(rows, name)] for name in ELEMENTS])
    expected = {
        "none": term,
        "clean": member.criterion(member(batch.images), batch.labels).item() + 3 * term,
        "adversarial": member.criterion(torch.cat(embedded), labels).item() + 3 * term,
    }[base]
    assert loss == pytest.approx(expected, rel=1e-4)
    assert term > 0.01
