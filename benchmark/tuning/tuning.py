"""Tuning: the same number of trials for each defense, scored on classes held out of the training classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from benchmark.core.errors import UsageError
from benchmark.core.output import say
from benchmark.core.spec import parse_spec
from benchmark.data import Folders
from benchmark.jobs import RunContext, TrainJob
from benchmark.jobs.models import FEWEST_TO_HOLD_OUT, load_data
from benchmark.losses import LOSSES
from benchmark.planning.config import Configuration
from benchmark.planning.selection import (
    check_recipes,
    check_short_names,
    named,
    refusal,
    select_backbones,
    select_datasets,
    select_specs,
)
from benchmark.planning.setting_names import SettingNames
from benchmark.planning.todo import missing_teachers
from benchmark.planning.trainings import plan_training
from benchmark.records import ModelKey, ModelRecord, Store
from benchmark.runner.executor import run_jobs
from benchmark.runner.job_queue import Executor
from benchmark.runner.job_watcher import JobWatcher
from benchmark.runner.run import fetch_weights
from benchmark.tuning.search import Search
from benchmark.tuning.tuning_output import TuningTrial, write_chosen, write_trials
from defenses import DEFENSES


@dataclass
class TunedDefense:
    """A defense in one setting, with its search and its trials so far.

    Attributes:
        search: proposes the next trial.
        setting: specs of the data set, backbone and loss.
        wanted: number of trials; 1 where there is nothing to tune.
        trials: the finished ones, in order.
    """

    search: Search
    setting: tuple[str, str, str]
    wanted: int
    trials: list[TuningTrial] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """The cost of the last trial in units, an estimate of the next trial's."""
        return self.trials[-1].cost if self.trials else 0.0


def _tunable(texts: list[str]) -> list[str]:
    """Lists the specs of the defenses asked for, as written, without references."""
    return [spec for spec in select_specs(texts) if not DEFENSES.get(parse_spec(spec).name).reference]


def _searches(config: Configuration, folders: Folders, trials: int) -> tuple[list[TunedDefense], list[str]]:
    """Builds one search for each defense and setting; also returns notes on what is left out."""
    notes: list[str] = []
    check_recipes(config.training_for)
    datasets = select_datasets(config.datasets, notes, folders)
    backbones = select_backbones(config.backbones, config.pretrained)
    check_short_names("data sets", datasets)
    check_short_names("backbones", backbones)
    losses = [LOSSES.build(text) for text in named(config.losses, LOSSES.names())]
    for dataset in datasets:
        dataset.check_files(folders)
        if not config.recipe(dataset.spec).validation:
            raise UsageError(
                "Tuning needs validation classes, held out of the training classes: "
                "set 'training: {validation: 0.15}' in --config."
            )
    for dataset, backbone in product(datasets, backbones):
        backbone.check(dataset.seen_shape(folders), dataset.natural)
    for dataset in datasets:  # after all that is found without decoding
        classes = load_data(dataset.spec, folders).train.num_classes
        if classes < FEWEST_TO_HOLD_OUT:
            raise UsageError(
                f"The data set '{dataset.short_name}' has {classes} training classes; tuning holds some "
                f"out for validation, and needs {FEWEST_TO_HOLD_OUT} or more."
            )
    found = []
    for setting in product(datasets, backbones, losses):
        searches = [Search(text, config.seeds[0]) for text in _tunable(config.defenses)]
        for search in {search.label: search for search in searches}.values():
            if reason := refusal(DEFENSES.build(search.label), setting[2]):
                notes.append(reason)
                continue
            if not search.free:
                notes.append(f"{search.label} has nothing to tune; it is trained once, for its score")
            specs = (setting[0].spec, setting[1].spec, setting[2].spec)
            found.append(TunedDefense(search, specs, trials if search.free else 1))
    return found, list(dict.fromkeys(notes))


def _job(tuned: TunedDefense, spec: str, config: Configuration, context: RunContext) -> TrainJob:
    """Plans the training of a trial, the same as that of a run under the first compute mode."""
    budget = config.budget if config.compute[0] == "equal-passes" else None
    return plan_training(_key(tuned, spec, config), config, context.folders, budget)


def _key(tuned: TunedDefense, spec: str, config: Configuration) -> ModelKey:
    """The key of a trial's model."""
    dataset, backbone, loss = tuned.setting
    return ModelKey(dataset=dataset, backbone=backbone, loss=loss, defense=spec, seed=config.seeds[0])


