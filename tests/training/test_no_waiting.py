"""Training steps never wait for the device: nothing in them looks at a value there."""

import pytest
import torch

from benchmark.data import ImageSet
from benchmark.losses import LOSSES
from benchmark.models import count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES, Vanilla

from ..simulated_device import OTHER, OtherTensor, TwoDevices

LOOKS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero")
"""Operations whose result is on the CPU, or whose result's shape depends on values."""

STEPS = 3


class Watched(TwoDevices):
    """Notes what makes the CPU wait for the other device."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def note(self, func, args, kwargs):
        name = func.overloadpacket.__name__
        there = isinstance(args[0], OtherTensor) if args else False
        if there and name in LOOKS:
            self.waits.append(name)
        if (
            there
            and name == "index"
            and any(part is not None and part.dtype in (torch.bool, torch.uint8) for part in args[1])
        ):
            self.waits.append("index by a mask")
        device = kwargs.get("device") if name == "_to_copy" else None
        moves = device is not None and there != (torch.device(device) == OTHER)
        if moves and not kwargs.get("non_blocking"):
            self.waits.append("to the CPU" if there else "to the device, blocking")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.note(func, args, kwargs or {})
        return super().__torch_dispatch__(func, types, args, kwargs)


@pytest.fixture
def waits(make_member, images, monkeypatch):
    """Returns what the steps of an epoch after the first wait for."""

    autocast = torch.autocast
    # torch knows no mixed precision for the device that stands in.
    monkeypatch.setattr(torch, "autocast", lambda device, *args, **options: autocast("cpu", *args, **options))

    def run(spec, loss="proxy_anchor"):
        defense = DEFENSES.build(spec)
        marks = []

        class Marked(type(defense)):
            def loss(self, model, batch, attack):
                marks.append(len(watched.waits))
                return super().loss(model, batch, attack)

        marked = Marked.model_construct(**dict(defense))
        with Watched() as watched:
            trained = {
                text: make_member(loss).eval().requires_grad_(False).to(OTHER) for text in defense.needs
            }
            model = marked.build_from(lambda: make_member(loss), images.labels, trained)
            data = ImageSet(images.images, images.labels, images.ids)
            recipe = Recipe(epochs=1, batch_size=24, shift=1, inner_steps=2)
            train(marked, model, data, recipe, 0.1, unit(make_member, images), OTHER)
        return watched.waits[marks[0] : marks[STEPS - 1]]

    return run


def unit(make_member, images):
    return count_flops(make_member(), images.image_shape)


MINED = {"to the CPU"}
WAITING_DEFENSES = {
    **dict.fromkeys(("act", "hm", "panum"), MINED),
    "ca_tride": MINED | {"_local_scalar_dense", "is_nonzero"},
}
"""Those that mine triplets: on the CPU, so that a run on a GPU gets the same; one then looks at its turn."""

TUPLES = {"nonzero", "_local_scalar_dense", "index by a mask"}
WAITING_LOSSES = dict.fromkeys(("angular", "contrastive", "multi_similarity", "triplet"), TUPLES)
"""Those on the tuples of a batch: pytorch-metric-learning lists them, as many as the labels make."""

TRAINED = [name for name, cls in DEFENSES.items() if not cls.reference]
VARIANTS = (
    "eat[transfer=peers]",
    "eat[transfer=self,split=disjoint]",
    "eat[split=none,proxies=shared]",
    "adp[adversarial=true]",
    "mixup[adversarial=true]",
    "trades[distance=embedding]",
    "random_transforms[train=transformed]",
    "random_transforms[train=transformed,transform=quilting]",
    "metric_preserving[attacked=current]",
)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [*TRAINED, *VARIANTS])
def test_no_step_of_a_defense_waits(waits, spec):
    found = set(waits(spec))
    assert found == set() if spec not in WAITING_DEFENSES else set() < found <= WAITING_DEFENSES[spec]


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES.names())
def test_no_loss_waits(waits, loss):
    found = set(waits("pgd_at", loss))
    assert found == set() if loss not in WAITING_LOSSES else set() < found <= WAITING_LOSSES[loss]


@pytest.mark.parametrize(
    ("look", "kind"),
    [
        (lambda loss: float(loss), "_local_scalar_dense"),
        (lambda loss: loss if torch.isfinite(loss) else -loss, "_local_scalar_dense"),
        (lambda loss: loss.view(1)[loss.view(1) > 0], "index by a mask"),
        (lambda loss: loss.cpu(), "to the CPU"),
        (lambda loss: loss + torch.ones(2).to(OTHER), "to the device, blocking"),
        (lambda loss: loss.view(1).nonzero(), "nonzero"),
    ],
)
def test_each_kind_of_look_is_found(waits, monkeypatch, look, kind):
    original = Vanilla.loss

    def loss(self, model, batch, attack):
        value = original(self, model, batch, attack)
        look(value.detach())
        return value

    monkeypatch.setattr(Vanilla, "loss", loss)
    assert waits("vanilla") == [kind] * (STEPS - 1)
