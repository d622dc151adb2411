"""The estimated cost of a run, compared with the counted forward and backward passes."""

import pytest

from attacks import ATTACKS, REFERENCE_ATTACK
from benchmark.core.errors import BenchmarkError
from benchmark.data import Folders
from benchmark.jobs import RunContext, TrainingRun, attack_run
from benchmark.jobs.costs import costs_of, probe, probe_all
from benchmark.jobs.models import build_model, load_data, training_images
from benchmark.models import BACKBONES, PassCounter
from benchmark.models.smallconv import SmallConv
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.records import CLEAN, ModelKey
from benchmark.records.embeddings import embeddings_path
from benchmark.training import Recipe, train
from defenses import DEFENSES
from defenses.vanilla import Vanilla

SPECS = (
    "pgd_decay[objective=neighbour,steps=4]",
    "fgsm[objective=own]",
    "square[objective=neighbour,queries=9]",
    "transfer[source=vanilla,attack=pgd_decay[objective=neighbour,steps=4]]",
    "noise",
    REFERENCE_ATTACK,  # repeated on queries of a shifted pool
)
DEFENDED = ("vanilla", "pgd_at", "eat", "random_transforms")
TOLERANCE = 0.05
"""Relative, for cells: looking up a model's cost counts one image, and square repeats some queries."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return Folders(folder, folder)


@pytest.fixture(scope="module")
def jobs(folders):
    """Trained models and the attacks on them; randomised models make too many forward passes."""
    asked = {
        "datasets": "glyphs[classes=16,per_class=6]",
        "defenses": "vanilla,pgd_at,eat,random_transforms",
        "attacks": list(SPECS),
        "scenarios": "clustering,retrieval-query",
        "checks": False,
        "curve": {"attacks": [], "factors": []},
        "evaluation": {"eot": 3, "repeats": 7},
        "training": {"epochs": 2, "batch_size": 32, "validation": 0},
    }
    grid = build_grid(resolve(asked), folders)
    context = RunContext(
        output=folders.cache, cache=folders.cache, data=folders.cache, device="cpu", commit=""
    )
    models = {model.job.key.defense: model.job for model in grid.models}
    made = {name: job.train(context) for name, job in models.items()}
    return grid, context, models, made


@pytest.mark.slow
@pytest.mark.parametrize("defense", DEFENDED)
def test_a_training_costs_what_it_was_said_to(folders, jobs, defense):
    _, _, models, made = jobs
    assert models[defense].cost(folders) == pytest.approx(made[defense].cost, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("attack", [CLEAN, *SPECS])
@pytest.mark.parametrize("defense", DEFENDED)
def test_a_cell_costs_what_it_was_said_to(folders, jobs, monkeypatch, defense, attack):
    grid, context, _, _ = jobs
    spec = attack if attack == CLEAN else ATTACKS.build(attack).spec
    found = [p.job for p in grid.attacks if (p.job.key.defense, p.job.attack) == (defense, spec)]
    if defense == "vanilla" and attack.startswith("transfer"):
        assert not found  # nothing is transferred from a model to itself
        return
    (job,) = found
    if attack == CLEAN:  # the job that embeds the clean pool
        embeddings_path(context.store, job.clean_pool).unlink(missing_ok=True)
    else:
        for clean in (planned.job for planned in grid.attacks if planned.job.attack == CLEAN):
            if not embeddings_path(context.store, clean.clean_pool).exists():
                clean.attack_and_score(clean.cells, context)
    counters = []

    def load(*arguments):
        model, unit = real(*arguments)
        shape = load_data(job.model.key.dataset, folders).test.image_shape
        counters.append(PassCounter(model, shape, unit))
        counters[-1].__enter__()
        return model, unit

    real = TrainingRun.load
    monkeypatch.setattr(TrainingRun, "load", load)
    monkeypatch.setattr(attack_run, "check_embedder", lambda *_: None)  # a few images, much in a tiny pool
    job.attack_and_score(job.cells, context)
    counted = sum(counter.total for counter in counters)
    assert job.passes(folders) == pytest.approx(counted, rel=TOLERANCE)
    assert job.cost(folders) > job.passes(folders)  # similarities cost something, too


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "images_per_class"), [("triplet", 4), ("triplet", 2), ("proxy_anchor", 4)])
@pytest.mark.parametrize("defense", ["act", "hm"])
def test_a_step_is_probed_with_batches_as_training_draws_them(folders, loss, images_per_class, defense):
    """What these defenses cost depends on how many images have another of their class in the batch."""
    dataset = "glyphs[classes=120,per_class=4]"
    key = ModelKey(dataset=dataset, backbone="smallconv", loss=loss, defense=defense, seed=0)
    recipe = Recipe(epochs=1, validation=0, images_per_class=images_per_class, inner_steps=2)
    images, _ = training_images(recipe, load_data(dataset, folders))
    model, unit = build_model(key, images)
    trained = train(DEFENSES.build(defense), model, images, recipe, 0.1, unit)
    steps = len(images) // recipe.batch_size
    assert steps > 2
    step = trained.cost / (steps * recipe.batch_size)
    assert probe(key, recipe, folders).step == pytest.approx(step, rel=0.1)


def test_the_probe_of_a_loss_with_proxies_is_what_published_epochs_were_computed_from(folders):
    key = ModelKey(dataset="glyphs", backbone="smallconv", loss="proxy_anchor", defense="act", seed=0)
    assert probe(key, Recipe(), folders).step == 13.740234375


def test_a_plugin_that_fails_is_probed_once_for_a_run_and_anew_for_the_next(folders, monkeypatch):
    """Its costs are then a guess; in a notebook the next cell mends it."""
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    calls = []

    @DEFENSES.register("mended")
    class Mended(Vanilla):
        """Fails until it is mended."""

        def loss(self, model, batch, attack):
            calls.append(batch)
            if len(calls) == 1:
                raise IndexError("no such batch")
            return super().loss(model, batch, attack)

    key = ModelKey(dataset="digits", backbone="smallconv", loss="proxy_anchor", defense="mended", seed=0)
    for seed in range(3):
        with pytest.raises(BenchmarkError, match=r"^IndexError: no such batch \(test_costs.py, line \d+\)$"):
            probe(key.model_copy(update={"seed": seed}), Recipe(), folders)
    assert costs_of(key, Recipe(), folders).step == 3.0
    assert len(calls) == 1
    probe_all([(key, Recipe())], folders)
    vanilla = probe(key.model_copy(update={"defense": "vanilla"}), Recipe(), folders)
    assert probe(key, Recipe(), folders) == costs_of(key, Recipe(), folders) == vanilla


@pytest.mark.parametrize("defense", ["vanilla", "pixels"])
def test_a_backbone_that_fails_costs_no_plan(folders, monkeypatch, defense):
    monkeypatch.setattr(BACKBONES, "_entries", dict(BACKBONES._entries))

    @BACKBONES.register("breaks")
    class Breaks(SmallConv):
        """Breaks."""

        def build_random(self, image_shape):
            raise RuntimeError("no such layer")

    key = ModelKey(dataset="digits", backbone="breaks", loss="proxy_anchor", defense=defense, seed=0)
    with pytest.raises(BenchmarkError, match=r"^RuntimeError: no such layer \(test_costs.py, line \d+\)$"):
        probe(key, Recipe(), folders)
    assert costs_of(key, Recipe(), folders).embed == 1.0
