from math import isnan

import numpy as np
import pytest

from benchmark.records import CellKey, CellRecord, CellRef, RunManifest, Store
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import write_csv
from benchmark.report.ers import NORMALIZED, empirical_robustness_score
from benchmark.report.ranking_board import (
    RANKING_COLUMNS,
    ranking_boards,
    ranking_frame,
    ranking_lines,
)

from .fake_run import provenance
from .own_models import HOME, KINDS, MY_MODEL, SHORT_NAMES

MEASURED = {
    "ca_plus": ("ca_plus",), "ca_minus": ("ca_minus",), "qa_plus": ("qa_plus",), "qa_minus": ("qa_minus",),
    "tma": ("tma",), "es": ("es_d", "es_r1"), "ltm": ("ltm_r1",), "gtm": ("gtm_r1",), "gtt": ("gtt",),
}  # fmt: skip
STRONG = dict.fromkeys(NORMALIZED, 0.3) | {"es_d": 0.5}
WEAK = dict.fromkeys(NORMALIZED, 0.1) | {"ca_minus": 0.9, "qa_minus": 0.9, "tma": 0.9, "es_d": 1.5}
COLLAPSED = dict.fromkeys(NORMALIZED, 0.0) | {"ca_minus": 1.0, "qa_minus": 1.0, "tma": 1.0}
PUBLISHED = COLLAPSED | {"ca_minus": 0.0, "qa_plus": 0.5, "qa_minus": 0.5, "gtt": 0.1}


class Records:
    def __init__(self, folder):
        self.store, self.cells, self.modes, self.short_names = Store(folder), [], ["equal-epochs"], {}
        self.own_models = {}

    def add(self, role="suite", done=True, metrics=None, compute="equal-epochs", **key):
        key = {"dataset": "glyphs", "backbone": "b", "loss": "l", "norm": "linf", "eps": 0.1, "seed": 0} | key
        key = CellKey(**key)
        self.cells.append(
            CellRef(
                id=f"c{len(self.cells)}",
                model_id=f"m-{key.defense}-{key.seed}-{compute}",
                key=key,
                role=role,
                compute=compute,
            )
        )
        self.store.save_cell(
            CellRecord(
                id=self.cells[-1].id,
                model_id=self.cells[-1].model_id,
                key=key,
                status="done" if done else "failed",
                reason="" if done else "it broke",
                metrics=metrics or {},
                provenance=provenance(),
            ),
            {"success": np.ones(1)} if key.scenario == "retrieval-query" else {},
        )

    def measures(self, defense, values, settings="", without=(), **key):
        for measure, names in MEASURED.items():
            metrics = {}
            for name in names:
                metrics[name] = values[name]
                metrics[f"constant_{name}"] = COLLAPSED[name]
                if name not in ("tma", "es_d"):
                    metrics[f"{name}_published"] = values[name]
                    metrics[f"constant_{name}_published"] = PUBLISHED[name]
            attack = f"robrank[measure={measure}{settings}]"
            key |= {"defense": defense, "scenario": "ranking", "attack": attack}
            self.add(done=measure not in without, metrics=metrics, **key)

    def run(self):
        manifest = RunManifest(
            command="", config={}, suite="ranking", compute=self.modes, references=[], models=[],
            cells=self.cells, short_names=self.short_names, own_models=self.own_models,
            provenance=provenance(),
        )  # fmt: skip
        self.store.save_manifest(manifest)
        return Run(self.store)


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path)


