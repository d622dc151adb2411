"""The files that tuning writes: a table of the trials, and the chosen values as a configuration."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import yaml

from benchmark.core.files import write_atomically
from benchmark.planning.config import Configuration
from benchmark.planning.setting_names import SettingNames


@dataclass
class TuningTrial:
    """One training of a search, as `tuning.csv` shows it.

    Attributes:
        dataset, backbone, loss: the setting, as specs.
        defense: spec of the defense as it was asked for: its name and fixed parameters.
        trial: from 1, which is the default.
        spec: the defense with the trial's values.
        clean_map_r, attacked_map_r: mAP@R on the validation classes, as fractions; None when the training
            failed.
        score: their mean.
        epoch: the epoch that the scores are of.
        cost: units that the training took.
        reason: why the training failed.
    """

    dataset: str
    backbone: str
    loss: str
    defense: str
    trial: int
    spec: str
    clean_map_r: float | None = None
    attacked_map_r: float | None = None
    score: float | None = None
    epoch: int | None = None
    cost: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        """Formats the trial in one line, without its setting."""
        if self.score is None:
            return f"{self.spec} - FAILED: {self.reason}"
        means = f"clean {self.clean_map_r:.3f}, attacked {self.attacked_map_r:.3f}"
        return f"{self.spec} - {self.score:.3f} ({means})"


def choose(trials: list[TuningTrial]) -> TuningTrial | None:
    """Chooses the trial with the highest score, the earliest of equals; None when all failed."""
    scored = [trial for trial in trials if trial.score is not None]
    return max(scored, key=lambda trial: trial.score or 0.0, default=None)


def write_trials(output: Path, searches: list[list[TuningTrial]], names: SettingNames) -> None:
    """Writes `tuning.csv`, one row for each trial; fractions have four digits.

    Args:
        output: the user's output folder.
        searches: the trials of each search.
        names: the short names of data sets, backbones and losses.
    """
    rows = []
    for trials in searches:
        chosen = choose(trials)
        for trial in trials:
            row = asdict(trial)
            row |= {field: names.short(field, row[field]) for field in ("dataset", "backbone", "loss")}
            reason = row.pop("reason")
            rows.append({**row, "chosen": trial is chosen, "reason": reason})
    table = pd.DataFrame(rows).round({"clean_map_r": 4, "attacked_map_r": 4, "score": 4, "cost": 0})
    table["epoch"] = table["epoch"].astype("Int64")  # whole numbers, though some are missing
    table["cost"] = table["cost"].astype("int64")
    write_atomically(output / "tuning.csv", lambda path: table.to_csv(path, index=False, lineterminator="\n"))


def write_chosen(
    output: Path,
    searches: list[list[TuningTrial]],
    names: SettingNames,
    config: Configuration,
    asked: int,
    commit: str,
) -> Path:
    """Writes the chosen values of each setting as a file for `--config`.

    With one setting that is `tuned.yaml`. With several, which may choose differently, each has a file named
    after it as well, and `tuned.yaml` is that of the first.

    Args:
        output: the user's output folder.
        searches: the trials of each search.
        names: the short names of data sets, backbones and losses, used in file names.
        config: what was tuned.
        asked: number of trials for each defense.
        commit: the source commit.

    Returns:
        The path of `tuned.yaml`.
    """
    settings: dict[tuple[str, str, str], list[list[TuningTrial]]] = {}
    for trials in searches:
        first = trials[0]
        settings.setdefault((first.dataset, first.backbone, first.loss), []).append(trials)
    path = output / "tuned.yaml"
    for number, (setting, group) in enumerate(settings.items()):
        text = _configuration(setting, group, config, asked, commit)
        short = "-".join(map(names.short, ("dataset", "backbone", "loss"), setting))
        own = output / f"tuned-{re.sub(r'[^A-Za-z0-9_.=]+', '-', short).strip('-')}.yaml"
        for target in ([path] if number == 0 else []) + ([own] if len(settings) > 1 else []):
            _write(target, text)
    return path


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def _configuration(
    setting: tuple[str, str, str],
    group: list[list[TuningTrial]],
    config: Configuration,
    asked: int,
    commit: str,
) -> str:
    dataset, backbone, loss = setting
    comment = [
        f"Made by --tune {asked} at commit {commit} with seed {config.seeds[0]}: for each defense the trial",
        "with the highest mean of clean and attacked mAP@R on classes held out of the training classes.",
        "All trials are in tuning.csv. Use: python run_benchmark.py --config tuned.yaml",
        "",
    ]
    defenses = []
    for trials in group:
        chosen, default = choose(trials), trials[0]
        defenses.append((chosen or default).spec)
        if chosen is None:
            comment.append(f"{default.spec}: every trial failed; it is left as it was.")
            continue
        before = "failed" if default.score is None else f"{default.score:.4f}"
        tried = f"{len(trials)} trial{'s' * (len(trials) > 1)}"
        comment.append(f"{chosen.spec}: {chosen.score:.4f} in {tried}; the default {before}")
    values = {
        "preset": config.preset,
        "datasets": [dataset],
        "backbones": [backbone],
        "losses": [loss],
        "defenses": list(dict.fromkeys(defenses)),
        "compute": list(config.compute),
        "budget": config.budget,
        "training": config.recipe(dataset).model_dump(mode="json", exclude_none=True),
        **({"plugin": [str(path) for path in config.plugin]} if config.plugin else {}),
    }
    lines = "".join(f"# {line}".rstrip() + "\n" for line in comment)
    return lines + yaml.safe_dump(values, sort_keys=False, width=1000)
