"""Sparse attacks: the pixels that raise the objective most are set to black or white."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.base import ATTACKS
from attacks.geometry import Ball
from attacks.optimisers.pgd import IterativeAttack
from attacks.optimisers.updates import Update


@ATTACKS.register("jsma")
class JSMA(IterativeAttack):
    """Greedy saliency in L0, after JSMA (Papernot et al. 2016, arXiv 1511.07528), from the clean image.

    A pixel's saliency is what the objective would gain, to first order, if each of its channels went to the
    end of the range that its gradient points to. Every step takes the gradient anew and sets the most salient
    pixels to these ends, as many that the last step reaches the budget; what is changed stays changed. Where
    there are more steps than pixels, the steps between exchange changed pixels for more salient ones.

    Adapted: JSMA's saliency map is of the classifier's Jacobian, with the gain of a target class where all
    others fall, for pairs of values and until the class changes; an objective on embeddings has one gradient,
    and the best iterate is kept.
    """

    norms: ClassVar[tuple[str, ...]] = ("l0",)
    start: ClassVar[Literal["random", "clean"]] = "clean"

    def make_update(self) -> Update:
        """Makes steps that spread the budget over their number."""
        return SaliencyUpdate(self.steps)


class SaliencyUpdate(Update):
    """Sets the most salient pixels to the ends of the range.

    Args:
        steps: number of steps that the budget is spread over.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """Changes further pixels, or exchanges some where no further one is due."""
        self._step += 1
        clean = ball.clean
        count = -(-ball.pixels * self._step // self._steps)
        # Where the gradient is zero a change gains nothing, so the clean value stays.
        ends = torch.where(gradient > 0, 1.0, torch.where(gradient < 0, 0.0, clean))
        changed = (images != clean).any(1).flatten(1)
        gain = (gradient * (ends - clean)).sum(1).flatten(1)
        kept = (gradient * (images - clean)).sum(1).flatten(1)
        growing = changed.sum(1, keepdim=True) < count
        worth = torch.where(changed, kept, gain).masked_fill(changed & growing, torch.inf)
        best = worth.topk(count, dim=1).indices
        chosen = torch.zeros_like(changed).scatter_(1, best, True).view(len(images), 1, *images.shape[2:])
        was_changed = changed.view_as(chosen)
        return torch.where(chosen & ~was_changed, ends, torch.where(chosen, images, clean))
