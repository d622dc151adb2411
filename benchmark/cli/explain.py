"""`--explain`: what the identity of a cell or model is made of, and what changed where a record is stale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.core.errors import BenchmarkError, UsageError, unknown_name
from benchmark.core.output import say
from benchmark.core.parameters import parse_fraction
from benchmark.core.spec import split_list
from benchmark.planning.explain import Parts, describe, differences, identities, sources
from benchmark.records import (
    CellKey,
    CellRecord,
    CellRef,
    ModelKey,
    ModelRecord,
    ModelRef,
    RunManifest,
    Store,
)
from benchmark.records.sources import read_source

_MOST = 3
"""Candidates or stale records that are shown."""
_SAME = 1e-9
"""Budgets that differ by less are the same."""

Result = CellRecord | ModelRecord


@dataclass(frozen=True)
class _Named:
    """A cell or a model."""

    id: str
    key: ModelKey

    @property
    def label(self) -> str:
        """All fields of the key."""
        fields = self.key.model_dump().items()
        return ", ".join(f"{name}={value}" for name, value in fields)


@dataclass(frozen=True)
class _Today:
    """What the command of the run would compute now.

    Attributes:
        parts: the parts of each identity, by id.
        named: its cells and models.
        problem: why it is not known; empty where it is.
    """

    parts: Mapping[str, Parts]
    named: Sequence[_Named]
    problem: str = ""

    @cached_property
    def sources(self) -> Mapping[str, Mapping[str, str]]:
        """The hash of each module, by the hash of all."""
        return sources(self.parts)

    def source(self, digest: str) -> Mapping[str, str]:
        """The hash of each module behind the hash of all."""
        return self.sources.get(digest, {})


def explain(output: Path, wanted: str) -> int:
    """Writes what the identity of a cell or a model is made of, and what changed since its record was made.

    Args:
        output: the folder that a run wrote to.
        wanted: an id, the beginning of one, or fields of a key as in `defense=vanilla,attack=noise`.

    Raises:
        UsageError: when the folder holds no run, or not exactly one cell or model fits.
    """
    store = Store(output)
    manifest = store.manifest()
    one = _find(wanted, manifest, store)
    say(f"{'Cell' if isinstance(one.key, CellKey) else 'Model'} {one.id}: {one.label}")
    record = _record(store, one)
    if record is None:
        say("It has no record.")
    else:
        made = record.provenance
        say(f"Its record: {record.status}, made {made.created} at commit {made.commit} on {made.hardware}.")
        versions = ", ".join(f"{name} {version}" for name, version in sorted(made.packages.items()))
        say(f"Packages, which are no part of an identity: {versions}.")
    say(*_lines(store, one, record, _today(manifest)))
    return 0


def _lines(store: Store, one: _Named, record: Result | None, today: _Today) -> Iterator[str]:
    def known(digest: str) -> Mapping[str, str]:
        return today.source(digest) or read_source(store.root, digest)

    parts = today.parts.get(one.id) or (record.identity if record else {})
    if parts:
        yield "Its identity is made of:"
        yield from (f"  {line}" for line in describe(parts, known))
    else:
        yield "What its identity is made of was not recorded."
    if today.problem:
        yield f"What the same command would compute now is not known: {today.problem}"
    elif one.id in today.parts:
        yield "The same command computes it under this identity now."
        if record is None or record.status != "done":
            for other in _others(store, one, today)[:_MOST]:
                when = other.provenance.created
                yield f"{other.id} is a stale record of the same, made {when}. What changed:"
                yield from _changes(store, other, parts, today)
    else:
        now = [other.id for other in today.named if other.key == one.key]
        if not now:
            yield "The grid of the run holds it no longer."
        for current in now:
            yield f"It is stale: the same command computes {current} now. What changed:"
            if record is not None:
                yield from _changes(store, record, today.parts[current], today)


def _changes(store: Store, old: Result, parts: Parts, today: _Today) -> Iterator[str]:
    """Writes a line for each part in which a record, or its model's, differs from what is computed now."""

    def recorded(digest: str) -> Mapping[str, str]:
        return read_source(store.root, digest)

    if not old.identity:
        yield "  it was not recorded what its identity is made of"
        return
    for line in differences(old.identity, parts, recorded, today.source):
        yield f"  {line}"
    before, after = old.identity.get("model"), parts.get("model")
    if isinstance(before, str) and isinstance(after, str) and before != after:  # the id of a model
        model = store.model(before)
        if model is not None and model.identity:
            for line in differences(model.identity, today.parts.get(after, {}), recorded, today.source):
                yield f"  the model's {line}"


