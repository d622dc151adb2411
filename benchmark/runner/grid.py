"""From a configuration to the jobs of its grid, apart from running them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from attacks import ATTACKS, Problem, expand
from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.core.spec import parse_spec
from benchmark.data import DATASETS, Dataset
from benchmark.evaluation import SCENARIOS, Views
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES
from benchmark.runner.config import Configuration
from benchmark.runner.identity import digest, function_digest, source_digest
from benchmark.runner.jobs import AttackJob, TrainJob, build_model, load_trained, make_cells, make_model
from benchmark.runner.records import CLEAN, CellKey, CellRef, ModelKey, ModelRef
from benchmark.training import train
from defenses import DEFENSES, GROUPS, Defense


@dataclass
class Grid:
    """Everything that a configuration asks for.

    Attributes:
        trainings: one for each model.
        attacks: one for each (model, attack, norm, eps), clean passes included; each serves its cells.
        roles: "clean", "suite" or "curve" for each attack job, in the same order.
        suite: the name of the set of attacks.
        references: specs of defenses whose rows have no rank.
        skipped: what was left out and why.
        refused: why a model cannot be made at all, by its identity; its cells are recorded as skipped.
    """

    suite: str
    trainings: list[TrainJob] = field(default_factory=list)
    attacks: list[AttackJob] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def models(self) -> list[ModelRef]:
        """The models, as the manifest lists them."""
        return [ModelRef(id=job.id, key=job.key) for job in self.trainings]

    def descriptions(self) -> dict[str, str]:
        """One line about each data set, defense and attack, by its spec."""
        found: dict[str, str] = {}
        for cell in self.cells():
            named = ((DATASETS, cell.key.dataset), (DEFENSES, cell.key.defense), (ATTACKS, cell.key.attack))
            for registry, text in named:
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
                key=CellKey(
                    **job.model.key.model_dump(),
                    scenario=scenario,
                    attack=job.attack,
                    norm=job.norm,
                    eps=job.eps,
                ),
            )
            for job, role in zip(self.attacks, self.roles, strict=True)
            for scenario, cell_id in job.cells.items()
        ]


def _datasets(texts: list[str], skipped: list[str]) -> list[Dataset]:
    """The data sets asked for; "all" leaves out those that are not on this machine, and says so."""
    found = []
    for text in texts:
        if text != "all":
            dataset = DATASETS.build(text)
            if reason := dataset.missing():
                raise UsageError(f"The data set '{text}' is not here: {reason}")
            found.append(dataset)
            continue
        for name in DATASETS.names():
            dataset = DATASETS.build(name)
            if reason := dataset.missing():
                skipped.append(f"data set {name}: {reason}")
            else:
                found.append(dataset)
    return found


def _headline(dataset: Dataset, norm: str, option: str) -> float:
    if norm not in dataset.headline_eps:
        raise UsageError(f"The data set '{dataset.spec}' has no headline eps for {norm}; give {option}.")
    return dataset.headline_eps[norm]


def _named(texts: list[str], every: list[str]) -> list[str]:
    return [name for text in texts for name in (every if text == "all" else [text])]


def _defenses(texts: list[str]) -> list[Defense]:
    """The defenses asked for, each once, with the reference rows after them."""
    names = [name for text in texts for name in GROUPS.get(text, (text,))]
    for name in (parse_spec(text).name for text in names):
        if name not in DEFENSES.names():
            raise unknown_name("defense", name, [*DEFENSES.names(), *GROUPS])
    asked = [DEFENSES.build(name) for name in names]
    references = [cls() for _, cls in DEFENSES.items() if cls.reference]
    return list({defense.spec: defense for defense in [*asked, *references]}.values())


def _suite_name(texts: list[str]) -> str:
    """The canonical name of the attacks asked for, whatever their order."""
    known = set(ATTACKS.names())
    return ",".join(sorted({ATTACKS.build(t).spec if parse_spec(t).name in known else t for t in texts}))


def build_grid(config: Configuration, cache: Path) -> Grid:
    """Expands a configuration.

    Args:
        config: what is asked for.
        cache: folder for drawn or unpacked data sets.

    Raises:
        UsageError: for any name, parameter or data set that is not there.
    """
    asked_attacks = _named(config.attacks, ATTACKS.names())
    grid = Grid(suite=_suite_name(asked_attacks))
    datasets = _datasets(config.datasets, grid.skipped)
    backbones = [BACKBONES.build(text) for text in _named(config.backbones, BACKBONES.names())]
    losses = [LOSSES.build(text) for text in _named(config.losses, LOSSES.names())]
    scenarios = [SCENARIOS.build(text).spec for text in _named(config.scenarios, SCENARIOS.names())]
    suite, curve = expand(asked_attacks), expand(config.curve.attacks)
    defenses = _defenses(config.defenses)
    grid.references = [defense.spec for defense in defenses if defense.reference]
    for dataset, backbone, loss, defense, seed in product(
        datasets, backbones, losses, defenses, config.seeds
    ):
        key = ModelKey(
            dataset=dataset.spec, backbone=backbone.spec, loss=loss.spec, defense=defense.spec, seed=seed
        )
        recipe = config.training
        radius = recipe.eps
        if radius is None:
            radius = _headline(dataset, "linf", "training: eps")
        sources = source_digest([type(dataset), type(backbone), type(loss), type(defense), train])
        what = {
            "model": key.model_dump(),
            "recipe": recipe.model_dump(),
            "eps": radius,
            "data": dataset.fingerprint(),
            "source": [sources, function_digest([build_model, make_model])],
            "protocol": PROTOCOL_VERSION,
        }
        training = TrainJob(id=digest(what), key=key, recipe=recipe.model_dump(), eps=radius)
        grid.trainings.append(training)
        if defense.needs_proxies and not loss.has_proxies:
            grid.refused[training.id] = (
                f"{defense.spec} needs a loss with proxies, which {loss.spec} has not "
                f"(with proxies: {', '.join(name for name, cls in LOSSES.items() if cls.has_proxies)})"
            )
        budgets = config.eps or [_headline(dataset, config.norm, "--eps")]
        headline = dataset.headline_eps.get(config.norm, budgets[0])
        other = [round(headline * factor, 10) for factor in config.curve.factors]
        attacks = [(CLEAN, CLEAN, 0.0, "clean")]
        attacks += [(attack, config.norm, eps, "suite") for eps in budgets for attack in suite]
        attacks += [
            (attack, config.norm, eps, "curve") for eps in other if eps not in budgets for attack in curve
        ]
        for attack, norm, eps, role in attacks:
            grid.attacks.append(_attack_job(training, attack, norm, eps, scenarios, config))
            grid.roles.append(role)
    return grid


def _attack_job(
    training: TrainJob, attack: str, norm: str, eps: float, scenarios: list[str], config: Configuration
) -> AttackJob:
    parts = [] if attack == CLEAN else ATTACKS.build(attack).parts()
    cells = {}
    for scenario in scenarios:
        what = {
            "model": training.id,
            "scenario": scenario,
            "attack": attack,
            "norm": norm,
            "eps": eps,
            "evaluation": config.evaluation.model_dump(),
            "source": [
                source_digest([*map(type, parts), SCENARIOS.get(scenario), Problem, Views]),
                function_digest([load_trained, make_cells]),
            ],
            "protocol": PROTOCOL_VERSION,
        }
        cells[scenario] = digest(what)
    return AttackJob(
        model=training,
        attack=attack,
        norm=norm,
        eps=eps,
        cells=cells,
        eot=config.evaluation.eot,
        passes=config.evaluation.passes,
    )
