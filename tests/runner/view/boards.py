"""Boards of invented grids."""

from dataclasses import dataclass
from itertools import product

from benchmark.runner.view.board import TRAIN, Board, Column, Place, State

DEFENSES = ("vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat")
ATTACKS = (
    ("pgd_decay", "neighbour 40"),
    ("pgd_decay", "information 60"),
    ("pgd_decay", "centroid_ce 20"),
    ("pgd_decay", "gallery_away 20"),
    ("pgd_decay", "pair 20"),
    ("square", ""),
    ("transfer", ""),
    ("fgsm", "own"),
    ("noise", ""),
)
PAPER = [
    f"{data} / {net}" for data in ("cub200", "cars196", "inshop") for net in ("mobilenetv2", "bn_inception")
]
BUDGETS = ("linf 2/255", "linf 4/255", "linf 8/255")


@dataclass(frozen=True)
class Job:
    id: str
    label: str
    resumable: bool = True


def board(blocks=("",), defenses=DEFENSES, attacks=ATTACKS, budgets=("",), seeds=1):
    """A board of waiting jobs, whose ids are their block, defense, seed and column."""
    found = Board()
    columns = [TRAIN, Column("clean"), *(Column(*attack, budget) for attack in attacks for budget in budgets)]
    for block, defense, seed, column in product(blocks, defenses, range(seeds), columns):
        found.add(name(block, defense, column, seed), Place(block, defense, column), State.WAITING)
    return found


def name(block, defense, column, seed=0):
    return f"{block}|{defense}|{seed}|{'|'.join(column)}"
