from itertools import product

import pytest
import timm
from PIL import Image
from safetensors.torch import save_file

from benchmark.core.errors import UsageError
from benchmark.data import Folders
from benchmark.jobs.train_job import portable
from benchmark.planning.cells import times
from benchmark.planning.config import Configuration
from benchmark.planning.grid import Grid, build_grid
from benchmark.planning.resolve import resolve


def grid(tmp_path, **arguments) -> Grid:
    given = {
        "datasets": "digits",
        "defenses": "vanilla",
        "attacks": "noise",
        "checks": False,
        "scenarios": "clustering,retrieval-query",
        **arguments,
    }
    return build_grid(resolve(given), Folders(tmp_path, tmp_path))


def ids(made: Grid) -> set[str]:
    return {cell.id for cell in made.cells()}


def test_all_is_the_seven_and_the_reference_row(tmp_path):
    made = grid(tmp_path, defenses="all")
    names = [job.key.defense for job in made.trainings]
    assert names == ["vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat", "pixels"]
    assert made.references == ["pixels"]


def test_identity_does_not_hold_order_workers_or_output(tmp_path):
    one = grid(tmp_path, defenses="vanilla,pgd_at", attacks="noise,fgsm", seeds="0 1", workers=1, output="a")
    two = grid(tmp_path, defenses="pgd_at vanilla", attacks="fgsm,noise", seeds="1,0", workers=7, output="b")
    assert ids(one) == ids(two)
    assert one.suite == two.suite


def test_a_parameter_at_its_default_is_no_variant(tmp_path):
    assert ids(grid(tmp_path, defenses="eat")) == ids(grid(tmp_path, defenses="eat[members=3],eat"))


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": "1"},
        {"attacks": "fgsm"},
        {"attacks": "fgsm[objective=own]"},
        {"eps": "0.05"},
        {"norm": "l2"},
        {"defenses": "pgd_at"},
        {"losses": "multi_similarity"},
        {"training": {"epochs": 7}},
    ],
)
def test_a_change_that_matters_changes_identities(tmp_path, change):
    def attacked(made):
        return {cell.id for cell in made.cells() if cell.role == "suite" and cell.key.defense != "pixels"}

    assert not attacked(grid(tmp_path)) & attacked(grid(tmp_path, **change))


def test_another_scenario_leaves_the_first_as_it_is(tmp_path):
    assert ids(grid(tmp_path, scenarios="clustering")) < ids(
        grid(tmp_path, scenarios="clustering,retrieval-query")
    )


def test_one_attack_serves_both_scenarios(tmp_path):
    made = grid(tmp_path)
    assert all(set(job.cells) == {"clustering", "retrieval-query"} for job in made.attacks)


def test_scenarios_that_attack_another_share_take_an_attack_of_their_own(tmp_path):
    made = grid(tmp_path, scenarios="clustering,clustering[fraction=0.5],retrieval-query")
    shares = {(job.attack, job.share): set(job.cells) for job in made.attacks}
    assert shares["noise", 1.0] == {"clustering", "retrieval-query"}
    assert shares["noise", 0.5] == {"clustering[fraction=0.5]"}
    assert len(made.attacks) == 2 * 2 * len(made.trainings)


def test_the_source_of_a_transferred_attack_is_trained_without_a_row(tmp_path):
    made = grid(tmp_path, defenses="pgd_at", attacks="transfer[source=trades],transfer")
    assert [job.key.defense for job in made.trainings] == ["pgd_at", "pixels"]
    assert [job.key.defense for job in made.sources] == ["trades", "vanilla"]
    (job,) = [j for j in made.attacks if j.model.key.defense == "pgd_at" and "trades" in j.attack]
    assert job.source == made.sources[0]
    assert [training.key.defense for training in job.trainings] == ["pgd_at", "trades"]


