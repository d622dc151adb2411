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
    """

    attacks: ClassVar[tuple[str, ...]] = ()


SUITES: Registry[Suite] = Registry("suite", Suite)


@SUITES.register("standard")
class Standard(Suite):
    """The default: the set whose worst case is lowest for its cost, on the default data set."""

    attacks: ClassVar[tuple[str, ...]] = (
        "pgd_decay[objective=neighbour]",
        "pgd_decay[objective=pool]",
        "pgd_decay[objective=centroid_ce]",
        "pgd_decay[objective=scatter]",
        "fgsm[objective=own]",
        "noise",
    )


def expand(texts: Iterable[str]) -> list[str]:
    """The canonical specs of attacks, with every suite replaced by its members; each once, in order.

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
