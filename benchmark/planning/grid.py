"""From a configuration to the jobs of its grid, apart from running them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from attacks import ATTACKS, expand
from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.data import DATASETS, Folders
from benchmark.evaluation import SCENARIOS
from benchmark.jobs.attack_job import AttackJob
from benchmark.jobs.train_job import TrainJob
from benchmark.losses import LOSSES
from benchmark.planning.cells import Cells, Role, named
from benchmark.planning.config import Configuration
from benchmark.planning.selection import (
    backbones_asked_for,
    check_recipes,
    datasets_asked_for,
    defenses_asked_for,
    refusal,
)
from benchmark.planning.trainings import training_of
from benchmark.records import CLEAN, CellKey, CellRef, ModelKey, ModelRef
from defenses import DEFENSES, Defense


@dataclass
class Grid:
    """Everything that a configuration asks for.

    Attributes:
        trainings: one for each model and compute mode; a model that is the same in both is there twice.
        modes: the compute mode of each training, in the same order.
        attacks: one for each (model, attack, norm, eps), clean passes included; each serves its cells.
        roles: what each attack job is for, in the same order.
        attack_modes: the compute mode that each attack job's cells are shown in, in the same order.
        sources: trainings that have no row, but that transferred attacks start from.
        suite: the name of the set of attacks.
        references: specs of defenses whose rows have no rank.
        skipped: what was left out and why.
        refused: why a model cannot be made at all, by its identity; its cells are recorded as skipped.
    """

    suite: str
    trainings: list[TrainJob] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    attacks: list[AttackJob] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)
    attack_modes: list[str] = field(default_factory=list)
    sources: list[TrainJob] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def refusal(self, job: AttackJob) -> str | None:
        """Why a model that the job needs cannot be made, or None."""
        reasons = [self.refused[training.id] for training in job.trainings if training.id in self.refused]
        return reasons[0] if reasons else None

    def models(self) -> list[ModelRef]:
        """The models, as the manifest lists them."""
        return [
            ModelRef(id=job.id, key=job.key, compute=mode)
            for job, mode in zip(self.trainings, self.modes, strict=True)
        ]

    def descriptions(self) -> dict[str, str]:
        """One line about each data set, defense, attack and scenario, by its spec."""
        found: dict[str, str] = {}
        for cell in self.cells():
            key = cell.key
            for registry, text in (
                (DATASETS, key.dataset),
                (DEFENSES, key.defense),
                (ATTACKS, key.attack),
                (SCENARIOS, key.scenario),
            ):
                if text != CLEAN and text not in found:
                    parts = registry.build(text).parts()
                    found[text] = " ".join(part.summary() for part in reversed(parts))
        return found

    def cells(self) -> list[CellRef]:
        """The cells, as the manifest lists them."""
        return [
            CellRef(
                id=cell_id,
                model_id=job.model.id,
                role=role,
                compute=mode,
                key=CellKey(
                    **job.model.key.model_dump(),
                    scenario=scenario,
                    attack=job.attack,
                    norm=job.norm,
                    eps=job.eps,
                ),
            )
            for job, role, mode in zip(self.attacks, self.roles, self.attack_modes, strict=True)
            for scenario, cell_id in job.cells.items()
        ]


def _suite_name(texts: list[str]) -> str:
    """The canonical name of the attacks asked for, whatever their order."""
    known = set(ATTACKS.names())
    return ",".join(sorted({ATTACKS.build(t).spec if parse_spec(t).name in known else t for t in texts}))


def build_grid(config: Configuration, folders: Folders) -> Grid:
    """Expands a configuration.

    Args:
        config: what is asked for.
        folders: where data sets are.

    Raises:
        UsageError: for any name, parameter or data set that is not there.
    """
    grid = Grid(suite=_suite_name(named(config.attacks, ATTACKS.names())))
    datasets = datasets_asked_for(config.datasets, grid.skipped, folders)
    check_recipes(config.training_for)
    backbones = backbones_asked_for(config.backbones, config.pretrained)
    losses = [LOSSES.build(text) for text in named(config.losses, LOSSES.names())]
    scenarios = [SCENARIOS.build(text) for text in named(config.scenarios, SCENARIOS.names())]
    cells = Cells(config, scenarios, folders)
    defenses = defenses_asked_for(config.defenses)
    grid.references = [defense.spec for defense in defenses if defense.reference]
    _check_attacks(config, defenses, grid.skipped)
    for dataset in datasets:  # before the first of them is decoded, which may take long
        dataset.check_files(folders)
    for dataset, backbone in product(datasets, backbones):
        backbone.check(dataset.seen_shape(folders), dataset.natural)
    cell = product(datasets, backbones, losses, config.seeds, config.compute)
    for dataset, backbone, loss, seed, mode in cell:
        budget = config.budget if mode == "equal-passes" else None
        plain = ModelKey(dataset=dataset.spec, backbone=backbone.spec, loss=loss.spec, defense="", seed=seed)
        keys = [plain.model_copy(update={"defense": defense.spec}) for defense in defenses]
        made = {key.defense: training_of(key, config, folders, budget, grid.skipped) for key in keys}
        grid.trainings += made.values()
        grid.modes += [mode] * len(made)
        sources = {}
        for text in _sources(config, defenses):
            source = DEFENSES.build(text)
            if source.spec not in made:
                key = plain.model_copy(update={"defense": source.spec})
                made[source.spec] = training_of(key, config, folders, budget)
                grid.sources.append(made[source.spec])
            sources[text] = made[source.spec]
        for job in made.values():
            if reason := refusal(DEFENSES.build(job.key.defense), loss):
                grid.refused[job.id] = reason
        for defense in defenses:
            for attack, role in cells.jobs(made[defense.spec], dataset, defense, sources):
                grid.attacks.append(attack)
                grid.roles.append(role)
                grid.attack_modes.append(mode)
    if not any(job.attack != CLEAN for job in grid.attacks):
        raise UsageError("No attack is scored in the scenarios asked for; see --list.")
    return grid


def _attacks(config: Configuration, defenses: list[Defense]) -> list[str]:
    """Every attack that some model meets."""
    asked = [*named(config.attacks, ATTACKS.names()), *config.curve.attacks]
    asked += [text for defense in defenses for text in defense.adaptive]
    return expand([*asked, *(["checks"] if config.checks else [])])


def _sources(config: Configuration, defenses: list[Defense]) -> list[str]:
    """The defenses that transferred attacks start from, as the attacks spell them."""
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
        elsewhere = [name for name in attack.made_for() if not SCENARIOS.get(name).exclusive]
        if elsewhere and scenarios.isdisjoint(elsewhere):
            skipped.append(f"{text}, which is made for the scenario {' or '.join(elsewhere)}")
