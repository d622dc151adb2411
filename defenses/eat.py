"""Ensemble Adversarial Training for metric learning, reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.models import Ensemble, Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range


def stratified_parts(labels: Tensor, parts: int) -> Tensor:
    """Deals the images of each class at random into parts of sizes that differ by at most one.

    Args:
        labels: classes, shape (n,).
        parts: number of parts.

    Returns:
        The part of each image, in [0, parts), shape (n,).
    """
    part = torch.empty_like(labels)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        # A random first part for each class: else the spare images would all go to the first parts.
        offset = int(torch.randint(parts, ()))
        dealt = (torch.arange(len(members), device=labels.device) + offset) % parts
        part[members[torch.randperm(len(members)).to(labels.device)]] = dealt
    return part


class SplitEnsemble(Ensemble):
    """An ensemble that remembers which part of the training set each image is in.

    Args:
        members: the models.
        part: the part of each training image, shape (n,).
    """

    part: Tensor

    def __init__(self, members: list[Member], part: Tensor) -> None:
        super().__init__(members)
        self.register_buffer("part", part)


@DEFENSES.register("eat")
class EAT(Defense):
    """Ensemble Adversarial Training (Ke 2025, arXiv 2501.01025): a reconstruction from what is public of it.

    Public: the training set is split at random in N parts, and each member trains on a combination of them
    (diversity); a self-transferring mechanism uses statistics of the whole ensemble's robustness in the
    update of every single model; the loss is Proxy Anchor.

    Reconstructed: the combinations (`split`), the self-transfer as a choice of the models that the
    adversarial images are made on (`transfer`), parts that are stratified so that every member sees every
    class, and the concatenation of embeddings at test time. A step minimises the sum over members i of
    L(f_i(x'), y) on the images of member i's parts.

    Unknown here: the number of members, how parts are combined, which statistics of robustness are meant and
    how they enter the update, whether members share proxies, every weight and constant, and the tables. The
    defaults are choices of this project. Not to be confused with the ensemble adversarial training of Tramer
    et al. 2018, which takes static examples from pre-trained models.

    With split=none and transfer=self it is `ensemble_at`, the control.

    Attributes:
        members: number N of members, each with its own initialisation.
        split: "leave_one_out": member i trains on every part but the i-th; "disjoint": on the i-th alone;
            "none": on everything.
        transfer: on what the adversarial images that member i trains on are made. "ensemble": on the sum of
            all the members' losses; "peers": one N-th of the batch on each member; "self": on member i.
        proxies: "own": each member has proxies, and so a space, of its own; "shared": one set for all, which
            aligns their spaces. No difference under a loss without proxies.
    """

    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {
        "split": ("leave_one_out", "disjoint", "none"),
        "transfer": ("ensemble", "peers", "self"),
    }

    members: int = Field(default=3, ge=1, le=10)
    split: Literal["leave_one_out", "disjoint", "none"] = "leave_one_out"
    transfer: Literal["ensemble", "peers", "self"] = "ensemble"
    proxies: Literal["own", "shared"] = "own"

    @model_validator(mode="after")
    def _some_data_for_each(self) -> Any:
        if self.members == 1 and self.split == "leave_one_out":
            raise ValueError(
                "with members=1, split=leave_one_out leaves no image to train on; use split=none"
            )
        return self

    def build(self, make_member: MemberFactory, labels: Tensor) -> SplitEnsemble:
        """An ensemble, and the split of the training set."""
        members = [make_member() for _ in range(self.members)]
        if self.proxies == "shared":
            for member in members[1:]:
                member.criterion = members[0].criterion
        return SplitEnsemble(members, stratified_parts(labels, self.members))

    def trains_on(self, member: int, part: Tensor) -> Tensor:
        """Which images, by their parts, a member trains on; a mask of the shape of `part`."""
        if self.split == "leave_one_out":
            return part != member
        if self.split == "disjoint":
            return part == member
        return torch.ones_like(part, dtype=torch.bool)

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The sum of the members' losses, each on adversarial images of its own parts of the batch."""
        ensemble = cast("SplitEnsemble", model)
        masks = [self.trains_on(i, ensemble.part[batch.index]) for i in range(self.members)]
        total = batch.images.new_zeros(())
        for member, mask, images in zip(
            ensemble.members, masks, self._adversarial(ensemble, batch, masks, attack), strict=True
        ):
            if int(mask.sum()) > 1:  # batch norm cannot train on a single image
                total = total + member.loss(member(images), batch.labels[mask])
        if not total.requires_grad:
            raise UsageError(
                f"{self.spec}: a batch of {len(batch.labels)} leaves no member two images; raise batch_size."
            )
        return total

    def _adversarial(
        self, ensemble: SplitEnsemble, batch: Batch, masks: list[Tensor], attack: InnerMaximiser
    ) -> list[Tensor]:
        """The adversarial images that each member trains on."""

        def joint(images: Tensor) -> Tensor:
            losses = [member.loss(member(images), batch.labels) for member in ensemble.members]
            return torch.stack(losses).sum()

        if self.transfer == "ensemble":
            shared = attack(joint, batch.images, ensemble)
            return [shared[mask] for mask in masks]
        if self.transfer == "self":
            return [
                self._made_on(member, batch.images[mask], batch.labels[mask], attack)
                for member, mask in zip(ensemble.members, masks, strict=True)
            ]
        shared = batch.images.clone()
        for i, member in enumerate(ensemble.members):
            share = torch.arange(len(batch.labels), device=batch.labels.device) % self.members == i
            if share.any():
                shared[share] = self._made_on(member, batch.images[share], batch.labels[share], attack)
        return [shared[mask] for mask in masks]

    @staticmethod
    def _made_on(member: Member, images: Tensor, labels: Tensor, attack: InnerMaximiser) -> Tensor:
        if not len(images):
            return images
        return attack(lambda candidates: member.loss(member(candidates), labels), images, member)
