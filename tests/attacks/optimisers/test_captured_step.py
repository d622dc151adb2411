import pytest
import torch

from attacks import ATTACKS, OBJECTIVES, Objective
from attacks.captured_call import WARM_UP
from attacks.optimisers import ascent, captured_step
from attacks.optimisers.captured_step import Steps, capture_pays
from benchmark.core.embedder import Embedder
from benchmark.models import PassCounter, count_flops

CAPTURABLE = [name for name, cls in OBJECTIVES.items() if cls.capturable]
SPECS = [
    *(f"pgd_decay[objective={name},steps=4,restarts=2]" for name in CAPTURABLE),
    *(f"{name}[objective={kind},steps=5]" for name in ("apgd", "mi_fgsm") for kind in ("own", "pool")),
]
CAPTURE = ["device", "Stream", "current_stream", "stream", "CUDAGraph", "graph"]
BATCH = 8
"""Images of a full batch; the pool of 30 ends with a smaller one."""


class Wrapped(Embedder):
    """A model that counts its calls from Python."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        return self.inner(images)


class Looking(Wrapped):
    """A model that looks at a value, which no capture allows."""

    def forward(self, images):
        assert images.sum().item() >= 0
        return super().forward(images)


class Randomised(Wrapped):
    randomised = True


def run(spec, problem):
    """Runs an attack with its passes counted; returns the result and the units."""
    unit = count_flops(problem.embedder, problem.shape[1:])
    with PassCounter(problem.embedder, problem.shape[1:], unit) as counter:
        problem.counters = [counter]
        result = ATTACKS.build(spec).run(problem)
    return result, (counter.forward, counter.backward)


@pytest.fixture
def both(trained, make_problem, monkeypatch):
    """Runs an attack eagerly and as it is run by default; returns both results with their units."""

    def run_both(spec, embedder=trained, **options):
        with monkeypatch.context() as patch:
            patch.setattr(captured_step, "DEVICES", ())
            eager = run(spec, make_problem(embedder, batch_size=BATCH, **options))
        return eager, run(spec, make_problem(embedder, batch_size=BATCH, **options))

    return run_both


def assert_same(eager, found):
    assert torch.equal(eager[0].images, found[0].images)
    assert torch.equal(eager[0].objective, found[0].objective)
    assert eager[0].zero_gradient == found[0].zero_gradient
    assert eager[1] == found[1]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_replays_give_what_eager_steps_give_bit_for_bit(both, recorded_cuda, spec, norm):
    eager, found = both(spec, norm=norm)
    assert (eager[0].execution, found[0].execution) == ("eager", "CUDA graph")
    assert_same(eager, found)
    captures = 2 if "restarts" in spec and OBJECTIVES.get(spec.split("=")[1].split(",")[0]).pooled else 1
    assert recorded_cuda == captures * CAPTURE  # nothing but the captures


def test_only_some_images_attacked(both, recorded_cuda):
    eager, found = both("pgd[objective=information,steps=3]", attacked=torch.arange(0, 30, 2))
    assert found[0].execution == "CUDA graph"
    assert_same(eager, found)


def test_the_model_runs_from_python_only_for_the_capture_and_the_last_batch(
    trained, make_problem, recorded_cuda
):
    problem = make_problem(Wrapped(trained), batch_size=BATCH)
    _ = problem.clean
    problem.embedder.sizes.clear()
    ATTACKS.build("pgd[objective=own,steps=20]").run(problem)
    sizes = [size for size in problem.embedder.sizes if size > 1]  # one image: FLOPs are counted
    full, last = sizes.count(BATCH), sizes.count(30 % BATCH)
    # The warm-up, the capture, the comparison, and the last iterates of three batches.
    assert full == WARM_UP + 1 + 1 + 3
    assert last == 20 + 1


def test_what_cannot_be_captured_runs_eagerly_and_says_so(both, trained, recorded_cuda):
    eager, found = both("pgd[objective=own,steps=4]", Looking(trained))
    assert found[0].execution == "eager: the capture failed: called a synchronizing CUDA operation"
    assert_same(eager, found)
    assert recorded_cuda == CAPTURE[:4]  # nothing was captured, nor tried again


def test_a_replay_that_differs_is_not_used(trained, make_problem, recorded_cuda):
    problem = make_problem(trained, batch_size=BATCH)
    own = problem.centroids[problem.labels]
    kept = []

    def score(embeddings, index):
        kept.append(own[index])
        return -(embeddings * kept[0]).sum(1) if len(kept) == WARM_UP + 1 else -(embeddings * kept[-1]).sum(1)

    compute = Steps(problem, OBJECTIVES.build("own"), score, BATCH, 10)
    index = torch.arange(BATCH)
    compute(problem.images[:BATCH], index)
    assert compute.execution == (
        "eager: a replay differed from the model, which keeps state outside of tensors"
    )


@pytest.mark.parametrize(
    ("objective", "wrap", "calls", "bound", "pays"),
    [
        ("own", Wrapped, 10, 5e10, True),
        ("gallery_away", Wrapped, 10, 5e10, False),  # it finds neighbours again when it is next called
        ("own", Randomised, 10, 5e10, False),
        ("own", Wrapped, 9, 5e10, False),
        ("own", Wrapped, 10, 100.0, False),
    ],
)
def test_when_a_capture_pays(
    trained, make_problem, recorded_cuda, monkeypatch, objective, wrap, calls, bound, pays
):
    monkeypatch.setattr(captured_step, "FEWEST_REPLAYS", 10)
    monkeypatch.setattr(captured_step, "MAX_FLOPS", bound)
    problem = make_problem(wrap(trained), batch_size=BATCH)
    assert capture_pays(problem, OBJECTIVES.build(objective), BATCH, calls) is pays
    assert not recorded_cuda


def test_nothing_is_captured_on_a_cpu(trained, make_problem, monkeypatch):
    monkeypatch.setattr(captured_step, "CapturedCall", None)
    problem = make_problem(trained)
    assert not capture_pays(problem, OBJECTIVES.build("own"), BATCH, 10**6)
    assert ATTACKS.build("pgd[objective=own,steps=50]").run(problem).execution == "eager"


def test_own_objectives_are_captured_only_if_declared():
    assert Objective.capturable is False


def test_a_transferred_attack_says_how_its_steps_were_computed(trained, make_problem, recorded_cuda):
    problem = make_problem(trained, batch_size=BATCH)
    result = ATTACKS.build("transfer[attack=pgd[objective=own,steps=4]]").run(problem)
    assert result.execution == "CUDA graph"


def test_the_loop_makes_one_capture_for_all_restarts(trained, make_problem, recorded_cuda):
    problem = make_problem(trained, batch_size=BATCH)
    climb = ATTACKS.build("pgd[steps=2,restarts=3]")
    ascent.GradientAscent(problem, "own", climb.make_update, 2, 3).run()
    assert recorded_cuda == CAPTURE
