"""The ablation of EAT as a table of Markdown: means over seeds, and differences to the control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan, nan, sqrt

import pandas as pd

from benchmark.report.boards import lines, percent
from benchmark.report.escapes import NONE, code
from benchmark.report.style import budget
from benchmark.report.tables import mode_words
from benchmark.report.worst_case import deviation, mean
from benchmark.studies.ablation import Study

CONTROL = "ensemble_at"
"""The plain ensemble of adversarially trained members that every row is compared with."""

SINGLE = "pgd_at"
"""The single model that is trained at the cost of a whole ensemble."""

KEY = ["dataset", "defense", "seed"]


def paired_difference(
    models: pd.DataFrame, defense: str, name: str, control: str = CONTROL
) -> tuple[float, float]:
    """Mean over seeds of a score minus the control's of the same seed, and the standard error of that mean.

    Args:
        models: the models of one data set, with the columns "defense", "seed" and `name`.
        defense: the row.
        name: the column of the score.
        control: the row to compare with.

    Returns:
        Fractions; nan where no seed has both, and a standard error of nan for a single one.
    """
    by_seed = models.set_index(["defense", "seed"])[name].unstack("defense")
    if defense not in by_seed or control not in by_seed:
        return nan, nan
    differences = (by_seed[defense] - by_seed[control]).dropna().tolist()
    return mean(differences), deviation(differences) / sqrt(max(1, len(differences)))


def write_table(studies: Sequence[Study], models: pd.DataFrame, diversity: pd.DataFrame) -> str:
    """Writes a section of Markdown for each data set.

    Args:
        studies: the data sets, in order.
        models: rows of `ablation.COLUMNS`.
        diversity: rows of `diversity.DIVERSITY_COLUMNS`.
    """
    joined = models.merge(diversity.drop(columns="clean_r1"), on=KEY, how="left")
    parts = []
    for study in studies:
        key = study.table.key
        mine = joined[joined["dataset"] == study.dataset]
        if mine.empty:
            continue
        about = (
            f"{budget(key.norm, key.eps)}, {study.table.backbone}, {key.loss}, {mode_words(key.compute)}. "
            "AMI and R@1 in percent, mean ± standard deviation over the training seeds; differences (Δ) are "
            f"to `{CONTROL}` of the same seed, mean ± standard error."
        )
        parts += [f"### {study.dataset}", about, "\n".join(_board(mine))]
    return "\n\n".join(parts) + "\n"


def _board(models: pd.DataFrame) -> list[str]:
    defenses = list(dict.fromkeys(models["defense"]))

    def of(defense: str, name: str) -> list[float]:
        return [float(value) for value in models.loc[models["defense"] == defense, name]]

    def column(title: str, cell: Callable[[str], str]) -> tuple[str, str, list[str]]:
        return title, "---:", [cell(defense) for defense in defenses]

    def score(title: str, name: str) -> tuple[str, str, list[str]]:
        return column(title, lambda row: percent(mean(of(row, name)), deviation(of(row, name))))

    def difference(title: str, name: str) -> tuple[str, str, list[str]]:
        return column(title, lambda row: _signed(row, *paired_difference(models, row, name)))

    return lines(
        [
            ("defense", "---", [code(defense) for defense in defenses]),
            column("seeds", lambda row: str(sum(not isnan(value) for value in of(row, "worst_ami")))),
            column("epochs", lambda row: _number(mean(of(row, "epochs")), ".0f")),
            column("cost units, millions", lambda row: _number(mean(of(row, "passes")) / 1e6, ".2f")),
            score("validation", "validation"),
            score("clean AMI", "clean_ami"),
            score("clean R@1", "clean_r1"),
            score("worst AMI", "worst_ami"),
            score("worst R@1", "worst_r1"),
            difference("Δ worst AMI", "worst_ami"),
            difference("Δ worst R@1", "worst_r1"),
            column("gradient cosine", lambda row: _number(mean(of(row, "gradient_cosine")), ".2f")),
            column("member's R@1, own attack", lambda row: percent(mean(of(row, "own_r1")))),
            column("member's R@1, others' attacks", lambda row: percent(mean(of(row, "transferred_r1")))),
        ]
    )


def _signed(defense: str, difference: float, error: float) -> str:
    if defense == CONTROL or isnan(difference):
        return NONE
    return f"{100 * difference:+.1f}" + ("" if isnan(error) else f" ± {100 * error:.1f}")


def _number(value: float, form: str) -> str:
    return NONE if isnan(value) else format(value, form)
