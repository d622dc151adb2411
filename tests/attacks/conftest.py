import warnings

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from attacks import ATTACKS, OBJECTIVES, PooledScore, Problem
from attacks.geometry import CONVEX
from attacks.optimisers import captured_step
from attacks.optimisers.evaluation import evaluate
from benchmark.core.embedder import Embedder
from benchmark.models import count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES

from ..recorded_graph import stand_in
from .budgets import in_norm

WITH_OBJECTIVE = [name for name, cls in ATTACKS.items() if "objective" in cls.model_fields]
WHITE_BOX = [name for name in WITH_OBJECTIVE if ATTACKS.get(name).access == "white"]
PER_IMAGE = [name for name, cls in OBJECTIVES.items() if not cls.pooled]


def accepts(name, objective):
    """Whether an attack accepts an objective."""
    try:
        ATTACKS.get(name)(objective=objective)
    except ValidationError:
        return False
    return True


def pairs(names, objectives):
    """Returns the attacks, each with every objective that it accepts."""
    return [(name, objective) for name in names for objective in objectives if accepts(name, objective)]


def with_norms(cases):
    """Returns each pair once for each norm that its attack supports."""
    return [(*pair, norm) for pair in cases for norm in ATTACKS.get(pair[0]).norms]


# Every optimizer with an objective of each kind; a gradient and a query optimizer with every objective.
PAIRS = list(
    dict.fromkeys(
        pairs(WITH_OBJECTIVE, ("own", "shift", "pool")) + pairs(("pgd", "square"), OBJECTIVES.names())
    )
)
PAIRS += [(name, None) for name in ATTACKS.names() if name not in WITH_OBJECTIVE]


def label(values):
    """Returns the id of a parametrized case."""
    return "-".join(map(str, values))


@pytest.fixture(params=PAIRS, ids=label)
def pair(request):
    """An attack's name and an objective's; None for attacks without one."""
    return request.param


@pytest.fixture(params=with_norms(PAIRS), ids=label)
def case(request):
    """An attack's name, an objective's and a norm."""
    return request.param


@pytest.fixture(params=with_norms(pairs(WHITE_BOX, ("own", "pool"))), ids=label)
def white_case(request):
    """The same, of gradient attacks."""
    return request.param


@pytest.fixture(params=WITH_OBJECTIVE)
def attack_with_objective(request):
    """Name of an attack with an objective."""
    return request.param


@pytest.fixture(params=OBJECTIVES.names())
def objective(request):
    """Name of an objective."""
    return request.param


@pytest.fixture(params=PER_IMAGE)
def per_image_objective(request):
    """Name of an objective that is not pooled."""
    return request.param


@pytest.fixture(params=CONVEX)
def norm(request):
    """Name of a norm in which every attack but sparse ones attacks."""
    return request.param


@pytest.fixture(scope="session")
def attack_on():
    """Builds an attack by name with those parameters that it has, and few steps unless given."""

    def build(name, objective=None, **parameters):
        parameters = {"objective": objective, "steps": 3, "queries": 8, "searches": 2, **parameters}
        cls = ATTACKS.get(name)
        given = {key: value for key, value in parameters.items() if value is not None}
        return cls(**{key: value for key, value in given.items() if key in cls.model_fields})

    return build


@pytest.fixture(scope="session")
def scores_at():
    """Computes the scores of images under an objective, given the embeddings of all of them."""

    def scores(problem, objective, images):
        score = OBJECTIVES.build(objective).bind(problem)
        index = torch.arange(len(problem))
        if isinstance(score, PooledScore):
            score.observe(index, evaluate(problem, score, images, index)[1])
        return evaluate(problem, score, images, index)[0]

    return scores


class Linear(Embedder):
    """One linear layer in float64, so that rounding does not depend noticeably on the batch size."""

    def __init__(self, pixels=64, dim=6):
        super().__init__()
        self.layer = nn.Linear(pixels, dim).double()

    def forward(self, images):
        return F.normalize(self.layer(images.double().flatten(1) - 0.5))


@pytest.fixture
def linear():
    return Linear().eval()


@pytest.fixture(scope="session")
def trained(images, make_member):
    """A small convolutional network that separates the classes of its training set."""
    torch.manual_seed(0)
    member = make_member()
    recipe = Recipe(epochs=15, batch_size=32, lr=0.01, shift=0)
    train(DEFENSES.build("vanilla"), member, images, recipe, 0.1, count_flops(member, (1, 8, 8)))
    return member.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def pool(make_images):
    return make_images(classes=6, per_class=5, seed=1)


@pytest.fixture(scope="session")
def make_problem(pool):
    def make(embedder, data=pool, norm="linf", eps=0.05, **options):
        eps = in_norm(eps, norm)
        options.setdefault("sources", {"vanilla": embedder})
        return Problem(embedder, data.images.clone(), data.labels, data.ids, norm, eps, **options)

    return make


class Classifier(nn.Module):
    """Scaled cosines to the centroids of the clean pool as logits, for attack libraries."""

    def __init__(self, problem):
        super().__init__()
        self.embedder, self.centroids = problem.embedder, problem.centroids
        self.scale = OBJECTIVES.get("centroid_ce")().scale / problem.cosine_gap

    def forward(self, images):
        return self.scale * self.embedder(images) @ self.centroids.t()


@pytest.fixture(scope="session")
def classifier_of():
    """Wraps a problem's model as a classifier."""
    return lambda problem: Classifier(problem).eval()


@pytest.fixture
def torchattacks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchattacks")


@pytest.fixture
def recorded_cuda(monkeypatch):
    """Lets steps on the CPU be captured, by recorded operations; returns the names called in `torch.cuda`."""
    monkeypatch.setattr(captured_step, "DEVICES", ("cpu",))
    monkeypatch.setattr(captured_step, "FEWEST_REPLAYS", 1)
    return stand_in(monkeypatch)
