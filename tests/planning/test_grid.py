from itertools import product

import pytest
from PIL import Image

from attacks import REFERENCE_ATTACK
from benchmark.core.errors import UsageError
from benchmark.jobs import AttackJob, TrainJob
from benchmark.planning.config import Configuration
from benchmark.planning.grid import Grid
from benchmark.planning.resolve import resolve

from .plans import ids, plan


def rows(made: Grid) -> list[TrainJob]:
    return [model.job for model in made.models if model.has_row]


def sources(made: Grid) -> list[TrainJob]:
    return [model.job for model in made.models if not model.has_row]


def attack_jobs(made: Grid) -> list[AttackJob]:
    return [planned.job for planned in made.attacks]


def test_all_is_the_seven_and_the_reference_row(tmp_path):
    made = plan(tmp_path, defenses="all")
    names = [job.key.defense for job in rows(made)]
    assert names == ["vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat", "pixels"]
    assert made.references == ["pixels"]


def test_another_scenario_leaves_the_first_as_it_is(tmp_path):
    assert ids(plan(tmp_path, scenarios="clustering")) < ids(
        plan(tmp_path, scenarios="clustering,retrieval-query")
    )


def test_one_attack_serves_both_scenarios(tmp_path):
    made = plan(tmp_path)
    assert all(set(job.cells) == {"clustering", "retrieval-query"} for job in attack_jobs(made))


def test_scenarios_that_attack_another_fraction_take_an_attack_of_their_own(tmp_path):
    made = plan(tmp_path, scenarios="clustering,clustering[fraction=0.5],retrieval-query")
    by_fraction = {(job.attack, job.attacked_fraction): set(job.cells) for job in attack_jobs(made)}
    assert by_fraction["noise", 1.0] == {"clustering", "retrieval-query"}
    assert by_fraction["noise", 0.5] == {"clustering[fraction=0.5]"}
    assert len(made.attacks) == 2 * 2 * len(rows(made))


def test_the_source_of_a_transferred_attack_is_trained_without_a_row(tmp_path):
    made = plan(tmp_path, defenses="pgd_at", attacks="transfer[source=trades],transfer")
    assert [job.key.defense for job in rows(made)] == ["pgd_at", "pixels"]
    assert [job.key.defense for job in sources(made)] == ["trades", "vanilla"]
    (job,) = [j for j in attack_jobs(made) if j.model.key.defense == "pgd_at" and "trades" in j.attack]
    assert job.source == sources(made)[0]
    assert list(job.needs) == [rows(made)[0].id, sources(made)[0].id]
    assert job.needs[sources(made)[0].id] == "training of trades, the source of this attack,"


def test_a_source_with_a_row_is_trained_once(tmp_path):
    made = plan(tmp_path, defenses="vanilla,pgd_at", attacks="transfer")
    assert not sources(made)
    vanilla = next(job for job in rows(made) if job.key.defense == "vanilla")
    assert {job.source.id for job in attack_jobs(made) if job.source} == {vanilla.id}
    assert "vanilla" not in {job.model.key.defense for job in attack_jobs(made) if job.source}


def test_a_change_to_the_source_changes_the_cells_that_start_from_it(tmp_path):
    def cells(made):
        return {cell.key.attack: cell.id for cell in made.cell_refs() if cell.key.defense == "pixels"}

    attacks = "transfer[source=vanilla],noise"
    before = cells(plan(tmp_path, attacks=attacks))
    after = cells(plan(tmp_path, attacks=attacks, training={"epochs": 7}))
    assert {attack for attack in before if before[attack] != after[attack]} >= {
        attack for attack in before if attack.startswith("transfer")
    }


def test_a_refused_source_refuses_the_attack_alone(tmp_path):
    made = plan(tmp_path, attacks="noise,transfer[source=trades]", losses="multi_similarity")
    refused = {planned.job.attack.split("[")[0] for planned in made.attacks if planned.refusal}
    assert refused == {"transfer"}


def test_each_norm_has_its_headline(tmp_path):
    made = plan(tmp_path, norm="linf,l2")
    budgets = {(cell.key.norm, cell.key.eps) for cell in made.cell_refs() if cell.role == "suite"}
    assert budgets == {("linf", 0.1), ("l2", 0.5)}


def test_l0_has_a_table_of_its_own_without_checks(tmp_path):
    made = plan(tmp_path, norm="l0", eps="5 20", attacks="jsma,noise", checks=True, defenses="vanilla")
    attacked = [cell for cell in made.cell_refs() if cell.key.attack != "none"]
    assert {(cell.key.norm, cell.key.eps) for cell in attacked} == {("l0", 5.0), ("l0", 20.0)}
    assert {cell.role for cell in attacked} == {"suite"}
    assert "the checks in the norm l0, which their attacks do not know" in made.skipped
    assert not any("square" in reason or "transfer" in reason for reason in made.skipped)


