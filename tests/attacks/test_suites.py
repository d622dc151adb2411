import pytest

from attacks import ATTACKS, SUITES, cascaded, expand
from benchmark.core.errors import UsageError


@pytest.mark.parametrize("name", SUITES.names())
def test_a_suite_expands_to_the_canonical_specs_of_its_members(name):
    specs = expand([name])
    assert specs == [ATTACKS.build(spec).spec for spec in SUITES.build(name).attacks]
    assert len(set(specs)) == len(specs) > 0
    assert expand(specs) == specs


def test_the_standard_suite_keeps_the_control_and_something_of_every_access():
    attacks = [ATTACKS.build(spec) for spec in expand(["standard"])]
    assert {attack.access for attack in attacks} == {"white", "black", "transfer", "none"}
    assert {attack.needs for attack in attacks} == {None, "vanilla", "pgd_at"}


def test_the_standard_suite_costs_no_more_than_it_did():
    usual = [attack for attack in map(ATTACKS.build, expand(["standard"])) if not attack.made_for()]
    # Each result is embedded once to be scored, and so is the clean pool.
    assert sum(attack.cost_per_image() + 1 for attack in usual) + 1 <= 636


def test_each_attack_once_and_in_order():
    texts = [
        f"pgd[steps={ATTACKS.build('pgd').steps}]",
        "noise",
        "standard",
        "pgd",
        "pgd[objective=centroid_ce]",
        "pgd[steps=5]",
    ]
    specs = expand(texts)
    assert specs[:2] == [ATTACKS.build("pgd").spec, "noise"]
    assert specs[-1] == ATTACKS.build("pgd[steps=5]").spec
    assert len(set(specs)) == len(specs)
    assert set(expand(["standard"])) <= set(specs)


@pytest.mark.parametrize("text", ["standrad", "standrad[steps=3]"])
def test_an_unknown_name_lists_attacks_and_suites(text):
    with pytest.raises(UsageError) as caught:
        expand(["noise", text])
    message = str(caught.value)
    assert "Unknown attack 'standrad'. Did you mean 'standard'?" in message
    assert "fgsm" in message


def test_a_suite_takes_no_parameters():
    with pytest.raises(UsageError, match="parameter of standard 'steps'"):
        expand(["standard[steps=3]"])


def test_a_bad_parameter_of_an_attack():
    with pytest.raises(UsageError, match="steps='x'"):
        expand(["pgd[steps=x]"])


def test_the_cascade_has_the_members_of_the_standard_suite():
    assert expand(["cascade"]) == expand(["standard"])
    assert cascaded(["noise", "cascade", "standard"]) == expand(["standard"])
    assert cascaded(["standard", "pgd"]) == []
