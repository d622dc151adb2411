"""The grid of a configuration: the models to train and the attacks on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

from attacks import ATTACKS
from benchmark.core.errors import UsageError
from benchmark.data import Dataset, Folders
from benchmark.data.left_out import left_out_images
from benchmark.evaluation import SCENARIOS
from benchmark.jobs import AttackJob, TrainJob
from benchmark.jobs.costs import probe_all
from benchmark.jobs.models import UNUSED
from benchmark.losses import LOSSES, Loss
from benchmark.models import Backbone
from benchmark.planning.asked_attacks import attack_sources, check_attacks, suite_name
from benchmark.planning.cells import CellPlanner
from benchmark.planning.config import Configuration
from benchmark.planning.own_models import Looks, as_pools, from_own_model, looked_at, select_models
from benchmark.planning.selection import (
    check_recipes,
    check_short_names,
    check_trainable,
    named,
    refusal,
    select_backbones,
    select_datasets,
    select_defenses,
)
from benchmark.planning.target import Target
from benchmark.planning.trainings import plan_training
from benchmark.records import CLEAN, CellRef, ModelKey, ModelRef, Role
from defenses import DEFENSES, Defense, GivenModel


@dataclass(frozen=True)
class PlannedModel:
    """A model of the grid, with the job that trains it.

    Attributes:
        job: the training.
        compute: the compute mode that it is planned for; a model that is the same in two is planned twice.
        has_row: whether the board shows the model; else it is a source of transferred attacks, or others are
            trained with it.
        refusal: why the model cannot be trained at all; empty when it can.
    """

    job: TrainJob
    compute: str
    has_row: bool = True
    refusal: str = ""


@dataclass(frozen=True)
class PlannedJob:
    """An attack job of the grid.

    Attributes:
        job: the attack.
        role: what its cells are for.
        compute: the compute mode that they are shown in.
        refusal: why a model that it needs cannot be trained at all; its cells are then recorded as skipped.
    """

    job: AttackJob
    role: Role
    compute: str
    refusal: str = ""


@dataclass
class Grid:
    """All models and attacks that a configuration asks for.

    Attributes:
        suite: the name of the set of attacks.
        datasets, backbones: those asked for.
        models: one for each model and compute mode.
        attacks: one for each (model, attack, norm, eps), the clean pool included; each serves its cells.
        modes: the compute modes of its tables, in order; "none" where nothing is trained.
        references: specs of defenses whose rows have no rank.
        own_models: the entries of own models.
        unranked: why other rows have no rank, by their defense's spec.
        skipped: what was left out and why.
        save_images: attacked images that are kept of each row.
    """

    suite: str
    datasets: list[Dataset]
    backbones: list[Backbone]
    models: list[PlannedModel] = field(default_factory=list)
    attacks: list[PlannedJob] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    own_models: list[GivenModel] = field(default_factory=list)
    unranked: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    save_images: int = 0

    def model_refs(self) -> list[ModelRef]:
        """The models that have a row, as the manifest lists them."""
        return [
            ModelRef(id=model.job.id, key=model.job.key, compute=model.compute)
            for model in self.models
            if model.has_row
        ]

    def cell_refs(self) -> list[CellRef]:
        """The cells, as the manifest lists them."""
        return [
            CellRef(
                id=cell_id,
                model_id=planned.job.model.id,
                role=planned.role,
                compute=planned.compute,
                key=planned.job.cell_key(scenario),
            )
            for planned in self.attacks
            for scenario, cell_id in planned.job.cells.items()
        ]

    def left_out(self) -> list[str]:
        """Lists what was left out of the grid and why, each reason once."""
        refusals = [model.refusal for model in self.models if model.refusal]
        return list(dict.fromkeys([*self.skipped, *refusals]))


def build_grid(config: Configuration, folders: Folders) -> Grid:
    """Expands a configuration into its grid.

    Args:
        config: the configuration.
        folders: where data sets are.

    Raises:
        UsageError: for any unknown name or parameter, or a data set that is missing.
    """
    grid = _empty_grid(config, folders)
    defenses = [*select_defenses(config.defenses), *grid.own_models]
    check_short_names("rows", defenses)
    grid.references = [defense.spec for defense in defenses if defense.reference]
    cells = CellPlanner(
        config, [SCENARIOS.build(text) for text in named(config.scenarios, SCENARIOS.names())], folders
    )
    check_attacks(config, defenses, grid.skipped)
    grid.skipped += left_out_images(grid.datasets)
    for dataset in grid.datasets:  # before the first of them is decoded, which may take long
        dataset.check_files(folders)
    for dataset, backbone in product(grid.datasets, grid.backbones):
        backbone.check(dataset.seen_shape(folders), dataset.natural)
    first, looks = min(config.seeds), Looks(folders)
    for setting in _settings(grid, config):
        # Nothing of a model that is not trained depends on the training's seed.
        rows = [defense for defense in defenses if defense.trained or setting.plain.seed == first]
        models = _plan_models(setting, rows, config, looks, folders, grid.skipped)
        grid.models += models.values()
        grid.models += _teachers(models.values())
        for target in _targets(setting, rows, models, grid, config, looks):
            for attack, role in cells.jobs(target):
                refused = _refusal_of(attack, models.values())
                grid.attacks.append(PlannedJob(attack, role, setting.mode, refused))
    if not any(planned.job.attack != CLEAN for planned in grid.attacks):
        raise UsageError("No attack is scored in the scenarios asked for; see --list.")
    return grid


@dataclass(frozen=True)
class _Setting:
    """What the rows of one table have in common, at one seed.

    Attributes:
        dataset: the data set.
        loss: the training loss; None where nothing is trained.
        plain: the key of its models, without a defense.
        mode: the compute mode.
    """

    dataset: Dataset
    loss: Loss | None
    plain: ModelKey
    mode: str


def _empty_grid(config: Configuration, folders: Folders) -> Grid:
    """Selects the data sets, backbones and own models; without defenses, every class is in the pool."""
    skipped: list[str] = []
    own_models = select_models(config.models)
    alone = not config.defenses
    if alone:
        datasets = select_datasets(config.datasets, skipped, folders, as_pools(own_models))
    else:
        datasets = select_datasets(config.datasets, skipped, folders)
        check_trainable(datasets)
    check_recipes(config.training_for)
    backbones = [] if alone else select_backbones(config.backbones, config.pretrained)
    check_short_names("data sets", datasets)
    check_short_names("backbones", backbones)
    return Grid(
        suite_name(named(config.attacks, ATTACKS.names())),
        datasets,
        backbones,
        modes=[UNUSED] if alone else list(config.compute),
        own_models=own_models,
        skipped=skipped,
        save_images=config.save_images,
    )


def _settings(grid: Grid, config: Configuration) -> Iterator[_Setting]:
    """Yields the settings of all tables, each at each seed; own models alone have the first seed only."""
    backbones: list[str] = [UNUSED]
    losses: list[Loss | None] = [None]
    seeds = [min(config.seeds)]
    if config.defenses:
        backbones = [backbone.spec for backbone in grid.backbones]
        losses = [LOSSES.build(text) for text in named(config.losses, LOSSES.names())]
        seeds = config.seeds
    for dataset, backbone, loss, seed, mode in product(grid.datasets, backbones, losses, seeds, grid.modes):
        plain = ModelKey(
            dataset=dataset.spec,
            backbone=backbone,
            loss=loss.spec if loss else UNUSED,
            defense="",
            seed=seed,
        )
        yield _Setting(dataset, loss, plain, mode)


def _targets(
    setting: _Setting,
    rows: list[Defense],
    models: dict[str, PlannedModel],
    grid: Grid,
    config: Configuration,
    looks: Looks,
) -> Iterator[Target]:
    """Yields the models of a setting's rows as targets, with the sources of transferred attacks."""
    asked = attack_sources(config, rows)
    own = [models[entry.spec].job for entry in grid.own_models if entry.spec in models]
    trained = {text: models[DEFENSES.build(text).spec].job for text in asked if config.defenses}
    for defense in rows:
        target = Target(models[defense.spec].job, setting.dataset, defense, trained)
        if asked and not config.defenses:
            target = from_own_model(target, own, grid.skipped, looks)
        if isinstance(defense, GivenModel):
            target = looked_at(target, grid.unranked, grid.skipped, looks)
        yield target