def test_an_attack_that_does_not_know_a_norm_is_left_out_there_and_said_so(tmp_path):
    made = plan(tmp_path, norm="linf,l2", attacks="noise,cw")
    assert {c.key.norm for c in made.cell_refs() if c.key.attack.startswith("cw")} == {"l2"}
    assert any("cw" in reason and "linf" in reason for reason in made.skipped)
    with pytest.raises(UsageError, match=r"cannot attack in the norm linf; fgsm, .*robrank can; see --norm"):
        plan(tmp_path, attacks="noise,cw")
    with pytest.raises(UsageError, match="cannot attack in the norm l0; jsma can; see --norm"):
        plan(tmp_path, attacks="noise,cw", norm="l0", eps="20")
    every = plan(tmp_path, attacks="all")
    assert any(reason.startswith("cw") for reason in every.skipped)
    assert {"noise", "square"} <= {cell.key.attack.split("[")[0] for cell in every.cell_refs()}


def test_an_attack_made_for_a_scenario_is_scored_there_alone_or_said_to_be_left_out(tmp_path):
    attacks = "noise,pgd_decay[objective=pair],transfer[attack=pgd[objective=pair]]"
    made = plan(tmp_path, attacks=attacks, scenarios="clustering,verification", defenses="pgd_at")
    where = {(c.key.attack.split("[")[0], c.key.scenario) for c in made.cell_refs() if c.role == "suite"}
    assert where == {
        ("noise", "clustering"),
        ("noise", "verification"),
        ("pgd_decay", "verification"),
        ("transfer", "verification"),
    }
    assert not made.skipped
    without = plan(tmp_path, attacks=attacks, defenses="pgd_at")
    assert sum("verification" in reason for reason in without.skipped) == 2


def test_nothing_is_transferred_from_a_model_to_itself(tmp_path):
    made = plan(tmp_path, defenses="vanilla,pgd_at", attacks="noise,transfer")
    rows = {c.key.defense for c in made.cell_refs() if c.key.attack.startswith("transfer")}
    assert rows == {"pgd_at", "pixels"}


def test_robranks_attacks_alone_need_no_checks(tmp_path):
    made = plan(tmp_path, attacks="robrank[measure=es]", checks=True)
    assert {c.key.scenario for c in made.cell_refs() if c.role == "suite"} == {"ranking"}
    assert not [c for c in made.cell_refs() if c.role == "check"]


def test_the_checks_add_cells_in_one_scenario_and_each_cell_once(tmp_path):
    made = plan(tmp_path, checks=True, scenarios="clustering", norm="linf,l2")
    checks = [cell for cell in made.cell_refs() if cell.role == "check"]
    assert {cell.key.scenario for cell in checks} == {"retrieval-query"}
    assert {cell.key.eps for cell in checks if cell.key.norm == "linf"} == {0.05, 0.1, 0.2, 1.0}
    assert {cell.key.eps for cell in checks if cell.key.norm == "l2"} == {0.25, 0.5, 1.0, 8.0}
    other = plan(tmp_path, checks=True, eps=[0.03])
    assert {c.key.eps for c in other.cell_refs() if c.role == "check"} == {0.015, 0.03, 0.06, 0.1, 1.0}
    assert {c.key.attack for c in other.cell_refs() if c.key.eps == 0.1} == {REFERENCE_ATTACK}
    both = plan(tmp_path, checks=True, attacks="checks")
    listed = [cell.id for cell in both.cell_refs()]
    assert len(listed) == len(set(listed))
    assert {c.role for c in both.cell_refs() if c.key.eps == 0.1} == {"suite"}


def test_an_attack_that_a_defense_declares_joins_the_suite_of_its_rows(tmp_path, monkeypatch):
    from defenses import DEFENSES

    monkeypatch.setattr(DEFENSES.get("pgd_at"), "adaptive", ("bim[objective=own]",))
    made = plan(tmp_path, defenses="vanilla,pgd_at")
    rows = {cell.key.defense for cell in made.cell_refs() if cell.key.attack == "bim[objective=own]"}
    assert rows == {"pgd_at"}


