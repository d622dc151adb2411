"""The contract of losses: a finite scalar with a gradient, and proxies as declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.errors import UsageError
from benchmark.core.seeding import seed_everything
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.losses import Criterion, Loss, wrong_criterion, wrong_loss

CLASSES = 6
PER_CLASS = 4
DIM = 8


@dataclass(frozen=True)
class LossFixture:
    """A loss, with embeddings to compute it on.

    Attributes:
        component: the loss under test.
    """

    component: Loss

    @property
    def labels(self) -> Tensor:
        """Classes, shape (n,)."""
        return torch.arange(CLASSES).repeat_interleave(PER_CLASS)

    @property
    def embeddings(self) -> Tensor:
        """Unit vectors, loosely around one for each class, which require a gradient, shape (n, DIM)."""
        generator = torch.Generator().manual_seed(0)
        centers = torch.randn(CLASSES, DIM, generator=generator)
        noise = torch.randn(CLASSES * PER_CLASS, DIM, generator=generator)
        return F.normalize(centers[self.labels] + noise).requires_grad_(True)

    def build(self, seed: int = 0) -> Criterion:
        """Builds the criterion under a seed."""
        seed_everything("conformance-loss", seed)
        return self.component.build(CLASSES, DIM).train()


LOSS: Contract[Loss, LossFixture] = Contract(Loss, lambda loss, folders: LossFixture(loss))


@LOSS.check(
    "build(num_classes, dim) returns a Criterion.",
    "Return Criterion(loss, cosines) from benchmark.losses, with the loss of pytorch-metric-learning or a "
    "module of its form.",
)
def builds(fixture: LossFixture) -> None:
    """Checks what `build` returns."""
    criterion = fixture.build()
    if reason := wrong_criterion(criterion):
        raise ContractError(reason)


@LOSS.check(
    "The loss is a finite scalar whose gradient reaches the embeddings and every weight of the criterion.",
    "Return one tensor of shape (), a mean or a sum, computed without detach(); register proxies as "
    "parameters.",
    after=("builds",),
)
def scalar(fixture: LossFixture) -> None:
    """Checks the loss of a batch with several images of each class."""
    criterion, embeddings = fixture.build(), fixture.embeddings
    loss = criterion(embeddings, fixture.labels)
    if reason := wrong_loss(loss):
        raise ContractError(reason)
    if not torch.isfinite(loss):
        raise ContractError(f"the loss is {float(loss.detach())}")
    loss.backward()
    gradients = {"the embeddings": embeddings.grad} | {n: p.grad for n, p in criterion.named_parameters()}
    for name, gradient in gradients.items():
        if gradient is None or not gradient.any():
            raise ContractError(f"no gradient reaches {name}")
        if not torch.isfinite(gradient).all():
            raise ContractError(f"the gradient of {name} is not finite")


@LOSS.check(
    "The loss of a batch with one image of each class is finite, with a gradient.",
    "Return a value of 0 that keeps its graph, such as 0 * embeddings.sum(), where a batch holds no tuple.",
    after=("scalar",),
)
def no_tuples(fixture: LossFixture) -> None:
    """Checks a batch in which no two images are of one class, as a small last batch may be."""
    embeddings = fixture.embeddings
    loss = fixture.build()(embeddings[::PER_CLASS], fixture.labels[::PER_CLASS])
    if not torch.isfinite(loss):
        raise ContractError(f"the loss is {float(loss.detach())}")
    if not loss.requires_grad:
        raise ContractError("the loss carries no gradient, so a training step would fail")
    loss.backward()
    if embeddings.grad is None or not torch.isfinite(embeddings.grad).all():
        raise ContractError("the gradient of the embeddings is missing or not finite")


@LOSS.check(
    "`has_proxies` is True exactly for a loss with proxies, and class_cosines gives a cosine for each class.",
    "Give Criterion the function `cosines` when the loss has proxies, such as cosines_to_rows, and set "
    "has_proxies accordingly.",
    after=("builds",),
)
def proxies(fixture: LossFixture) -> None:
    """Checks the declaration that defenses with `needs_proxies` rely on."""
    criterion = fixture.build()
    embeddings = fixture.embeddings
    try:
        cosines = criterion.class_cosines(embeddings)
    except UsageError:
        if fixture.component.has_proxies:
            raise ContractError("has_proxies is True, but the criterion has no class_cosines") from None
        return
    if not fixture.component.has_proxies:
        raise ContractError("has_proxies is False, but the criterion has class_cosines")
    wanted = (len(embeddings), CLASSES)
    if tuple(cosines.shape) != wanted:
        raise ContractError(f"class_cosines has shape {tuple(cosines.shape)}, not {wanted}")
    if not torch.isfinite(cosines).all() or float(cosines.detach().abs().max()) > 1 + 1e-4:
        raise ContractError("class_cosines has values outside [-1, 1]")


@LOSS.check(
    "Steps that lower the loss bring images of one class together; the embeddings stay as they are given.",
    "Return what is to be minimized (a similarity of images of one class counts negatively), and compute it "
    "from the embeddings without changing them in place.",
    after=("scalar", "proxies"),
)
def gathers(fixture: LossFixture) -> None:
    """Checks the sign of the loss, by steps on free embeddings and on the weights of the criterion."""
    criterion, labels = fixture.build(), fixture.labels
    generator = torch.Generator().manual_seed(1)
    free = torch.randn(len(labels), DIM, generator=generator).requires_grad_(True)
    optimizer = torch.optim.Adam([free, *criterion.parameters()], lr=0.05)
    for _ in range(100):
        embeddings = F.normalize(free)
        before = embeddings.detach().clone()
        loss = criterion(embeddings, labels)
        if not torch.equal(embeddings.detach(), before):
            raise ContractError("it changes the embeddings in place")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    embeddings = F.normalize(free.detach())
    alike = embeddings @ embeddings.t()
    alike.fill_diagonal_(float("nan"))  # of an image with itself
    compared = {"images of their class": (alike, labels[:, None] == labels)}
    if fixture.component.has_proxies:
        with torch.no_grad():
            cosines = criterion.class_cosines(embeddings)
        compared["their proxy"] = cosines, labels[:, None] == torch.arange(CLASSES)
    for what, (cosines, own) in compared.items():
        near, far = float(cosines[own].nanmean()), float(cosines[~own].mean())
        if near <= far:
            raise ContractError(
                f"after 100 steps embeddings have a cosine of {near:.2f} with {what}, {far:.2f} with others"
            )


@LOSS.check(
    "A criterion read from a checkpoint, after some steps, gives the same loss.",
    "Keep everything that the loss depends on in parameters or buffers, also what it counts.",
    after=("scalar",),
)
def checkpoint(fixture: LossFixture) -> None:
    """Checks the round trip of the state, as when a training is resumed."""
    first, second = fixture.build(1), fixture.build(2)
    for _ in range(3):
        first(fixture.embeddings, fixture.labels)
    second.load_state_dict(first.state_dict())
    values = []
    for criterion in (first, second):
        seed_everything("conformance-loss")
        values.append(criterion(fixture.embeddings, fixture.labels).detach())
    if not torch.equal(*values):
        raise ContractError("a saved criterion gives another loss after it is read")


@LOSS.check_settings(after=("scalar",))
def use(fixture: LossFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    embeddings, labels = fixture.embeddings, fixture.labels
    return lambda: fixture.component.build(CLASSES, DIM)(embeddings, labels)
