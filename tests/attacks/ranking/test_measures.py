import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau

from attacks import Problem
from attacks.ranking import MEASURES, PUBLISHED
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError

N = 24
LABELS = torch.tensor([0, 1, 2, 3] * 5 + [0, 1, 2, 4])  # class 4 has a single image
EVERY = torch.arange(N)
IDS = torch.arange(N) + 70


@pytest.fixture
def clean():
    return F.normalize(torch.randn(N, 4, dtype=torch.float64))


@pytest.fixture
def moved():
    return F.normalize(torch.randn(N, 4, dtype=torch.float64))


@pytest.fixture
def problem(clean):
    problem = Problem(Embedder(), torch.zeros(N, 1, 1, 1), LABELS, IDS, "linf", 0.1)
    problem.clean = clean
    return problem


def d(x, y):
    return float((x - y).norm())


def gallery(*absent):
    return [j for j in range(N) if j not in absent]


def loss_by_hand(name, x, i, z, t):
    """What robrank minimises, image by image, over the gallery without the query itself."""
    if name in ("ca_plus", "ca_minus"):
        sign = 1 if name == "ca_plus" else -1
        return sum(max(0.0, sign * (d(x[t], z) - d(x[t], x[j]))) for j in gallery(i, t)) / N
    if name in ("qa_plus", "qa_minus", "gtt"):
        sign = 1 if name == "qa_plus" else -1
        return sum(max(0.0, sign * (d(z, x[t]) - d(z, x[j]))) for j in gallery(i)) / N
    if name == "order":
        away = [d(z, x[j]) for j in t]
        chain = sum(max(0.0, away[a] - away[b]) for b in range(5) for a in range(b)) / 25
        return chain + 10 * sum(max(0.0, near - d(z, x[j])) for near in away for j in gallery(i)) / (5 * N)
    if name == "hub":
        return -sum(float(z @ x[j]) for j in t) / len(t)
    if name == "tma":
        return -float(z @ x[t])
    if name == "es":
        return -d(z, x[i])
    if name == "gtm":
        return d(z, x[t])
    positives = [d(z, x[j]) for j in gallery(i) if LABELS[j] == LABELS[i]]
    negatives = [d(z, x[j]) for j in gallery(i) if LABELS[j] != LABELS[i]]
    return max(0.0, max(negatives) - min(positives)) if positives else 0.0


@pytest.mark.parametrize("name", MEASURES.names())
def test_objectives_agree_with_loops(name, problem, clean, moved):
    measure = MEASURES.build(name)
    targets = measure.targets(clean, LABELS, IDS).tolist()
    score = measure.bind(problem)
    expected = [-loss_by_hand(name, clean, i, moved[i], targets[i]) for i in range(N)]
    assert score(moved, EVERY).tolist() == pytest.approx(expected, abs=1e-5)
    index = torch.tensor([19, 4, 4])
    assert score(moved[index], index).tolist() == pytest.approx(
        [expected[i] for i in index.tolist()], abs=1e-5
    )
    assert len(set(expected)) > 10
    assert torch.autograd.gradcheck(lambda z: score(z, index), moved[index].requires_grad_(True))


@pytest.mark.parametrize("name", MEASURES.names())
def test_gradients_at_the_clean_image_are_numbers(name, problem, clean):
    for dtype in (torch.float32, torch.float64):
        problem.clean = clean.to(dtype)
        start = problem.clean.clone().requires_grad_(True)
        values = MEASURES.build(name).bind(problem)(F.normalize(start), EVERY)
        (gradient,) = torch.autograd.grad(values.sum(), start)
        assert gradient.isfinite().all()
        if name == "es":
            assert (gradient.norm(dim=1) > 0.1).all()


def rank_by_hand(query, item, competitors):
    return sum(d(query, competitor) < d(query, item) for competitor in competitors) / len(competitors)


