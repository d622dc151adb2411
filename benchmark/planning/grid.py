"""The grid of a configuration: the models to train and the attacks on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

from attacks import ATTACKS, expand
from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.data import Dataset, Folders
from benchmark.evaluation import SCENARIOS
from benchmark.jobs import AttackJob, TrainJob
from benchmark.jobs.models import UNUSED
from benchmark.losses import LOSSES, Loss
from benchmark.models import Backbone
from benchmark.planning.cells import CellPlanner, Target
from benchmark.planning.config import Configuration
from benchmark.planning.own_models import as_pools, own_target, select_models
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
    skipped: list[str] = []
    own_models = select_models(config.models)
    alone = not config.defenses
    datasets = select_datasets(config.datasets, skipped, folders)
    if alone:
        datasets = as_pools(datasets, own_models)
    else:
        check_trainable(datasets)
    check_recipes(config.training_for)
    backbones = [] if alone else select_backbones(config.backbones, config.pretrained)
    check_short_names("data sets", datasets)
    check_short_names("backbones", backbones)
    defenses = [*select_defenses(config.defenses), *own_models]
    check_short_names("rows", defenses)
    grid = Grid(
        _suite_name(named(config.attacks, ATTACKS.names())),
        datasets,
        backbones,
        modes=[UNUSED] if alone else list(config.compute),
        references=[defense.spec for defense in defenses if defense.reference],
        own_models=own_models,
        skipped=skipped,
        save_images=config.save_images,
    )
    cells = CellPlanner(
        config, [SCENARIOS.build(text) for text in named(config.scenarios, SCENARIOS.names())], folders
    )
    _check_attacks(config, defenses, grid.skipped)
    for dataset in datasets:  # before the first of them is decoded, which may take long
        dataset.check_files(folders)
    for dataset, asked in product(datasets, backbones):
        asked.check(dataset.seen_shape(folders), dataset.natural)
    losses = [None] if alone else [LOSSES.build(text) for text in named(config.losses, LOSSES.names())]
    transferred = bool(_sources(config, defenses))
    first = min(config.seeds)
    seeds = [first] if alone else config.seeds
    for dataset, backbone, loss, seed, mode in product(
        datasets, [None] if alone else backbones, losses, seeds, grid.modes
    ):
        plain = ModelKey(
            dataset=dataset.spec,
            backbone=backbone.spec if backbone else UNUSED,
            loss=loss.spec if loss else UNUSED,
            defense="",
            seed=seed,
        )
        # Nothing of a model that is not trained depends on the training's seed.
        rows = [defense for defense in defenses if defense.trained or seed == first]
        models = _plan_models(plain, loss, rows, mode, config, folders, grid.skipped)
        grid.models += models.values()
        grid.models += _teachers(models.values())
        sources = {
            text: models[DEFENSES.build(text).spec].job
            for text in ([] if alone else _sources(config, defenses))
        }
        for defense in rows:
            job = models[defense.spec].job
            target = Target(job, dataset, defense, sources)
            if isinstance(defense, GivenModel):
                others = [models[other.spec].job for other in own_models]
                target = own_target(target, others, alone, transferred, grid.unranked, grid.skipped, folders)
            for attack, role in cells.jobs(target):
                grid.attacks.append(PlannedJob(attack, role, mode, _refusal_of(attack, models.values())))
    if not any(planned.job.attack != CLEAN for planned in grid.attacks):
        raise UsageError("No attack is scored in the scenarios asked for; see --list.")
    return grid


def _plan_models(
    plain: ModelKey,
    loss: Loss | None,
    defenses: list[Defense],
    mode: str,
    config: Configuration,
    folders: Folders,
    notes: list[str],
) -> dict[str, PlannedModel]:
    """Plans the models of one data set, backbone, loss, seed and compute mode, keyed by defense spec."""
    budget = config.budget if mode == "equal-passes" else None
    rows = [defense.spec for defense in defenses]
    sources = [DEFENSES.build(text).spec for text in _sources(config, defenses)] if loss else []
    planned = {}
    for spec in dict.fromkeys([*rows, *sources]):
        key = plain.model_copy(update={"defense": spec})
        has_row = spec in rows
        job = plan_training(key, config, folders, budget, notes if has_row else None)
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


def _suite_name(texts: list[str]) -> str:
    """The canonical name of a set of attacks; their order does not matter."""
    known = set(ATTACKS.names())
    return ",".join(sorted({ATTACKS.build(t).spec if parse_spec(t).name in known else t for t in texts}))


def _attacks(config: Configuration, defenses: list[Defense]) -> list[str]:
    """Lists every attack that is planned against some model."""
    asked = [*named(config.attacks, ATTACKS.names()), *config.curve.attacks]
    asked += [text for defense in defenses for text in defense.adaptive]
    return expand([*asked, *(["checks"] if config.checks else [])])


def _sources(config: Configuration, defenses: list[Defense]) -> list[str]:
    """Lists the defenses that transferred attacks start from, as the attacks spell them."""
    needed = [ATTACKS.build(text).needs for text in _attacks(config, defenses)]
    return list(dict.fromkeys(text for text in needed if text))


def _check_attacks(config: Configuration, defenses: list[Defense], skipped: list[str]) -> None:
    """Notes attacks that do not know one of the norms, or are made for scenarios that were not asked for.

    Raises:
        UsageError: when one that was asked for by name knows none of the norms.
    """
    asked = expand([text for text in config.attacks if text != "all"])
    scenarios = {parse_spec(text).name for text in named(config.scenarios, SCENARIOS.names())}
    for text in _attacks(config, defenses):
        attack = ATTACKS.build(text)
        unknown = [norm for norm in config.norm if not attack.knows(norm)]
        if text in asked and len(unknown) == len(config.norm):
            raise UsageError(f"{text} cannot attack in the norm {' or '.join(unknown)}; see --norm.")
        skipped += [f"{text} in the norm {norm}, which it does not know" for norm in unknown]
        made_for = [name for name in attack.made_for() if not SCENARIOS.get(name).exclusive]
        if made_for and scenarios.isdisjoint(made_for):
            skipped.append(f"{text}, which is made for the scenario {' or '.join(made_for)}")