def _trial(tuned: TunedDefense, spec: str, record: ModelRecord | None) -> TuningTrial:
    """Builds a trial from the record of its training."""
    trial = TuningTrial(*tuned.setting, tuned.search.label, len(tuned.trials) + 1, spec)
    if record is None or record.status != "done":
        trial.reason = record.reason if record else "it left no record"
        return trial
    if not record.validations:  # nothing of it learns
        trial.reason = "it has no scores on validation classes"
        return trial
    # The epoch whose weights were kept is the one whose scores count.
    kept = [one for one in record.validations if one.epoch == record.best_epoch] or record.validations
    best = max(kept, key=lambda one: one.score)
    trial.clean_map_r, trial.attacked_map_r, trial.score = best.clean_map_r, best.attacked_map_r, best.score
    trial.epoch, trial.cost = best.epoch, record.cost
    return trial


def _train(jobs: list[tuple[TunedDefense, TrainJob]], context: RunContext, execute: Executor | None) -> None:
    """Runs the trainings that are not done yet."""
    store = Store(context.output, heal=True)
    todo: dict[str, tuple[TunedDefense, TrainJob]] = {}
    for tuned, job in jobs:
        record = store.model(job.id)
        if record is None or record.status != "done":
            todo.setdefault(job.id, (tuned, job))
    if not todo:
        return
    missing = [job for _, job in todo.values()]
    teachers = missing_teachers(missing, store)
    costs = {job_id: tuned.cost for job_id, (tuned, _) in todo.items()}
    costs |= {teacher.id: teacher.cost(context.folders) for teacher in teachers}
    missing += teachers
    fetch_weights(job.key for job in missing)

    execute = execute or run_jobs
    # Trials are reported after the round, in a fixed order.
    execute(missing, costs, context, min(context.workers, len(missing)), JobWatcher())


def tune(
    config: Configuration, context: RunContext, trials: int, shown: bool, execute: Executor | None = None
) -> Path:
    """Searches the parameters of each defense, scored on classes held out of the training classes.

    In each round, each defense in each setting (data set, backbone, loss) is trained once, side by side
    over the workers, then every search gets its score in a fixed order. A trial is a training like any
    other, with the first of the seeds and of the compute modes. Its record is kept, so interrupted
    tuning resumes where it stopped, and what it chose need not be trained again. Failed trainings count as
    trials; they are tried again only when the tuning is started again.

    Args:
        config: the configuration; parameters that a defense's spec gives are left as they are.
        context: the context of the run; `tuning.csv` and the chosen values go to its output folder.
        trials: number of trials for each defense; the first is its default.
        shown: whether a line is written for each trial.
        execute: runs the trainings; on worker processes when not given.

    Returns:
        The path of `tuned.yaml`, a file for `--config`.

    Raises:
        UsageError: for unknown names, no validation classes, or fewer than one trial.
    """
    if trials < 1:
        raise UsageError(f"--tune {trials}: it takes at least one trial.")
    store = context.store
    store.check_writable()
    searches, notes = _searches(config, context.folders, trials)

    def tell(line: str) -> None:
        if shown:
            say(line)

    for note in notes:
        tell(note)
    if not searches:
        raise UsageError("There is no defense to tune; reference rows and refused ones are left out.")
    names = SettingNames(_key(tuned, tuned.search.label, config) for tuned in searches)
    for line in names.legend():
        tell(line)
    total = sum(tuned.wanted for tuned in searches)
    while todo := [tuned for tuned in searches if len(tuned.trials) < tuned.wanted]:
        proposed = []
        for tuned in todo:
            spec = tuned.search.ask()
            if spec is None:
                tell(f"{tuned.search.label}: every value was tried")
                total -= tuned.wanted - len(tuned.trials)
                tuned.wanted = len(tuned.trials)
                continue
            proposed.append((tuned, _job(tuned, spec, config, context)))
        _train(proposed, context, execute)
        for tuned, job in proposed:
            trial = _trial(tuned, job.key.defense, store.model(job.id))
            tuned.search.report(trial.spec, trial.score)
            tuned.trials.append(trial)
            done = sum(len(one.trials) for one in searches)
            tell(f"[{done}/{total}] {names.prefix(job.key)}{trial}")
        write_trials(context.output, [tuned.trials for tuned in searches], names)
    tried = [tuned.trials for tuned in searches]
    return write_chosen(context.output, tried, names, config, trials, context.commit)
