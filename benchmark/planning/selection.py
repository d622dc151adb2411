"""From the names on the command line to what they stand for."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.spec import parse_spec
from benchmark.data import DATASETS, Dataset, Folders
from benchmark.losses import LOSSES, Loss
from benchmark.models import BACKBONES, Backbone
from benchmark.records import ModelKey
from defenses import DEFENSES, GROUPS, Defense


def datasets_asked_for(texts: list[str], skipped: list[str], folders: Folders) -> list[Dataset]:
    """The data sets asked for; "all" leaves out those that are not on this machine, and says so."""
    found = []
    for text in texts:
        if text != "all":
            dataset = DATASETS.build(text)
            if reason := dataset.missing(folders):
                if not (folders.blank and dataset.blank()):
                    raise UsageError(f"The data set '{text}' is not here: {reason}")
                skipped.append(f"the images of {text}, which is reckoned by its official numbers: {reason}")
            found.append(DATASETS.build(dataset.spec))  # as its name in every table has it
            continue
        for name in DATASETS.names():
            dataset = DATASETS.build(name)
            if reason := dataset.missing(folders):
                skipped.append(f"data set {name}: {reason}")
            else:
                found.append(dataset)
    return found


def check_recipes(names: Iterable[str]) -> None:
    """Tells of a recipe for a data set that there is not, which no training would look at.

    Raises:
        UsageError: for the first such name.
    """
    for name in names:
        known = DATASETS.get(parse_spec(name).name).name
        if known != name:
            raise UsageError(f"training_for: '{name}' is called '{known}'.")


def backbones_asked_for(texts: list[str], pretrained: str) -> list[Backbone]:
    """The backbones asked for, starting from some weights where their own spec does not say which.

    Raises:
        UsageError: for a choice of weights that none of them takes, besides unknown names and values.
    """
    names = [name for text in texts for name in (BACKBONES.names() if text == "all" else [text])]
    backbones = [BACKBONES.build(name) for name in names]
    # A class that leaves the method as it is has no weights to choose.
    taken = any(type(backbone).with_pretrained is not Backbone.with_pretrained for backbone in backbones)
    if pretrained != "auto" and not taken:
        raise UsageError(
            f"--pretrained {pretrained} has no effect: no backbone of this run takes weights "
            f"({', '.join(names)}). Leave it out, or name another one with --backbones."
        )
    return [backbone.with_pretrained(pretrained) for backbone in backbones]


def fetch_weights(keys: Iterable[ModelKey]) -> None:
    """Fetches the pretrained weights of all models that are to be trained, once each.

    Raises:
        BenchmarkError: when they cannot be had; each training would find that out for itself.
    """
    for backbone, natural in dict.fromkeys(
        (key.backbone, DATASETS.build(key.dataset).natural) for key in keys
    ):
        BACKBONES.build(backbone).fetch(natural)


def specs_asked_for(texts: list[str]) -> list[str]:
    """The specs of the defenses asked for, as written, with the members of groups in their groups' places.

    Raises:
        UsageError: for a name that is neither a defense's nor a group's.
    """
    specs = [name for text in texts for name in GROUPS.get(text, (text,))]
    for name in (parse_spec(text).name for text in specs):
        if name not in DEFENSES.names():
            raise unknown_name("defense", name, [*DEFENSES.names(), *GROUPS])
    return specs


def defenses_asked_for(texts: list[str]) -> list[Defense]:
    """The defenses asked for, each once, with the reference rows after them."""
    asked = [DEFENSES.build(text) for text in specs_asked_for(texts)]
    references = [cls() for _, cls in DEFENSES.items() if cls.reference]
    return list({defense.spec: defense for defense in [*asked, *references]}.values())


def refusal(defense: Defense, loss: Loss) -> str | None:
    """Why a defense cannot be trained with a loss, or None."""
    if not defense.needs_proxies or loss.has_proxies:
        return None
    usable = ", ".join(name for name, cls in LOSSES.items() if cls.has_proxies)
    return f"{defense.spec} needs a loss with proxies, which {loss.spec} has not (with proxies: {usable})"
