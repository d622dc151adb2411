"""Each check of the contract of scenarios fails for a scenario that breaks it."""

import random
from typing import ClassVar

import numpy as np
import pytest

from benchmark.evaluation.conformance.scenarios import SCENARIO
from benchmark.evaluation.retrieval import RetrievalQuery
from benchmark.evaluation.scenario import SCENARIOS, ScenarioScore

from .results import failures, skipped


class Sound(RetrievalQuery):
    """A sound scenario."""

    name = "sound"
    scale: float = 1.0


class OtherSpec(Sound):
    @property
    def spec(self):
        return "sound[scale=2]"


class MoreThanAll(Sound):
    @property
    def attacked_fraction(self):
        return 2.0


class Percent(Sound):
    def score(self, embeddings):
        return ScenarioScore({"r1": 100 * super().score(embeddings).metrics["r1"]})


class NoMetric(Sound):
    def score(self, embeddings):
        return ScenarioScore({})


class OneSided(Sound):
    def score(self, embeddings):
        score = super().score(embeddings)
        return ScenarioScore(score.metrics, {"success": score.arrays["success"]})


class Words(Sound):
    def score(self, embeddings):
        return ScenarioScore(super().score(embeddings).metrics, {"names": np.array(["a", "b"])})


class Silent(Sound):
    def score(self, embeddings):
        return ScenarioScore(super().score(embeddings).metrics)


class Drawn(Sound):
    per_query: ClassVar = False

    def score(self, embeddings):
        return ScenarioScore({"luck": random.SystemRandom().random()})


class Seeds(Sound):
    def score(self, embeddings):
        np.random.seed(0)
        return super().score(embeddings)


BROKEN = [
    (OtherSpec, "spec", "gives another sound"),
    (MoreThanAll, "fraction", "attacked_fraction is 2.0"),
    (Percent, "metrics", "not a fraction"),
    (NoMetric, "metrics", "there is no metric"),
    (OneSided, "arrays", "'success' and 'queries' differ"),
    (Words, "arrays", "the array names is <U1"),
    (Silent, "arrays", "per_query is True, but there is no array 'success'"),
    (Drawn, "same_score", "different metrics"),
    (Seeds, "leaves_settings", "seeds the generator of numpy"),
]


@pytest.mark.parametrize(("scenario", "check", "message"), BROKEN)
def test_a_broken_scenario_fails_exactly_its_check(scenario, check, message):
    found = failures(scenario)
    assert set(found) == {check}, found
    assert message in found[check]


def test_every_check_of_scenarios_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(SCENARIO.checks)


@pytest.mark.parametrize("name", SCENARIOS.names())
def test_the_projects_scenarios_fail_no_check(name):
    assert failures(SCENARIOS.build(name)) == {}


def test_an_exclusive_scenario_without_an_attack_is_skipped():
    class Lonely(Sound):
        exclusive: ClassVar = True

    assert skipped(Lonely)["metrics"] == "it scores only attacks made for it, and there is none"
