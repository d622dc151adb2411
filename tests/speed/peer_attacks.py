"""The attacks that users put together from today's libraries, for embedders.

Torchattacks and foolbox attack class scores, so an embedder is wrapped, in each of the ways of `Logits`.
Beside them stand robrank's objectives, as our code has them. Where a library leaves a choice, or returns less
than it has found, it is helped:

- FixedSteps are 2.5 eps / steps throughout, as our `pgd`'s; foolbox's own would not cross the ball in so few.
- APGD returns the clean image where it did not succeed. Taken are both things that it has found: the iterate
  of the highest loss, and the last that succeeded.
- Square returns the clean image where it did not succeed. Taken is the best that it has found. It stops at
  success, which by the scores of `gallery` is the failure of the query.
- Scores of random models are means over the same passes as ours (EOT); stand-ins (BPDA) are used.
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
"""Factor on cosines that are taken for scores, the same as in our `centroid_ce`."""


class Logits(torch.nn.Module):
    """Scores of an embedder's images, shape (b, scores); subclasses say of what.

    A library's attack hands on images alone, at times only those of a batch that have not yet succeeded.
    Which they are is told by the nearest clean image of the batch that was announced.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.embedder = problem.embedder
        self._problem = problem
        self._index = problem.perturbed

    def announce(self, index: Tensor) -> None:
        """Says which images, by index in the pool, will be attacked next."""
        self._index = index

    def labels(self) -> Tensor:
        """What the announced images are to be driven away from, shape (b,)."""
        return self._problem.labels[self._index]

    def scores(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Scores of embeddings, (b, d), of the pool's images at `index`."""
        raise NotImplementedError

    def _which(self, images: Tensor) -> Tensor:
        if len(images) == len(self._index):
            return self._index
        clean = self._problem.images[self._index].flatten(1)
        order = float("inf") if self._problem.norm == "linf" else 2.0
        return self._index[torch.cdist(images.detach().flatten(1), clean, p=order).argmin(1)]

    def forward(self, images: Tensor) -> Tensor:
        problem, index = self._problem, self._which(images)
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
    """Scaled cosine to the nearest clean image of each class, the query's own left out.

    The highest score is thus the nearest neighbour's class, and the attack succeeds where R@1 fails.
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
    """What each attack may do."""

    norm: str
    eps: float
    steps: int
    queries: int

    @property
    def step(self) -> float:
        """The size of a step in units of eps, the same as our `pgd`'s."""
        return 2.5 / self.steps


Found = list[Tensor]
"""One attack's images; several where a library has found more than it returns."""

Climb = Callable[[Logits, Budget, Tensor, Tensor], Found]
"""Attacks a batch: scores, budget, images, labels."""


def torchattacks_pgd(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Found:
    make = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[budget.norm]
    return [make(model, budget.eps, budget.step * budget.eps, budget.steps)(images, labels)]


def torchattacks_mifgsm(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Found:
    found = torchattacks.MIFGSM(model, budget.eps, budget.step * budget.eps, budget.steps)(images, labels)
    return [torch.where(found.isfinite(), found, images)]  # it divides by gradients of zero


def torchattacks_apgd(model: Logits, budget: Budget, images: Tensor, labels: Tensor, *, loss: str) -> Found:
    norm = {"linf": "Linf", "l2": "L2"}[budget.norm]
    attack = torchattacks.APGD(model, norm, budget.eps, budget.steps, loss=loss)
    highest, _, _, succeeded = attack.attack_single_run(images, labels)
    return [highest.detach(), succeeded.detach()]


def torchattacks_square(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Found:
    norm = {"linf": "Linf", "l2": "L2"}[budget.norm]
    attack = torchattacks.Square(model, norm, budget.eps, n_queries=budget.queries)
    attack.init_hyperparam(images)
    return [attack.attack_single_run(images, labels)[1]]


def foolbox_descent(
    model: Logits, budget: Budget, images: Tensor, labels: Tensor, *, make: dict[str, type]
) -> Found:
    attack = make[budget.norm](rel_stepsize=budget.step, steps=budget.steps)
    seen = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    return [attack.run(seen, images, labels, epsilon=budget.eps)]


def foolbox_cw(model: Logits, budget: Budget, images: Tensor, labels: Tensor) -> Found:
    # Larger steps and constants than its own, which are made for 10,000 steps; and more passes than others.
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
    """One attack of a library: its name, how it climbs, the wrappers it is run with, the norms it knows, and
    whether another round would differ from the first."""

    name: str
    climb: Climb
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

Run = Callable[[Problem, int], Found]
"""Attacks the whole pool, in a round that seeds its random starts."""


def through(climb: Climb, wrapper: str, budget: Budget, name: str) -> Run:
    """A library's attack on the whole pool, through a wrapper, batch by batch."""

    def run(problem: Problem, turn: int) -> Found:
        model = WRAPPERS[wrapper](problem).eval()
        parts = []
        for index in problem.batches(problem.perturbed):
            seed_everything("peers", name, wrapper, problem.seed, turn, int(index[0]))
            model.announce(index)
            parts.append(climb(model, budget, problem.images[index].clone(), model.labels()))
        return [torch.cat(found).detach() for found in zip(*parts, strict=True)]

    return run


def of_our_code(spec: str) -> Run:
    """An attack of the registry."""

    def run(problem: Problem, turn: int) -> Found:
        seed_everything("peers", spec, problem.seed, turn)
        return [ATTACKS.build(spec).run(problem).images]

    return run


def list_peers(budget: Budget, again: bool = False) -> dict[str, Run]:
    """Every peer, by the name that the table shows; those alone that draw at random, if it is run again."""
    runs = {}
    for library in LIBRARIES:
        if budget.norm in library.norms and (library.random or not again):
            for wrapper in library.wrappers:
                run = through(library.climb, wrapper, budget, library.name)
                runs[f"{library.name}, {wrapper}"] = run
    for measure in () if again else MEASURES:
        runs[f"robrank {measure}"] = of_our_code(f"robrank[measure={measure},steps={budget.steps}]")
    return runs
