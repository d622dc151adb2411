"""From records on disk to results of checks: what a run left behind is made by hand here."""

import numpy as np
import pytest

from benchmark.evaluation import CHECKS
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

PROVENANCE = Provenance(protocol="1", commit="0123abc", packages={}, hardware="a processor", created="now")
RETRIEVAL = "retrieval-query"
PGD_DECAY = "pgd_decay[objective=neighbour]"
TWICE = "pgd_decay[objective=neighbour,steps=40]"
FGSM, POOL = "fgsm[objective=neighbour]", "pgd_decay[objective=pool]"
KEY = ModelKey(dataset="glyphs", backbone="smallconv", loss="proxy_anchor", defense="pgd_at", seed=0)
HEALTHY = {
    (PGD_DECAY, 0.1): 0.3,
    (TWICE, 0.1): 0.3,
    (FGSM, 0.1): 0.5,
    (PGD_DECAY, 0.05): 0.6,
    (PGD_DECAY, 0.2): 0.1,
    (PGD_DECAY, 1.0): 0.0,
}


@pytest.fixture
def checked(tmp_path):
    """Writes the cells of one model and checks it; `drop` names attacks whose cells are not there."""

    def run(
        scores=HEALTHY, norm="linf", whole=1.0, drop=(), failed=(), diagnostics=None, roles=None, **model
    ):
        store = Store(tmp_path)
        about = {"repeat_difference": 0.0, "eot": 1.0, "chance": 0.02, **model}
        cells = []
        for (attack, eps), r1 in {(CLEAN, 0.0): 0.9, **scores}.items():
            clean = attack == CLEAN
            key = CellKey(
                **KEY.model_dump(), scenario=RETRIEVAL, attack=attack, norm=CLEAN if clean else norm, eps=eps
            )
            role = "clean" if clean else "suite" if eps == 0.1 else "check"
            role = (roles or {}).get((attack, eps), role)
            cells.append(CellRef(id=f"{attack}-{eps}", model_id="m", key=key, role=role))
            if attack in drop:
                continue
            success = (np.arange(500) < round(r1 * 500)).astype(np.float32)
            record = CellRecord(
                id=cells[-1].id,
                model_id="m",
                key=key,
                status="failed" if attack in failed else "done",
                metrics={"r1": float(success.mean())},
                diagnostics=about if clean else (diagnostics or {}).get(attack, {}),
                provenance=PROVENANCE,
            )
            arrays = {"success": success, "queries": np.arange(500, dtype=np.int32)}
            if not clean:
                arrays["objective"] = 0.5 - success
            store.save_cell(record, arrays)
        manifest = RunManifest(
            command="",
            config={},
            suite="standard",
            compute=["equal-epochs"],
            references=[],
            whole_range={"glyphs": {norm: whole}},
            models=[ModelRef(id="m", key=KEY)],
            cells=cells,
            provenance=PROVENANCE,
        )
        found = check_models(store, manifest)
        assert [store.checks("m", record.norm, record.eps) for record in found] == found
        return {record.eps: {v.name: v for v in record.results} for record in found}

    return run


def statuses(results):
    return {name: result.status for name, result in results.items()}


def test_facts_about_attacks_come_from_their_specs(checked):
    found = {PGD_DECAY: {"zero_gradient": 0.0, "rescored_r1": 0.3}}
    results = checked({k: v for k, v in HEALTHY.items() if k[1] == 0.1}, diagnostics=found)[0.1]
    assert list(results) == CHECKS.names()
    assert statuses(results) == {
        "randomised": "pass",
        "zero_gradient": "pass",
        "one_step_beats_many": "pass",
        "black_box_beats_white_box": "not run",
        "transfer_beats_white_box": "not run",
        "suite_too_weak": "not run",
        "unbounded": "not run",
        "not_monotone": "not run",
        "not_converged": "pass",
        "collapsed": "pass",
        "rescored": "pass",
        "wrong_gradient": "not run",
        "objective_disagrees": "not run",
        "shifted": "not run",
    }
    assert results["one_step_beats_many"].value == pytest.approx(-0.2, abs=1e-6)


def test_attacks_beside_the_suite_are_compared_with_it(checked):
    weak = checked(roles={(PGD_DECAY, 0.1): "check", (TWICE, 0.1): "check"})[0.1]["suite_too_weak"]
    assert weak.status == "fail" and weak.value == pytest.approx(0.2)
    strong = checked({**HEALTHY, (FGSM, 0.1): 0.31}, roles={(FGSM, 0.1): "check", (TWICE, 0.1): "check"})
    assert strong[0.1]["suite_too_weak"].status == "pass"