def test_a_source_with_a_row_is_trained_once(tmp_path):
    made = grid(tmp_path, defenses="vanilla,pgd_at", attacks="transfer")
    assert not made.sources
    vanilla = next(job for job in made.trainings if job.key.defense == "vanilla")
    assert {job.source.id for job in made.attacks if job.source} == {vanilla.id}
    assert "vanilla" not in {job.model.key.defense for job in made.attacks if job.source}


def test_a_change_to_the_source_changes_the_cells_that_start_from_it(tmp_path):
    def cells(made):
        return {cell.key.attack: cell.id for cell in made.cells() if cell.key.defense == "pixels"}

    attacks = "transfer[source=vanilla],noise"
    before = cells(grid(tmp_path, attacks=attacks))
    after = cells(grid(tmp_path, attacks=attacks, training={"epochs": 7}))
    assert {attack for attack in before if before[attack] != after[attack]} >= {
        attack for attack in before if attack.startswith("transfer")
    }


def test_a_refused_source_refuses_the_attack_alone(tmp_path):
    made = grid(tmp_path, attacks="noise,transfer[source=trades]", losses="multi_similarity")
    refused = {job.attack.split("[")[0] for job in made.attacks if made.refusal(job)}
    assert refused == {"transfer"}


def test_each_norm_has_its_headline(tmp_path):
    made = grid(tmp_path, norm="linf,l2")
    budgets = {(cell.key.norm, cell.key.eps) for cell in made.cells() if cell.role == "suite"}
    assert budgets == {("linf", 0.1), ("l2", 0.5)}


def test_an_attack_that_does_not_know_a_norm_is_left_out_there_and_said_so(tmp_path):
    made = grid(tmp_path, norm="linf,l2", attacks="noise,cw")
    assert {c.key.norm for c in made.cells() if c.key.attack.startswith("cw")} == {"l2"}
    assert any("cw" in reason and "linf" in reason for reason in made.skipped)
    with pytest.raises(UsageError, match="cannot attack in the norm linf"):
        grid(tmp_path, attacks="noise,cw")
    every = grid(tmp_path, attacks="all")
    assert any(reason.startswith("cw") for reason in every.skipped)
    assert {"noise", "square"} <= {cell.key.attack.split("[")[0] for cell in every.cells()}


def test_an_attack_made_for_a_scenario_is_scored_there_alone_or_said_to_be_left_out(tmp_path):
    attacks = "noise,pgd_decay[objective=pair],transfer[attack=pgd[objective=pair]]"
    made = grid(tmp_path, attacks=attacks, scenarios="clustering,verification", defenses="pgd_at")
    where = {(c.key.attack.split("[")[0], c.key.scenario) for c in made.cells() if c.role == "suite"}
    assert where == {
        ("noise", "clustering"),
        ("noise", "verification"),
        ("pgd_decay", "verification"),
        ("transfer", "verification"),
    }
    assert not made.skipped
    without = grid(tmp_path, attacks=attacks, defenses="pgd_at")
    assert sum("verification" in reason for reason in without.skipped) == 2


def test_nothing_is_transferred_from_a_model_to_itself(tmp_path):
    made = grid(tmp_path, defenses="vanilla,pgd_at", attacks="noise,transfer")
    rows = {c.key.defense for c in made.cells() if c.key.attack.startswith("transfer")}
    assert rows == {"pgd_at", "pixels"}


def test_robranks_attacks_alone_need_no_checks(tmp_path):
    made = grid(tmp_path, attacks="robrank[measure=es]", checks=True)
    assert {c.key.scenario for c in made.cells() if c.role == "suite"} == {"ranking"}
    assert not [c for c in made.cells() if c.role == "check"]


