"""What only a GPU can show of trainings: real captures, the same crops, no waiting."""

import math
import warnings

import pytest
import torch

from benchmark.models import count_flops
from benchmark.training import Recipe, TrainingAttack, captured_attack, train
from benchmark.training.batches import Batches
from benchmark.training.captured_attack import CapturedAttacks
from benchmark.training.crops import draw_crops, random_crops
from benchmark.training.device_crops import crop_on_device
from defenses import DEFENSES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

RECIPE = Recipe(epochs=6, batch_size=24, lr=0.005, shift=1, inner_steps=2, warm_up=1)
SPECS = ("pgd_at", "trades", "eat", "eat[transfer=peers]", "est", "mixup[adversarial=true]")
LOOKS = "eager: the capture failed: called a synchronizing CUDA operation"


@pytest.fixture
def run(make_member, images, monkeypatch):
    """Trains on the GPU, with replays or without."""
    monkeypatch.setattr(captured_attack, "FEWEST_REPLAYS", 1)

    def go(spec, replays=True, recipe=RECIPE, loss="proxy_anchor", device="cuda", **options):
        defense = DEFENSES.build(spec)
        torch.manual_seed(0)
        model = defense.build(lambda: make_member(loss), images.labels)
        unit = count_flops(make_member(), images.image_shape)
        with monkeypatch.context() as patch:
            if not replays:
                patch.setattr(captured_attack, "DEVICES", ())
            return model, train(defense, model, images, recipe, 0.1, unit, device, **options)

    return go


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("spec", SPECS)
def test_replays_train_what_eager_attacks_train(run, spec, precision):
    recipe = RECIPE.model_copy(update={"precision": precision})
    (_, eager), (_, found) = run(spec, False, recipe), run(spec, True, recipe)
    assert (eager.execution, found.execution) == ("eager", "CUDA graph")
    assert found.cost == pytest.approx(eager.cost, rel=1e-12)
    # The signs of tiny gradients flip by rounding, so trainings drift apart, but slowly.
    for one, other in zip(eager.curve, found.curve, strict=True):
        assert other == pytest.approx(one, rel=0.1, abs=0.05)
    assert eager.curve[-1] < eager.curve[0]


@pytest.fixture
def attacked(make_member, images):
    """Attacks the same images again and again, with replays from the third time on; returns all results."""

    def go(times, loss="proxy_anchor", objective=None, mixed=False):
        torch.manual_seed(0)
        member = make_member(loss).cuda().train()
        inputs, labels = images.images[:24].cuda(), images.labels[:24].cuda()
        for _ in range(20):
            member(inputs)
        captured = CapturedAttacks(10**6)
        attack = TrainingAttack(0.1, 2, 0.5, captured=captured)
        found = []
        for _ in range(times):
            torch.cuda.manual_seed(3)
            with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
                found.append(attack(objective or member.loss_of_images, inputs, member, given=[labels]))
        return found, captured.execution

    return go


@pytest.mark.parametrize("mixed", [False, True])
def test_a_replay_finds_the_images_of_an_eager_attack(attacked, mixed):
    found, execution = attacked(6, mixed=mixed)
    assert execution == "CUDA graph"
    for images in found[1:]:
        assert (images - found[0]).abs().mean() < 1e-3


def test_a_replay_reads_the_weights_of_now(make_member, images):
    member = make_member().cuda()
    inputs, labels = images.images[:24].cuda(), images.labels[:24].cuda()
    for _ in range(20):
        member(inputs)
    captured = CapturedAttacks(10**6)
    attack, eager = TrainingAttack(0.1, 2, 0.5, captured=captured), TrainingAttack(0.1, 2, 0.5)
    optimizer = torch.optim.AdamW(member.parameters(), lr=0.02, fused=True)
    differences = []
    for _ in range(20):
        results = []
        for one in (attack, eager):
            torch.cuda.manual_seed(3)
            results.append(one(member.loss_of_images, inputs, member, given=[labels]))
        differences.append(float((results[0] - results[1]).abs().mean()))
        optimizer.zero_grad(set_to_none=True)
        member.loss_of_images(results[0], labels).backward()
        optimizer.step()
    assert captured.execution == "CUDA graph"
    assert max(differences) < 2e-3


@pytest.mark.parametrize("loss", ["triplet", "multi_similarity"])
def test_a_loss_that_looks_at_values_trains_eagerly(run, loss):
    _, record = run("pgd_at", loss=loss)
    assert record.execution == LOOKS
    assert all(math.isfinite(value) for value in record.curve)


@pytest.mark.parametrize("size", [(20, 31), (8, 8)])
def test_crops_are_those_of_a_cpu(size):
    images = torch.randint(256, (12, 3, *size), dtype=torch.uint8)
    index = torch.randperm(12)
    for crop, flip in ((0.25, True), (0.25, False), (None, True)):
        there, here = (torch.Generator().manual_seed(5) for _ in range(2))
        expected = random_crops(images, index, crop, flip, here)
        drawn = draw_crops(images, index, crop, flip, there)
        found = crop_on_device(images.cuda(), index, drawn).cpu()
        assert (found.int() - expected.int()).abs().max() <= 2


def test_batches_of_resident_images_are_those_of_a_cpu(make_images):
    images = make_images(shape=(3, 16, 16))
    recipe = Recipe(batch_size=24, shift=0, crop=0.3, flip=True)
    order = torch.randperm(len(images))
    results = []
    for device, memory in (("cpu", 0), ("cuda", 2**30)):
        torch.manual_seed(4)
        batches = Batches(images, recipe, device, memory)
        results.append(torch.cat([batch.cpu() for batch, _ in batches.epoch(order, 24, 0)]))
    torch.testing.assert_close(*results, atol=1e-5, rtol=0)


@pytest.mark.parametrize("memory", [0, 2**30])
@pytest.mark.parametrize("spec", ["vanilla", *SPECS])
def test_no_step_waits_for_the_gpu(run, spec, memory):
    recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 12, "ramp": 0.1, "warm_up": 0})
    recipe = recipe.model_copy(update={"crop": 0.5, "flip": True})

    def after_step(progress):
        # Eight steps: attacks are captured in the fourth; from the fifth on nothing waits, up to the last.
        if 0.49 < progress < 0.51:
            torch.cuda.set_sync_debug_mode("warn")
        elif progress > 0.8:
            torch.cuda.set_sync_debug_mode("default")

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, record = run(spec, recipe=recipe, on_step=after_step, image_memory=memory)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [str(each.message) for each in caught if "synchronizing" in str(each.message)] == []
    assert record.execution == ("eager" if spec == "vanilla" else "CUDA graph")


def waiting(images, labels):
    torch.cuda.synchronize()  # which torch's debug mode does not find
    return images.square().sum()


def test_a_capture_that_fails_lets_the_training_go_on(attacked):
    found, execution = attacked(6, objective=waiting)
    assert execution.startswith("eager: the capture failed: ")
    assert all(torch.equal(images, found[0]) for images in found)
    assert torch.rand(3, device="cuda").isfinite().all()  # the generator draws again
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert attacked(6)[1] == "CUDA graph"  # and captures are possible