def _today(manifest: RunManifest) -> _Today:
    """Plans the grid of a run again, with the code and the data as they are now."""
    from benchmark.cli.plugin_warnings import load
    from benchmark.data.places import folders_for
    from benchmark.planning.config import Configuration
    from benchmark.planning.grid import build_grid

    try:
        # Without the defenses of a run that has none: an empty list is refused as a user's mistake.
        config = Configuration(**{key: value for key, value in manifest.config.items() if value != []})
        load(config.plugin)
        grid = build_grid(config, folders_for(config.data_root))
    except (BenchmarkError, ValueError) as error:  # pydantic's errors are ValueErrors
        return _Today({}, [], " ".join(str(error).split()))
    refs: list[CellRef | ModelRef] = [*grid.cell_refs(), *grid.model_refs()]
    return _Today(identities(grid), list({ref.id: _Named(ref.id, ref.key) for ref in refs}.values()))


def _find(wanted: str, manifest: RunManifest, store: Store) -> _Named:
    """Finds the one cell or model that is meant, in the grid of the run or among the records.

    Raises:
        UsageError: when there is none, or several.
    """
    refs: list[CellRef | ModelRef] = [*manifest.models, *manifest.cells]
    named = {ref.id: _Named(ref.id, ref.key) for ref in refs}
    if "=" in wanted:
        found = [one for one in named.values() if _fits(one, wanted, manifest.short_names)]
    else:
        ids = {path.stem for kind in ("cells", "models") for path in (store.root / kind).glob("*.json")}
        chosen = (
            [wanted]
            if wanted in ids | named.keys()
            else sorted(one for one in ids | named.keys() if one.startswith(wanted))
        )
        found = [one for one in (named.get(name) or _stored(store, name) for name in chosen) if one]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"No cell or model of '{store.output}' is '{wanted}'. Give an id or key=value,...")
    shown = "; ".join(f"{one.id} ({one.label})" for one in found[:_MOST])
    raise UsageError(f"'{wanted}' fits {len(found)} cells and models; give more of it. The first: {shown}.")


def _fits(one: _Named, wanted: str, short_names: Mapping[str, str]) -> bool:
    """Whether the fields of a key are as given; a model has no attack."""
    for field in split_list([wanted]):
        name, _, value = field.partition("=")
        if name not in CellKey.model_fields:
            raise unknown_name("field of a cell", name, CellKey.model_fields)
        if name not in type(one.key).model_fields:
            return False
        given = getattr(one.key, name)
        if name == "eps":
            if abs(given - _number(value)) > _SAME:
                return False
        elif value not in (str(given), short_names.get(str(given))):
            return False
    return True


def _number(text: str) -> float:
    try:
        return float(parse_fraction(text))
    except ValueError:
        raise UsageError(f"eps={text} is no number: write 0.1 or 8/255.") from None


def _stored(store: Store, name: str) -> _Named | None:
    record = store.cell(name) or store.model(name)
    return _Named(record.id, record.key) if record else None


def _record(store: Store, one: _Named) -> Result | None:
    return store.cell(one.id) if isinstance(one.key, CellKey) else store.model(one.id)


def _others(store: Store, one: _Named, today: _Today) -> list[Result]:
    """The records of the same key under other identities that are not computed now, the latest first."""
    kind = "cells" if isinstance(one.key, CellKey) else "models"
    names = (path.stem for path in (store.root / kind).glob("*.json"))
    records = (_record(store, _Named(name, one.key)) for name in names if name not in today.parts)
    same = [record for record in records if record is not None and record.key == one.key]
    return sorted(same, key=lambda record: record.provenance.created, reverse=True)
