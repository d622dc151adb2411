import warnings

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from attacks import ATTACKS, OBJECTIVES, Problem
from attacks.geometry import NORMS
from attacks.optimisers.ascent import evaluate
from benchmark.core.embedder import Embedder
from benchmark.models import count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES

CLIMBERS = [name for name, cls in ATTACKS.items() if "objective" in cls.model_fields]
WHITE = [name for name in CLIMBERS if ATTACKS.get(name).access == "white"]
ALONE = [name for name, cls in OBJECTIVES.items() if not cls.pooled]


def takes(name, objective):
    """Whether an attack takes an objective."""
    try:
        ATTACKS.get(name)(objective=objective)
    except ValidationError:
        return False
    return True


def pairs(names, objectives):
    """Attacks, each with every objective that it takes."""
    return [(name, objective) for name in names for objective in objectives if takes(name, objective)]


def with_norms(those):
    """Each pair once for each norm that its attack knows."""
    return [(*pair, norm) for pair in those for norm in ATTACKS.get(pair[0]).norms]


# Every optimiser with an objective of each kind, and one by gradient and one by queries with every objective.
PAIRS = list(
    dict.fromkeys(pairs(CLIMBERS, ("own", "shift", "pool")) + pairs(("pgd", "square"), OBJECTIVES.names()))
)
PAIRS += [(name, None) for name in ATTACKS.names() if name not in CLIMBERS]


def label(values):
    """The name of a case in the list of tests."""
    return "-".join(map(str, values))


@pytest.fixture(params=PAIRS, ids=label)
def pair(request):
    """An attack's name and an objective's; None for attacks without one."""
    return request.param


@pytest.fixture(params=with_norms(PAIRS), ids=label)
def case(request):
    """An attack's name, an objective's and a norm."""
    return request.param


@pytest.fixture(params=with_norms(pairs(WHITE, ("own", "pool"))), ids=label)
def white_case(request):
    """The same, of attacks by gradient."""
    return request.param


@pytest.fixture(params=CLIMBERS)
def climber(request):
    """Name of an attack with an objective."""
    return request.param


@pytest.fixture(params=OBJECTIVES.names())
def objective(request):
    """Name of an objective."""
    return request.param


@pytest.fixture(params=ALONE)
def alone(request):
    """Name of an objective that looks at each image alone."""
    return request.param


@pytest.fixture(params=NORMS)
def norm(request):
    """Name of a norm."""
    return request.param


@pytest.fixture(scope="session")
def attack_on():
    """An attack by name with those of the parameters that it has, few steps unless they say otherwise."""

    def build(name, objective=None, **parameters):
        wanted = {"objective": objective, "steps": 3, "queries": 8, "searches": 2, **parameters}
        cls = ATTACKS.get(name)
        given = {key: value for key, value in wanted.items() if value is not None}
        return cls(**{key: value for key, value in given.items() if key in cls.model_fields})

    return build


@pytest.fixture(scope="session")
def scores_at():
    """The scores of images under an objective, all of them being where they are."""

    def scores(problem, objective, images):
        score = OBJECTIVES.build(objective).bind(problem)
        index = torch.arange(len(problem))
        if hasattr(score, "observe"):
            score.observe(index, evaluate(problem, score, images, index)[1])
        return evaluate(problem, score, images, index)[0]

    return scores


class Linear(Embedder):
    """One linear layer in float64, so that the size of a batch does not change a single bit that matters."""

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
    """A small convolutional network that tells the classes of its training set apart."""
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
        options.setdefault("sources", {"vanilla": embedder})
        return Problem(embedder, data.images.clone(), data.labels, data.ids, norm, eps, **options)

    return make


class Classifier(nn.Module):
    """Scaled cosines to the centroids of the clean pool as logits, as attack libraries want them."""

    def __init__(self, problem):
        super().__init__()
        self.embedder, self.centroids = problem.embedder, problem.centroids
        self.scale = OBJECTIVES.get("centroid_ce")().scale / problem.cosine_std

    def forward(self, images):
        return self.scale * self.embedder(images) @ self.centroids.t()


@pytest.fixture(scope="session")
def classifier_of():
    """A problem's model as a classifier."""
    return lambda problem: Classifier(problem).eval()


@pytest.fixture
def torchattacks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchattacks")
