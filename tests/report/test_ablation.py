import numpy as np

from benchmark.records import Store
from benchmark.report.ablation import ablation
from benchmark.report.cell_results import Run
from benchmark.report.tables import collect

from .fake_run import NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun


def test_rise_of_the_worst_case_without_each_attack(by_hand):
    # Worst AMI 0.4 and 0.3, under OWN: without it 0.45, of NEIGHBOUR at the smaller budget. Worst R@1 0.4:
    # without OWN queries 0 and 1 survive, without NEIGHBOUR 3 and 4, without NOISE none.
    found = ablation(*by_hand)
    assert found.board == [
        "| without | `pgd_at` |",
        "| --- | ---: |",
        f"| `{OWN}` | +10.0 / +20.0 |",
        "| `pgd_decay neighbour` | 0 / +20.0 |",
    ]
    assert found.idle == [NOISE]  # a line of zeros says nothing
    assert not found.falls


def test_a_suite_of_one_attack_has_no_ablation(tables_of):
    run, (table,) = tables_of(FakeRun(attacks={NOISE: 0.05}, curve={}))
    assert ablation(run, table).board == []


def test_a_worst_case_of_a_randomised_row_may_fall(tmp_path):
    # With OWN and NEIGHBOUR the first query is scored 0.9 and 0.2 on the halves, with OWN alone 0.8 and 0.2.
    halves = {
        "none": [(1.0, 1, 1), (1.0, 1, 1)],
        OWN: [(0.2, 0, 1), (0.8, 0, 1)],
        NEIGHBOUR: [(0.1, 1, 1), (0.9, 1, 1)],
        NOISE: [(1.0, 1, 0), (1.0, 1, 0)],
    }
    fake = FakeRun(weakness={"pgd_at": 0.3}, references=(), scenarios=(RETRIEVAL,), seeds=(0,), curve={})
    manifest, store = fake.write(tmp_path), Store(tmp_path)
    for ref in manifest.cells:
        of_each = np.array(halves[ref.key.attack], dtype=np.float32)
        store.save_cell(store.cell(ref.id), {"success": of_each.mean(axis=0), "halves": of_each})
    run = Run(store)
    found = ablation(run, collect(run)[0])
    assert "| `pgd_decay neighbour` | -1.7 |" in found.board
    assert found.falls
