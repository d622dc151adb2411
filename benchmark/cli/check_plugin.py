"""Checks what plugin files register: the contract of each class, or of the variants that are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import UsageError
from benchmark.core.output import say
from benchmark.core.spec import split_list

if TYPE_CHECKING:
    from benchmark.core.parameters import Parameters
    from benchmark.data import Folders

VARIANTS = {
    "defenses": "defenses",
    "attacks": "attacks",
    "datasets": "data sets",
    "losses": "losses",
    "backbones": "backbones",
    "scenarios": "scenarios",
}
"""The options that name variants to check, with the titles of their registries."""


def check_plugin(
    paths: Sequence[Path],
    variants: Mapping[str, Sequence[str]],
    folders: Folders,
    others: Sequence[Path] = (),
) -> int:
    """Checks the classes that plugin files register, a line for each check.

    Args:
        paths: the files.
        variants: specs of the plugins' own classes by the option they were given to, of `VARIANTS`; when
            there are none, each class is checked with its defaults.
        folders: where data sets are.
        others: further plugin files, which are loaded first.

    Returns:
        The exit status: 1 when a check failed.

    Raises:
        UsageError: when a file does not load, or a spec is wrong or names a class of nobody's or another's.
    """
    from benchmark.cli.plugin_warnings import load

    load(others)
    loaded = [_load(path) for path in paths]
    if wrong := [one for one in loaded if isinstance(one, str)]:
        raise UsageError("; ".join(wrong))
    classes = [cls for one in loaded if not isinstance(one, str) for cls in one]
    components = _variants(variants, classes) if any(variants.values()) else [cls() for cls in classes]
    counts: Counter[str] = Counter(passed=0, failed=0, skipped=0)
    for component in components:
        counts += _check(component, folders)
    say(f"{counts['passed']} checks passed, {counts['failed']} failed, {counts['skipped']} skipped.")
    return 1 if counts["failed"] else 0


def _load(path: Path) -> list[type[Parameters]] | str:
    """The classes that a plugin file registers, or why it does not load."""
    from benchmark.plugins.load import load_plugin

    try:
        return load_plugin(path)
    except UsageError as error:
        return str(error)


def _variants(variants: Mapping[str, Sequence[str]], classes: Sequence[type[Parameters]]) -> list[Parameters]:
    """Builds what the specs name: those of the plugins' classes, and those within the attacks of others."""
    from benchmark.plugins.registries import REGISTRIES

    found: dict[str, Parameters] = {}
    for option, texts in variants.items():
        registry = REGISTRIES[VARIANTS[option]]
        for text in split_list(texts):
            own = [part for part in registry.build(text).parts() if type(part) in classes]
            if not own:
                names = ", ".join(cls.name for cls in classes)
                raise UsageError(
                    f"'{text}' is not checked: --check-plugin checks what its files register ({names})."
                )
            found |= {f"{VARIANTS[option]} {part.spec}": part for part in own}
    return list(found.values())


def _check(component: Parameters, folders: Folders) -> Counter[str]:
    """Writes a line for each check of a component, and counts them by their result.

    The checks run in a child process, so that a component that ends it fails in one line.
    """
    from benchmark.core.child_process import ChildEndedError, iterate_in_child

    say(f"{component.spec}: loads, and has the methods and defaults that it needs.")
    counts: Counter[str] = Counter()
    try:
        for status, line in iterate_in_child(partial(_results, component, folders)):
            counts[status] += 1
            say(f"  {line}")
    except ChildEndedError as error:
        counts["failed"] += 1
        say(f"  FAIL  the next check, and with it all others: {error}. Raise an error in place of that.")
    return counts


def _results(component: Parameters, folders: Folders) -> Iterator[tuple[str, str]]:
    """Yields for each check of a component how it ended, and a line that says so."""
    from benchmark.evaluation.conformance import run_contract

    for result in run_contract(component, folders):
        name = result.check.name
        if result.failure:
            yield "failed", f"FAIL  {result.failure}"
        elif result.skipped:
            yield "skipped", f"skip  {name}: {result.skipped}"
        else:
            yield "passed", f"ok    {name}: {result.check.wanted}"
