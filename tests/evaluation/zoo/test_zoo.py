"""Runs real attacks: checks must fail for broken defenses, and pass for honest models."""

import pytest
import torch

from attacks import ATTACKS, Problem
from benchmark.data import ImageSet
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, diagnose
from benchmark.evaluation.shifted import compare_fresh, compare_shifted
from benchmark.jobs.standing import Standing
from benchmark.models import count_flops
from benchmark.records import (
    CLEAN,
    CellKey,
    CellRecord,
    CellRef,
    ModelKey,
    ModelRef,
    Provenance,
    RunManifest,
)
from benchmark.records.store import Store
from benchmark.runner.check_models import check_models
from benchmark.training import Recipe, train
from defenses import DEFENSES

from .inconsistent import INCONSISTENT
from .one_path import alone

EPS = 0.06
SHAPE = (1, 8, 8)
BATCH = 120
"""Images in one step of an attack: the pool."""
SMALL = 60
"""The same for models whose embeddings depend on the batch: half of the pool."""
PGD_DECAY = "pgd_decay[objective=neighbour]"
TRANSFER = f"transfer[attack={PGD_DECAY},source=vanilla]"
AT_EPS = ("fgsm[objective=neighbour]", PGD_DECAY, "pgd_decay[objective=neighbour,steps=40]", TRANSFER)
SQUARE = "square[objective=neighbour,queries=100]"
GRID = [
    (CLEAN, 0.0),
    *((attack, EPS) for attack in (*AT_EPS, SQUARE)),
    *((PGD_DECAY, EPS * factor) for factor in (0.5, 2)),
    ("bim[objective=neighbour]", 1.0),
]
AFTER_REFERENCE = (f"{CLEAN}-0.0", f"{PGD_DECAY}-{EPS}")
FOLLOWS = {
    **{f"{attack}-{EPS}": AFTER_REFERENCE for attack in (*AT_EPS[2:], SQUARE)},
    "bim[objective=neighbour]-1.0": (f"{CLEAN}-0.0", f"{PGD_DECAY}-{EPS * 2}"),
}
"""What the attacks follow in a cascade: each attacks only the queries that stand after these."""
PROVENANCE = Provenance(protocol="1", commit="0123abc", packages={}, hardware="a processor", created="now")


@pytest.fixture(scope="module")
def pool(make_images):
    images = make_images(classes=24, per_class=5)  # the training images: only robustness matters here
    return ImageSet((images.images * 255).round().to(torch.uint8), images.labels, images.ids)


@pytest.fixture(scope="module")
def fresh(make_images, pool):
    prototypes = make_images(classes=24, per_class=1, noise=0).images
    noise = 0.15 * torch.randn(len(pool), *SHAPE, generator=torch.Generator().manual_seed(9))
    return ImageSet((prototypes[pool.labels] + noise).clamp(0, 1), pool.labels, pool.ids)


@pytest.fixture(scope="module")
def trained(make_images, make_member):
    def make(defense, width):
        torch.manual_seed(0)
        member = make_member(classes=24, backbone=f"smallconv[dim=8,width={width}]")
        recipe = Recipe(epochs=15, batch_size=32, lr=0.01, shift=0)
        images = make_images(classes=24, per_class=5)
        train(DEFENSES.build(defense), member, images, recipe, EPS, count_flops(member, (1, 8, 8)))
        return member.eval().requires_grad_(False)

    # In a narrower network as `trades` trains it all units of some images are dead: a zero gradient.
    return {name: make(name, width) for name, width in (("vanilla", 0.25), ("pgd_at", 0.25), ("trades", 0.5))}


