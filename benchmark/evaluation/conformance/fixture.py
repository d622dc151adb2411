"""The fixture of the conformance suite: tiny images, small members, and an attack of one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks.geometry import project
from benchmark.core.embedder import Embedder
from benchmark.core.errors import unknown_name
from benchmark.core.seeding import seed_everything
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member, frozen, frozen_embedders
from defenses import DEFENSES, Batch, Defense

CLASSES = 8
PER_CLASS = 6
BATCH = 24
EPS = 0.1
GRAY = (1, 16, 16)
COLOR = (3, 12, 12)
PHASES = (0.0, 0.99)
"""Values of `Batch.progress` at which a step is checked: a method may have phases."""

_STARTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "uniform": lambda images: EPS * (2 * torch.rand_like(images) - 1),
    "gaussian": lambda images: 0.001 * torch.randn_like(images),
    "clean": torch.zeros_like,
}
"""The noise that each start of the training attack adds to the images."""


class OneStep:
    """A short training attack: one signed step of eps / 2 from a random start.

    Attributes:
        inside: whether an objective is being evaluated.
    """

    def __init__(self) -> None:
        self.inside = False

    def __call__(
        self,
        objective: Callable[..., Tensor],
        images: Tensor,
        model: nn.Module,
        *,
        start: str = "uniform",
        given: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Returns adversarial images, detached; see `defenses.base.InnerMaximiser`."""
        if start not in _STARTS:
            raise unknown_name("start", start, _STARTS)
        noise = _STARTS[start](images)
        adversarial = project(images + noise, images, "linf", EPS).requires_grad_(True)
        with frozen(model):
            self.inside = True
            try:
                (gradient,) = torch.autograd.grad(objective(adversarial, *(given or ())).sum(), adversarial)
            finally:
                self.inside = False
        return project(adversarial.detach() + EPS / 2 * gradient.sign(), images, "linf", EPS).detach()


@dataclass(frozen=True)
class ConformanceFixture:
    """A defense with the data, members and attack to train and embed with it.

    Attributes:
        defense: the defense under test.
        shape: (C, H, W) of the images.
    """

    defense: Defense
    shape: tuple[int, int, int] = GRAY

    @property
    def labels(self) -> Tensor:
        """Classes of the training images, shape (n,)."""
        return torch.arange(CLASSES).repeat_interleave(PER_CLASS)

    @property
    def images(self) -> Tensor:
        """Training images, noise around one prototype for each class, shape (n, C, H, W) in [0, 1]."""
        generator = torch.Generator().manual_seed(0)
        prototypes = torch.rand(CLASSES, *self.shape, generator=generator)
        noise = torch.randn(CLASSES * PER_CLASS, *self.shape, generator=generator)
        return (prototypes[self.labels] + 0.15 * noise).clamp(0, 1)

    def batch(self, progress: float = 0.0, model: Embedder | None = None) -> Batch:
        """The training batch, in new tensors at each call, so that no check sees changes of another.

        Args:
            progress: the progress of the training.
            model: the model that is trained, by which the defense divides the images into strata.
        """
        index = torch.randperm(CLASSES * PER_CLASS, generator=torch.Generator().manual_seed(1))[:BATCH]
        strata = None if model is None else self.defense.strata(model)
        in_batch = None if strata is None else strata[index]
        return Batch(self.images[index], self.labels[index], index, progress, in_batch)

    def make_member(self, loss: str = "proxy_anchor") -> Member:
        """Builds a member with a narrow backbone and the loss of that name."""
        if not self.defense.trained:
            raise TypeError("a defense with trained = False gets no members")
        backbone = BACKBONES.build("smallconv[dim=8,width=0.25]")
        criterion = LOSSES.build(loss).build(CLASSES, backbone.dim)
        return Member(backbone.build(self.shape), criterion, backbone.dim)

    def teachers(self, seed: int = 0, loss: str = "proxy_anchor") -> dict[str, Embedder]:
        """Builds the models that the defense needs and trains them briefly; by their specs as in `needs`."""
        found = {}
        for text in self.defense.needs:
            fixture = ConformanceFixture(DEFENSES.build(text), self.shape)
            steps = 2 if fixture.defense.trained else 0
            teacher, _ = fixture.fit(seed, steps, loss)
            teacher.zero_grad()
            found[text] = teacher.eval().requires_grad_(False)
        return found

    def build(
        self, seed: int = 0, loss: str = "proxy_anchor", teachers: dict[str, Embedder] | None = None
    ) -> Embedder:
        """Builds the defense's model under a seed, in training mode.

        Args:
            seed: the seed.
            loss: name of the members' loss.
            teachers: the models that the defense needs; those of seed 0 when not given.
        """
        given = self.teachers(loss=loss) if teachers is None else teachers
        seed_everything("conformance", seed)
        labels = self.labels if self.defense.trained else self.labels[:0]
        model = self.defense.build_from(lambda: self.make_member(loss), labels, given).train()
        for held in frozen_embedders(model):  # as the training loop does
            held.eval()
        return model.to(memory_format=torch.channels_last)

    def loss(
        self, model: Embedder, seed: int = 0, attack: OneStep | None = None, progress: float = 0.0
    ) -> Tensor:
        """Computes the defense's loss of the batch under a seed."""
        seed_everything("conformance-step", seed)
        return self.defense.loss(model, self.batch(progress, model), attack or OneStep())

    def fit(self, seed: int = 0, steps: int = 1, loss: str = "proxy_anchor") -> tuple[Embedder, list[float]]:
        """Trains a new model on the batch; returns it with the loss of each step."""
        model = self.build(seed, loss)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01) if steps else None
        values = []
        for step in range(steps):
            value = self.loss(model, step % 6)  # six sets of random draws, used in turn
            assert optimizer is not None
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            values.append(float(value.detach()))
        return model, values

    def embed(self, model: Embedder, images: Tensor | None = None) -> Tensor:
        """Embeds images, by default the training images, in evaluation mode under a fixed seed."""
        seed_everything("conformance-embed")
        with torch.no_grad():
            return model.eval()(self.images if images is None else images)


def members_within(model: nn.Module) -> list[Member]:
    """Every member among the modules of a model, whether or not the model names it."""
    return [module for module in model.modules() if isinstance(module, Member)]


def precision(embeddings: Tensor) -> float:
    """What rounding may add to numbers of about 1 in the embeddings' own float type."""
    return 1e-2 if embeddings.dtype in (torch.float16, torch.bfloat16) else 1e-4
