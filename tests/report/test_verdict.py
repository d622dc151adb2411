from benchmark.report.doubts import doubts
from benchmark.report.verdict import verdict, verdict_lines

from .fake_run import CLUSTERING, NEIGHBOUR, NOISE, RETRIEVAL, FakeRun
from .own_models import HOME, MY_MODEL, OTHER, TRANSFER, models_alone, models_beside_defenses


def of(table, defense=MY_MODEL):
    return verdict(table, next(row for row in table.rows if row.defense == defense))


def test_each_own_model_of_each_table_has_three_lines(tables_of):
    run, tables = tables_of(models_beside_defenses())
    lines = verdict_lines(run, tables)
    assert len(lines) == 2 * 2 * 4
    assert lines[0] == (
        "net.py:make[weights=net.safetensors] on glyphs, smallconv, proxy_anchor, L∞ 0.1, equal epochs:"
    )
    assert [line.split(":")[0] for line in lines[1:4]] == ["  Retrieval", "  Clustering", "  What to believe"]
    assert HOME not in "".join(lines)
    run, tables = tables_of(FakeRun(), "none")
    assert verdict_lines(run, tables) == []


def test_it_compares_with_pixels_and_vanilla(tables_of):
    _, (table, _) = tables_of(models_beside_defenses())
    rows = {row.defense: row for row in table.rows}
    retrieval, clustering, _ = of(table, OTHER)
    clean, worst = (f"{100 * rows[OTHER].mean(name):.1f}" for name in ("clean_r1", "worst_r1"))
    assert f"an attacker with a budget of L∞ 0.1 lowers R@1 from {clean} % to {worst} %." in retrieval
    kept, whole = (f"{100 * rows['pixels'].mean(name):.1f}" for name in ("worst_ami", "clean_ami"))
    assert f"Raw pixels keep less ({kept} of {whole} %), vanilla keeps less (" in clustering
    assert "Raw pixels keep more" in of(table)[0]
    _, (table,) = tables_of(models_alone(weakness={MY_MODEL: 0.9}, references=()), "alone")
    assert "keep" not in " ".join(of(table)[:2])


def test_chance_is_named_only_where_it_is_known(tables_of):
    for name, chance, said in (("unknown", None, False), ("below", 0.7, True), ("above", 0.01, False)):
        _, (table,) = tables_of(models_alone(chance=chance), name)
        assert ("That is below chance (70.0 %)." in of(table)[0]) == said
        assert "chance" not in of(table)[1]


def test_scores_that_do_not_fall_are_not_said_to_fall(tables_of):
    _, (table,) = tables_of(models_alone(weakness={MY_MODEL: 0.5}, references=()))
    row = table.rows[0]
    row.seeds = [type(seed)(**{**vars(seed), "worst_r1": seed.clean_r1}) for seed in row.seeds]
    assert f"does not lower R@1, which is {100 * row.mean('clean_r1'):.1f} %." in of(table)[0]


def test_what_is_missing_is_said(tables_of):
    for scenario, other, line in ((RETRIEVAL, "Clustering", 1), (CLUSTERING, "Retrieval", 0)):
        _, (table,) = tables_of(models_alone(scenarios=(scenario,)), scenario)
        assert of(table)[line] == f"{other}: not run."
    attacks = (NEIGHBOUR, NOISE, TRANSFER)
    failed = {(MY_MODEL, attack): "no" for attack in attacks}
    _, (table,) = tables_of(models_alone(failed_attacks=failed), "failed")
    row = next(row for row in table.rows if row.defense == MY_MODEL)
    clean = f"{100 * row.mean('clean_r1'):.1f}"
    assert of(table)[0] == f"Retrieval: no attack on it is done; without one, R@1 is {clean} %."
    _, (table,) = tables_of(models_alone(failed_attacks={(MY_MODEL, "none"): "no"}), "unclean")
    assert "without one it is not known" in of(table)[0]
    _, (table,) = tables_of(models_alone(failed_attacks={(MY_MODEL, NOISE): "no"}), "one")
    assert "1 of its cells has no metrics, so the worst case may be lower." in of(table)[0]
    _, (table,) = tables_of(models_alone(missing={(MY_MODEL, a) for a in (*attacks, "none")}), "nothing")
    assert of(table)[:2] == [f"{name}: no attack on it is done." for name in ("Retrieval", "Clustering")]


def test_it_says_what_to_believe(tables_of):
    _, (table, _) = tables_of(models_beside_defenses())
    said = of(table)[2]
    assert "It fails the check rescored: rescored of net.py:make[weights=net.safetensors] | seen." in said
    assert "10 of 11 checks pass." in said
    assert of(table, OTHER)[2] == (
        "What to believe: No rank: net.onnx was attacked without gradients. "
        "It passes all 11 checks, which is no proof."
    )
    _, (table,) = tables_of(models_alone(), "alone")
    assert "10 of 11 checks pass. Not run: zero_gradient." in of(table, OTHER)[2]
    _, (table,) = tables_of(models_alone(checks=None), "unchecked")
    assert of(table)[2] == (
        "What to believe: The checks were not run, so whether the scores are misleading is unknown."
    )


def test_where_only_noise_was_tried_it_says_so(tables_of):
    _, (table,) = tables_of(models_alone(attacks={NOISE: 0.05}, curve={}, failed_attacks={}), "noise")
    assert table.only_noise
    assert "random noise with a budget of L∞ 0.1" in of(table)[0]
    assert "Random noise was the only attack, so what an attacker does is unknown." in of(table)[2]
    assert "the worst cases, since random noise was the only attack" in doubts(table)
