"""The attacks that a configuration asks for: their suite, the models they start from, and those left out."""

from __future__ import annotations

from collections.abc import Sequence

from attacks import ATTACKS, REFERENCE_ATTACK, expand
from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.evaluation import SCENARIOS
from benchmark.planning.cascade import Cascade
from benchmark.planning.config import Configuration
from benchmark.planning.selection import named
from defenses import Defense


def suite_name(texts: list[str]) -> str:
    """The canonical name of a set of attacks; their order does not matter."""
    known = set(ATTACKS.names())
    return ",".join(sorted({ATTACKS.build(t).spec if parse_spec(t).name in known else t for t in texts}))


def all_attacks(config: Configuration, defenses: list[Defense]) -> list[str]:
    """Lists every attack that is planned against some model."""
    asked = [*named(config.attacks, ATTACKS.names()), *config.curve.attacks]
    asked += [text for defense in defenses for text in defense.adaptive]
    checks = config.checks and checked_norms(config.norm)
    return expand([*asked, *(["checks"] if checks else [])])


def checked_norms(norms: Sequence[str]) -> list[str]:
    """Lists the norms that the checks can be decided in: those of the attack that they compare."""
    return [norm for norm in norms if ATTACKS.build(REFERENCE_ATTACK).knows(norm)]


def attack_sources(config: Configuration, defenses: list[Defense]) -> list[str]:
    """Lists the defenses that transferred attacks start from, as the attacks spell them."""
    needed = [ATTACKS.build(text).needs for text in all_attacks(config, defenses)]
    return list(dict.fromkeys(text for text in needed if text))


def _able(norms: Sequence[str]) -> str:
    """Names the attacks that search in one of the norms."""
    attacks = [(name, ATTACKS.build(name)) for name in ATTACKS.names()]
    return ", ".join(
        name for name, attack in attacks if attack.access != "none" and any(map(attack.knows, norms))
    )


def check_attacks(config: Configuration, defenses: list[Defense], skipped: list[str]) -> None:
    """Notes attacks that do not know one of the norms, or are made for scenarios that were not asked for.

    Raises:
        UsageError: when one that was asked for by name knows none of the norms.
    """
    asked_texts = [text for text in config.attacks if text != "all"]
    asked = expand(asked_texts)
    scenarios = {parse_spec(text).name for text in named(config.scenarios, SCENARIOS.names())}
    for text in all_attacks(config, defenses):
        attack = ATTACKS.build(text)
        unknown = [norm for norm in config.norm if not attack.knows(norm)]
        if text in asked and len(unknown) == len(config.norm):
            norms = " or ".join(unknown)
            raise UsageError(f"{text} cannot attack in the norm {norms}; {_able(unknown)} can; see --norm.")
        skipped += [f"{text} in the norm {norm}, which it does not know" for norm in unknown]
        made_for = [name for name in attack.made_for() if not SCENARIOS.get(name).exclusive]
        if made_for and scenarios.isdisjoint(made_for):
            skipped.append(f"{text}, which is made for the scenario {' or '.join(made_for)}")
    unchecked = [norm for norm in config.norm if norm not in checked_norms(config.norm)]
    if config.checks and unchecked:
        skipped.append(f"the checks in the norm {' or '.join(unchecked)}, which their attacks do not know")
    cascade = Cascade.of(asked_texts, expand(config.curve.attacks))
    if cascade is not None and not any(SCENARIOS.get(name).per_query for name in scenarios):
        left = [text for text in asked if not cascade.is_whole(text) and not ATTACKS.build(text).made_for()]
        skipped += [f"{text}, which a cascade runs only on single queries that still stand" for text in left]
