"""A search in a lower precision, whose results are chosen and scored in float32."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attacks import ATTACKS, PRECISIONS, Problem, check_precision
from attacks.optimisers.evaluation import evaluate
from attacks.precision import TensorFloat
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError, UsageError
from benchmark.core.tensor_float import tensor_float
from benchmark.models import in_float32

SPECS = {
    "pgd[objective=own,steps=3]": 3,
    "pgd_decay[objective=neighbour,steps=4,restarts=2]": 8,
    "apgd[objective=own,steps=3]": 3,
    "pgd_decay[objective=information,steps=3]": 3,
    "square[objective=neighbour,queries=5]": 5,
    "square[objective=pool,queries=4]": 4,
    "cw[steps=2,searches=2]": 3,
    "robrank[measure=es,steps=2]": 2,
    "transfer[source=vanilla,attack=fgsm[objective=own]]": 1,
}
"""Attacks, and how many passes of each search are rounded: of `cw` not those at the last step."""


class Watched(Embedder):
    """A network that notes of each pass whether it is rounded."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.rounded = inner, []

    def forward(self, images):
        self.rounded.append(torch.is_autocast_enabled("cpu"))
        return self.inner(images)


@pytest.fixture
def watched(trained):
    return Watched(trained)


def norm_of(spec):
    return ATTACKS.build(spec).norms[0]


@pytest.mark.parametrize("spec", SPECS)
def test_the_steps_alone_are_rounded_and_the_result_is_scored_in_float32(watched, make_problem, spec):
    problem = make_problem(watched, norm=norm_of(spec), precision="bfloat16")
    result = ATTACKS.build(spec).run(problem)
    assert watched.rounded[0] is False  # the clean pool
    assert sum(watched.rounded) == SPECS[spec]
    assert watched.rounded[-1] is False
    assert problem.clean.dtype == problem.centroids.dtype == torch.float32
    assert torch.equal(problem.clean, make_problem(watched.inner).clean)
    assert result.images.dtype == torch.float32 and result.objective.dtype == torch.float32


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "pool" not in spec and "inform" not in spec])
def test_values_are_those_of_the_images_in_float32(trained, make_problem, scores_at, spec):
    attack = ATTACKS.build(spec)
    problem = make_problem(trained, norm=norm_of(spec), precision="bfloat16")
    result = attack.run(problem)
    if "robrank" in spec:
        score = attack.parts()[1].bind(make_problem(trained))
        expected, _ = evaluate(make_problem(trained), score, result.images, problem.all_indices)
    else:
        objective = next(part for part in attack.parts() if hasattr(part, "bind")).spec
        expected = scores_at(make_problem(trained, norm=norm_of(spec)), objective, result.images)
    torch.testing.assert_close(result.objective, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_nothing_is_rounded_by_default(watched, make_problem, spec):
    ATTACKS.build(spec).run(make_problem(watched, norm=norm_of(spec)))
    assert watched.rounded and not any(watched.rounded)


def test_the_choice_between_the_best_and_the_last_iterate_is_in_float32(trained, make_problem, scores_at):
    class Misled(Embedder):
        """The rounded values of the first iterate are far too high."""

        def __init__(self):
            super().__init__()
            self.misled = False

        def forward(self, images):
            embeddings = trained(images)
            if not torch.is_autocast_enabled("cpu") or self.misled:
                return embeddings
            self.misled = True
            return F.normalize(embeddings.float() - 3 * problem.centroids[problem.labels])

    problem = make_problem(Misled(), precision="bfloat16")
    result = ATTACKS.build("pgd[objective=own,steps=6]").run(problem)
    expected = scores_at(make_problem(trained), "own", result.images)
    torch.testing.assert_close(result.objective, expected, rtol=0, atol=1e-6)
    start = problem.ball(problem.all_indices).random_start(problem.ids, problem.seed, 0)
    assert float((expected - scores_at(make_problem(trained), "own", start)).mean()) > 0.05


def test_a_search_in_bfloat16_finds_about_as_much(trained, make_problem):
    attack = ATTACKS.build("pgd_decay[objective=neighbour,steps=20]")
    whole, rounded = (
        attack.run(make_problem(trained, precision=name)).objective for name in ("float32", "bfloat16")
    )
    assert not torch.equal(whole, rounded)
    assert abs(float(whole.mean() - rounded.mean())) < 0.02


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf32", "tf32 is one of GPUs, and the device is 'cpu'; take float32 or bfloat16."),
        (
            "bfloat",
            "Unknown attack precision 'bfloat'. Did you mean 'bfloat16'? Valid: bfloat16, float32, tf32.",
        ),
    ],
)
def test_a_precision_that_is_not_there_gets_one_line(trained, make_problem, name, message):
    for ask in (lambda: check_precision(name, "cpu"), lambda: make_problem(trained, precision=name)):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value).endswith(message)


