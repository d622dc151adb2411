"""Short names of attacks for columns and lists, where specs with all of their parameters are too long."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec

LONGEST = 20
"""Letters of the longest spec that stands as it is."""
_NUMBER = re.compile(r"-?[\d.]+(e-?\d+)?(/\d+)?")
_Parameters = dict[tuple[str, ...], str]


def short_attack_names(specs: Iterable[str]) -> dict[str, str]:
    """Names each attack by its optimizer, its objective, and what else tells it from the others.

    Args:
        specs: all attacks that are shown together, as readers see them.

    Returns:
        A name for each, as in "pgd_decay neighbour steps=40" for
        `pgd_decay[objective=neighbour,steps=40,step=2]`; distinct names for distinct specs. A short spec is
        its own name.
    """
    every = sorted(set(specs))
    parsed = {spec: found for spec in every if (found := _parsed(spec)) is not None}
    groups: dict[str, list[str]] = defaultdict(list)
    for spec, (base, parameters) in parsed.items():
        words = [value for path, value in parameters.items() if _tells(path, value, parsed)]
        groups[" ".join([base, *words])].append(spec)
    names = {}
    for name, group in groups.items():
        for spec, more in _told_apart({spec: parsed[spec][1] for spec in group}).items():
            names[spec] = spec if len(spec) <= LONGEST else " ".join([name, *more])
    return _distinct({spec: names.get(spec, spec) for spec in every})


def _parsed(text: str) -> tuple[str, _Parameters] | None:
    """The name of a spec and its parameters, those of nested specs too, by their path; None if it is none."""
    try:
        spec = parse_spec(text)
    except UsageError:
        return None
    parameters: _Parameters = {}
    for key, value in spec.parameters.items():
        nested = None if _NUMBER.fullmatch(value) else _parsed(value)
        parameters[key,] = value if nested is None else nested[0]
        parameters |= {(key, *path): part for path, part in (nested[1] if nested else {}).items()}
    return spec.name, parameters


def _tells(path: tuple[str, ...], value: str, parsed: dict[str, tuple[str, _Parameters]]) -> bool:
    """Whether a parameter of the attack itself is a word, and not the same for all attacks that have it."""
    if len(path) > 1 or _NUMBER.fullmatch(value):
        return False
    return len({others[path] for _, others in parsed.values() if path in others}) > 1


def _told_apart(group: dict[str, _Parameters]) -> dict[str, list[str]]:
    """The fewest parameters, from the first, that tell the specs of a group from each other.

    A spec without these that has others of its own shows one, so that it is not taken for the plain attack.
    """
    paths = list(dict.fromkeys(path for parameters in group.values() for path in parameters))
    paths = [path for path in paths if len({parameters.get(path) for parameters in group.values()}) > 1]
    every = paths
    for path in paths[::-1]:
        without = [other for other in paths if other != path]
        if len({tuple(own.get(other) for other in without) for own in group.values()}) == len(group):
            paths = without
    shown = {}
    for spec, parameters in group.items():
        own = [path for path in paths if path in parameters] or [p for p in every if p in parameters][-1:]
        shown[spec] = [f"{path[-1]}={parameters[path]}" for path in own]
    return shown


def _distinct(names: dict[str, str]) -> dict[str, str]:
    """The names, with a number where several specs would still share one."""
    sharing: dict[str, list[str]] = defaultdict(list)
    for spec in sorted(names):
        sharing[names[spec]].append(spec)
    return {
        spec: name if len(group) == 1 else f"{name} ({number})"
        for name, group in sharing.items()
        for number, spec in enumerate(group, 1)
    }
