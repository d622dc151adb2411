"""Models that break a promise fail their row with the reason; those that look odd and keep it are scored."""

import pytest
import torch

from benchmark.core.errors import BenchmarkError, CheckpointError
from benchmark.jobs import RunContext
from benchmark.models import Ensemble, Member
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.training import SavePoint
from defenses import DEFENSES, Defense
from defenses.vanilla import Vanilla

ASKED = {
    "datasets": "glyphs[classes=24,per_class=6]",
    "backbones": "smallconv[dim=8,width=0.25]",
    "attacks": "fgsm[objective=own]",
    "checks": False,
    "curve": {"attacks": [], "factors": []},
    "training": {"epochs": 2, "batch_size": 16, "validation": 0.2, "validations": 1},
}


class Scaled(Member):
    def forward(self, images):
        return 3 * super().forward(images)


class Half(Member):
    def forward(self, images):
        return super().forward(images).bfloat16()


class Complex(Member):
    def forward(self, images):
        return super().forward(images) + 0j


class Sparse(Member):
    def forward(self, images):
        return super().forward(images).to_sparse()


def rebuilt(kind):
    """A defense whose model is one member of another class."""

    class Rebuilt(Vanilla):
        def build(self, make_member, labels):
            member = make_member()
            return kind(member.embedder, member.criterion, member.dim)

    return Rebuilt


class Twice(Defense):
    def build(self, make_member, labels):
        member = make_member()
        return Ensemble([member, member])

    def loss(self, model, batch, attack):
        return sum(member.loss(member(batch.images), batch.labels) for member in model.members)


class Sized(Vanilla):
    """Gives a buffer its size in the first step."""

    def build(self, make_member, labels):
        member = make_member()
        member.register_buffer("queue", torch.zeros(0))
        return member

    def loss(self, model, batch, attack):
        model.queue = torch.zeros(len(batch.labels), 8)
        return super().loss(model, batch, attack)


class Centered(Member):
    """Embeds around a center that is no part of its state."""

    center = 0.0

    def forward(self, images):
        embeddings = super().forward(images)
        if self.training:
            self.center = embeddings.detach().mean(0)
        return torch.nn.functional.normalize(embeddings - 0.5 * self.center)


class Late(Member):
    """Makes a layer in the first step."""

    def forward(self, images):
        embeddings = super().forward(images)
        if self.training and not hasattr(self, "head"):
            self.head = torch.nn.Linear(8, 8)
        return embeddings


class Lazy(Member):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.head = torch.nn.LazyLinear(8)


class SparseBuffer(Member):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.register_buffer("mask", torch.eye(8).to_sparse())


class ComplexBuffer(Member):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.register_buffer("phase", torch.zeros(8, dtype=torch.complex128))


class ExtraState(Member):
    def get_extra_state(self):
        return {"steps": 3}

    def set_extra_state(self, state):
        pass


@pytest.fixture
def plan(tmp_path_factory, tmp_path, monkeypatch):
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    cache = tmp_path_factory.getbasetemp() / "cache"
    context = RunContext(output=tmp_path, cache=cache, data=cache, device="cpu", commit="", save_every=0)

    def plan(cls):
        DEFENSES.register("tried")(cls)
        grid = build_grid(resolve({**ASKED, "defenses": "tried"}), context.folders)
        training = next(m.job for m in grid.models if m.job.key.defense == "tried")
        attack = next(p.job for p in grid.attacks if p.job.key.defense == "tried" and p.job.attack != "none")
        return training, attack, context

    return plan


def test_embeddings_of_another_length_fail_the_training(plan):
    training, attack, context = plan(rebuilt(Scaled))
    with pytest.raises(BenchmarkError, match="The model's embeddings have length 3, not 1"):
        training.execute(context)
    assert context.store.model(training.id) is None
    # the checkpoint is there, so an attack that is run on it is refused too
    with pytest.raises(BenchmarkError, match="The model's embeddings have length 3, not 1"):
        attack.execute(context)


def test_state_that_is_not_saved_fails_the_training(plan):
    training, _, context = plan(rebuilt(Centered))
    with pytest.raises(BenchmarkError, match=r"embeds otherwise than .* in parameters or buffers") as caught:
        training.execute(context)
    assert len(str(caught.value).splitlines()) == 1
    assert context.store.model(training.id) is None


@pytest.mark.parametrize("cls", [rebuilt(Half), Twice])
def test_half_precision_and_shared_weights_are_trained_validated_attacked_and_scored(plan, cls):
    training, attack, context = plan(cls)
    assert training.execute(context) is None
    assert len(context.store.model(training.id).validations) == 1
    assert attack.execute(context) is None
    assert training.load(context)[0](torch.rand(2, 1, 32, 32)).dtype == torch.float32


@pytest.mark.parametrize(
    ("cls", "match"),
    [
        (Sized, r"queue has shape \(16, 8\) in it and \(0,\) in the model"),
        (rebuilt(Late), r"it holds head\.bias, which the model has not"),
    ],
)
def test_what_is_made_while_training_fails_it_after_the_first_epoch(plan, cls, match):
    training, _, context = plan(cls)
    with pytest.raises(CheckpointError, match=rf"The trained model does not fit .*{match}.*in `build`"):
        training.execute(context)
    assert SavePoint(context.store.unfinished(training.id)).notes() is None


@pytest.mark.parametrize(
    ("cls", "match"),
    [
        (rebuilt(Complex), "The model's embeddings are torch.complex64"),
        (rebuilt(Sparse), "The model's embeddings are a sparse tensor"),
        (rebuilt(Lazy), r"head\.weight has no size yet\. Use no lazy modules"),
        (rebuilt(SparseBuffer), "mask cannot be saved: it is a sparse tensor"),
        (rebuilt(ComplexBuffer), "phase cannot be saved: it is of type torch.complex128"),
        (rebuilt(ExtraState), "_extra_state cannot be saved: it is a dict"),
    ],
)
def test_what_cannot_be_saved_or_scored_is_refused_before_training(plan, cls, match, monkeypatch):
    monkeypatch.setattr(cls, "loss", lambda *_: pytest.fail("trained"))
    training, _, context = plan(cls)
    with pytest.raises(BenchmarkError, match=match) as caught:
        training.execute(context)
    assert len(str(caught.value).splitlines()) == 1
