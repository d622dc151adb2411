"""Each check of the contract fails for a defense that breaks it, and says what to do."""

import os
from pathlib import Path

import pytest
import torch

import benchmark
from benchmark.core.errors import UsageError
from benchmark.evaluation.conformance import ConformanceError, check_contract, check_defense, defense_checks
from benchmark.evaluation.conformance.contracts import CONTRACTS
from benchmark.evaluation.conformance.defense_contract import DEFENSE
from benchmark.plugins.registries import REGISTRIES
from defenses import Defense

from .results import failures


@pytest.mark.slow
def test_a_broken_defense_fails_exactly_its_check(broken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # one of them writes there
    defense, expected, name, message, advised = broken
    found = failures(defense)
    assert set(found) == expected, found
    line = found[name]
    assert line.startswith(f"{name}: ")
    assert message in line
    assert (DEFENSE.checks[name].advice in line) == advised
    assert "\n" not in line


@pytest.mark.slow
def test_an_unusual_defense_fails_no_check(unusual):
    assert failures(unusual) == {}


def test_an_unexpected_exception_is_named_with_the_plugins_own_line(sound_class):
    class DeepInTorch(sound_class):
        def loss(self, model, batch, attack):
            return torch.nn.functional.cross_entropy(model(batch.images), batch.labels.float())

    results = {result.check.name: result for result in check_contract(DeepInTorch)}
    line = (
        Path(__file__)
        .read_text()
        .splitlines()
        .index(
            "            return torch.nn.functional.cross_entropy(model(batch.images), batch.labels.float())"
        )
    )
    assert results["trains"].failure.startswith("trains: RuntimeError: expected ")
    assert results["trains"].failure.endswith(f"(test_conformance.py, line {line + 1}).")
    assert results["loss_falls"].skipped == "'trains' did not pass"
    assert results["loss_falls"].failure is None
    assert results["unit_length"].skipped is None


def test_a_model_without_a_gradient_fails_until_it_has_a_stand_in(wrapper_class):
    class Detached(wrapper_class):
        def forward(self, images):
            return self.member(images.detach())  # trains the weights; no gradient reaches the image

    class WithoutGradient(Defense):
        def build(self, make_member, labels):
            return Detached(make_member())

        def loss(self, model, batch, attack):
            return model.member.loss(model(batch.images), batch.labels)

    assert list(failures(WithoutGradient)) == ["input_gradient"]
    Detached.differentiable = lambda self: self.member
    assert failures(WithoutGradient) == {}


def test_a_model_for_one_image_shape_fails(sound_class, wrapper_class):
    class Fixed(wrapper_class):
        def forward(self, images):
            return self.member(images.reshape(len(images), 1, 16, 16))

    class OneShape(sound_class):
        def build(self, make_member, labels):
            return Fixed(make_member())

    assert list(failures(OneShape)) == ["other_shapes", "other_shapes_train"]


def test_every_check_has_a_defense_that_fails_it(checks_with_a_broken_defense):
    assert checks_with_a_broken_defense | {"input_gradient", "other_shapes"} == set(DEFENSE.checks)


@pytest.mark.slow
def test_all_failures_are_reported_together_and_the_process_is_restored(sound_class, wrapper_class):
    class Long(wrapper_class):
        def forward(self, images):
            return 2 * self.member(images)

    class Doubly(sound_class):
        def build(self, make_member, labels):
            return Long(make_member())

        def loss(self, model, batch, attack):
            batch.images.mul_(0.9)
            os.environ["CONFORMANCE_TEST"] = "1"
            torch.set_default_dtype(torch.float32)
            return super().loss(model, batch, attack)

    state, folder = torch.get_rng_state(), Path.cwd()
    with pytest.raises(ConformanceError) as caught:
        check_defense(Doubly)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "unit_length",
        "leaves_batch",
        "leaves_settings",
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert "CONFORMANCE_TEST" not in os.environ
    assert Path.cwd() == folder


@pytest.mark.slow
def test_a_class_an_instance_and_a_spec_are_accepted(sound_class, wrapper_class):
    assert benchmark.check_defense is check_defense
    check_defense(sound_class)
    check_defense(sound_class(epochs_scale=2.0))
    check_defense("pixels")
    with pytest.raises(UsageError, match="derive from Defense"):
        check_defense(wrapper_class)
    with pytest.raises(UsageError, match="Unknown defense"):
        check_defense("not_there")


def test_reference_defenses_skip_the_checks_of_training():
    checks = {check.name for _, check in defense_checks(["pixels"])}
    assert "unit_length" in checks
    assert "loss_falls" not in checks


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_every_kind_that_a_plugin_may_add_to_has_a_contract(registry):
    assert set(registry.base.__mro__) & set(CONTRACTS)