def test_tf32_is_refused_on_a_gpu_without_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    with pytest.raises(UsageError, match=r"^Tesla T4 has no TF32; take the attack precision float32"):
        check_precision("tf32", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    check_precision("tf32", "cuda")


def test_tf32_is_on_in_forward_and_backward_passes_of_the_search_alone(trained, make_problem, monkeypatch):
    forward, backward = [], []

    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, images):
            return images.clone()

        @staticmethod
        def backward(ctx, gradient):
            backward.append(torch.backends.cudnn.allow_tf32)
            return gradient

    class Reading(Embedder):
        def forward(self, images):
            forward.append(torch.backends.cudnn.allow_tf32)
            return trained(Noted.apply(images))

    monkeypatch.setattr(TensorFloat, "check", lambda *_: None)
    before = torch.backends.cudnn.allow_tf32
    with tensor_float(False):
        ATTACKS.build("pgd[objective=own,steps=2]").run(make_problem(Reading(), precision="tf32"))
        assert torch.backends.cudnn.allow_tf32 is False
    # The clean pool, two steps, the best and the last iterate.
    assert forward == [False, True, True, False, False]
    assert backward == [True, True]
    assert torch.backends.cudnn.allow_tf32 == before


class Strict(Embedder):
    """Writes into a float32 tensor, which autocast's outputs do not fit into."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 6)

    def forward(self, images):
        embeddings = torch.zeros(len(images), 6)
        embeddings[torch.arange(len(images))] = self.layer(images.flatten(1) - 0.5)
        return F.normalize(embeddings)


def test_a_model_that_cannot_be_rounded_gets_one_line(make_problem):
    attack = ATTACKS.build("pgd[objective=own,steps=2]")
    attack.run(make_problem(Strict()))
    with pytest.raises(AttackError) as caught:
        attack.run(make_problem(Strict(), precision="bfloat16"))
    message = str(caught.value)
    assert message.startswith("The model fails in a search in bfloat16: ")
    assert message.endswith(". Take the attack precision float32.") and "\n" not in message


def test_lack_of_memory_is_no_failure_of_the_model():
    with (
        pytest.raises(torch.OutOfMemoryError, match=r"^full$"),
        PRECISIONS["bfloat16"].forward(torch.device("cpu")),
    ):
        raise torch.OutOfMemoryError("full")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_with_half_weights(pool, dtype):
    class Half(Embedder):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 6).to(dtype).requires_grad_(False)

        def forward(self, images):
            return F.normalize(self.layer((images.flatten(1) - 0.5).to(dtype)))

    model = in_float32(Half(), pool.images[:4])
    problem = Problem(model, pool.images.clone(), pool.labels, pool.ids, "linf", 0.1, precision="bfloat16")
    result = ATTACKS.build("pgd[objective=own,steps=10]").run(problem)
    clean = Problem(model, pool.images.clone(), pool.labels, pool.ids, "linf", 0.1)
    score = ATTACKS.build("pgd[objective=own]").parts()[1].bind(clean)
    start, _ = evaluate(clean, score, clean.images, clean.all_indices)
    assert float((result.objective - start).mean()) > 0.1