@pytest.fixture(params=[{}, FOLLOWS], ids=["whole", "cascade"])
def check_model(pool, fresh, trained, tmp_path, request):
    """Attacks a model and stores records as a run does, and runs the checks on them."""

    def run(model, batch=BATCH):
        key = ModelKey(dataset="made-up", backbone="tiny", loss="proxy_anchor", defense="any", seed=0)
        store, cells = Store(tmp_path), []
        for attack, eps in GRID:
            norm = CLEAN if attack == CLEAN else "linf"
            where = CellKey(**key.model_dump(), scenario="retrieval-query", attack=attack, norm=norm, eps=eps)
            in_suite = eps == EPS and not attack.startswith("transfer")
            role = "clean" if attack == CLEAN else "suite" if in_suite else "check"
            cells.append(CellRef(id=f"{attack}-{eps}", model_id="m", key=where, role=role))
            follows = request.param.get(cells[-1].id)
            standing = Standing.read(store, follows) if follows else None
            record, arrays = score(model, cells[-1], standing, batch)
            store.save_cell(record, arrays)
        manifest = RunManifest(
            command="", config={}, suite="checks", compute=["equal-epochs"], references=[],
            whole_range={"made-up": {"linf": 1.0}}, models=[ModelRef(id="m", key=key)], cells=cells,
            provenance=PROVENANCE,
        )  # fmt: skip
        (found,) = check_models(store, manifest)
        return {result.name: result for result in found.results}

    def score(model, cell, standing, batch):
        images, key = pool.batch(slice(None)), cell.key
        attack, result, diagnostics = None, None, {}
        if standing is not None and standing.reason_to_stop(until_chance=key.eps < 1):
            return record_of(cell, standing.unattacked(), {})
        if key.attack != CLEAN:
            attack = ATTACKS.build(key.attack)
            problem = Problem(
                model,
                images,
                pool.labels,
                pool.ids,
                key.norm,
                key.eps,
                batch_size=batch,
                attacked=None if standing is None else standing.images,
                sources={"vanilla": trained["vanilla"]},
            )
            result = attack.run(problem)
            if result.zero_gradient is not None:
                part = 1.0 if standing is None else len(standing.images) / len(pool)
                diagnostics["zero_gradient"] = part * result.zero_gradient
        embeddings = PoolEmbeddings(
            model, images, result.images if result else images, pool.labels, pool.ids, 1,
            BATCH, attack=attack, objective=result.objective if result else None,
            changed=None if standing is None else standing.images,
            isolated=alone(model) if attack and standing is None else None,
        )  # fmt: skip
        found = SCENARIOS.build(key.scenario).score(embeddings)
        if standing is not None:
            found = standing.after(found)
        elif (key.attack, key.eps) == (PGD_DECAY, EPS):
            found.diagnostics.update(compare_shifted(problem, attack, embeddings, found))
            found.diagnostics.update(compare_fresh(problem, attack, embeddings, found, fresh))
        return record_of(
            cell, found, diagnostics | (found.diagnostics if attack else diagnose(embeddings, 5))
        )

    def record_of(cell, found, diagnostics):
        key = cell.key
        record = CellRecord(
            id=cell.id, model_id="m", key=key, status="done", metrics=found.metrics, diagnostics=diagnostics,
            provenance=PROVENANCE,
        )  # fmt: skip
        return record, found.arrays

    return run


def failed(results):
    return {name for name, result in results.items() if result.status == "fail"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vanilla", "pgd_at", "trades"])
def test_honest_models_pass_every_check(check_model, trained, name):
    results = check_model(trained[name])
    if name != "vanilla":  # adversarially trained on this pool, without shifts: it has memorized it
        assert results.pop("shifted").value < 0.3
    assert {result.status for result in results.values()} == {"pass"}, failed(results)


@pytest.mark.slow
def test_broken_defenses_fail_their_checks(check_model, trained, pool, broken, make_setting):
    build, expected = broken
    setting = make_setting(pool.batch(slice(None)), EPS)
    results = check_model(build(trained["vanilla"], setting).eval())
    assert expected <= failed(results), {name: (r.status, r.explanation) for name, r in results.items()}
    # All margins of a constant embedding are 0, so that rounding decides their sign.
    undecided = {"objective_disagrees"} if "collapsed" in expected else set()
    assert {name for name, result in results.items() if result.status == "not run"} == undecided


@pytest.mark.slow
@pytest.mark.parametrize("name", INCONSISTENT)
def test_inconsistent_models_fail_their_checks(check_model, trained, pool, make_setting, name):
    build, expected = INCONSISTENT[name]
    setting = make_setting(pool.batch(slice(None)), EPS, SMALL)
    results = check_model(build(trained["trades"], setting).eval(), SMALL)
    assert expected <= failed(results), {name: (r.status, r.explanation) for name, r in results.items()}
    assert all(result.status != "not run" for result in results.values())
