"""The command line."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchmark.core.errors import BenchmarkError, UsageError

EXAMPLES = """examples:
  python run_benchmark.py --defenses all
      the seven defenses on the default data set, attacks and budget; the board goes to results/
  python run_benchmark.py --preset smoke --output /tmp/smoke
      does everything work? under a minute
  python run_benchmark.py --defenses "pgd_at[epochs_scale=3],eat[members=5,transfer=peers]" --seeds 0 1 2
      two variants, three seeds each; every variant is a row of its own
  python run_benchmark.py --defenses pgd_at --attacks "pgd[objective=own,steps=50],standard" --eps 8/255
      other attacks and budgets
  python run_benchmark.py --defenses pgd_at --attacks fast --no-checks
      while you work on a defense
  python run_benchmark.py --plugin my_defense.py --defenses all,my_defense
      your own defense beside the others (docs/adding_a_defense.md)
  python run_benchmark.py --defenses all --dry-run
      what would be computed, and what it costs

exit status: 0 all cells done; 1 some failed (the board shows them); 2 the command was wrong, nothing was run
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit status 2."""
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See --help.")


def build_parser() -> argparse.ArgumentParser:
    """The parser; options that are not given leave no key, so that files and presets show through."""
    parser = _Parser(
        prog="run_benchmark.py",
        description="Compares defenses of deep metric learning models under attacks made for clustering and "
        "retrieval: trains each defense, attacks it, scores it, and writes a leaderboard. What is done is "
        "kept; the same command again goes on where it was stopped.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    # A negative budget is a bad value, not an unknown option.
    parser._negative_number_matcher = re.compile(r"-\d")
    what = parser.add_argument_group(
        "what is compared (lists: separated by commas or spaces; name[key=value,...] sets parameters)"
    )
    what.add_argument("--defenses", nargs="+", metavar="NAME", help="defenses; 'all' is the seven")
    what.add_argument(
        "--attacks", nargs="+", metavar="NAME", help="attacks or suites (default: the preset's)"
    )
    what.add_argument(
        "--datasets", nargs="+", metavar="NAME", help="data sets; 'all' is those on this machine"
    )
    what.add_argument("--backbones", nargs="+", metavar="NAME", help="smallconv, or any name of timm")
    what.add_argument("--losses", nargs="+", metavar="NAME", help="training losses")
    what.add_argument(
        "--scenarios",
        nargs="+",
        metavar="NAME",
        help="clustering[fraction=...], retrieval-query, retrieval-gallery, verification",
    )
    what.add_argument("--seeds", nargs="+", metavar="N", help="training seeds, each a repetition")
    what.add_argument("--norm", nargs="+", metavar="NORM", help="linf, l2 or both")
    what.add_argument(
        "--eps", nargs="+", metavar="EPS", help="budgets, as 0.1 or 8/255 (default: the data set's)"
    )
    what.add_argument(
        "--no-checks",
        action="store_false",
        dest="checks",
        help="do not check the figures for gradient masking (for development)",
    )
    what.add_argument(
        "--preset",
        metavar="NAME",
        help="default, published (both norms, every scenario) or smoke: training, attacks and data sets",
    )
    what.add_argument(
        "--config", type=Path, metavar="FILE.yaml", help="a file with the same keys as these options"
    )
    what.add_argument(
        "--plugin", action="append", metavar="FILE.py", help="a file that registers something (repeatable)"
    )
    how = parser.add_argument_group("how and where")
    how.add_argument("--output", metavar="DIR", help="where records and the board go (default: results)")
    how.add_argument("--device", metavar="DEVICE", help="auto, cpu or cuda")
    how.add_argument(
        "--workers", metavar="N", help="worker processes of one thread each (default: one a core)"
    )
    how.add_argument("--no-progress", action="store_true", help="show no progress")
    instead = parser.add_argument_group("instead of running")
    instead.add_argument("--list", action="store_true", help="list everything that has a name")
    instead.add_argument(
        "--dry-run", action="store_true", help="show the grid, what of it is cached, and its cost"
    )
    instead.add_argument(
        "--report-only", action="store_true", help="write the board of --output again from its records"
    )
    return parser


def _list_everything() -> None:
    from attacks import ATTACKS, MEASURES, OBJECTIVES, SUITES
    from benchmark.data import DATASETS
    from benchmark.evaluation import SCENARIOS
    from benchmark.losses import LOSSES
    from benchmark.models import BACKBONES
    from benchmark.runner.config import presets
    from defenses import DEFENSES, GROUPS

    registries: list[tuple[str, Any]] = [
        ("defenses", DEFENSES),
        ("attacks", ATTACKS),
        ("suites of attacks", SUITES),
        ("objectives of attacks", OBJECTIVES),
        ("measures of robrank", MEASURES),
        ("data sets", DATASETS),
        ("backbones", BACKBONES),
        ("losses", LOSSES),
        ("scenarios", SCENARIOS),
    ]
    lines = []
    for title, registry in registries:
        lines.append(f"{title}:")
        for name, cls in registry.items():
            lines.append(f"  {name:<18} {cls.summary()}")
            fields = {key: info.default for key, info in cls.model_fields.items()}
            if fields:
                lines.append(" " * 21 + ", ".join(f"{key}={value}" for key, value in fields.items()))
        if title == "defenses":
            lines += [f"  {name:<18} {', '.join(members)}" for name, members in GROUPS.items()]
        if title == "backbones":
            lines.append(f"  {'(timm)':<18} any name of timm.list_models()")
    lines += ["presets:", f"  {', '.join(presets())}"]
    sys.stdout.write("\n".join(lines) + "\n")


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return Path(os.environ.get("DML_BENCHMARK_CACHE") or user_cache_path("dml-robustness-benchmark"))


def _dry_run(grid: Any, store: Any, cache: Path) -> None:
    from benchmark.runner.estimate import Estimator
    from benchmark.runner.executor import Job
    from benchmark.runner.progress import describe
    from benchmark.runner.run import plan

    todo = plan(grid, store)
    estimator = Estimator(cache)
    lines = ["To do:"]
    total = 0.0
    jobs: list[Job] = [*todo.trainings, *(job for job in todo.attacks if not grid.refusal(job))]
    for job in jobs:
        cost = estimator.cost(job)
        total += cost
        lines.append(f"  {cost:>12,.0f} passes  {describe(job)}")
    lines.append(f"{len(todo.trainings)} of {len(grid.trainings) + len(grid.sources)} models to train.")
    lines.append(f"{todo.cells} cells, {todo.cached} cached, {todo.cells - todo.cached} to compute.")
    lines += [f"Left out: {reason}" for reason in [*grid.skipped, *dict.fromkeys(grid.refused.values())]]
    lines.append(f"Cost: {total:,.0f} passes of one image through the plain backbone.")
    sys.stdout.write("\n".join(lines) + "\n")


def _run(options: dict[str, Any], command: str) -> int:
    shown = not options.pop("no_progress", False)
    dry = options.pop("dry_run", False)
    file = options.pop("config", None)
    from benchmark.runner.config import resolve
    from benchmark.runner.grid import build_grid
    from benchmark.runner.plugins import load_plugins
    from benchmark.runner.provenance import commit
    from benchmark.runner.run import resolve_device, run
    from benchmark.runner.store import Store
    from benchmark.runner.trained import Place

    config = resolve(options, file)
    load_plugins(config.plugin)
    cache = _cache_folder()
    grid = build_grid(config, cache)
    place = Place(
        output=config.output.resolve(),
        cache=cache,
        device=resolve_device(config.device),
        plugins=tuple(path.resolve() for path in config.plugin),
        commit=commit(),
    )
    store = Store(config.output)
    if dry:
        _dry_run(grid, store, cache)
        return 0
    store.check_writable()
    counts = run(grid, config, store, place, command, shown)
    written = _report(config.output)
    summary = ", ".join(
        f"{counts[status]} {status}" for status in ("done", "failed", "skipped") if counts[status]
    )
    sys.stdout.write(f"{sum(counts.values())} cells: {summary}. The board: {written}\n")
    return 1 if counts["failed"] else 0


def _report(output: Path) -> Path:
    from benchmark.report import write_report

    write_report(output)
    return output / "leaderboard.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit status.

    Args:
        arguments: the command's arguments; those of the process when not given.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # the process is ours: stop as for Ctrl-C, workers included
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = vars(build_parser().parse_args(given))
        if options.pop("list", False):
            from benchmark.runner.plugins import load_plugins

            load_plugins(Path(path) for path in options.get("plugin", []))
            _list_everything()
            return 0
        if options.pop("report_only", False):
            if "config" in options and "output" not in options:
                from benchmark.runner.config import resolve

                options["output"] = resolve({}, options["config"]).output
            written = _report(Path(options.get("output", "results")))
            sys.stdout.write(f"The board: {written}\n")
            return 0
        return _run(options, shlex.join(["python", "run_benchmark.py", *given]))
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except BenchmarkError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter must not stumble over it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        sys.stderr.write(
            f"error: {error.filename or 'a file'}: {error.strerror or error}. What was done is kept.\n"
        )
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. What was done is kept; the same command goes on from there.\n")
        return 130
