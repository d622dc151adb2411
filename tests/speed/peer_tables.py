"""The tables of `peers.py`: what attacks did, and both sides' worst cases, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tried:
    """What one attack did: R@1 and AMI as fractions, each query's success, passes of one image."""

    r1: float
    ami: float
    success: np.ndarray
    passes: float


@dataclass
class Side:
    """The attacks of one side, and their worst case."""

    clean: Tried
    tried: dict[str, Tried] = field(default_factory=dict)

    @property
    def r1(self) -> float:
        """The mean of each query's lowest success, the clean pass included."""
        return float(
            np.min([self.clean.success, *(one.success for one in self.tried.values())], axis=0).mean()
        )

    @property
    def ami(self) -> float:
        """The lowest AMI of an attack."""
        return min(one.ami for one in self.tried.values())

    @property
    def passes(self) -> float:
        """Passes of one image, all attacks together."""
        return sum(one.passes for one in self.tried.values())


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def pair(peers: float, ours: float) -> list[str]:
    """Both figures in percent, the lower one, or ours where they are equal, in bold."""
    won = ours <= peers
    return [
        percent(peers) if won else f"**{percent(peers)}**",
        f"**{percent(ours)}**" if won else percent(ours),
    ]


def write_tables(results: dict[str, tuple[Side, Side, Side]], about: str) -> tuple[str, bool]:
    """The Markdown text, and whether ours is lower or equal throughout."""
    wins = [
        won for ours, peers, _ in results.values() for won in (ours.r1 <= peers.r1, ours.ami <= peers.ami)
    ]
    figures = [f"{whose} {figure}" for figure in ("R@1", "AMI") for whose in ("clean", "peers'", "our")]
    text = f"{about}\n\n### Worst cases\n\n"
    text += line(["defense", *figures, "peers' passes", "our passes"])
    text += line(["---", *["---:"] * 8])
    for name, (ours, peers, _) in results.items():
        r1 = [percent(ours.clean.r1), *pair(peers.r1, ours.r1)]
        ami = [percent(ours.clean.ami), *pair(peers.ami, ours.ami)]
        text += line([f"`{name}`", *r1, *ami, f"{peers.passes:.0f}", f"{ours.passes:.0f}"])
    text += f"\nOurs is lower than the peers' worst case, or equal, in {sum(wins)} of {len(wins)} figures.\n"
    text += "\nIn percent. Passes: units of one image, all attacks of a side together.\n"
    text += "\n### Each attack alone\n\n"
    text += line(["attack", "passes", *(f"`{name}`" for name in results)])
    text += line(["---", *["---:"] * (len(results) + 1)])
    for place, title in ((0, "ours"), (2, "ours, not counted"), (1, "peers")):
        sides = [sides[place] for sides in results.values()]
        for name in dict.fromkeys(name for side in sides for name in side.tried):
            tried = [side.tried.get(name) for side in sides]
            spent = sorted({round(one.passes) for one in tried if one})
            passes = f"{spent[0]}" if len(spent) == 1 else f"{spent[0]} to {spent[-1]}"
            shown = [f"{percent(one.r1)} / {percent(one.ami)}" if one else "" for one in tried]
            text += line([f"{title}: `{name}`", passes, *shown])
        if sides[0].tried and place != 2:
            shown = [f"{percent(side.r1)} / {percent(side.ami)}" for side in sides]
            text += line([f"**{title}: worst case**", "", *shown])
    return text, all(wins)
