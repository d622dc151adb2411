"""The entry point of the command line: from the arguments to the exit status."""

from __future__ import annotations

import gc
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmark.cli.check_plugin import VARIANTS, check_plugin
from benchmark.cli.commands import (
    explain,
    list_data,
    list_names,
    merge,
    report_only,
    status,
)
from benchmark.cli.instead import refuse_unread
from benchmark.cli.options import build_parser
from benchmark.cli.run_command import RESUMES, run_command
from benchmark.core.child_process import forkable
from benchmark.core.errors import BenchmarkError, Stopped, UsageError
from benchmark.core.output import protected_streams, warn
from benchmark.runner.stop_signals import EarlySignals

_LATE = 3.0
"""Seconds after which the process says what keeps it from ending."""


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
        # Pillow's two lines on a large photograph, which it decodes; it refuses one that is twice as large.
        warnings.filterwarnings("ignore", r"Image size \(\d+ pixels\) exceeds limit", RuntimeWarning)
    with protected_streams(whole_process=arguments is None):
        try:
            with forkable() if arguments is None else nullcontext():
                return _main(given, arguments is None)
        except Exception:
            if signals.error is None:
                raise
            return _stopped(signals.error)
        finally:
            if arguments is None:
                _end_signals(signals)


def _ignore_signals() -> None:
    """Lets no signal end in a traceback while the process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _end_signals(signals: EarlySignals) -> None:
    """Lets no signal end in a traceback while the process ends; where threads run on, one ends it."""
    _ignore_signals()
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    if not others:
        return
    for signum in signals.handled:
        signal.signal(signum, signal.SIG_DFL)
    names = ", ".join(one.name for one in others)
    said = f"All is done, but threads of a plugin run on ({names}), or of a library. Ctrl-C ends them."
    late = threading.Timer(_LATE, warn, [said])
    late.daemon = True
    late.start()


def _check_text(given: Sequence[str]) -> None:
    """Refuses arguments, and a folder to run in, that could not be written into a report.

    Raises:
        UsageError: for the first that is not text in UTF-8, and when the folder is gone.
    """
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        raise UsageError("The folder that the command is run in is gone; go to another.") from None
    for text in [*given, here]:
        if text.encode(errors="replace").decode() != text:
            raise UsageError(
                f"{text!a} is not UTF-8. Rename the file or folder (or, where the name is right, set the "
                "environment variable PYTHONUTF8=1)."
            )


def _main(given: Sequence[str], whole_process: bool) -> int:
    try:
        _check_text(given)
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
        return run_command(options, command)
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
