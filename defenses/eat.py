"""Ensemble Adversarial Training for metric learning, reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.core.transfer import to_device
from benchmark.models import Ensemble, Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range


def stratified_parts(labels: Tensor, parts: int) -> Tensor:
    """Splits the images of each class at random into parts whose sizes differ by at most one.

    Args:
        labels: classes, shape (n,).
        parts: number of parts.

    Returns:
        The part of each image, in [0, parts), shape (n,).
    """
    part = torch.empty_like(labels)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        # A random first part for each class; otherwise the first parts would get all surplus images.
        offset = int(torch.randint(parts, ()))
        assigned = (torch.arange(len(members), device=labels.device) + offset) % parts
        part[members[torch.randperm(len(members)).to(labels.device)]] = assigned
    return part


class SplitEnsemble(Ensemble):
    """An ensemble with the split of the training set as a buffer.

    Args:
        members: the members.
        part: the part of each training image, shape (n,).
    """

    part: Tensor

    def __init__(self, members: list[Member], part: Tensor) -> None:
        super().__init__(members)
        self.register_buffer("part", part)

    def joint_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Computes the sum of all members' losses, a scalar, of images with labels, shape (n,)."""
        return torch.stack([member.loss_of_images(images, labels) for member in self.members]).sum()


@DEFENSES.register("eat")
class EAT(Defense):
    """Ensemble Adversarial Training (Ke 2025, arXiv 2501.01025): reconstructed from its public description.

    Public: the training set is split at random into N parts, and each member trains on a combination of them
    (diversity); a self-transferring mechanism uses statistics of the whole ensemble's robustness in the
    update of every single model; the loss is Proxy Anchor.

    Reconstructed: the combinations (`split`), the self-transfer as a choice of the models that the
    adversarial images are computed on (`transfer`), stratified parts, so that every member sees every class,
    and the concatenation of embeddings at test time. A step minimizes the sum over members i of
    L(f_i(x'), y) on the images of member i's parts. Every batch of an epoch holds the same share of each
    part, so that each member sees batches of one size (where the batch size is no multiple of the number of
    parts, which parts have an image more is drawn anew in each epoch).

    Unknown here: the number of members, how parts are combined, which statistics of robustness are meant and
    how they enter the update, whether members share proxies, every weight and constant, and the tables. The
    defaults are choices of this project. Not to be confused with the ensemble adversarial training of Tramer
    et al. 2018, which takes static examples from pre-trained models.

    With split=none and transfer=self it is `ensemble_at`, the control.

    Attributes:
        members: number N of members, each with its own initialization.
        split: "leave_one_out": member i trains on every part but the i-th; "disjoint": only on the i-th;
            "none": on everything.
        transfer: which loss the adversarial images of member i maximize. "ensemble": the sum of all members'
            losses; "peers": for each N-th of the batch, the loss of another member; "self": the loss of
            member i.
        proxies: "own": each member has its own proxies, and so its own embedding space; "shared": one set for
            all, which aligns their spaces. No difference for a loss without proxies.
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
    def _check_that_each_member_has_images(self) -> Any:
        if self.members == 1 and self.split == "leave_one_out":
            raise ValueError(
                "with members=1, split=leave_one_out leaves no image to train on; use split=none"
            )
        return self

    def build(self, make_member: MemberFactory, labels: Tensor) -> SplitEnsemble:
        """Builds an ensemble with the split of the training set."""
        members = [make_member() for _ in range(self.members)]
        if self.proxies == "shared":
            for member in members[1:]:
                member.criterion = members[0].criterion
        return SplitEnsemble(members, stratified_parts(labels, self.members))

    def trains_on(self, member: int, part: Tensor) -> Tensor:
        """Selects the images that a member trains on.

        Args:
            member: index of the member.
            part: parts of the images, any shape.

        Returns:
            A Boolean mask of the shape of `part`.
        """
        if self.split == "leave_one_out":
            return part != member
        if self.split == "disjoint":
            return part == member
        return torch.ones_like(part, dtype=torch.bool)

    def strata(self, model: Embedder) -> Tensor | None:
        """Returns the split of the training set; None where every member trains on all of it."""
        return None if self.split == "none" else cast("SplitEnsemble", model).part

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the sum of the members' losses, each on adversarial images of its own parts of the batch.

        Raises:
            UsageError: when the batch is so small that no member has two images.
        """
        ensemble = cast("SplitEnsemble", model)
        rows = self._rows(ensemble, batch)
        total = batch.images.new_zeros(())
        for member, row, images in zip(
            ensemble.members, rows, self._adversarial(ensemble, batch, rows, attack), strict=True
        ):
            if len(row) > 1:  # batch norm cannot train on a single image
                total = total + member.loss(member(images), batch.labels[row])
        if not total.requires_grad:
            raise UsageError(
                f"{self.spec}: a batch of {len(batch.labels)} leaves no member two images; raise batch_size."
            )
        return total

    def _rows(self, ensemble: SplitEnsemble, batch: Batch) -> list[Tensor]:
        """Returns the rows of the batch that each member trains on, ascending, on the images' device."""
        if self.split == "none":
            return [torch.arange(len(batch.labels), device=batch.images.device)] * self.members
        # Selected on the CPU: on a GPU, the number of rows would have to be waited for.
        part = ensemble.part[batch.index].cpu() if batch.strata is None else batch.strata
        masks = [self.trains_on(i, part) for i in range(self.members)]
        return [to_device(mask.nonzero()[:, 0], batch.images.device) for mask in masks]

    def _adversarial(
        self, ensemble: SplitEnsemble, batch: Batch, rows: list[Tensor], attack: InnerMaximiser
    ) -> list[Tensor]:
        """Computes the adversarial images that each member trains on, in the order of its rows."""
        if self.transfer == "ensemble":
            shared = attack(ensemble.joint_loss, batch.images, ensemble, given=[batch.labels])
            return [shared[row] for row in rows]
        if self.transfer == "self":
            return [
                self._attack_member(member, batch.images[row], batch.labels[row], attack)
                for member, row in zip(ensemble.members, rows, strict=True)
            ]
        shared = batch.images.clone()
        for i, member in enumerate(ensemble.members):
            nth = slice(i, None, self.members)
            shared[nth] = self._attack_member(member, batch.images[nth], batch.labels[nth], attack)
        return [shared[row] for row in rows]

    @staticmethod
    def _attack_member(member: Member, images: Tensor, labels: Tensor, attack: InnerMaximiser) -> Tensor:
        if not len(images):
            return images
        return attack(member.loss_of_images, images, member, given=[labels])
