"""The entry point of the command line: from the arguments to the exit status."""

from __future__ import annotations

import gc
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import Any

from benchmark.cli.check_plugin import VARIANTS, check_plugin
from benchmark.cli.commands import (
    download,
    dry_run,
    explain,
    exports_of,
    list_data,
    list_names,
    merge,
    open_page,
    report,
    report_only,
    show_verdicts,
    status,
)
from benchmark.cli.instead import refuse_unread
from benchmark.cli.options import build_parser
from benchmark.cli.plugin_warnings import load
from benchmark.core.errors import BenchmarkError, Stopped, StoppedAtOnce, UsageError
from benchmark.core.output import protected_streams, say, warn
from benchmark.runner.stop_signals import EarlySignals

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


def _run(options: dict[str, Any], command: str) -> int:
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
    file = options.pop("config", None)
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
    folders = folders_for(config.data_root, blank=dry)
    executor = make_executor(config)
    device = executor.device(config.device, dry)
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
        blank=dry,
    )
    if config.download and not dry:
        download(config.datasets, folders)
    if trials and dry:
        raise UsageError("--tune draws each trial from what the last ones gave: it has no dry run.")
    if trials and config.log:
        raise UsageError("--log is of runs; --tune writes its trials to tuning.csv.")
    if trials and exports:
        raise UsageError("--export is of runs; --tune writes its trials to tuning.csv.")
    if trials and config.models:
        raise UsageError("--tune chooses parameters of trainings: it takes --defenses, and no --model.")
    if dry:
        with one_thread():
            return dry_run(config, context)
    with one_thread():
        grid = build_grid(config, folders)
    for note in left_out_images(grid.datasets):
        warn(f"Left out: {note}")
    if not config.workers:
        workers = executor.count_workers([model.job for model in grid.models], device, folders)
        context = context.model_copy(update={"workers": workers})
    if trials:
        from benchmark.tuning.tuning import tune

        say(f"The parameters chosen: {tune(config, context, trials, shown, executor.run_jobs)}")
        return 0
    from benchmark.runner.run import run

    context.store.check_writable()
    try:
        counts = run(grid, config, context, command, shown, executor.run_jobs, executor.prepare)
    except StoppedAtOnce:
        raise
    except Stopped as stopped:
        board = report(config.output, min(context.workers, cores()), exports)
        warn(f"Stopped. The board so far: {board}. {RESUMES}")
        return stopped.exit_status
    board = report(config.output, min(context.workers, cores()), exports)
    show_verdicts(config.output)
    summary = ", ".join(
        f"{counts[status]} {status}" for status in ("done", "failed", "skipped") if counts[status]
    )
    say(f"{sum(counts.values())} cells: {summary}. The board: {board}")
    if opened:
        open_page(config.output)
    return 1 if counts["failed"] else 0


def _check_plugin(options: dict[str, Any]) -> int:
    from benchmark.data.places import folders_for

    folders = folders_for(options.get("data_root"))
    variants = {option: options[option] for option in VARIANTS if option in options}
    return check_plugin(options["check_plugin"], variants, folders, options.get("plugin", []))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit status.

    Args:
        arguments: the command's arguments; those of the process when not given.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    signals = EarlySignals()
    if arguments is None:  # run as a program: SIGTERM stops it and its workers as Ctrl-C does
        signals.install()
        # Imports and plans make many objects that stay; to look for garbage among them takes long.
        gc.set_threshold(100_000)
    with protected_streams(whole_process=arguments is None):
        try:
            return _main(given, arguments is None)
        except Exception:
            if signals.error is None:
                raise
            return _stopped(signals.error)
        finally:
            if arguments is None:
                _ignore_signals()


def _ignore_signals() -> None:
    """Lets no signal end in a traceback while the process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _main(given: Sequence[str], whole_process: bool) -> int:
    try:
        options = vars(build_parser().parse_args(given))
        refuse_unread(given)
        if options.pop("list", False):
            return list_names(options.get("plugin", []))
        if options.pop("list_data", False):
            return list_data(options)
        if "check_plugin" in options:
            return _check_plugin(options)
        if "new_defense" in options:
            from benchmark.cli.new_defense import new_defense

            return new_defense(options["new_defense"])
        if "explain" in options:
            return explain(options)
        if options.pop("status", False):
            return status(options)
        if options.pop("report_only", False):
            return report_only(options)
        command = shlex.join(["python", "run_benchmark.py", *given])
        if "merge" in options:
            return merge(options, command)
        return _run(options, command)
    except UsageError as error:
        warn(f"error: {error}")
        return 2
    except BenchmarkError as error:
        warn(f"error: {error}")
        return 1
    except OSError as error:
        warn(f"error: {error.filename or 'a file'}: {error.strerror or error}. What was done is kept.")
        return 1
    except KeyboardInterrupt as error:
        if whole_process:
            _ignore_signals()
        return _stopped(error)


def _stopped(error: KeyboardInterrupt) -> int:
    warn(f"Stopped. {RESUMES}")
    return error.exit_status if isinstance(error, Stopped) else 130
