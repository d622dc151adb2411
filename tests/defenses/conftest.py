import math

import pytest
import torch

from defenses import DEFENSES, Batch
from defenses.triplets import mine

SEED = 11


class Recorder:
    """Stands in for the training attack: records its calls, and returns the images slightly brighter."""

    def __init__(self):
        self.calls = []

    def __call__(self, objective, images, model, *, start="uniform", given=()):
        self.calls.append((lambda candidates: objective(candidates, *given), images.clone(), model, start))
        return self.changed(images)

    @staticmethod
    def changed(images):
        return (images * 0.9 + 0.05).detach()

    def only_objective(self, model, images, start="uniform"):
        """The objective of the only call, which must have attacked these images through this model."""
        ((objective, attacked, through, started),) = self.calls
        assert through is model
        assert started == start
        assert torch.equal(attacked, images)
        return objective


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def batch(images):
    index = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))[:24]
    return Batch(images.images[index], images.labels[index], index)


@pytest.fixture
def settle(batch):
    """Lets batch norm's running statistics converge; else evaluation mode embeds all images alike."""

    def run(model):
        model.train()
        for _ in range(30):
            model(batch.images)
        return model

    return run


@pytest.fixture
def settled(make_member, settle):
    """A settled member in evaluation mode."""
    return settle(make_member()).eval()


@pytest.fixture
def attacked(make_member, settle, batch, recorder):
    """A settled member in evaluation mode, as the attack sees it; the attack's call is recorded."""

    def run(spec):
        member = settle(make_member())
        before = {key: value.clone() for key, value in member.state_dict().items()}
        torch.manual_seed(SEED)
        DEFENSES.build(spec).loss(member, batch, recorder)
        member.load_state_dict(before)
        return member.eval()

    return run


@pytest.fixture
def euclidean():
    def distance(x, y):
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)))

    return distance


@pytest.fixture
def hardness_by_loops(euclidean):
    def hardness(anchors, positives, negatives):
        triplets = zip(anchors, positives, negatives, strict=True)
        return [euclidean(a, p) - euclidean(a, n) for a, p, n in triplets]

    return hardness


@pytest.fixture
def triplet_loss_by_loops(hardness_by_loops):
    def loss(anchors, positives, negatives, margin):
        values = [max(0.0, h + margin) for h in hardness_by_loops(anchors, positives, negatives)]
        return sum(values) / len(values)

    return loss


@pytest.fixture
def rows(batch):
    """The triplets that a defense with random mining draws under SEED."""
    torch.manual_seed(SEED)
    return mine(batch.labels, "random", 0.2)


@pytest.fixture
def seeded_loss(batch, recorder, rows):
    """The loss of a triplet defense on the triplets `rows`."""

    def run(defense, model):
        torch.manual_seed(SEED)
        return defense.loss(model, batch, recorder).item()

    return run


@pytest.fixture
def expected_loss(batch, rows):
    """A triplet term, and the training loss that `base` adds to it, from the embeddings trained on."""

    def run(member, embedded, term, base, weight):
        if base == "none":
            return term
        if base == "clean":
            return member.criterion(member(batch.images), batch.labels).item() + weight * term
        labels = rows.select(batch.labels).stacked()
        return member.criterion(torch.cat(list(embedded)), labels).item() + weight * term

    return run