def test_rows_are_means_over_seeds_and_a_constant_embedding_stands_last(records):
    records.measures("vanilla", WEAK)
    records.measures("pgd_at", STRONG)
    records.measures("pgd_at", {name: value + 0.1 for name, value in STRONG.items()}, seed=1)
    for seed, r1 in ((0, 0.8), (1, 0.9)):
        records.add(
            "clean", defense="pgd_at", scenario="retrieval-query", attack="none", norm="none", eps=0.0,
            seed=seed, metrics={"r1": r1},
        )  # fmt: skip
    frame = ranking_frame(records.run())
    assert list(frame.columns) == RANKING_COLUMNS
    assert frame["defense"].tolist() == ["pgd_at", "vanilla", "constant embedding"]
    assert frame["attack"].tolist() == ["robrank"] * 3
    first, second, constant = (row for _, row in frame.iterrows())
    assert first["n_seeds"] == 2 and second["n_seeds"] == 1
    assert first["clean_r1"] == pytest.approx(0.85) and isnan(second["clean_r1"])
    for name in NORMALIZED:
        assert first[name] == pytest.approx(STRONG[name] + 0.05)
        assert constant[name] == pytest.approx(COLLAPSED[name])
    mean = {name: value + 0.05 for name, value in STRONG.items()}
    assert first["ers"] == first["ers_published_ties"] == pytest.approx(empirical_robustness_score(mean))
    assert constant["ers"] == pytest.approx(0.1)
    assert constant["ers_published_ties"] == pytest.approx((1 + 1 + 0.5 + 1 + 0.1) / 10)


def test_other_settings_are_another_board(records):
    records.measures("vanilla", WEAK)
    records.measures("vanilla", STRONG, settings=",steps=10")
    records.measures("vanilla", STRONG, eps=0.2)
    boards = ranking_boards(records.run())
    assert [(group.eps, group.attack) for group in boards] == [
        (0.1, "robrank"),
        (0.1, "robrank[steps=10]"),
        (0.2, "robrank"),
    ]
    for rows, expected in zip(boards.values(), (WEAK, STRONG, STRONG), strict=True):
        assert rows[0].measures == pytest.approx(expected)


def test_a_missing_measure_leaves_no_score(records):
    records.measures("vanilla", STRONG, without=("ltm",))
    records.measures("pgd_at", WEAK)
    (rows,) = ranking_boards(records.run()).values()
    assert [row.defense for row in rows] == ["pgd_at", "vanilla", "constant embedding"]
    assert isnan(rows[1].ers) and isnan(rows[1].measures["ltm_r1"])
    assert rows[1].measures["gtt"] == STRONG["gtt"]


def test_only_seeds_with_all_measures_make_the_score(records):
    records.measures("pgd_at", STRONG)
    records.measures("pgd_at", WEAK, seed=1, without=("ltm",))
    run = records.run()
    (rows,) = ranking_boards(run).values()
    assert rows[0].ers == pytest.approx(empirical_robustness_score(STRONG))
    assert (rows[0].n_seeds, rows[0].ers_seeds) == (2, 1)
    assert rows[0].measures["gtt"] == pytest.approx((STRONG["gtt"] + WEAK["gtt"]) / 2)
    assert "**, 1 of 2 seeds |" in "\n".join(ranking_lines(run))
    assert ranking_frame(run).set_index("defense").loc["pgd_at", "ers_seeds"] == 1


def test_each_compute_mode_has_its_board_and_the_page_the_first(records):
    records.modes = ["equal-passes", "equal-epochs"]
    for mode, values, r1 in (("equal-epochs", WEAK, 0.5), ("equal-passes", STRONG, 0.7)):
        records.measures("pgd_at", values, compute=mode)
        records.add(
            "clean", defense="pgd_at", scenario="retrieval-query", attack="none", norm="none", eps=0.0,
            metrics={"r1": r1}, compute=mode,
        )  # fmt: skip
    run = records.run()
    boards = {group.compute: rows[0] for group, rows in ranking_boards(run).items()}
    assert boards["equal-epochs"].measures == pytest.approx(WEAK)
    assert boards["equal-passes"].measures == pytest.approx(STRONG)
    assert [boards[mode].clean_r1 for mode in ("equal-epochs", "equal-passes")] == [0.5, 0.7]
    assert ranking_frame(run)["compute"].tolist() == ["equal-epochs"] * 2 + ["equal-passes"] * 2
    assert sum("`pgd_at`" in line for line in ranking_lines(run)) == 1
    assert any("| 70.0 |" in line for line in ranking_lines(run))


