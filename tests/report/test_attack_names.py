import pytest

from benchmark.report.attack_names import short_attack_names

PGD = "pgd_decay[objective=neighbour"
SUITE = {
    "noise": "noise",
    "fgsm[objective=own]": "fgsm[objective=own]",
    "pgd_decay[objective=information,steps=60]": "pgd_decay information",
    f"{PGD}]": "pgd_decay neighbour",
    f"{PGD},steps=40]": "pgd_decay neighbour steps=40",
    f"{PGD}[sharpness=60],step=2]": "pgd_decay neighbour sharpness=60",
    "square[objective=information,p_init=0.3,queries=60,start=pgd_decay[objective=information,steps=5]]": (
        "square information"
    ),
    "square[objective=neighbour,p_init=0.3,queries=60,start=pgd_decay[objective=neighbour]]": (
        "square neighbour"
    ),
    f"transfer[attack={PGD}],source=pgd_at]": "transfer pgd_at",
    f"transfer[attack={PGD}],source=vanilla]": "transfer vanilla",
}


def test_names_hold_what_tells_attacks_apart():
    assert short_attack_names(iter(SUITE)) == SUITE
    assert short_attack_names(list(SUITE)[::-1]) == SUITE


def test_an_attack_that_is_alone_needs_no_parameters():
    spec = f"{PGD},steps=40,step=2]"
    assert short_attack_names([spec, "noise"]) == {spec: "pgd_decay", "noise": "noise"}


def test_only_the_plain_attack_has_no_parameters_among_others():
    others = [f"{PGD},steps=40]", f"{PGD},step=2]", "pgd_decay[objective=information]"]
    hard = f"{PGD}[growth=1,sharpness=100]]"
    names = short_attack_names([hard, *others])
    assert names[hard] == "pgd_decay neighbour sharpness=100"
    assert short_attack_names([f"{PGD}]", *others])[f"{PGD}]"] == "pgd_decay neighbour"


@pytest.mark.parametrize(
    "specs",
    [
        ("a[start=b[steps=5],objective=own]", "a[start=b[steps=50],objective=own]"),
        ("a[first=1,objective=own_class]", "a[second=1,objective=own_class]", "a[objective=own_class,x=1]"),
        ("a[start=b[x=1111],objective=own]", "a[last=b[x=1111],objective=own]", "a b", "no [ spec"),
    ],
)
def test_distinct_specs_have_distinct_names(specs):
    assert len(set(short_attack_names(specs).values())) == len(specs)