def test_what_transferred_attacks_start_from_is_not_compared_with_itself(checked, monkeypatch):
    vanilla = KEY.model_copy(update={"defense": "vanilla"})
    transfer = f"transfer[attack={PGD_DECAY},source=vanilla]"
    planned = {**HEALTHY, (transfer, 0.1): 0.9}
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "KEY", vanilla)
        nothing = checked(drop=(CLEAN, *(attack for attack, _ in HEALTHY)))[0.1]
        assert nothing["transfer_beats_white_box"].status == "not run"
        assert checked()[0.1]["transfer_beats_white_box"].status == "not run"  # no row is attacked so
        assert checked(planned, drop=(transfer,))[0.1]["transfer_beats_white_box"].status == "pass"
    assert checked(planned, drop=(transfer,))[0.1]["transfer_beats_white_box"].status == "not run"
    monkeypatch.setitem(globals(), "KEY", vanilla)  # one source of several is attacked from the others
    assert checked({**HEALTHY, (transfer, 0.1): 0.1})[0.1]["transfer_beats_white_box"].status == "fail"


def test_other_budgets_serve_the_suites(checked):
    results = checked()
    assert list(results) == [0.1]  # budgets used only by the checks have no table
    assert statuses(results[0.1])["not_monotone"] == statuses(results[0.1])["unbounded"] == "pass"
    rising = checked({**HEALTHY, (PGD_DECAY, 0.2): 0.4})[0.1]["not_monotone"]
    assert rising.status == "fail" and rising.excess > 0 and "0.2" in rising.explanation


def test_over_the_whole_range_the_clean_start_counts(checked):
    bim = "bim[objective=neighbour]"
    assert checked({**HEALTHY, (bim, 1.0): 0.9})[0.1]["unbounded"].status == "fail"
    assert checked({**HEALTHY, ("pgd[objective=neighbour]", 1.0): 0.9})[0.1]["unbounded"].status == "pass"


def test_black_boxes_and_transferred_images_are_known_by_their_attacks(checked):
    square, transfer = "square[objective=neighbour]", f"transfer[attack={PGD_DECAY},source=vanilla]"
    results = checked({**HEALTHY, (square, 0.1): 0.1, (transfer, 0.1): 0.29})[0.1]
    assert results["black_box_beats_white_box"].status == "fail"
    assert results["black_box_beats_white_box"].value == pytest.approx(0.2, abs=1e-6)
    assert results["transfer_beats_white_box"].status == "pass"


def test_what_failed_or_is_missing_or_damaged_is_not_run(checked, tmp_path):
    assert checked(failed=(TWICE,))[0.1]["not_converged"].status == "not run"
    (tmp_path / "store" / "cells" / f"{TWICE}-0.1.json").unlink()
    assert checked(drop=(TWICE,))[0.1]["not_converged"].status == "not run"
    assert checked()[0.1]["not_converged"].status == "pass"  # checked again
    (tmp_path / "store" / "arrays" / f"{CLEAN}-0.0.safetensors").write_bytes(b"nonsense")
    left = checked(drop=(CLEAN,))[0.1]
    assert left["collapsed"].status == "not run"
    assert left["randomised"].status == "pass"  # which needs no outcomes


def test_objectives_on_the_attacked_pool_do_not_compare(checked):
    one, many = "fgsm[objective=pool]", POOL
    assert checked({(one, 0.1): 0.1, (many, 0.1): 0.5})[0.1]["one_step_beats_many"].status == "not run"
    one, many = "fgsm[objective=own]", "pgd[objective=own]"
    assert checked({(one, 0.1): 0.1, (many, 0.1): 0.5})[0.1]["one_step_beats_many"].status == "fail"


def test_the_whole_range_is_the_manifests(checked):
    scores = {(PGD_DECAY, 0.1): 0.3, (PGD_DECAY, 28.0): 0.2}
    assert checked(scores, norm="l2", whole=28.0)[0.1]["unbounded"].status == "fail"
    assert checked(scores, norm="l2", whole=29.0)[0.1]["unbounded"].status == "not run"


def test_a_model_without_any_record_is_not_run(checked):
    results = checked(drop=(CLEAN, *(attack for attack, _ in HEALTHY)))[0.1]
    assert set(statuses(results).values()) == {"not run"}
