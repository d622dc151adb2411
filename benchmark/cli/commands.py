"""Commands other than a run: lists, dry run, report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cli.plugin_warnings import load
from benchmark.core.output import say

if TYPE_CHECKING:
    from benchmark.data import Folders
    from benchmark.jobs import RunContext
    from benchmark.planning.config import Configuration
    from benchmark.records import RunManifest
    from benchmark.report.exports import Export


def list_names(plugins: Iterable[Path]) -> int:
    """Lists all registered names, with their parameters, and the presets."""
    from benchmark.planning.resolve import presets
    from benchmark.plugins.registries import REGISTRIES
    from defenses import GROUPS

    load(plugins)
    lines = []
    for title, registry in REGISTRIES.items():
        lines.append(f"{title}:")
        for name, cls in registry.items():
            lines.append(f"  {name:<18} {cls.summary()}")
            defaults = cls.defaults()
            if defaults:
                lines.append(" " * 21 + ", ".join(f"{key}={value}" for key, value in defaults.items()))
        if title == "defenses":
            lines += [f"  {name:<18} {', '.join(members)}" for name, members in GROUPS.items()]
        if title == "backbones":
            lines.append(f"  {'(timm)':<18} any name of timm.list_models()")
    lines += ["presets:", f"  {', '.join(presets())}"]
    say(*lines)
    return 0


def dry_run(config: Configuration, context: RunContext) -> int:
    """Shows the plan of a run, with its cached cells and its cost, without running any job."""
    from benchmark.planning.grid import build_grid
    from benchmark.planning.plan_text import describe_plan
    from benchmark.planning.todo import find_todo

    grid = build_grid(config, context.folders)
    todo = find_todo(grid, context.store, config.retry_failed)
    say(*describe_plan(grid, todo, todo.costs(context.folders)).splitlines())
    return 0


def exports_of(options: dict[str, Any]) -> list[Export]:
    """Takes the formats of `--export` out of the options.

    Raises:
        UsageError: for an unknown format, and where a package that it needs is missing.
    """
    names = options.pop("export", [])
    if not names:
        return []
    from benchmark.report.exports import export_formats

    return export_formats(names)


def report(
    output: Path,
    workers: int | None = None,
    exports: Sequence[Export] = (),
    manifest: RunManifest | None = None,
) -> str:
    """Writes the report of an output folder, and returns where its board is, in words.

    Of two commands that write reports into one folder, the second waits for the first.

    Args:
        output: the folder.
        workers: number of processes that draw figures, where there are many; by default one a core.
        exports: other formats to write the results in.
        manifest: that of the run that the report is of; by default the folder's, which another run may have
            replaced.

    Raises:
        UsageError: when there is no run, or the folder cannot be written to.
    """
    from benchmark.core.cpu import cores
    from benchmark.core.file_lock import locked
    from benchmark.records import Store
    from benchmark.report import PAGE, write_report

    Store(output).check_report_writable()
    waiting = f"Another command is writing its report into {output}; this one waits for it ..."
    with locked(Store(output).root / "report.lock", waiting):
        write_report(output, say, workers or cores(), exports, manifest)
    return f"{output / 'leaderboard.md'} (in a browser: {output / PAGE})"


def show_verdicts(output: Path, manifest: RunManifest | None = None) -> None:
    """Writes what the records under an output folder say of the user's own models, if there are any."""
    from benchmark.report import verdicts

    say(*verdicts(output, manifest))


def open_page(output: Path) -> None:
    """Shows the page of an output folder in the browser; one line where there is none."""
    import webbrowser

    from benchmark.report import PAGE

    page = output / PAGE
    if not webbrowser.open(page.resolve().as_uri()):
        say(f"There is no browser to open the page with: {page}")


def report_only(options: dict[str, Any]) -> int:
    """Writes the report of the output folder again."""
    exports = exports_of(options)
    return _write_board(_output(options), exports, options)


def merge(options: dict[str, Any], command: str) -> int:
    """Writes one board of several output folders."""
    from benchmark.cli.merge import merge as merge_folders

    exports = exports_of(options)
    output = _output(options)
    say(*merge_folders(options["merge"], output, command))
    return _write_board(output, exports, options)


def _write_board(output: Path, exports: Sequence[Export], options: dict[str, Any]) -> int:
    """Writes the report of an output folder, and shows its page where that is asked for."""
    board = report(output, exports=exports)
    show_verdicts(output)
    say(f"The board: {board}")
    if options.get("open"):
        open_page(output)
    return 0


def status(options: dict[str, Any]) -> int:
    """Shows what of the run in the output folder is done, running, failed and waiting."""
    from benchmark.cli.status import show_status

    return show_status(_output(options))


def explain(options: dict[str, Any]) -> int:
    """Shows what the identity of a cell of the output folder is made of."""
    from benchmark.cli.explain import explain as explained

    return explained(_output(options), options["explain"])


def _output(options: dict[str, Any]) -> Path:
    """The folder that is given as an option, or in the configuration file."""
    if "config" in options and "output" not in options:
        from benchmark.planning.resolve import resolve

        return resolve({}, options["config"]).output
    return Path(options.get("output", "results"))


def list_data(options: dict[str, Any]) -> int:
    """Lists the data sets: which are on this machine, and where to get the others."""
    from benchmark.cli.listing import list_data as listed
    from benchmark.data.places import folders_for

    return listed(folders_for(options.get("data_root")), options.get("plugin", []))


def download(specs: list[str], folders: Folders) -> None:
    """Downloads the missing ones of some data sets.

    Raises:
        BenchmarkError: when one cannot be fetched.
    """
    from benchmark.data import DATASETS
    from benchmark.data.downloads import download_missing

    download_missing([DATASETS.build(text) for text in specs if text != "all"], folders)
