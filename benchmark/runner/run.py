"""A run: computes the cells of a grid that are not done yet, then the checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmark.core.errors import Stopped, StoppedAtOnce, UsageError
from benchmark.core.hardware import one_thread
from benchmark.core.output import say, warn
from benchmark.data import DATASETS
from benchmark.jobs import Job, RunContext
from benchmark.jobs.models import UNUSED
from benchmark.models import BACKBONES
from benchmark.planning.config import Configuration
from benchmark.planning.explain import identities, sources
from benchmark.planning.grid import Grid
from benchmark.planning.manifest import make_manifest
from benchmark.planning.setting_names import SettingNames
from benchmark.planning.todo import Todo, find_todo
from benchmark.records import ModelKey, RunManifest, Store
from benchmark.records.sources import save_sources
from benchmark.runner.check_models import check_models
from benchmark.runner.executor import run_jobs
from benchmark.runner.job_queue import Executor
from benchmark.runner.job_watcher import Watchers
from benchmark.runner.progress import ProgressReport
from benchmark.runner.record_logs import RecordLogs
from benchmark.runner.view.layout import board_of, costs_of


class RunResult(NamedTuple):
    """What became of a run.

    Attributes:
        counts: the number of cells that are "done", "failed" or "skipped".
        manifest: the manifest of the run.
        stopped: the signal that stopped it; what was done is ready for a report then.
    """

    counts: Counter[str]
    manifest: RunManifest
    stopped: Stopped | None = None


def run(
    grid: Grid,
    config: Configuration,
    context: RunContext,
    command: str,
    shown: bool,
    execute: Executor = run_jobs,
    prepare: Callable[[RunContext, bool], None] = lambda context, trains: None,
) -> RunResult:
    """Computes the cells of a grid that are not done yet, then the checks.

    Args:
        grid: the grid.
        config: the configuration behind the grid.
        context: the context of the run.
        command: the command line, for the manifest.
        shown: whether progress is shown.
        execute: runs the jobs; on worker processes by default.
        prepare: called first if there are jobs, with whether some are trainings, so that what they need
            starts while their cost is estimated.

    Returns:
        How the cells ended, and the manifest that the report is of.

    Raises:
        BenchmarkError: when pretrained weights cannot be fetched; nothing has been run or written then.
        UsageError: when a log cannot be opened; nothing has been run then.
        StoppedAtOnce: when a second signal has.
    """
    store = Store(context.output, heal=True)
    todo = find_todo(grid, store, config.retry_failed)
    if todo.jobs:
        prepare(context, bool(todo.trainings))
    fetch_weights(training.key for training in todo.trainings)
    logs = RecordLogs(config.log if todo.jobs else (), todo, store, config.model_dump(mode="json"))
    manifest = make_manifest(grid, config, command, context.folders, context.provenance())
    if note := _replaced(store, manifest):
        warn(note)
    store.save_manifest(manifest)
    save_sources(store.root, sources(identities(grid)))
    for planned in todo.refused:
        planned.job.fail(planned.refusal, context, status="skipped")
    stopped: Stopped | None = None
    if todo.jobs:
        try:
            with logs:
                _compute(grid, todo, context, shown, execute, logs)
        except StoppedAtOnce:
            raise
        except Stopped as error:
            stopped = error
    if {cell.id for cell in store.manifest().cells} != {cell.id for cell in manifest.cells}:
        warn(
            f"Another run with other cells has used {context.output} meanwhile. The board written now is of "
            "this run alone: give each its own --output."
        )
    manifest = manifest.model_copy(update={"provenance": context.provenance()})
    store.save_manifest(manifest)
    check_models(store, manifest)
    counts = Counter({"done": len(todo.finished)})
    for cell_id in {cell.id for cell in manifest.cells} - todo.finished:
        record = store.cell(cell_id)
        counts[record.status if record else "failed"] += 1
    return RunResult(counts, manifest, stopped)


def _replaced(store: Store, manifest: RunManifest) -> str:
    """What becomes of the board that is in the folder, where it is of another grid; empty where it is not."""
    try:
        before = {cell.key for cell in store.manifest().cells}
    except UsageError:  # there is none that can be read
        return ""
    left_out = before - {cell.key for cell in manifest.cells}  # whose ids change with the code
    if not left_out:
        return ""
    return (
        f"The board in {store.output} is of another command: {len(left_out)} of its {len(before)} cells are "
        "not of this one, whose board takes its place. Their records stay: the other command gives its board "
        "again. To keep both, give each its own output folder."
    )


def fetch_weights(keys: Iterable[ModelKey]) -> None:
    """Fetches the pretrained weights of all models that are to be trained, once each.

    Raises:
        BenchmarkError: when weights cannot be fetched.
    """
    for backbone, natural in dict.fromkeys(
        (key.backbone, DATASETS.build(key.dataset).natural) for key in keys if key.backbone != UNUSED
    ):
        BACKBONES.build(backbone).fetch(natural)


def _compute(
    grid: Grid, todo: Todo, context: RunContext, shown: bool, execute: Executor, logs: RecordLogs
) -> None:
    names = SettingNames(model.job.key for model in grid.models)
    with one_thread():
        costs = todo.costs(context.folders)
    workers = min(context.workers, len(todo.jobs))
    if shown:
        say(*names.legend(), _cost_line(todo, costs))

    def label(job: Job) -> str:
        return f"{names.prefix(job.key)}{job.label}"

    board = board_of(grid, todo, names)
    progress = ProgressReport(costs_of(todo, costs), board, workers, shown, label)
    try:
        execute(todo.jobs, costs, context, workers, Watchers(progress, logs))
    finally:
        progress.close()


def _cost_line(todo: Todo, costs: dict[str, float]) -> str:
    """Describes the number and the cost of the jobs that a run is about to start."""
    training = sum(costs[job.id] for job in todo.trainings)
    attacking = sum(costs[job.id] for job in todo.attacks)
    trained = sum(job.trained for job in todo.trainings)
    loaded = len(todo.trainings) - trained
    return (
        f"To do: {trained} models to train ({training:,.0f} cost units), {loaded} to load, "
        f"{len(todo.attacks)} attacks ({'at most ' if todo.is_bound else ''}{attacking:,.0f} cost units); "
        f"{todo.cached} of {todo.cells} cells are cached{todo.failures}."
    )
