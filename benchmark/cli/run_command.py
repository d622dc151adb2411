"""The command that runs the benchmark: from the options to the board, and to the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.cli.commands import download, dry_run, exports_of, open_page, report, show_verdicts
from benchmark.cli.plugin_warnings import load
from benchmark.core.errors import UsageError
from benchmark.core.output import say, warn

if TYPE_CHECKING:
    from benchmark.report.exports import Export

RESUMES = "What was done is kept; the same command resumes from there."


def _trials(text: str | None) -> int | None:
    """Parses the number of trials of `--tune`; None when the option was not given.

    Raises:
        UsageError: when it is not a whole number from 1.
    """
    if text is None:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"--tune takes a number of trials, from 1; it was given '{text}'.")
    return int(text)


class _Asked(NamedTuple):
    """What is asked of the command beside the configuration.

    Attributes:
        command: the command line.
        shown: whether progress is shown.
        dry: whether only the plan is shown.
        trials: of `--tune`; None without it.
        opened: whether the page is opened at the end.
        exports: other formats of the results.
    """

    command: str
    shown: bool
    dry: bool
    trials: int | None
    opened: bool
    exports: Sequence[Export]


def run_command(options: dict[str, Any], command: str) -> int:
    """Runs the benchmark, or shows its plan, or tunes, and returns the exit status.

    Args:
        options: the options of the command line.
        command: the command line.

    Raises:
        UsageError: when options contradict each other, or name what there is not.
        BenchmarkError: when the run cannot continue.
        StoppedAtOnce: after a second signal, or one before any job.
    """
    shown = not options.pop("no_progress", False)
    dry = options.pop("dry_run", False)
    trials = _trials(options.pop("tune", None))
    opened = options.pop("open", False)
    if opened and (dry or trials):
        instead = "--dry-run" if dry else "--tune"
        raise UsageError(f"--open shows the page of a run; {instead} writes none. Leave one of them out.")
    exports = exports_of(options)
    if exports and dry:
        raise UsageError("--export writes the results of a run; --dry-run has none. Leave one of them out.")
    file: Path | None = options.pop("config", None)
    import torch

    from benchmark.core.hardware import one_thread

    # It is forked where there is no CUDA, which several threads of OpenMP forbid (see `forkable`).
    with nullcontext() if torch.cuda.is_available() else one_thread():
        return _carry_out(options, file, _Asked(command, shown, dry, trials, opened, exports))


def _carry_out(options: dict[str, Any], file: Path | None, asked: _Asked) -> int:
    from attacks import check_precision
    from benchmark.core.cpu import cores
    from benchmark.core.hardware import one_thread
    from benchmark.data.left_out import left_out_images
    from benchmark.data.places import folders_for
    from benchmark.jobs import RunContext
    from benchmark.planning.grid import build_grid
    from benchmark.planning.resolve import resolve
    from benchmark.plugins.proof import plugins_digest
    from benchmark.records.provenance import commit
    from benchmark.runner.executors import make_executor
    from benchmark.runner.record_logs import check_loggers

    config = resolve(options, file)
    load(config.plugin)
    check_loggers(config.log)
    folders = folders_for(config.data_root, blank=asked.dry)
    executor = make_executor(config)
    device = executor.device(config.device, asked.dry)
    check_precision(config.attack_precision, device)
    plugins = tuple(path.resolve() for path in config.plugin)
    context = RunContext(
        output=config.output.resolve(),
        cache=folders.cache,
        data=folders.data,
        device=device,
        plugins=plugins,
        commit=commit(),
        plugin_source=plugins_digest(plugins),
        workers=config.workers or 1,
        save_every=config.save_every,
        save_images=config.save_images,
        job_timeout=config.job_timeout,
        blank=asked.dry,
    )
    if config.download and not asked.dry:
        download(config.datasets, folders)
    if asked.trials and asked.dry:
        raise UsageError("--tune draws each trial from what the last ones gave: it has no dry run.")
    if asked.trials and config.log:
        raise UsageError("--log is of runs; --tune writes its trials to tuning.csv.")
    if asked.trials and asked.exports:
        raise UsageError("--export is of runs; --tune writes its trials to tuning.csv.")
    if asked.trials and config.models:
        raise UsageError("--tune chooses parameters of trainings: it takes --defenses, and no --model.")
    with one_thread():
        if asked.dry:
            return dry_run(config, context)
        grid = build_grid(config, folders)
    for note in left_out_images(grid.datasets):
        warn(f"Left out: {note}")
    if not config.workers:
        workers = executor.count_workers([model.job for model in grid.models], device, folders)
        context = context.model_copy(update={"workers": workers})
    if asked.trials:
        from benchmark.tuning.tuning import tune

        say(f"The parameters chosen: {tune(config, context, asked.trials, asked.shown, executor.run_jobs)}")
        return 0
    from benchmark.runner.run import run

    context.store.check_writable()
    counts, manifest, stopped = run(
        grid, config, context, asked.command, asked.shown, executor.run_jobs, executor.prepare
    )
    board = report(config.output, min(context.workers, cores()), asked.exports, manifest)
    if stopped is not None:
        warn(f"Stopped. The board so far: {board}. {RESUMES}")
        return stopped.exit_status
    show_verdicts(config.output, manifest)
    summary = ", ".join(
        f"{counts[status]} {status}" for status in ("done", "failed", "skipped") if counts[status]
    )
    say(f"{sum(counts.values())} cells: {summary}. The board: {board}")
    if asked.opened:
        open_page(config.output)
    return 1 if counts["failed"] else 0
