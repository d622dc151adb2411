import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.evaluation import PoolEmbeddings
from benchmark.evaluation.slopes import IMAGES, compare_slopes, measure_slopes, slope_cost
from benchmark.models import in_float32


class Smooth(Embedder):
    """A linear embedder; subclasses change its gradient, its values, or both."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 6)

    def forward(self, images):
        return F.normalize(self.layer(self.given(images).flatten(1)))

    def given(self, images):
        return images


class WithoutGradient(Smooth):
    def given(self, images):
        return images.detach()


class Doubled(Smooth):
    def given(self, images):
        return images + (images - images.detach())


class Reversed(Smooth):
    def given(self, images):
        return 2 * images.detach() - images


class Raising(Smooth):
    def given(self, images):
        if images.requires_grad:
            raise UsageError("no gradient")
        return images


class Noisy(Smooth):
    randomised = True

    def given(self, images):
        return images + 0.2 * torch.randn_like(images)


class OwnDraws(Noisy):
    generator = torch.Generator().manual_seed(1)

    def given(self, images):
        return images + 0.2 * torch.randn(images.shape, generator=self.generator)


def in_sixteen_bits():
    return in_float32(Embedded(), torch.zeros(1, 1, 8, 8))


class Embedded(Smooth):
    def forward(self, images):
        return super().forward(images).half()


class InSixteenBits(Smooth):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))


class Rounded(Smooth):
    """Rounds the pixels; attacks take the identity's gradient where that is declared."""

    declared = False

    def given(self, images):
        rounded = (images * 7).round() / 7
        return rounded.detach() + images - images.detach() if self.declared else rounded

    def differentiable(self):
        stand_in = type(self)()
        stand_in.load_state_dict(self.state_dict())
        stand_in.declared = True
        return stand_in


class Within(Smooth):
    """Holds the rounding and its stand-in itself."""

    has_stand_in = True

    def given(self, images):
        return ((images * 7).round() / 7).detach() + images - images.detach()


class Undeclared(Within):
    has_stand_in = False


@pytest.fixture
def pool(make_images):
    return make_images(classes=14, per_class=5, noise=0.3, seed=2)


@pytest.fixture
def measure(pool):
    def run(model, labels=None, queries=None):
        given = pool.labels if labels is None else labels
        model = model.eval().requires_grad_(False)
        return measure_slopes(
            PoolEmbeddings(model, pool.images, pool.images, given, pool.ids, 2, 32, queries=queries)
        )

    return run


@pytest.mark.parametrize("model", [Smooth, Noisy])
def test_the_slopes_of_an_honest_model_agree(measure, model):
    found = measure(model())
    assert found["slope_correlation"] > 0.999
    assert found["slope_ratio"] == pytest.approx(1, abs=0.01)
    assert found["stand_in"] == 0


@pytest.mark.parametrize(
    ("model", "correlation", "ratio"),
    [(WithoutGradient, 0, 0), (Doubled, 1, 0.5), (Reversed, -1, -1)],
)
def test_a_wrong_gradient_is_found(measure, model, correlation, ratio):
    found = measure(model())
    assert found["slope_correlation"] == pytest.approx(correlation, abs=0.01)
    assert found["slope_ratio"] == pytest.approx(ratio, abs=0.02)


@pytest.mark.parametrize("model", [Rounded, Within])
def test_a_stand_in_is_compared_over_larger_steps(measure, model):
    found = measure(model())
    assert found["stand_in"] == 1
    assert 0.4 < found["slope_correlation"] < 0.95


def test_a_stand_in_that_is_not_declared_is_a_wrong_gradient(measure):
    found = measure(Undeclared())
    assert found["stand_in"] == 0
    assert found["slope_correlation"] < 0.3


def test_queries_may_be_other_images_than_the_gallery(measure, pool):
    queries = torch.arange(len(pool)) % 5 == 0
    assert measure(Smooth(), queries=queries)["slope_correlation"] > 0.999


@pytest.mark.parametrize("model", [Raising, OwnDraws, InSixteenBits, in_sixteen_bits])
def test_what_cannot_be_measured_is_left_out(measure, model):
    assert measure(model()) == {}


def test_a_pool_of_one_class_has_no_margin(measure, pool):
    assert measure(Smooth(), labels=torch.zeros_like(pool.labels)) == {}


def test_random_generators_are_left_as_they_were(measure):
    torch.manual_seed(5)
    expected = torch.rand(3)
    model = Noisy()
    torch.manual_seed(5)
    measure(model)
    assert torch.equal(torch.rand(3), expected)


def test_all_images_count_alike():
    promised = torch.randn(100, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = torch.logspace(0, 3, 100).double().unsqueeze(1)
    measured = promised.clone()
    measured[:30] = -measured[:30]  # the smallest of them
    assert compare_slopes(promised, measured)["slope_correlation"] == pytest.approx(0.4, abs=0.1)
    found = compare_slopes(scale * promised, scale * measured)["slope_correlation"]
    assert found < 0.95 < compare_slopes(promised, promised)["slope_correlation"]


def test_slopes_that_are_all_zero_agree():
    zero, some = torch.zeros(5, 4), torch.ones(5, 4)
    assert compare_slopes(zero, zero) == {"slope_correlation": 1, "slope_ratio": 1}
    assert compare_slopes(zero, some) == {"slope_correlation": 0, "slope_ratio": 0}
    assert compare_slopes(some, zero) == {"slope_correlation": 0, "slope_ratio": 0}


@pytest.mark.parametrize("model", [Smooth, Noisy])
def test_the_cost_is_that_of_the_passes(measure, pool, model):
    embedded = []
    model = model()
    model.register_forward_hook(lambda module, inputs, output: embedded.append(len(inputs[0])))
    measure(model)
    # The forward passes over the clean pool, which are others, are as many as the backward passes.
    assert slope_cost(len(pool), model.randomised) == sum(embedded)
    assert slope_cost(10 * IMAGES, model.randomised) == slope_cost(IMAGES, model.randomised)
