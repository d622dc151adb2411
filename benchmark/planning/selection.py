"""Builds the data sets, backbones and defenses that a configuration names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.spec import parse_spec
from benchmark.data import DATASETS, Dataset, Folders
from benchmark.losses import LOSSES, Loss
from benchmark.models import BACKBONES, Backbone
from defenses import DEFENSES, GROUPS, Defense


def named(texts: list[str], every: list[str]) -> list[str]:
    """Replaces "all" by every name."""
    return [name for text in texts for name in (every if text == "all" else [text])]


def select_datasets(texts: list[str], skipped: list[str], folders: Folders) -> list[Dataset]:
    """Builds the data sets asked for; "all" leaves out missing ones and notes that in `skipped`."""
    found = []
    for text in texts:
        if text != "all":
            dataset = DATASETS.build(text)
            if reason := dataset.missing(folders):
                if not (folders.blank and dataset.blank()):
                    raise UsageError(f"The data set '{text}' cannot be used: {reason}")
                skipped.append(f"the images of {text} (its cost is computed from official counts): {reason}")
            found.append(DATASETS.build(dataset.spec))  # with the spec that tables show
            continue
        for name in DATASETS.names():
            dataset = DATASETS.build(name)
            if reason := dataset.missing(folders):
                skipped.append(f"data set {name}: {reason}")
            else:
                found.append(dataset)
    return found


def check_recipes(names: Iterable[str]) -> None:
    """Rejects keys of `training_for` that name no data set.

    Raises:
        UsageError: for the first such name.
    """
    for name in names:
        known = DATASETS.get(parse_spec(name).name).name
        if known != name:
            raise UsageError(f"training_for: '{name}' is called '{known}'.")


def select_backbones(texts: list[str], pretrained: str) -> list[Backbone]:
    """Builds the backbones asked for; `pretrained` holds where a backbone's own spec names no weights.

    Raises:
        UsageError: when no backbone takes such weights, or for unknown names and values.
    """
    names = named(texts, BACKBONES.names())
    backbones = [BACKBONES.build(name) for name in names]
    # A class that leaves the method as it is has no weights to choose.
    taken = any(type(backbone).with_pretrained is not Backbone.with_pretrained for backbone in backbones)
    if pretrained != "auto" and not taken:
        raise UsageError(
            f"--pretrained {pretrained} has no effect: no backbone of this run takes weights "
            f"({', '.join(names)}). Leave it out, or name another one with --backbones."
        )
    return [backbone.with_pretrained(pretrained) for backbone in backbones]


def check_short_names(kind: str, asked: Sequence[Dataset] | Sequence[Backbone]) -> None:
    """Rejects two data sets or backbones of one run that have the same name in tables.

    Raises:
        UsageError: when two have one short name.
    """
    seen: dict[str, str] = {}
    for entry in asked:
        other = seen.setdefault(entry.short_name, entry.spec)
        if other != entry.spec:
            raise UsageError(
                f"Two {kind} are called {entry.short_name}: {other} and {entry.spec}. "
                "Give one another name, as in [name=mine]."
            )


def select_specs(texts: list[str]) -> list[str]:
    """Lists the specs of the defenses asked for, as written; groups are replaced by their members.

    Raises:
        UsageError: for a name that is neither a defense's nor a group's.
    """
    specs = [name for text in texts for name in GROUPS.get(text, (text,))]
    for name in (parse_spec(text).name for text in specs):
        if name not in DEFENSES.names():
            raise unknown_name("defense", name, [*DEFENSES.names(), *GROUPS])
    return specs


def select_defenses(texts: list[str]) -> list[Defense]:
    """Builds the defenses asked for, each once, followed by the references."""
    asked = [DEFENSES.build(text) for text in select_specs(texts)]
    references = [cls() for _, cls in DEFENSES.items() if cls.reference]
    return list({defense.spec: defense for defense in [*asked, *references]}.values())


def refusal(defense: Defense, loss: Loss) -> str:
    """Says why a defense, or one that it needs, cannot be trained with a loss; empty when all can."""
    for text in defense.needs:
        if reason := refusal(DEFENSES.build(text), loss):
            return f"{defense.spec} needs a trained {text}, but {reason}"
    if not defense.needs_proxies or loss.has_proxies:
        return ""
    usable = ", ".join(name for name, cls in LOSSES.items() if cls.has_proxies)
    return f"{defense.spec} needs a loss with proxies, which {loss.spec} has not (with proxies: {usable})"