def test_percentile_ranks_agree_with_loops(clean, moved):
    for name in ("ca_plus", "ca_minus", "qa_plus", "qa_minus"):
        measure = MEASURES.build(name)
        targets = measure.targets(clean, LABELS, IDS)
        found = measure.scores(clean, moved, LABELS, targets)
        ranks = []
        for i, t in enumerate(targets.tolist()):
            competitors = [clean[j] for j in gallery(i, t)]
            pair = (clean[t], moved[i]) if name.startswith("ca") else (moved[i], clean[t])
            ranks.append(rank_by_hand(*pair, competitors))
        assert found == pytest.approx({name: sum(ranks) / N, f"{name}_published": sum(ranks) / N})
        assert 0.2 < found[name] < 0.8


def test_recalls_cosines_and_distances_agree_with_loops(clean, moved):
    right = []
    for i in range(N - 1):  # the last has no positive
        top = min(gallery(i), key=lambda j: d(moved[i], clean[j]))
        right.append(LABELS[top] == LABELS[i])
    recall = sum(map(int, right)) / len(right)
    for name in ("ltm", "gtm"):
        found = MEASURES.build(name).scores(clean, moved, LABELS, EVERY)
        assert found == pytest.approx({f"{name}_r1": recall, f"{name}_r1_published": recall})
    shift = sum(d(moved[i], clean[i]) for i in range(N)) / N
    found = MEASURES.build("es").scores(clean, moved, LABELS, EVERY)
    assert found == pytest.approx({"es_d": shift, "es_r1": recall, "es_r1_published": recall})
    tma = MEASURES.build("tma")
    targets = tma.targets(clean, LABELS, IDS)
    cosines = [float(moved[i] @ clean[t]) for i, t in enumerate(targets.tolist())]
    assert tma.scores(clean, moved, LABELS, targets) == pytest.approx({"tma": sum(cosines) / N}, abs=1e-6)


def test_gtt_is_the_fraction_of_queries_that_keep_their_first(clean, moved):
    measure = MEASURES.build("gtt")
    attacked = F.normalize(clean + 0.4 * moved)
    kept = []
    for i in range(N):
        first = min(gallery(i), key=lambda j: d(clean[i], clean[j]))
        assert int(measure.targets(clean, LABELS, IDS)[i]) == first
        kept.append(first in sorted(gallery(i), key=lambda j: d(attacked[i], clean[j]))[:4])
    found = measure.scores(clean, attacked, LABELS, measure.targets(clean, LABELS, IDS))
    assert found == pytest.approx({"gtt": sum(kept) / N, "gtt_published": sum(kept) / N})
    assert 0 < found["gtt"] < 1


def test_hubs_are_the_first_result_of_queries_of_other_classes(clean, moved):
    measure = MEASURES.build("hub[queries=3]")
    targets = measure.targets(clean, LABELS, IDS)
    assert targets.shape == (N, 3) and (LABELS[targets] != LABELS.unsqueeze(1)).all()
    assert all(len(set(row)) == 3 for row in targets.tolist())
    shares = []
    for i in range(N):
        foreign = [q for q in range(N) if LABELS[q] != LABELS[i]]
        first = [
            q for q in foreign if all(d(clean[q], moved[i]) < d(clean[q], clean[j]) for j in gallery(i, q))
        ]
        shares.append(len(first) / len(foreign))
    found = measure.scores(clean, moved, LABELS, targets)
    mean = sum(shares) / N
    assert found == pytest.approx({"hub_top1": mean, "hub_top1_published": mean}) and mean > 0


@pytest.mark.parametrize(("count", "visible"), [(5, None), (5, 6), (3, 4)])
def test_the_correlation_of_orders_agrees_with_loops(clean, moved, count, visible):
    measure = MEASURES.get("order")(candidates=count, visible=visible)
    targets = measure.targets(clean, LABELS, IDS)
    attacked = F.normalize(clean + 0.4 * moved)
    expected = []
    for i in range(N):
        near = sorted(gallery(i), key=lambda j: d(clean[i], clean[j]))[:count]
        assert sorted(targets[i].tolist()) == sorted(near)
        ranking = sorted(gallery(i), key=lambda j: d(attacked[i], clean[j]))
        place = [ranking.index(j) for j in targets[i].tolist()]
        pairs = [(place[a], place[b]) for b in range(count) for a in range(b)]
        signs = [1 if a < b and max(a, b) < (visible or N) else -1 for a, b in pairs]
        expected.append(sum(signs) / len(signs))
        if visible is None:
            assert expected[-1] == pytest.approx(kendalltau(range(count), place).statistic)
    mean = sum(expected) / N
    found = measure.scores(clean, attacked, LABELS, targets)
    assert found == pytest.approx({"order_src": mean, "order_src_published": mean})
    assert len(set(expected)) > 2