def test_the_checks_add_cells_in_one_scenario_and_each_cell_once(tmp_path):
    made = grid(tmp_path, checks=True, scenarios="clustering", norm="linf,l2")
    checks = [cell for cell in made.cells() if cell.role == "check"]
    assert {cell.key.scenario for cell in checks} == {"retrieval-query"}
    assert {cell.key.eps for cell in checks if cell.key.norm == "linf"} == {0.05, 0.1, 0.2, 1.0}
    assert {cell.key.eps for cell in checks if cell.key.norm == "l2"} == {0.25, 0.5, 1.0, 8.0}
    both = grid(tmp_path, checks=True, attacks="checks")
    listed = [cell.id for cell in both.cells()]
    assert len(listed) == len(set(listed))
    assert {c.role for c in both.cells() if c.key.eps == 0.1} == {"suite"}


def test_an_attack_that_a_defense_declares_joins_the_suite_of_its_rows(tmp_path, monkeypatch):
    from defenses import DEFENSES

    monkeypatch.setattr(DEFENSES.get("pgd_at"), "adaptive", ("bim[objective=own]",))
    made = grid(tmp_path, defenses="vanilla,pgd_at")
    rows = {cell.key.defense for cell in made.cells() if cell.key.attack == "bim[objective=own]"}
    assert rows == {"pgd_at"}


def test_the_source_of_a_class_is_part_of_an_identity(tmp_path, monkeypatch):
    before = grid(tmp_path, defenses="vanilla,pgd_at")
    from benchmark.planning import identity

    real = identity._source.__wrapped__
    changed = {"defenses.pgd_at": "# changed"}
    monkeypatch.setattr(identity, "_source", lambda name: changed.get(name) or real(name))
    identity._source_digest.cache_clear()
    after = grid(tmp_path, defenses="vanilla,pgd_at")
    identity._source_digest.cache_clear()

    def of(made, defense):
        return {cell.id for cell in made.cells() if cell.key.defense == defense}

    assert of(before, "vanilla") == of(after, "vanilla")
    assert not of(before, "pgd_at") & of(after, "pgd_at")


def test_the_source_of_an_objective_is_part_of_its_attacks_identity_alone(tmp_path, monkeypatch):
    attacks = "fgsm[objective=own],fgsm[objective=shift]"
    before = grid(tmp_path, attacks=attacks)
    from benchmark.planning import identity

    real = identity._source.__wrapped__
    monkeypatch.setattr(
        identity, "_source", lambda name: "# changed" if name == "attacks.objectives.own" else real(name)
    )
    identity._source_digest.cache_clear()
    after = grid(tmp_path, attacks=attacks)
    identity._source_digest.cache_clear()
    kept = {cell.key.attack for cell in before.cells() if cell.id in ids(after)}
    assert kept == {"none", "fgsm[objective=shift]"}


