"""Builds the data sets, backbones and defenses that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from benchmark.core.errors import QUOTE_PATHS, UsageError, unknown_name
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.core.source import PACKAGES
from benchmark.core.spec import format_spec, parse_spec
from benchmark.data import DATASETS, Dataset, Folders
from benchmark.data.left_out import left_out_images
from benchmark.losses import LOSSES, Loss
from benchmark.models import BACKBONES, Backbone
from defenses import DEFENSES, GROUPS, Defense

P = TypeVar("P", bound=Parameters)


def named(texts: list[str], every: list[str]) -> list[str]:
    """Replaces "all" by every name."""
    return [name for text in texts for name in (every if text == "all" else [text])]


def build_each(registry: Registry[P], texts: Sequence[str]) -> list[P]:
    """Builds the entries that a list names; a path that the list was split in is recognized.

    Raises:
        UsageError: for an unknown name or parameter.
    """
    built: list[P] = []
    for index, text in enumerate(texts):
        try:
            built.append(registry.build(text))
        except UsageError as error:  # noqa: PERF203 (few names)
            message = str(error)
            if {"/", "~", ":"} & {*"".join(texts[:index])} and QUOTE_PATHS not in message:
                message = f"{message} {QUOTE_PATHS}"
            raise UsageError(message) from None
    return built


def select_datasets(
    texts: list[str],
    skipped: list[str],
    folders: Folders,
    adapt: Callable[[Dataset], Dataset] = lambda dataset: dataset,
) -> list[Dataset]:
    """Builds the data sets asked for.

    Args:
        texts: their specs; "all" stands for those that are there.
        skipped: gets a line for each that "all" leaves out.
        folders: where data sets are.
        adapt: makes of a data set the one that is used.

    Raises:
        UsageError: for one that cannot be used.
    """
    found = []
    asked = iter(build_each(DATASETS, [text for text in texts if text != "all"]))
    for text in texts:
        if text != "all":
            dataset = adapt(next(asked))
            if reason := dataset.missing(folders):
                if not (folders.blank and dataset.blank()):
                    counted = "".join(f" Left out: {note}" for note in left_out_images([dataset]))
                    raise UsageError(f"The data set '{text}' cannot be used: {reason}{counted}")
                skipped.append(f"the images of {text} (its cost is computed from official counts): {reason}")
            # With the name that tables show, and with what was given, at its default or not.
            found.append(DATASETS.get(dataset.name)(**dataset.given()))
            continue
        for name in DATASETS.names():
            dataset = DATASETS.build(name)
            if reason := dataset.missing(folders) or adapt(dataset).missing(folders):
                skipped.append(f"data set {name}: {reason}")
            else:
                found.append(adapt(dataset))
    return found


def check_recipes(names: Iterable[str]) -> None:
    """Rejects keys of `training_for` that name no data set.

    Raises:
        UsageError: for the first such name.
    """
    for name in names:
        known = format_spec(DATASETS.get(parse_spec(name).name).name, {})
        if known != name:
            raise UsageError(f"training_for: '{name}' is called '{known}'.")


def select_backbones(texts: list[str], pretrained: str) -> list[Backbone]:
    """Builds the backbones asked for; `pretrained` holds where a backbone's own spec names no weights.

    Raises:
        UsageError: when no backbone takes such weights, for unknown names and values, and for a plugin's
            backbone that has the name of one of timm's.
    """
    names = named(texts, BACKBONES.names())
    backbones = build_each(BACKBONES, names)
    for backbone in backbones:
        is_plugin = type(backbone).__module__.partition(".")[0] not in PACKAGES
        if is_plugin and BACKBONES.hides(backbone.name):
            raise UsageError(
                f"The backbone '{backbone.name}' of a plugin has the name of one of timm's. Give it another, "
                "since readers would take it for that."
            )
    # A class that leaves the method as it is has no weights to choose.
    taken = any(type(backbone).with_pretrained is not Backbone.with_pretrained for backbone in backbones)
    if pretrained != "auto" and not taken:
        raise UsageError(
            f"--pretrained {pretrained} has no effect: no backbone of this run takes weights "
            f"({', '.join(names)}). Leave it out, or name another one with --backbones."
        )
    return [backbone.with_pretrained(pretrained) for backbone in backbones]


def check_trainable(datasets: Iterable[Dataset]) -> None:
    """Rejects data sets that nothing may be trained on.

    Raises:
        UsageError: for the first of them.
    """
    for dataset in datasets:
        if reason := dataset.training_refusal:
            raise UsageError(f"{reason[:1].upper()}{reason[1:]}.")


def check_short_names(kind: str, asked: Sequence[Parameters]) -> None:
    """Rejects two data sets, backbones or rows of one run that have the same name in tables.

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
