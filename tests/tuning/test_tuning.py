import itertools
import math
from typing import ClassVar

import pandas as pd
import pytest
import yaml

from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.data import Folders
from benchmark.jobs import RunContext, run_job
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.records import ModelRecord, Store, ValidationResult
from benchmark.tuning import tuning
from benchmark.tuning.search import Search
from benchmark.tuning.tuning import tune
from defenses import DEFENSES, Defense, Range, Vanilla

BEST = 0.3


class Hill(Vanilla):
    """Scores best at weight 0.3; training fails above 5."""

    tunable: ClassVar = {"weight": Range(0.01, 10, log=True), "mode": ("flat", "steep")}
    weight: float = 1.0
    mode: str = "flat"


class Steps(Vanilla):
    tunable: ClassVar = {"steps": Range(1, 3)}
    steps: int = 2


class Bad(Vanilla):
    tunable: ClassVar = {"weight": Range(2.0, 3.0)}
    weight: float = 1.0


@pytest.fixture(autouse=True)
def defenses(monkeypatch):
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    for name, cls in (("hill", Hill), ("steps", Steps), ("bad", Bad)):
        monkeypatch.setattr(cls, "name", name)
        DEFENSES._entries[name] = cls


def scores(defense: Defense) -> tuple[float, float]:
    clean = 0.8 if getattr(defense, "mode", "flat") == "flat" else 0.7
    distance = math.log10(getattr(defense, "weight", 1.0) / BEST) + (getattr(defense, "steps", 1) - 1) / 10
    return clean, 0.6 - 0.1 * distance**2


@pytest.fixture
def trained(monkeypatch):
    """The specs that were trained, round by round; a training that takes no time."""
    rounds: list[list[str]] = []

    def fake(trainings, costs, context, workers, watcher):
        assert set(costs) == {job.id for job in trainings}
        rounds.append([job.key.defense for job in trainings])
        for job in reversed(trainings):  # workers finish in any order
            defense = DEFENSES.build(job.key.defense)
            if getattr(defense, "weight", 0.0) > 5:
                watcher.finish(job, job.fail("the loss is nan", context))
                continue
            clean, attacked = scores(defense)
            validations = [
                ValidationResult(epoch=1, clean_map_r=0.99, attacked_map_r=0.99)
            ]  # not the epoch that was kept
            validations.append(ValidationResult(epoch=2, clean_map_r=clean, attacked_map_r=attacked))
            record = {"id": job.id, "key": job.key, "status": "done", "cost": 12.0}
            made = context.provenance()
            saved = ModelRecord(**record, validations=validations, best_epoch=2, provenance=made)
            context.store.save_model(saved)
            watcher.finish(job, None)

    monkeypatch.setattr(tuning, "run_jobs", fake)
    monkeypatch.setattr(tuning, "FEWEST_TO_HOLD_OUT", 2)  # digits has few classes
    return rounds


@pytest.fixture
def run(tmp_path):
    def start(defenses: str, trials: int = 8, output: str = "out", shown: bool = False, **given):
        config = resolve({"defenses": defenses, "datasets": "digits", "seeds": "0", **given})
        context = RunContext(
            output=tmp_path / output, cache=tmp_path, data=tmp_path, device="cpu", commit="abc"
        )
        path = tune(config, context, trials, shown)
        return pd.read_csv(path.parent / "tuning.csv", keep_default_na=True), path

    return start


def test_each_defense_has_the_same_number_of_trials_and_its_default_first(trained, run):
    table, _ = run("hill,hill[mode=steep],pgd_at", trials=6)
    counts = table.groupby("defense").size().to_dict()
    assert counts == {
        "hill": 6,
        "hill[mode=steep]": 6,
        "pgd_at": 1 if not DEFENSES.get("pgd_at").tunable else 6,
    }
    first = table[table.trial == 1].set_index("defense").spec
    assert first["hill"] == "hill"
    assert first["hill[mode=steep]"] == "hill[mode=steep]"
    assert [len(specs) for specs in trained[:2]] == [3, len(trained[1])]  # one round trains one of each


def test_every_trial_is_another_model(trained, run):
    table, _ = run("hill", trials=20)
    assert table.spec.is_unique
    assert len(table) == 20 == sum(map(len, trained))


