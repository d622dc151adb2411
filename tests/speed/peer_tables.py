"""The tables of `peers.py` in Markdown: each attack, and the worst cases of both sides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tried:
    """The metrics of one attack: R@1 and AMI as fractions, each query's success, cost per image."""

    r1: float
    ami: float
    success: np.ndarray
    cost: float


@dataclass
class Side:
    """The attacks of one side, and their worst case."""

    clean: Tried
    tried: dict[str, Tried] = field(default_factory=dict)

    @property
    def r1(self) -> float:
        """Mean over queries of the lowest success, clean images included."""
        return float(
            np.min([self.clean.success, *(one.success for one in self.tried.values())], axis=0).mean()
        )

    @property
    def ami(self) -> float:
        """Lowest AMI of all attacks."""
        return min(one.ami for one in self.tried.values())

    @property
    def cost(self) -> float:
        """Cost per image, all attacks together."""
        return sum(one.cost for one in self.tried.values())


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def pair(peers: float, ours: float) -> list[str]:
    """Formats both values in percent, the lower one, or ours if they are equal, in bold."""
    won = ours <= peers
    return [
        percent(peers) if won else f"**{percent(peers)}**",
        f"**{percent(ours)}**" if won else percent(ours),
    ]


def write_tables(results: dict[str, tuple[Side, Side, Side]], about: str) -> tuple[str, bool]:
    """Returns the Markdown text, and whether ours is lower or equal throughout."""
    wins = [
        won for ours, peers, _ in results.values() for won in (ours.r1 <= peers.r1, ours.ami <= peers.ami)
    ]
    metrics = [f"{whose} {metric}" for metric in ("R@1", "AMI") for whose in ("clean", "peers'", "our")]
    text = f"{about}\n\n### Worst cases\n\n"
    text += line(["defense", *metrics, "peers' cost", "our cost"])
    text += line(["---", *["---:"] * 8])
    for name, (ours, peers, _) in results.items():
        r1 = [percent(ours.clean.r1), *pair(peers.r1, ours.r1)]
        ami = [percent(ours.clean.ami), *pair(peers.ami, ours.ami)]
        text += line([f"`{name}`", *r1, *ami, f"{peers.cost:.0f}", f"{ours.cost:.0f}"])
    text += f"\nOurs is lower than the peers' worst case, or equal, in {sum(wins)} of {len(wins)} values.\n"
    text += "\nIn percent. Cost: cost units per image, all attacks of a side together.\n"
    text += "\n### Each attack alone\n\n"
    text += line(["attack", "cost", *(f"`{name}`" for name in results)])
    text += line(["---", *["---:"] * (len(results) + 1)])
    for place, title in ((0, "ours"), (2, "ours, not counted"), (1, "peers")):
        sides = [sides[place] for sides in results.values()]
        for name in dict.fromkeys(name for side in sides for name in side.tried):
            tried = [side.tried.get(name) for side in sides]
            spent = sorted({round(one.cost) for one in tried if one})
            cost = f"{spent[0]}" if len(spent) == 1 else f"{spent[0]} to {spent[-1]}"
            shown = [f"{percent(one.r1)} / {percent(one.ami)}" if one else "" for one in tried]
            text += line([f"{title}: `{name}`", cost, *shown])
        if sides[0].tried and place != 2:
            shown = [f"{percent(side.r1)} / {percent(side.ami)}" for side in sides]
            text += line([f"**{title}: worst case**", "", *shown])
    return text, all(wins)
