"""Attacks on embedders that users can build from other libraries.

Torchattacks and foolbox attack class scores, so an embedder is wrapped in one of the subclasses of `Logits`.
Robrank's objectives are included, as implemented here. Where a library leaves a choice, or returns less than
it has found, the stronger variant is used:

- Steps are 2.5 eps / steps throughout, as in our `pgd`; foolbox's own would not cross the ball.
- APGD returns the clean image where it did not succeed. Both of its other results are used: the iterate of
  the highest loss, and the last successful one.
- Square returns the clean image where it did not succeed. Its best iterate is used. It stops at success,
  which by the scores of `gallery` is the failure of the query.
- Scores of randomized models are means over the same EOT samples as ours; stand-ins (BPDA) are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import foolbox
import torch
import torchattacks
from torch import Tensor

from attacks import ATTACKS, Problem
from benchmark.core.seeding import seed_everything

SCALE = 16.0
"""Factor on cosines that serve as class scores."""


class Logits(torch.nn.Module):
    """Class scores of an embedder's images, shape (b, scores); subclasses define the classes.

    A library's attack passes images without indices, sometimes only those that have not yet succeeded. Their
    indices are those of the nearest clean images of the batch set by `set_batch`.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.embedder = problem.embedder
        self._problem = problem
        self._index = problem.perturbed

    def set_batch(self, index: Tensor) -> None:
        """Sets the indices in the pool of the images that are attacked next."""
        self._index = index

    def labels(self) -> Tensor:
        """Classes that the attacked images should leave, shape (b,)."""
        return self._problem.labels[self._index]

    def scores(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Computes scores of embeddings, (b, d), of the pool's images at `index`."""
        raise NotImplementedError

    def _indices_of(self, images: Tensor) -> Tensor:
        if len(images) == len(self._index):
            return self._index
        clean = self._problem.images[self._index].flatten(1)
        order = float("inf") if self._problem.norm == "linf" else 2.0
        return self._index[torch.cdist(images.detach().flatten(1), clean, p=order).argmin(1)]

    def forward(self, images: Tensor) -> Tensor:
        problem, index = self._problem, self._indices_of(images)
        repeated = images.repeat(problem.eot_samples, 1, 1, 1)
        stand_in = self.embedder.differentiable()
        embeddings = stand_in(repeated)
        if stand_in is not self.embedder:
            with torch.no_grad():
                true = self.embedder(repeated)
            embeddings = true + (embeddings - embeddings.detach())
        scores = self.scores(embeddings, index.repeat(problem.eot_samples))
        return scores.view(problem.eot_samples, len(images), -1).mean(0)


class ByCentroid(Logits):
    """Scaled cosines to the classes' clean centroids; the label is the class."""

    def scores(self, embeddings: Tensor, index: Tensor) -> Tensor:
        return SCALE * embeddings @ self._problem.centroids.t()


class ByGallery(Logits):
    """Scaled cosine to the nearest clean image of each class, without the query's own.

    The highest score is thus the nearest neighbor's class, and the attack succeeds where R@1 fails.
    """

    def scores(self, embeddings: Tensor, index: Tensor) -> Tensor:
        problem = self._problem
        cosines = embeddings @ problem.clean.t()
        itself = index.unsqueeze(1) == torch.arange(len(problem), device=index.device)
        cosines = cosines.masked_fill(itself, -2.0)  # below any cosine: classes of one image
        nearest = cosines.new_full((len(index), problem.num_classes), -2.0)
        return SCALE * nearest.scatter_reduce(1, problem.labels.expand(len(index), -1), cosines, "amax")


class ByShift(Logits):
    """The scaled cosine to the image's own clean embedding against 0: embedding shift, without labels."""

    def labels(self) -> Tensor:
        return torch.zeros_like(self._index)

    def scores(self, embeddings: Tensor, index: Tensor) -> Tensor:
        cosine = (embeddings * self._problem.clean[index]).sum(1, keepdim=True)
        return SCALE * torch.cat([cosine, torch.zeros_like(cosine)], dim=1)


WRAPPERS = {"centroid": ByCentroid, "gallery": ByGallery, "shift": ByShift}


@dataclass(frozen=True)
class Budget:
    """The budget of each attack."""

    norm: str
    eps: float
    steps: int
    queries: int

    @property
    def step(self) -> float:
        """Size of a step in units of eps, as in our `pgd`."""
        return 2.5 / self.steps


Attacked = list[Tensor]
"""Attacked images of one attack; several versions where a library has found more than it returns."""

AttackBatch = Callable[[Logits, Budget, Tensor, Tensor], Attacked]
"""Attacks a batch: scores, budget, images, labels."""


def torchattacks_pgd(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Attacked:
    make = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[budget.norm]
    return [make(model, budget.eps, budget.step * budget.eps, budget.steps)(images, labels)]


def torchattacks_mifgsm(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Attacked:
    found = torchattacks.MIFGSM(model, budget.eps, budget.step * budget.eps, budget.steps)(images, labels)
    return [torch.where(found.isfinite(), found, images)]  # it divides by zero gradients


def torchattacks_apgd(
    model: Logits, budget: Budget, images: Tensor, labels: Tensor, *, loss: str
) -> Attacked:
    norm = {"linf": "Linf", "l2": "L2"}[budget.norm]
    attack = torchattacks.APGD(model, norm, budget.eps, budget.steps, loss=loss)
    highest, _, _, succeeded = attack.attack_single_run(images, labels)
    return [highest.detach(), succeeded.detach()]


def torchattacks_square(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Attacked:
    norm = {"linf": "Linf", "l2": "L2"}[budget.norm]
    attack = torchattacks.Square(model, norm, budget.eps, n_queries=budget.queries)
    attack.init_hyperparam(images)
    return [attack.attack_single_run(images, labels)[1]]


def foolbox_descent(
    model: Logits, budget: Budget, images: Tensor, labels: Tensor, *, make: dict[str, type]
) -> Attacked:
    attack = make[budget.norm](rel_stepsize=budget.step, steps=budget.steps)
    seen = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    return [attack.run(seen, images, labels, epsilon=budget.eps)]


def foolbox_cw(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Attacked:
    # Larger steps and constants than its defaults, which are for 10,000 steps; it costs more than the others.
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=4, steps=budget.steps, stepsize=0.1, initial_const=0.1
    )
    seen = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    return [attack(seen, images, labels, epsilons=budget.eps)[1]]


PGD = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}
BIM = {
    "linf": foolbox.attacks.LinfBasicIterativeAttack,
    "l2": foolbox.attacks.L2BasicIterativeAttack,
}
MEASURES = ("es", "ltm", "gtm", "gtt", "qa_plus", "qa_minus", "tma")
"""Robrank's attacks on queries; those on candidates, CA+ and CA-, move one image in one query's ranking."""

NORMS = ("linf", "l2")


class Library(NamedTuple):
    """One attack of a library.

    Attributes:
        name: shown in the table.
        attack_batch: attacks one batch.
        wrappers: names of the wrappers it is run with.
        norms: supported norms.
        random: whether another round would differ from the first.
    """

    name: str
    attack_batch: AttackBatch
    wrappers: tuple[str, ...]
    norms: tuple[str, ...] = NORMS
    random: bool = True


CLASSES, ALL = ("centroid", "gallery"), ("centroid", "gallery", "shift")
LIBRARIES = [
    Library("torchattacks PGD", torchattacks_pgd, ALL),
    Library("torchattacks MIFGSM", torchattacks_mifgsm, CLASSES, ("linf",), random=False),
    Library("torchattacks APGD, CE", partial(torchattacks_apgd, loss="ce"), ALL),
    Library("torchattacks APGD, DLR", partial(torchattacks_apgd, loss="dlr"), CLASSES),
    Library("torchattacks Square", torchattacks_square, CLASSES),
    Library("foolbox PGD", partial(foolbox_descent, make=PGD), ALL),
    Library("foolbox BasicIterative", partial(foolbox_descent, make=BIM), CLASSES, random=False),
    Library("foolbox CarliniWagner", foolbox_cw, CLASSES, ("l2",), random=False),
]

Run = Callable[[Problem, int], Attacked]
"""Attacks the whole pool; the number of the round seeds random starts."""


def with_wrapper(attack_batch: AttackBatch, wrapper: str, budget: Budget, name: str) -> Run:
    """Makes a library's attack on the whole pool, through a wrapper, batch by batch."""

    def run(problem: Problem, round_number: int) -> Attacked:
        model = WRAPPERS[wrapper](problem).eval()
        parts = []
        for index in problem.batches(problem.perturbed):
            seed_everything("peers", name, wrapper, problem.seed, round_number, int(index[0]))
            model.set_batch(index)
            parts.append(attack_batch(model, budget, problem.images[index].clone(), model.labels()))
        return [torch.cat(versions).detach() for versions in zip(*parts, strict=True)]

    return run


def of_our_code(spec: str) -> Run:
    """Makes an attack of the registry."""

    def run(problem: Problem, round_number: int) -> Attacked:
        seed_everything("peers", spec, problem.seed, round_number)
        return [ATTACKS.build(spec).run(problem).images]

    return run


def list_peers(budget: Budget, random_only: bool = False) -> dict[str, Run]:
    """Returns every peer by its name in the table; optionally only those that depend on random numbers."""
    runs = {}
    for library in LIBRARIES:
        if budget.norm in library.norms and (library.random or not random_only):
            for wrapper in library.wrappers:
                run = with_wrapper(library.attack_batch, wrapper, budget, library.name)
                runs[f"{library.name}, {wrapper}"] = run
    for measure in () if random_only else MEASURES:
        runs[f"robrank {measure}"] = of_our_code(f"robrank[measure={measure},steps={budget.steps}]")
    return runs