def test_the_highest_score_is_chosen_and_it_is_the_mean_at_the_kept_epoch(trained, run):
    table, path = run("hill", trials=20)
    for row in table.dropna(subset=["score"]).itertuples():
        assert row.score == pytest.approx(sum(scores(DEFENSES.build(row.spec))) / 2, abs=1e-4)
        assert row.epoch == 2
    (chosen,) = table[table.chosen].itertuples()
    assert chosen.score == table.score.max() > table.score[0]
    assert yaml.safe_load(path.read_text())["defenses"] == [chosen.spec]


def test_the_sampler_learns():
    def distances(reported: bool) -> float:
        total = 0.0
        for seed in range(4):
            search = Search("hill[mode=flat]", seed)
            for trial in range(24):
                spec = search.ask()
                defense = DEFENSES.build(spec)
                search.report(spec, sum(scores(defense)) if reported else 0.5)
                total += abs(math.log10(defense.weight / BEST)) if trial >= 12 else 0.0
        return total

    assert distances(reported=True) < 0.7 * distances(reported=False)


def test_it_is_deterministic_and_a_longer_search_begins_as_a_shorter_one(trained, run):
    short = run("hill,steps", trials=6)[0]
    again = run("hill,steps", trials=6, output="again")[0]
    pd.testing.assert_frame_equal(short, again)
    longer = run("hill", trials=12, output="longer")[0]
    assert list(longer.spec[:6]) == list(short[short.defense == "hill"].spec)
    other = run("hill", trials=6, output="other", seeds="1")[0]
    assert list(other.spec[1:]) != list(longer.spec[1:6])


def test_tuning_resumes_where_it_stopped(trained, run, monkeypatch):
    whole = run("hill[mode=flat],steps", trials=6, output="whole")[0]
    fake, calls = tuning.run_jobs, itertools.count()

    def killed(*arguments):
        if next(calls) == 3:
            raise KeyboardInterrupt
        fake(*arguments)

    monkeypatch.setattr(tuning, "run_jobs", killed)
    with pytest.raises(KeyboardInterrupt):
        run("hill[mode=flat],steps", trials=6)
    before = [spec for specs in trained for spec in specs]
    trained.clear()
    table = run("hill[mode=flat],steps", trials=6)[0]
    pd.testing.assert_frame_equal(table, whole)
    failed = set(table[table.score.isna()].spec)
    done = set(before[len(whole) :])
    assert done
    assert done & {spec for specs in trained for spec in specs} <= failed


def test_fixed_parameters_stay_even_at_their_default(trained, run):
    table, path = run("hill[weight=1]", trials=8)
    assert {DEFENSES.build(spec).weight for spec in table.spec} == {1.0}
    assert sorted(table.spec) == ["hill", "hill[mode=steep]"]  # two values are all there is to try
    assert yaml.safe_load(path.read_text())["defenses"] == ["hill"]


def test_whole_numbers_and_choices_are_drawn_as_such(trained, run):
    table, _ = run("hill,steps", trials=10)
    steps = [DEFENSES.build(spec).steps for spec in table[table.defense == "steps"].spec]
    assert sorted(steps) == [1, 2, 3]
    modes = {DEFENSES.build(spec).mode for spec in table[table.defense == "hill"].spec}
    assert modes == {"flat", "steep"}
    for spec in table[table.defense == "hill"].spec:
        assert len(parse_spec(spec).parameters.get("weight", "").replace("0.", "").lstrip("0")) <= 4


def test_a_failed_training_is_a_trial_without_a_score(trained, run, capsys):
    table, path = run("hill[weight=6]", trials=2, shown=True)
    assert list(table.reason) == ["the loss is nan"] * 2
    assert table.score.isna().all()
    assert not table.chosen.any()
    assert yaml.safe_load(path.read_text())["defenses"] == ["hill[weight=6]"]
    assert "every trial failed" in path.read_text()
    assert "FAILED: the loss is nan" in capsys.readouterr().out


def test_the_sampler_keeps_away_from_what_failed():
    def failures(reported: bool) -> int:
        search = Search("hill[mode=flat]", 0)
        specs = []
        for _ in range(24):
            spec = search.ask()
            weight = DEFENSES.build(spec).weight
            search.report(spec, None if reported and weight > 1 else 0.5)
            specs.append(weight > 1)
        return sum(specs)

    assert failures(reported=True) < failures(reported=False)


