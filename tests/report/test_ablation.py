from benchmark.report.ablation import ablation

from .fake_run import NOISE, OWN, FakeRun


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


def test_a_suite_of_one_attack_has_no_ablation(tables_of):
    run, (table,) = tables_of(FakeRun(attacks={NOISE: 0.05}, curve={}))
    assert ablation(run, table).board == []