def test_a_data_set_without_a_headline_needs_the_budgets_in_words(tmp_path, monkeypatch):
    from benchmark.data import DATASETS

    monkeypatch.setattr(DATASETS.get("digits"), "headline_eps", {"l2": 1.0})
    with pytest.raises(UsageError, match=r"for linf; give --eps in that norm, or 'training: .eps: EPS.' in"):
        plan(tmp_path, norm="l2")
    with pytest.raises(UsageError, match="give --eps"):
        plan(tmp_path, training={"eps": 0.1})
    assert plan(tmp_path, norm="l2", training={"eps": 0.1}).attacks


def test_a_loss_without_proxies_is_refused_where_they_are_needed(tmp_path):
    made = plan(tmp_path, defenses="vanilla,trades", losses="multi_similarity")
    refused = {model.job.key.defense: model.refusal for model in made.models if model.refusal}
    assert list(refused) == ["trades"]
    assert "proxy_anchor" in refused["trades"]


def test_the_curve_is_at_other_budgets_only(tmp_path):
    made = plan(tmp_path, curve={"attacks": ["noise"], "factors": [0.5, 1.0, 2.0]})
    headline = {cell.key.eps for cell in made.cell_refs() if cell.role == "suite"}
    curve = {cell.key.eps for cell in made.cell_refs() if cell.role == "curve"}
    assert len(headline) == 1
    (eps,) = headline
    assert curve == {eps / 2, eps * 2}


def test_a_multiple_of_a_budget_that_is_asked_for_is_that_budget(tmp_path):
    pgd_decay = "pgd_decay[objective=neighbour,steps=40]"
    made = plan(
        tmp_path,
        attacks=pgd_decay,
        eps="2/255,4/255,8/255",
        checks=True,
        scenarios="retrieval-query",
        curve={"attacks": [pgd_decay], "factors": [0.2, 1.0]},  # of 0.1
    )
    budgets = sorted(
        cell.key.eps
        for cell in made.cell_refs()
        if cell.key.attack == pgd_decay and cell.key.defense == "vanilla"
    )
    # 1/255 and 16/255 were not asked for.
    assert budgets == [1 / 255, 2 / 255, 4 / 255, 0.02, 8 / 255, 16 / 255, 0.1]


def test_the_headline_itself_is_no_other_budget(tmp_path, monkeypatch):
    from benchmark.data import DATASETS

    monkeypatch.setattr(DATASETS.get("digits"), "headline_eps", {"linf": 4 / 255})
    curve = {"attacks": ["noise"], "factors": [1.0, 2.0]}
    made = plan(tmp_path, curve=curve)
    assert {cell.key.eps for cell in made.cell_refs() if cell.role == "curve"} == {8 / 255}
    made = plan(tmp_path, curve=curve, eps="8/255,0.0156862745")
    assert not [cell for cell in made.cell_refs() if cell.role == "curve"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"defenses": "pgdat"}, "Did you mean 'pgd_at'"),
        ({"defenses": "eat[member=3]"}, "Did you mean 'members'"),
        ({"defenses": "eat[members=none]"}, "members"),
        ({"defenses": "adp[beta=-1]"}, "beta"),
        ({"attacks": "pdg"}, "Did you mean 'pgd'"),
        ({"attacks": "standart"}, "Did you mean 'standard'"),
        ({"attacks": "pgd[objective=onw]"}, "Did you mean 'own'"),
        ({"attacks": "pgd[steps=0]"}, "steps"),
        ({"datasets": "glyph"}, "Did you mean 'glyphs'"),
        ({"backbones": "resnet81"}, "Did you mean"),
        ({"losses": "proxyanchor"}, "Did you mean 'proxy_anchor'"),
        ({"scenarios": "clusterin"}, "Did you mean 'clustering'"),
    ],
)
def test_unknown_names_and_bad_parameters_get_one_line(tmp_path, arguments, message):
    with pytest.raises(UsageError) as caught:
        plan(tmp_path, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_configuration_survives_the_manifest(tmp_path):
    config = resolve({"defenses": "vanilla"})
    assert Configuration(**config.model_dump(mode="json")) == config


def test_two_folders_of_one_name_are_refused(tmp_path):
    for folder, label, number in product(("one", "two"), range(8), range(3)):
        file = tmp_path / folder / "images" / f"class{label}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 12), 30 * label + number).save(file)
    specs = [f"folder[path={tmp_path / folder / 'images'},size=12,linf=0.1]" for folder in ("one", "two")]
    with pytest.raises(UsageError, match=r"Two data sets are called images\[.*name=mine"):
        plan(tmp_path, datasets=",".join(specs))
    named = specs[1].replace("size=12", "size=12,name=others")
    made = plan(tmp_path, datasets=f"{specs[0]},{named}")
    assert [dataset.short_name.split("[")[0] for dataset in made.datasets] == ["images", "others"]