def test_the_page_and_the_file(records, tmp_path):
    records.measures("eat[members=3]", STRONG)
    run = records.run()
    lines = ranking_lines(run)
    head, rule, eat, constant = lines[2:6]
    assert "ES:R@1" in head and head.count("|") == rule.count("|") == eat.count("|") == constant.count("|")
    assert "`eat[members=3]`" in eat and "| 30.0 |" in eat and "| 0.500 |" in eat
    score = 100 * empirical_robustness_score(STRONG)
    assert f"| **{score:.1f}** |" in eat
    assert "| *constant embedding* |" in constant and "**10.0** (36.0)" in constant
    write_csv(ranking_frame(run), tmp_path / "ranking.csv")
    assert (tmp_path / "ranking.csv").read_text().splitlines()[0] == ",".join(RANKING_COLUMNS)


def test_the_order_attack_stands_beside_the_score_where_it_was_asked_for(records):
    records.measures("pgd_at", STRONG)
    without = "\n".join(ranking_lines(records.run()))
    assert "OA:SRC" not in without
    records.add(
        defense="vanilla", scenario="ranking", attack="robrank[measure=order]",
        metrics={"order_src": 0.625, "constant_order_src": 1.0, "constant_order_src_published": 0.0},
    )  # fmt: skip
    run = records.run()
    lines = ranking_lines(run)
    head, rule, strong, alone, constant = lines[2:7]
    assert head.endswith("| ERS \u2191 | OA:SRC \u2193 |") and head.count("|") == rule.count("|")
    assert strong.endswith(f"| **{100 * empirical_robustness_score(STRONG):.1f}** | \u2013 |")
    assert alone.endswith("| \u2013 | 0.625 |") and constant.endswith("| 1.000 |")
    assert lines[-1].endswith("are not in the ERS.")
    frame = ranking_frame(run).set_index("defense")
    assert list(frame.columns)[-1] == "order_src" and frame.loc["vanilla", "order_src"] == 0.625
    assert frame.loc["pgd_at", "ers"] == pytest.approx(empirical_robustness_score(STRONG))
    assert isnan(frame.loc["vanilla", "ers"])


def test_a_board_of_the_order_attack_alone_has_no_column_of_the_score(records):
    metrics = {"order_src": 0.25, "constant_order_src": 1.0}
    records.add(
        defense="vanilla", scenario="ranking", attack="robrank[measure=order,step=1/8]", metrics=metrics
    )
    lines = ranking_lines(records.run())
    assert lines[2:6] == [
        "| defense | clean R@1 | OA:SRC \u2193 |",
        "| --- | ---: | ---: |",
        "| `vanilla` | \u2013 | 0.250 |",
        "| *constant embedding* | \u2013 | 1.000 |",
    ]


def test_nothing_without_cells(records):
    records.add(defense="vanilla", scenario="clustering", attack="noise", metrics={"ami": 0.5})
    run = records.run()
    assert ranking_boards(run) == {} and ranking_lines(run) == []
    assert ranking_frame(run).empty


def test_names_of_data_sets_hold_no_path(records):
    records.short_names = {"folder:/home/me/birds[size=32]": "birds[size=32]"}
    records.measures("vanilla", WEAK, dataset="folder:/home/me/birds[size=32]")
    run = records.run()
    assert set(ranking_frame(run)["dataset"]) == {"birds[size=32]"}
    assert ranking_lines(run)[0] == "`birds`, `b`, `l`, `robrank`, L\u221e 0.1:"


def test_own_models_are_marked_and_their_paths_left_out(records):
    records.measures(MY_MODEL, STRONG, backbone="none", loss="none")
    records.short_names, records.own_models = SHORT_NAMES, KINDS
    run = records.run()
    lines = ranking_lines(run)
    assert lines[0] == "`glyphs`, `robrank`, L\u221e 0.1:"
    assert lines[2].startswith("| model |")
    assert any(line.startswith("| `net.py:make[weights=net.safetensors]` *own model* |") for line in lines)
    assert HOME not in "".join(lines) + ranking_frame(run).to_csv()
