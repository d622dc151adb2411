"""Broken defenses are really attacked, and must be found out; honest models must not be."""

import pytest
import torch
from zoo import ZOO, Setting

from attacks import ATTACKS, Problem
from benchmark.data import ImageSet
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, diagnose
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

EPS = 0.06
STEADY = "pgd_decay[objective=neighbour]"
TRANSFER = f"transfer[attack={STEADY},source=vanilla]"
AT_EPS = ("fgsm[objective=neighbour]", STEADY, "pgd_decay[objective=neighbour,steps=40]", TRANSFER)
SQUARE = "square[objective=neighbour,queries=100]"
GRID = [
    (CLEAN, 0.0),
    *((attack, EPS) for attack in (*AT_EPS, SQUARE)),
    *((STEADY, EPS * factor) for factor in (0.5, 2)),
    ("bim[objective=neighbour]", 1.0),
]
PROVENANCE = Provenance(protocol="1", commit="0123abc", packages={}, hardware="a processor", created="now")


@pytest.fixture(scope="module")
def pool(make_images):
    images = make_images(classes=24, per_class=5)  # those of the training: robustness is what is judged
    return ImageSet((images.images * 255).round().to(torch.uint8), images.labels, images.ids)


@pytest.fixture(scope="module")
def trained(make_images, make_member):
    def make(defense):
        torch.manual_seed(0)
        member = make_member(classes=24)
        recipe = Recipe(epochs=15, batch_size=32, lr=0.01, shift=0)
        images = make_images(classes=24, per_class=5)
        train(DEFENSES.build(defense), member, images, recipe, EPS, count_flops(member, (1, 8, 8)))
        return member.eval().requires_grad_(False)

    return {name: make(name) for name in ("vanilla", "pgd_at")}


@pytest.fixture
def judged(pool, trained, tmp_path):
    """Attacks a model as a run does, leaves records as a run does, and judges them."""

    def run(model):
        key = ModelKey(dataset="made-up", backbone="tiny", loss="proxy_anchor", defense="any", seed=0)
        store, cells = Store(tmp_path), []
        for attack, eps in GRID:
            norm = CLEAN if attack == CLEAN else "linf"
            where = CellKey(**key.model_dump(), scenario="retrieval-query", attack=attack, norm=norm, eps=eps)
            in_suite = eps == EPS and not attack.startswith("transfer")
            role = "clean" if attack == CLEAN else "suite" if in_suite else "check"
            cells.append(CellRef(id=f"{attack}-{eps}", model_id="m", key=where, role=role))
            record, arrays = score(model, cells[-1])
            store.save_cell(record, arrays)
        manifest = RunManifest(
            command="", config={}, suite="checks", compute=["equal-epochs"], references=[],
            whole_range={"made-up": {"linf": 1.0}}, models=[ModelRef(id="m", key=key)], cells=cells, provenance=PROVENANCE,
        )  # fmt: skip
        (found,) = check_models(store, manifest)
        return {result.name: result for result in found.results}

    def score(model, cell):
        images, key = pool.batch(slice(None)), cell.key
        attack, outcome, about = None, None, {}
        if key.attack != CLEAN:
            attack = ATTACKS.build(key.attack)
            problem = Problem(
                model,
                images,
                pool.labels,
                pool.ids,
                key.norm,
                key.eps,
                sources={"vanilla": trained["vanilla"]},
            )
            outcome = attack.run(problem)
            about = {} if outcome.zero_gradient is None else {"zero_gradient": outcome.zero_gradient}
        views = PoolEmbeddings(
            model, images, outcome.images if outcome else images, pool.labels, pool.ids, 1,
            attack=attack, objective=outcome.objective if outcome else None,
        )  # fmt: skip
        found = SCENARIOS.build(key.scenario).score(views)
        about |= found.diagnostics if attack else diagnose(views, 5)
        record = CellRecord(
            id=cell.id, model_id="m", key=key, status="done", metrics=found.metrics, diagnostics=about,
            provenance=PROVENANCE,
        )  # fmt: skip
        return record, found.arrays

    return run


def failed(verdicts):
    return {name for name, verdict in verdicts.items() if verdict.status == "fail"}


@pytest.mark.parametrize("name", ["vanilla", "pgd_at"])
def test_honest_models_fail_nothing(judged, trained, name):
    verdicts = judged(trained[name])
    assert {v.status for v in verdicts.values()} == {"pass"}, failed(verdicts)


@pytest.mark.parametrize("name", ZOO)
def test_broken_defenses_are_found_out(judged, trained, pool, name):
    build, expected = ZOO[name]
    verdicts = judged(build(trained["vanilla"], Setting(pool.batch(slice(None)), EPS)).eval())
    assert expected <= failed(verdicts), {n: (v.status, v.words) for n, v in verdicts.items()}
    assert all(verdict.status != "not run" for verdict in verdicts.values())