def test_code_and_data_that_decide_figures_are_part_of_every_identity(tmp_path, monkeypatch):
    from benchmark.data import DATASETS
    from benchmark.planning import identity
    from benchmark.runner import cells as module

    before = ids(grid(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(DATASETS.get("digits"), "fingerprint", lambda self, folders: "other images")
        assert not before & ids(grid(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(module, "make_cells", lambda: None)
        assert not before & ids(grid(tmp_path))
    real = identity._source.__wrapped__
    with monkeypatch.context() as patch:
        patch.setattr(
            identity, "_source", lambda name: "# changed" if name == "benchmark.core.seeding" else real(name)
        )
        identity._source_digest.cache_clear()
        assert not before & ids(grid(tmp_path))
    identity._source_digest.cache_clear()


def test_a_data_set_without_a_headline_needs_the_budgets_in_words(tmp_path, monkeypatch):
    from benchmark.data import DATASETS

    monkeypatch.setattr(DATASETS.get("digits"), "headline_eps", {"l2": 1.0})
    with pytest.raises(UsageError, match="give training: eps"):
        grid(tmp_path, norm="l2")
    with pytest.raises(UsageError, match="give --eps"):
        grid(tmp_path, training={"eps": 0.1})
    assert grid(tmp_path, norm="l2", training={"eps": 0.1}).attacks


def test_a_loss_without_proxies_is_refused_where_they_are_needed(tmp_path):
    made = grid(tmp_path, defenses="vanilla,trades", losses="multi_similarity")
    refused = [job.key.defense for job in made.trainings if job.id in made.refused]
    assert refused == ["trades"]
    assert "proxy_anchor" in next(iter(made.refused.values()))


def test_the_curve_is_at_other_budgets_only(tmp_path):
    made = grid(tmp_path, curve={"attacks": ["noise"], "factors": [0.5, 1.0, 2.0]})
    headline = {cell.key.eps for cell in made.cells() if cell.role == "suite"}
    curve = {cell.key.eps for cell in made.cells() if cell.role == "curve"}
    assert len(headline) == 1
    (eps,) = headline
    assert curve == {eps / 2, eps * 2}


def test_a_multiple_of_a_budget_that_is_asked_for_is_that_budget(tmp_path):
    steady = "pgd_decay[objective=neighbour,steps=40]"
    made = grid(
        tmp_path,
        attacks=steady,
        eps="2/255,4/255,8/255",
        checks=True,
        scenarios="retrieval-query",
        curve={"attacks": [steady], "factors": [0.2, 1.0]},  # of 0.1
    )
    budgets = sorted(
        cell.key.eps for cell in made.cells() if cell.key.attack == steady and cell.key.defense == "vanilla"
    )
    # 1/255 and 16/255 nobody asked for.
    assert budgets == [1 / 255, 2 / 255, 4 / 255, 0.02, 8 / 255, 16 / 255, 0.1]


def test_the_headline_itself_is_no_other_budget(tmp_path, monkeypatch):
    from benchmark.data import DATASETS

    monkeypatch.setattr(DATASETS.get("digits"), "headline_eps", {"linf": 4 / 255})
    curve = {"attacks": ["noise"], "factors": [1.0, 2.0]}
    made = grid(tmp_path, curve=curve)
    assert {cell.key.eps for cell in made.cells() if cell.role == "curve"} == {8 / 255}
    made = grid(tmp_path, curve=curve, eps="8/255,0.0156862745")
    assert not [cell for cell in made.cells() if cell.role == "curve"]


@pytest.mark.parametrize(
    ("arguments", "said"),
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
def test_unknown_names_and_bad_parameters_get_one_line(tmp_path, arguments, said):
    with pytest.raises(UsageError) as caught:
        grid(tmp_path, **arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_configuration_survives_the_manifest(tmp_path):
    config = resolve({"defenses": "vanilla"})
    assert Configuration(**config.model_dump(mode="json")) == config


def test_where_data_and_weights_lie_changes_neither_identities_nor_seeds(tmp_path):
    weights = timm.create_model("test_resnet", num_classes=0).state_dict()
    keys, found = [], []
    for place in (tmp_path / "here", tmp_path / "there"):
        for label, number in product(range(8), range(3)):
            file = place / "images" / f"class{label}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (12, 12), 30 * label + number).save(file)
        save_file(weights, place / "w.safetensors")
        made = grid(
            tmp_path,
            datasets=f"folder[path={place / 'images'},size=12,linf=0.1]",
            backbones=f"test_resnet[dim=8,pretrained={place / 'w.safetensors'}]",
        )
        keys.append(made.trainings[0].key)
        found.append(ids(made))
    assert found[0] == found[1]
    assert keys[0] != keys[1]
    assert portable(keys[0]) == portable(keys[1])


@pytest.mark.parametrize(
    ("eps", "factor", "expected"),
    [(0.1, 3, 0.3), (0.1, 0.5, 0.05), (8 / 255, 2, 16 / 255), (8 / 255, 0.5, 4 / 255), (1.5, 2, 3.0)],
)
def test_a_multiple_of_a_budget_is_written_as_one_would(eps, factor, expected):
    assert times(eps, factor, []) == expected
    assert times(eps, factor, [expected + 1e-10]) == expected + 1e-10
