import copy
import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_model, save_model

from benchmark.core.errors import UsageError
from benchmark.losses import LOSSES

CLASSES, DIM = 7, 5
LABELS = torch.tensor([0, 0, 3, 5, 3, 0, 6, 6, 1])
ONE_VECTOR = [name for name, cls in LOSSES.items() if cls.has_proxies and name != "soft_triple"]
"""Losses with one vector a class."""


@pytest.fixture
def embeddings():
    return F.normalize(torch.randn(len(LABELS), DIM))


def proxies_of(criterion):
    (parameter,) = criterion.parameters()
    return parameter


def cosine(a, b):
    return float(F.cosine_similarity(a.detach(), b.detach(), dim=0))


@pytest.mark.parametrize(("alpha", "delta"), [(32, 0.1), (4, 0.3)])
def test_proxy_anchor_is_equation_4(embeddings, alpha, delta):
    criterion = LOSSES.build(f"proxy_anchor[alpha={alpha},delta={delta}]").build(CLASSES, DIM)
    proxies = proxies_of(criterion)
    assert proxies.shape == (CLASSES, DIM)
    pull, push, with_positives = 0.0, 0.0, 0
    for label, proxy in enumerate(proxies):
        to_own = [cosine(x, proxy) for x, y in zip(embeddings, LABELS, strict=True) if y == label]
        to_other = [cosine(x, proxy) for x, y in zip(embeddings, LABELS, strict=True) if y != label]
        if to_own:
            with_positives += 1
            pull += math.log(1 + sum(math.exp(-alpha * (s - delta)) for s in to_own))
        push += math.log(1 + sum(math.exp(alpha * (s + delta)) for s in to_other))
    expected = pull / with_positives + push / CLASSES
    assert criterion(embeddings, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_normalized_softmax_is_cross_entropy_of_scaled_cosines(embeddings):
    criterion = LOSSES.build("normalized_softmax[temperature=0.2]").build(CLASSES, DIM)
    weights = proxies_of(criterion).t()
    total = 0.0
    for x, y in zip(embeddings, LABELS, strict=True):
        logits = [cosine(x, w) / 0.2 for w in weights]
        total += math.log(sum(map(math.exp, logits))) - logits[y]
    assert criterion(embeddings, LABELS).item() == pytest.approx(total / len(LABELS), rel=1e-5)


def test_multi_similarity_is_equation_15(embeddings):
    criterion = LOSSES.build("multi_similarity[alpha=3,beta=10,base=0.4]").build(CLASSES, DIM)
    total = 0.0
    for i, x in enumerate(embeddings):
        others = [(cosine(x, z), LABELS[i] == LABELS[j]) for j, z in enumerate(embeddings) if j != i]
        total += math.log(1 + sum(math.exp(-3 * (s - 0.4)) for s, same in others if same)) / 3
        total += math.log(1 + sum(math.exp(10 * (s - 0.4)) for s, same in others if not same)) / 10
    assert criterion(embeddings, LABELS).item() == pytest.approx(total / len(LABELS), rel=1e-5)


@pytest.mark.parametrize("alpha", [40, 55.5])
def test_angular_is_equation_8_of_every_positive_pair(embeddings, alpha):
    criterion = LOSSES.build(f"angular[alpha={alpha}]").build(CLASSES, DIM)
    tangent, values = math.tan(math.radians(alpha)) ** 2, []
    for a, p in ((a, p) for a in range(9) for p in range(9)):
        if a != p and LABELS[a] == LABELS[p]:
            both = (embeddings[a] + embeddings[p]).tolist()
            to_positive = 2 * (1 + tangent) * cosine(embeddings[a], embeddings[p])
            negatives = [embeddings[n].tolist() for n in range(9) if LABELS[n] != LABELS[a]]
            dots = [sum(x * y for x, y in zip(both, n, strict=True)) for n in negatives]
            values.append(math.log(1 + sum(math.exp(4 * tangent * dot - to_positive) for dot in dots)))
    assert len(values) == 10
    assert criterion(embeddings, LABELS).item() == pytest.approx(sum(values) / len(values), rel=1e-5)


@pytest.mark.parametrize("name", ONE_VECTOR)
def test_class_cosines_by_hand(name, embeddings):
    criterion = LOSSES.build(name).build(CLASSES, DIM)
    proxies = proxies_of(criterion)
    rows = proxies if proxies.shape == (CLASSES, DIM) else proxies.t()
    expected = torch.tensor([[cosine(x, p) for p in rows] for x in embeddings])
    torch.testing.assert_close(criterion.class_cosines(3 * embeddings), expected)


@pytest.mark.parametrize("name", [name for name in LOSSES.names() if name != "soft_triple"])
def test_a_class_is_where_its_loss_draws_it(name):
    """Descending the loss raises the cosine to one's own class: columns are in the order of the labels."""
    criterion = LOSSES.build(name).build(CLASSES, CLASSES)
    assert LOSSES.get(name).has_proxies == any(True for _ in criterion.parameters())
    if not LOSSES.get(name).has_proxies:
        with pytest.raises(UsageError, match="no proxies"):
            criterion.class_cosines(torch.randn(2, CLASSES))
        return
    proxies_of(criterion).data.copy_(torch.linalg.qr(torch.randn(CLASSES, CLASSES)).Q)
    free = torch.randn(len(LABELS), CLASSES, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        criterion(F.normalize(free), LABELS).backward()
        optimizer.step()
    assert torch.equal(criterion.class_cosines(free.detach()).argmax(1), LABELS)


@pytest.mark.parametrize("name", LOSSES.names())
def test_gradients_reach_embeddings_and_proxies(name, embeddings):
    criterion = LOSSES.build(name).build(CLASSES, DIM)
    embeddings.requires_grad_(True)
    value = criterion(embeddings, LABELS)
    assert value.shape == ()
    value.backward()
    assert float(embeddings.grad.abs().sum()) > 0
    assert all(float(p.grad.abs().sum()) > 0 for p in criterion.parameters())


@pytest.mark.parametrize("name", [name for name, cls in LOSSES.items() if cls.has_proxies])
def test_a_checkpoint_holds_the_proxies_once(name, embeddings, tmp_path):
    first, second = (LOSSES.build(name).build(CLASSES, DIM) for _ in range(2))
    assert len(first.state_dict()) == 1
    assert not torch.equal(first.class_cosines(embeddings), second.class_cosines(embeddings))
    save_model(first, str(tmp_path / "loss.safetensors"))
    load_model(second, str(tmp_path / "loss.safetensors"))
    assert torch.equal(first.class_cosines(embeddings), second.class_cosines(embeddings))
    assert torch.equal(first(embeddings, LABELS), second(embeddings, LABELS))


@pytest.mark.parametrize("name", ONE_VECTOR)
def test_class_cosines_follow_the_proxies_of_a_copy_and_of_a_cast(name, embeddings):
    criterion = LOSSES.build(name).build(CLASSES, DIM)
    for other in (copy.deepcopy(criterion), criterion.double()):
        proxies = proxies_of(other)
        proxies.data.copy_(torch.randn_like(proxies))
        rows = proxies if proxies.shape == (CLASSES, DIM) else proxies.t()
        expected = F.normalize(embeddings.to(rows.dtype)) @ F.normalize(rows).t()
        torch.testing.assert_close(other.class_cosines(embeddings.to(rows.dtype)), expected)


@pytest.mark.parametrize(
    "text",
    ["proxy_anchor[alpha=0]", "normalized_softmax[temperature=-1]", "angular[alpha=90]", "proxy_anchr"],
)
def test_bad_parameters(text):
    with pytest.raises(UsageError):
        LOSSES.build(text)


def test_soft_triple_is_equations_6_and_8(embeddings):
    criterion = LOSSES.build("soft_triple[centres=3,scale=5,gamma=0.2,margin=0.1]").build(CLASSES, DIM)
    centers = F.normalize(proxies_of(criterion).detach().t()).view(CLASSES, 3, DIM)
    total = 0.0
    expected = torch.empty(len(LABELS), CLASSES)
    for row, x in enumerate(embeddings):
        for label in range(CLASSES):
            cosines = [cosine(x, center) for center in centers[label]]
            weights = [math.exp(c / 0.2) for c in cosines]
            expected[row, label] = sum(w * c for w, c in zip(weights, cosines, strict=True)) / sum(weights)
        own = int(LABELS[row])
        logits = [5 * (s - 0.1 * (c == own)) for c, s in enumerate(expected[row].tolist())]
        total -= logits[own] - math.log(sum(map(math.exp, logits)))
    torch.testing.assert_close(criterion.class_cosines(3 * embeddings), expected)
    assert criterion(embeddings, LABELS).item() == pytest.approx(total / len(LABELS), rel=1e-5)


def test_proxy_nca_is_a_softmax_over_squared_distances(embeddings):
    criterion = LOSSES.build("proxy_nca").build(CLASSES, DIM)
    squared = torch.cdist(embeddings, F.normalize(proxies_of(criterion))).square()
    expected = F.cross_entropy(-9 * squared, LABELS)
    torch.testing.assert_close(criterion(embeddings, LABELS), expected)


def test_arcface_adds_radians_to_the_own_angle(embeddings):
    criterion = LOSSES.build("arcface[margin=0.3,scale=10]").build(CLASSES, DIM)
    angles = (embeddings @ F.normalize(proxies_of(criterion), dim=0)).clamp(-0.9999, 0.9999).acos()
    own = F.one_hot(LABELS, CLASSES)
    torch.testing.assert_close(
        criterion(embeddings, LABELS), F.cross_entropy(10 * (angles + 0.3 * own).cos(), LABELS)
    )


def test_semihard_triplets_are_those_within_the_margin(embeddings):
    distance = torch.cdist(embeddings, embeddings)
    kept = []
    for a, p, n in ((a, p, n) for a in range(9) for p in range(9) for n in range(9)):
        if a != p and LABELS[a] == LABELS[p] != LABELS[n]:
            gap = float(distance[a, n] - distance[a, p])
            if 0 < gap <= 0.5:
                kept.append(0.5 - gap)
    expected = sum(kept) / max(1, len([value for value in kept if value > 0]))
    value = LOSSES.build("triplet[margin=0.5]").build(CLASSES, DIM)(embeddings, LABELS)
    assert value.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "name", ["angular", "triplet", "triplet[mining=distance_weighted]", "contrastive", "multi_similarity"]
)
@pytest.mark.parametrize("labels", [torch.arange(6), torch.zeros(6, dtype=torch.int64)])
def test_a_batch_without_tuples_has_a_finite_loss_with_a_gradient(name, labels):
    free = torch.randn(6, DIM, requires_grad=True)
    criterion = LOSSES.build(name).build(CLASSES, DIM)
    assert criterion.tuples
    criterion(F.normalize(free), labels).backward()
    assert torch.isfinite(free.grad).all()


@pytest.mark.parametrize(
    "name", [*(name for name, cls in LOSSES.items() if cls.has_proxies), "proxy_anchor[alpha=90]"]
)
def test_values_and_gradients_are_those_of_pytorch_metric_learning(name):
    criterion = LOSSES.build(name).build(CLASSES, DIM)
    embeddings = F.normalize(torch.randn(40, DIM)).requires_grad_(True)
    inputs = (embeddings, proxies_of(criterion))
    for labels in (torch.arange(40) % CLASSES, torch.arange(40) % 2, torch.zeros(40, dtype=torch.int64)):
        ours, theirs = criterion(embeddings, labels), criterion.loss(embeddings, labels, None)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        for one, other in zip(
            torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True
        ):
            assert other.abs().max() > 0
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_proxies_of_proxy_anchor_start_as_the_librarys():
    from pytorch_metric_learning.losses import ProxyAnchorLoss

    torch.manual_seed(3)
    own = LOSSES.build("proxy_anchor").build(CLASSES, DIM).loss.state_dict()
    torch.manual_seed(3)
    librarys = ProxyAnchorLoss(CLASSES, DIM).state_dict()
    assert own.keys() == librarys.keys()
    assert torch.equal(own["proxies"], librarys["proxies"])