def _plan_models(
    setting: _Setting,
    defenses: list[Defense],
    config: Configuration,
    looks: Looks,
    folders: Folders,
    notes: list[str],
) -> dict[str, PlannedModel]:
    """Plans the models of one setting by their spec: rows, and sources of transferred attacks."""
    loss, mode = setting.loss, setting.mode
    budget = config.budget if mode == "equal-passes" else None
    rows = [defense.spec for defense in defenses]
    sources = [DEFENSES.build(text).spec for text in attack_sources(config, defenses)] if loss else []
    keys = {
        spec: setting.plain.model_copy(update={"defense": spec}) for spec in dict.fromkeys([*rows, *sources])
    }
    if budget is not None:
        recipe = config.recipe(setting.dataset.spec)
        probe_all([(key, recipe) for spec, key in keys.items() if DEFENSES.build(spec).trained], folders)
    planned = {}
    for spec, key in keys.items():
        has_row = spec in rows
        job = plan_training(key, config, folders, budget, notes if has_row else None, looks)
        planned[spec] = PlannedModel(job, mode, has_row, refusal(DEFENSES.build(spec), loss) if loss else "")
    return planned


def _teachers(models: Iterable[PlannedModel]) -> list[PlannedModel]:
    """Lists the models that others of the grid are trained with, directly or through others, each once."""
    found = {}
    for model in models:
        for teacher in () if model.refusal else model.job.all_teachers():
            found[teacher.id] = PlannedModel(teacher, model.compute, has_row=False)
    return list(found.values())


def _refusal_of(job: AttackJob, models: Iterable[PlannedModel]) -> str:
    """Says why a model that an attack needs cannot be trained; empty when all can."""
    return next((model.refusal for model in models if model.job.id in job.needs and model.refusal), "")
