"""PGD by other libraries on an embedder's classes, for `attack_speed.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from attacks import Problem

SCALE = 16.0
"""Factor on cosines that serve as class scores."""

AttackBatch = Callable[[Tensor, Tensor], object]
"""Attacks images, shape (b, C, H, W), of classes, shape (b,)."""


class Logits(torch.nn.Module):
    """Scaled cosines to the classes' centroids."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.embedder = problem.embedder
        self.directions = SCALE * problem.centroids.t()

    def forward(self, images: Tensor) -> Tensor:
        return self.embedder(images) @ self.directions


def list_peers(problem: Problem, steps: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yields each installed library's name, with a call that attacks the whole pool, batch by batch.

    Then the same, under the name with "-scored", with a forward pass of each batch after its attack.
    """
    model = Logits(problem).eval()
    for name, make in (("torchattacks", torchattacks_pgd), ("foolbox", foolbox_pgd), ("art", art_pgd)):
        if find_spec(name) is None:
            continue
        attack_batch = make(model, problem, steps)

        def attack_pool(attack_batch: AttackBatch = attack_batch, scored: bool = False) -> None:
            for index in problem.batches(problem.all_indices):
                images = problem.images[index]
                attack_batch(images, problem.labels[index])
                if scored:
                    with torch.no_grad():
                        model(images)

        yield name, attack_pool
        yield f"{name}-scored", partial(attack_pool, scored=True)


def torchattacks_pgd(model: Logits, problem: Problem, steps: int) -> AttackBatch:
    import torchattacks

    attack: AttackBatch = torchattacks.PGD(model, problem.eps, 2.5 / steps * problem.eps, steps)
    return attack


def foolbox_pgd(model: Logits, problem: Problem, steps: int) -> AttackBatch:
    import foolbox

    seen = foolbox.PyTorchModel(model, bounds=(0, 1), device=problem.device)
    attack = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / steps, steps=steps)
    return lambda images, labels: attack.run(seen, images, labels, epsilon=problem.eps)


def art_pgd(model: Logits, problem: Problem, steps: int) -> AttackBatch:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model,
        torch.nn.CrossEntropyLoss(),
        problem.shape[1:],
        problem.num_classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if problem.device.type == "cuda" else "cpu",
    )
    attack = ProjectedGradientDescent(
        classifier,
        eps=problem.eps,
        eps_step=2.5 / steps * problem.eps,
        max_iter=steps,
        num_random_init=1,
        batch_size=problem.batch_size,
        verbose=False,
    )
    # It takes and returns arrays on the CPU.
    return lambda images, labels: attack.generate(images.cpu().numpy(), labels.cpu().numpy())
