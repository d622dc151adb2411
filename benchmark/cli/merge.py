"""Merges the records of several output folders into one; nothing is trained or attacked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path

from benchmark.cli.plugin_warnings import load
from benchmark.core.errors import UsageError
from benchmark.core.files import replacing
from benchmark.records import CellRef, CheckRecord, ModelRef, RunManifest, Store
from benchmark.records.merging import Source, holder, merged, shared_models


def merge(folders: Sequence[Path], output: Path, command: str) -> list[str]:
    """Copies the records of several output folders into one, with a grid that holds them all.

    Checkpoints are not copied. The checks of a model that several folders have cells of are done again, on
    the records of all.

    Args:
        folders: the folders, two at least.
        output: where to; it may hold an earlier merge, which is replaced.
        command: the command line.

    Returns:
        What a user should know, as lines.

    Raises:
        UsageError: when fewer than two folders are given, one is given twice, is the output or shares its
            records, the output holds a run, a folder holds none, or their values may not stand in one board.
    """
    _check_folders(folders, output)
    sources = [Source.read(folder) for folder in folders]
    manifest = merged(sources, command)
    store = Store(output)
    if _holds_run(output):
        shutil.rmtree(store.root)
    store.check_writable()
    for ref in {ref.id: ref for ref in manifest.models}.values():
        _copy(sources, ref, output, ("models",), (".json",))
    for cell in {ref.id: ref for ref in manifest.cells}.values():
        _copy(sources, cell, output, ("cells", "arrays", "images"), (".json", ".safetensors"))
    _copy_logs(sources, output)
    store.save_manifest(manifest)
    checked = _write_checks(sources, manifest, store)
    return _lines(sources, manifest, store, checked)


def _check_folders(folders: Sequence[Path], output: Path) -> None:
    if len(folders) < 2:
        raise UsageError(f"--merge takes two output folders or more; it was given '{folders[0]}' alone.")
    real = [folder.resolve() for folder in folders]
    twice = next((folder for folder, path in zip(folders, real, strict=True) if real.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"--merge was given the folder '{twice}' twice.")
    if output.resolve() in real:
        raise UsageError(f"--output '{output}' is one of the folders to merge; name another.")
    written = (output / "store").resolve()
    for folder in folders:
        read = (folder / "store").resolve()
        if written.is_relative_to(read) or read.is_relative_to(written):
            raise UsageError(
                f"The records of --output '{output}' would lie in those of '{folder}', which are merged, or "
                "hold them; name another."
            )
    # Merges copy no checkpoints: where there are some, models were trained.
    trained = any((output / "store" / "models").glob("*.safetensors"))
    if trained or (_holds_run(output) and not Store(output).manifest().merged):
        raise UsageError(
            f"--output '{output}' holds a run of its own, which --merge would replace; name another."
        )


def _holds_run(output: Path) -> bool:
    return (output / "store" / "run.json").exists()


def _copy(
    sources: Sequence[Source],
    ref: CellRef | ModelRef,
    output: Path,
    kinds: Iterable[str],
    suffixes: Iterable[str],
) -> None:
    """Copies the files of a record from the folder that it is taken from, damaged ones from the first."""
    chosen = holder(sources, ref)
    for source in sources if chosen is None else [chosen]:
        found = [Path(kind) / f"{ref.id}{suffix}" for kind in kinds for suffix in suffixes]
        there = [path for path in found if (source.path / "store" / path).is_file()]
        for path in there:
            with replacing(output / "store" / path) as temporary:
                shutil.copy2(source.path / "store" / path, temporary)
        if there:
            return


def _copy_logs(sources: Sequence[Source], output: Path) -> None:
    """Copies the logs that records of failures name."""
    for source in sources:
        for name in sorted(source.logs()):
            log = Path("store") / "logs" / name
            if (source.path / log).is_file():
                with replacing(output / log) as temporary:
                    shutil.copy2(source.path / log, temporary)


def _write_checks(sources: Sequence[Source], manifest: RunManifest, store: Store) -> list[CheckRecord]:
    """Copies the results of the checks, and checks the models anew that several folders have cells of."""
    again = {ref.id for ref in shared_models(sources)}
    had: set[str] = set()
    for source in sources:
        read = Store(source.path)
        suite = {
            (ref.model_id, ref.key.norm, ref.key.eps) for ref in source.manifest.cells if ref.role == "suite"
        }
        for model, norm, eps in sorted(suite):
            record = read.checks(model, norm, eps)
            if record is not None:
                had.add(model)
                store.save_checks(record)
    models = [ref for ref in manifest.models if ref.id in again & had]
    if not models:
        return []
    from benchmark.runner.check_models import check_models

    load(Path(path) for path in manifest.config.get("plugin") or [])
    return check_models(store, manifest.model_copy(update={"models": models}))


def _lines(
    sources: Sequence[Source], manifest: RunManifest, store: Store, checked: Sequence[CheckRecord]
) -> list[str]:
    models = {ref.id for ref in manifest.models}
    cells = {ref.id for ref in manifest.cells}
    lines = [
        f"{_counted(cells, 'cell')} of {_counted(models, 'model')} are merged from {len(sources)} folders."
    ]
    lines += _without_records(sources, store)
    if checked:
        counted = _counted({record.model_id for record in checked}, "model")
        lines.append(f"The checks of {counted} are done anew: several folders have cells of them.")
    without = [
        source.path for source in sources if any((source.path / "store" / "models").glob("*.safetensors"))
    ]
    if without:
        named = ", ".join(f"'{path}'" for path in without)
        lines.append(f"Checkpoints are not copied: keep those folders ({named}) to load or attack models.")
    return lines


def _without_records(sources: Sequence[Source], store: Store) -> Iterable[str]:
    """Says which folders have cells or models that no folder has a record of that can be used."""
    for kind, name in (("cells", "cell"), ("models", "model")):
        for source in sources:
            ids = _expected(source, kind) - getattr(source, kind).keys()
            read = store.model if kind == "models" else lambda cell: store.examined(cell).record
            lost = {one for one in ids if read(one) is None}
            if lost:
                yield (
                    f"In '{source.path}' there is no record of {_counted(lost, name)}, or a damaged one. The "
                    "command of that run computes what is missing."
                )


def _expected(source: Source, kind: str) -> set[str]:
    """The cells of a run, or the models that it did not skip, as it does defenses that no loss serves."""
    if kind == "cells":
        return {ref.id for ref in source.manifest.cells}
    skipped = {key for key, record in source.cells.items() if record.status == "skipped"}
    return {ref.model_id for ref in source.manifest.cells if ref.id not in skipped}


def _counted(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"
