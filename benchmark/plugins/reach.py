"""Which code a class reaches, by the text of its imports: modules of the project, files of a plugin."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmark.core.source import PACKAGES
from benchmark.plugins.imports import Import, imports_in, module_file, nodes_of, texts_in
from benchmark.plugins.users_files import UsersFile, users_files

_PLUMBING = (
    "attacks.watch",
    "benchmark.api",
    "benchmark.core.child_process",
    "benchmark.core.code",
    "benchmark.core.cpu",
    "benchmark.core.display_names",
    "benchmark.core.errors",
    "benchmark.core.files",
    "benchmark.core.forked_child",
    "benchmark.core.generators",
    "benchmark.core.hardware",
    "benchmark.core.labels",
    "benchmark.core.nested_tensors",
    "benchmark.core.output",
    "benchmark.core.own_line",
    "benchmark.core.parameters",
    "benchmark.core.processes",
    "benchmark.core.progress_bar",
    "benchmark.core.protocol",
    "benchmark.core.registry",
    "benchmark.core.sealed",
    "benchmark.core.source",
    "benchmark.core.spec",
    "benchmark.core.state_file",
    "benchmark.core.unfinished",
    "benchmark.data.archive_limits",
    "benchmark.data.checks",
    "benchmark.data.left_out",
    "benchmark.jobs.attack_cost",
    "benchmark.jobs.attack_job",
    "benchmark.jobs.attack_save_point",
    "benchmark.jobs.attacked_images",
    "benchmark.jobs.batches",
    "benchmark.jobs.clustering_cost",
    "benchmark.jobs.context",
    "benchmark.jobs.costs",
    "benchmark.jobs.job",
    "benchmark.jobs.memory",
    "benchmark.jobs.probe",
    "benchmark.jobs.progress",
    "benchmark.jobs.scored_run",
    "benchmark.jobs.train_job",
    "benchmark.jobs.usage_meter",
    "benchmark.jobs.worst_hit",
    "benchmark.loggers",
    "benchmark.models.promises",
    "benchmark.planning",
    "benchmark.plugins",
    "benchmark.records.cell",
    "benchmark.records.check",
    "benchmark.records.embeddings",
    "benchmark.records.figures",
    "benchmark.records.covariances",
    "benchmark.records.keys",
    "benchmark.records.merging",
    "benchmark.records.metric_ranges",
    "benchmark.records.model",
    "benchmark.records.reading",
    "benchmark.records.provenance",
    "benchmark.records.record",
    "benchmark.records.run",
    "benchmark.records.running",
    "benchmark.records.sources",
    "benchmark.records.worst_queries",
    "benchmark.records.store",
    "benchmark.records.stored_cell",
    "benchmark.records.tensor_files",
    "benchmark.records.usage",
    "benchmark.runner",
    "benchmark.training.timing",
    "benchmark.tuning",
)
"""Packages and modules of the project that no metric depends on."""


class Reached(NamedTuple):
    """The code that some classes or functions reach.

    Attributes:
        modules: names of the project's modules, without those that no metric depends on.
        files: a plugin's own files.
    """

    modules: frozenset[str]
    files: frozenset[UsersFile]


def is_project(name: str) -> bool:
    """Whether a module is the project's own."""
    return name.split(".")[0] in PACKAGES


@cache
def reached(start: frozenset[str]) -> Reached:
    """Finds the code that some modules import, directly and through others, and those modules themselves.

    Followed are the project's modules, but for those that no metric depends on, each name to the module that
    defines it; and of a plugin all files in its folder, or of its installed package, that an import may mean.

    Args:
        start: names of imported modules.
    """
    files = frozenset().union(*(users_files(name) for name in start if not is_project(name)))
    waiting = {name for name in start if is_project(name)}
    waiting |= {found for file in files for found in _project_imports(file.path, "")}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= _imports(name) - seen
    return Reached(frozenset(seen), files)


def modules_of(things: Iterable[type | object]) -> frozenset[str]:
    """Names of the modules that classes or functions are defined in."""
    return frozenset(thing.__module__ for thing in things)


def forget() -> None:
    """Makes every look-up read the files anew, as after a change of them."""
    for cached in (reached, _imports, _passed_on, module_file):
        cached.cache_clear()


@cache
def _imports(name: str) -> frozenset[str]:
    """Lists the modules of the project that define what one of them imports."""
    file = module_file(name)
    if file is None:
        return frozenset()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    return _project_imports(file, package)


def _project_imports(file: Path, package: str) -> frozenset[str]:
    nodes = nodes_of(file, type_checking=False)
    named = [text for text in texts_in(nodes) if is_project(text) and module_file(text) is not None]
    found = {home for made in imports_in(nodes, package) for home in _homes(made.module, made.name)}
    return frozenset(name for name in found.union(named) if is_project(name) and not _is_plumbing(name))


def _is_plumbing(name: str) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in _PLUMBING)


def _homes(base: str, taken: str, on_the_way: frozenset[tuple[str, str]] = frozenset()) -> set[str]:
    """Follows an imported name through packages that pass it on, to the modules that may define it."""
    if not is_project(base) or not taken or (base, taken) in on_the_way:
        return {base}
    homes = {f"{base}.{taken}"} if module_file(f"{base}.{taken}") is not None else set()
    file = module_file(base)
    if file is not None and file.name == "__init__.py":
        for made in _passed_on(file, base):
            if made.bound == taken and made.module != base:
                homes |= _homes(made.module, made.name, on_the_way | {(base, taken)})
    return homes or {base}


@cache
def _passed_on(file: Path, package: str) -> list[Import]:
    """Lists the imports of a package's `__init__.py`."""
    return imports_in(nodes_of(file, type_checking=False), package)