def test_drawn_orders_are_fair_and_depend_on_ids_only(clean):
    measure = MEASURES.build("order[candidates=3]")
    targets = measure.targets(clean, LABELS, IDS)
    mixed = torch.randperm(N)
    assert torch.equal(mixed[measure.targets(clean[mixed], LABELS[mixed], IDS[mixed])], targets[mixed])
    assert not torch.equal(MEASURES.build("order[candidates=3,seed=1]").targets(clean, LABELS, IDS), targets)
    many = F.normalize(torch.randn(900, 4, generator=torch.Generator().manual_seed(0)))
    drawn = measure.targets(many, torch.zeros(900), torch.arange(900))
    near = (many @ many.t()).fill_diagonal_(-2).topk(3).indices
    first = (drawn[:, :1] == near).double().mean(0)
    assert (first - 1 / 3).abs().max() < 0.06


def test_an_order_needs_more_images_than_candidates(clean):
    with pytest.raises(BenchmarkError, match=r"order\[candidates=24\] needs a pool of more than 24 images"):
        MEASURES.build("order[candidates=24]").targets(clean, LABELS, IDS)


def test_a_clean_pool_by_hand():
    """Six images on an arc: two classes of three, at 0, 1, 3 and 40, 41, 43 degrees."""
    angles = torch.deg2rad(torch.tensor([0.0, 1.0, 3.0, 40.0, 41.0, 43.0]))
    clean = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    ids = torch.arange(6)
    nearest = [1, 0, 1, 4, 3, 4]
    for name in ("ca_minus", "qa_minus", "gtt"):
        measure = MEASURES.build(name)
        targets = measure.targets(clean, labels, ids)
        assert targets.tolist() == nearest
        rank = measure.scores(clean, clean, labels, targets)[name]
        # Images 2 and 5 have one of four competitors ahead of them in the rankings of 1 and 4, the rest none.
        assert rank == pytest.approx({"ca_minus": 2 * (1 / 4) / 6, "qa_minus": 0.0, "gtt": 1.0}[name])
    assert MEASURES.build("gtm").targets(clean, labels, ids).tolist() == [3, 3, 3, 2, 2, 2]
    for name in ("es", "ltm", "gtm"):
        assert MEASURES.build(name).scores(clean, clean, labels, EVERY[:6])[f"{name}_r1"] == 1.0


def test_a_constant_embedding_under_both_treatments_of_ties():
    constant = torch.ones(N, 3)
    found = {}
    for name in MEASURES.names():
        measure = MEASURES.build(name)
        found |= measure.scores(constant, constant, LABELS, measure.targets(constant, LABELS, IDS))
    against = {name: value for name, value in found.items() if not name.endswith(PUBLISHED)}
    assert against == pytest.approx(
        {"ca_plus": 0, "ca_minus": 1, "qa_plus": 0, "qa_minus": 1, "tma": 1, "es_d": 0}
        | {"es_r1": 0, "ltm_r1": 0, "gtm_r1": 0, "gtt": 0, "order_src": 1, "hub_top1": 1}
    )
    sizes = torch.bincount(LABELS)
    chance = [float((sizes[y] - 1) / (N - 1)) for y in LABELS.tolist() if sizes[y] > 1]
    recall = sum(chance) / len(chance)
    published = {name.removesuffix(PUBLISHED): found[name] for name in found if name not in against}
    assert published == pytest.approx(
        {"ca_plus": 0, "ca_minus": 0, "qa_plus": 0.5, "qa_minus": 0.5}
        | {
            "es_r1": recall,
            "ltm_r1": recall,
            "gtm_r1": recall,
            "gtt": 4 / (N - 1),
            "order_src": 0,
            "hub_top1": 0.5,
        }
    )
