import torch
import torch.nn.functional as F

from attacks.ranking import MEASURES
from attacks.ranking.targets import draw, nearest_of_other_classes, one_percent

IDS = torch.arange(40) * 13 + 5


def points(n=40, d=5):
    return F.normalize(torch.randn(n, d))


def test_any_image_but_itself_can_be_drawn():
    clean = points()
    drawn = torch.stack([draw(clean, IDS, seed) for seed in range(400)])
    assert not (drawn == torch.arange(40)).any()
    counts = torch.bincount(drawn[:, 7], minlength=40)
    assert counts[7] == 0
    others = counts[torch.arange(40) != 7].double()
    expected = 400 / 39
    assert float(((others - expected) ** 2 / expected).sum()) < 75  # chi square, 38 degrees: 0.0003
    assert not torch.equal(drawn[0], drawn[1])


def test_the_nearest_are_drawn_from_evenly():
    clean = points()
    cosines = clean @ clean.t()
    cosines.fill_diagonal_(-2)
    nearest = cosines.topk(3, dim=1).indices
    drawn = torch.stack([draw(clean, IDS, seed, nearest=3) for seed in range(300)])
    for image in (0, 21):
        counts = [int((drawn[:, image] == item).sum()) for item in nearest[image]]
        assert sum(counts) == 300
        assert min(counts) > 70
    assert torch.equal(draw(clean, IDS, "x", nearest=1), nearest[:, 0])


def test_draws_depend_on_ids_and_not_on_the_order_of_the_pool():
    clean, order = points(), torch.randperm(40)
    for nearest in (None, 4):
        before = draw(clean, IDS, "m", 0, nearest=nearest)
        after = draw(clean[order], IDS[order], "m", 0, nearest=nearest)
        assert torch.equal(IDS[before][order], IDS[order][after])


def test_draws_from_the_nearest_do_not_depend_on_their_order():
    """Rounding may swap neighbors; the draw depends only on the set of the nearest."""
    angles = torch.linspace(0, 0.01, 40).square()
    clean = torch.stack([angles.cos(), angles.sin()], dim=1).double()
    mirrored = clean.flip(1)
    assert torch.equal(draw(clean, IDS, 1, nearest=39), draw(mirrored, IDS, 1, nearest=39))
    assert torch.equal(draw(clean, IDS, 1, nearest=39), draw(clean, IDS, 1))


def test_the_nearest_of_other_classes():
    clean, labels = points(), torch.arange(40) % 5
    for i, found in enumerate(nearest_of_other_classes(clean, labels).tolist()):
        others = [j for j in range(40) if labels[j] != labels[i]]
        assert found == max(others, key=lambda j: float(clean[i] @ clean[j]))


def test_one_percent_is_at_least_one_image():
    assert [one_percent(n) for n in (2, 99, 100, 250, 5924)] == [1, 1, 1, 2, 59]


def test_each_measure_draws_its_own():
    clean, labels = points(), torch.arange(40) % 5
    drawn = {name: MEASURES.build(name).targets(clean, labels, IDS) for name in MEASURES.names()}
    assert not torch.equal(drawn["ca_plus"], drawn["qa_plus"])
    assert not torch.equal(drawn["tma"], MEASURES.build("tma[seed=1]").targets(clean, labels, IDS))
    assert torch.equal(drawn["es"], torch.arange(40))
