"""Named sets of attacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from attacks.base import ATTACKS
from benchmark.core.errors import unknown_name
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.core.spec import parse_spec


class Suite(Parameters):
    """A named set of attacks, without parameters of its own.

    Attributes:
        attacks: spec strings of its members.
        cascaded: whether its members run one after another, each on the queries that still stand.
    """

    attacks: ClassVar[tuple[str, ...]] = ()
    cascaded: ClassVar[bool] = False


SUITES: Registry[Suite] = Registry("suite", Suite)
SUITES.add_meaning(lambda name: "an attack" if name in ATTACKS.names() else "")
ATTACKS.add_meaning(lambda name: "a suite" if name in SUITES.names() else "")


REFERENCE_ATTACK = "pgd_decay[objective=neighbour,steps=40]"
"""Attack whose R@1 the checks compare across budgets and numbers of steps; it maximizes the margin of R@1."""


QUERY_ATTACK = "square[objective=neighbour,queries=100,p_init=0.3,start=pgd_decay[objective=neighbour]]"
"""What queries alone find beyond gradients: it starts at the images of a white-box attack."""

TRANSFERRED = "pgd_decay[objective=neighbour]"
"""Attack whose images are made on other models."""


@SUITES.register("standard")
class Standard(Suite):
    """White-box, black-box and transferred attacks, each on every query; chosen on validation classes."""

    attacks: ClassVar[tuple[str, ...]] = (
        REFERENCE_ATTACK,
        "pgd_decay[objective=information,steps=60]",
        "pgd_decay[objective=neighbour,step=2]",
        "pgd_decay[objective=neighbour[sharpness=100,growth=1]]",
        "pgd_decay[objective=target[rank=3]]",
        "pgd_decay[objective=gallery_away]",
        "pgd_decay[objective=pair]",
        QUERY_ATTACK,
        "square[objective=information,queries=60,p_init=0.3,start=pgd_decay[objective=information,steps=5]]",
        f"transfer[source=vanilla,attack={TRANSFERRED}]",
        f"transfer[source=pgd_at,attack={TRANSFERRED}]",
        "noise",
    )


@SUITES.register("cascade")
class Cascade(Standard):
    """`standard`, where all but the reference attack and pooled objectives attack only what still stands.

    Its worst case of R@1 is that of `standard`, at a fraction of the cost.
    """

    cascaded: ClassVar[bool] = True


@SUITES.register("fast")
class Fast(Suite):
    """For development: the strongest attack with 20 steps for each scenario, a one-step attack, and noise."""

    attacks: ClassVar[tuple[str, ...]] = (
        "pgd_decay[objective=neighbour]",
        "pgd_decay[objective=information]",
        "fgsm[objective=own]",
        "noise",
    )


FROM_CLEAN = "bim[objective=neighbour]"
"""Attack that must defeat every model at the largest budget, where a random start is a random image."""


@SUITES.register("checks")
class Checks(Suite):
    """Attacks that the checks for gradient masking compare; run with every suite unless checks are off."""

    attacks: ClassVar[tuple[str, ...]] = (
        "fgsm[objective=neighbour]",
        REFERENCE_ATTACK,
        "pgd_decay[objective=neighbour,steps=80]",
        QUERY_ATTACK,
        f"transfer[source=vanilla,attack={TRANSFERRED}]",
    )


@SUITES.register("ranking")
class Ranking(Suite):
    """Robrank's nine attacks, for the ten measures of its empirical robustness score: `es` gives two."""

    attacks: ClassVar[tuple[str, ...]] = (
        "robrank[measure=ca_plus]",
        "robrank[measure=ca_minus]",
        "robrank[measure=qa_plus]",
        "robrank[measure=qa_minus]",
        "robrank[measure=tma]",
        "robrank[measure=es]",
        "robrank[measure=ltm]",
        "robrank[measure=gtm]",
        "robrank[measure=gtt]",
    )


def cascaded(texts: Iterable[str]) -> list[str]:
    """Lists the canonical specs of the members of those suites whose members run one after another."""
    suites = [SUITES.build(text) for text in texts if parse_spec(text).name in SUITES.names()]
    members = [ATTACKS.build(member).spec for suite in suites if suite.cascaded for member in suite.attacks]
    return list(dict.fromkeys(members))


def expand(texts: Iterable[str]) -> list[str]:
    """Returns the canonical specs of attacks, with suites replaced by their members; each once, in order.

    Raises:
        UsageError: for a name that is neither an attack nor a suite, or a bad parameter.
    """
    specs: list[str] = []
    for text in texts:
        name = parse_spec(text).name
        if name in SUITES.names():
            specs += [ATTACKS.build(member).spec for member in SUITES.build(text).attacks]
        elif name in ATTACKS.names():
            specs.append(ATTACKS.build(text).spec)
        else:
            raise unknown_name("attack", name, [*ATTACKS.names(), *SUITES.names()])
    return list(dict.fromkeys(specs))