def test_nothing_to_tune_is_said_and_scored_once(trained, run, capsys):
    table, path = run("vanilla,steps", trials=3, shown=True)
    assert list(table.defense).count("vanilla") == 1
    assert "vanilla has nothing to tune" in capsys.readouterr().out
    assert yaml.safe_load(path.read_text())["defenses"][0] == "vanilla"


def test_reference_rows_and_refused_defenses_are_left_out(trained, run, monkeypatch):
    monkeypatch.setattr(Steps, "needs_proxies", True)
    table, _ = run("pixels,vanilla,steps", trials=2, losses="multi_similarity")
    assert set(table.defense) == {"vanilla"}
    with pytest.raises(UsageError, match="no defense to tune"):
        run("pixels", trials=2)


def test_the_chosen_values_are_a_configuration(trained, run, tmp_path):
    table, path = run("hill,vanilla", trials=6, training={"epochs": 3, "validation": 0.2})
    config = resolve({}, path)
    assert config.defenses == list(table[table.chosen].spec)
    assert config.datasets == ["digits"]
    assert (config.training.epochs, config.training.validation) == (3, 0.2)
    grid = build_grid(config, Folders(tmp_path, tmp_path))  # what was chosen need not be trained again
    store = Store(path.parent)
    assert {job.key.defense for job in (m.job for m in grid.models) if store.model(job.id)} == set(
        config.defenses
    )


def test_equal_passes_are_tuned_as_such(trained, run):
    epochs: dict[str, set[int]] = {}
    fake = tuning.run_jobs

    def noting(trainings, *arguments):
        for job in trainings:
            epochs.setdefault(mode, set()).add(job.epochs)
        fake(trainings, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "run_jobs", noting)
        for mode in ("equal-epochs", "equal-passes"):
            _, path = run("hill", trials=1, output=mode, compute=mode, budget=6, training={"epochs": 5})
    assert epochs == {"equal-epochs": {5}, "equal-passes": {10}}  # vanilla takes 3 units an epoch
    assert resolve({}, path).compute == ["equal-passes"]


def test_settings_have_files_of_their_own(trained, run):
    table, path = run("hill", trials=3, losses="proxy_anchor,multi_similarity")
    assert table.groupby("loss").size().to_dict() == {"proxy_anchor": 3, "multi_similarity": 3}
    assert table.chosen.sum() == 2
    others = sorted(path.parent.glob("tuned-*.yaml"))
    assert [yaml.safe_load(other.read_text())["losses"] for other in others] == [
        ["multi_similarity"],
        ["proxy_anchor"],
    ]
    assert path.read_text() == others[1].read_text()


def test_without_validation_classes_it_says_how_to_turn_them_on(trained, run):
    with pytest.raises(UsageError, match=r"validation: 0\.15"):
        run("hill", training={"validation": 0})


def test_too_few_training_classes_are_refused_before_anything_is_trained(run, tmp_path):
    with pytest.raises(UsageError, match=r"'digits' has 5 training classes; .* needs 10 or more"):
        run("hill")
    assert not list((tmp_path / "out").rglob("*.json"))


def test_a_range_without_the_default_is_refused(trained, run):
    with pytest.raises(UsageError, match=r"bad: tunable leaves out the default of 'weight', 1\.0"):
        run("bad")
    with pytest.raises(UsageError, match="at least one"):
        run("hill", trials=0)


@pytest.mark.parametrize("name", DEFENSES.names())
def test_every_default_is_among_what_is_tuned(name):
    assert Search(name, 0).ask() == DEFENSES.build(name).spec


def test_a_real_tuning(run, capsys, monkeypatch):
    """Two trainings, in this process, since starting workers takes longer than they do."""

    def here(trainings, costs, context, workers, watcher):
        for job in trainings:
            watcher.finish(job, run_job(job, context))

    monkeypatch.setattr(tuning, "run_jobs", here)
    training = {"epochs": 1, "batch_size": 128, "inner_steps": 1, "validation": 0.4, "validations": 1}
    small = "glyphs[classes=24,per_class=6]"
    table, path = run("trades", trials=2, training=training, shown=True, datasets=small)
    assert list(table.trial) == [1, 2]
    assert table.score.between(0.05, 1).all()
    assert (table.score - (table.clean_map_r + table.attacked_map_r) / 2).abs().max() < 2e-4
    assert (table.cost > 0).all()
    assert "[2/2] trades[" in capsys.readouterr().out
    assert len(list((path.parent / "store" / "models").glob("*.safetensors"))) == 2
