"""Mixup and the methods that build on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.transfer import to_device
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range
from defenses.mixing import MixedWithStored, hidden_layers, mixed_at


@DEFENSES.register("mixup")
class Mixup(Defense):
    """Mixup (Zhang et al. 2018, arXiv 1710.09412, eq. 1), and three methods that build on it.

    Images are mixed in pairs, x = lambda x_a + (1 - lambda) x_b, and the loss is lambda L(f(x), y_a) +
    (1 - lambda) L(f(x), y_b). Adapted: one lambda for the whole batch, because a loss like Proxy Anchor is
    computed on the batch as a whole and cannot be weighted image by image.

    - where=hidden is manifold mixup (Verma et al. 2019, arXiv 1806.05236, section 2): at each step one layer
      is drawn, the input included, and its activations are mixed instead of the images. The original
      draws from a few of the first layers of each network; here every layer with a width and a height (or
      tokens) can be drawn, because the backbone may be any.
    - adversarial=true is interpolated adversarial training (Lamb et al. 2019, arXiv 1906.06784, section 3):
      the mean of the mixed loss on the clean batch and of that on adversarial images, which maximize the
      ordinary, unmixed loss. Each half has its own draws; whether the original draws so is not known here.
    - mixes > 0 is mixup inference (Pang et al. 2020, arXiv 1909.11515, section 3): at test time each image is
      mixed with `mixes` training images, stored from the first batches, and the embeddings are averaged. The
      original averages predictions over samples of the predicted class (MI-PL) or of the others (MI-OL),
      which is best for adversarial images. Test classes are new here, so every stored image is of another
      class: it is MI-OL. Its authors used it on models trained by mixup or interpolated adversarial training,
      with weights of about one half and 30 mixes, as far as is known here. Embedding an image takes `mixes`
      forward passes through the network. The model is randomized: attacks average gradients over EOT samples.

    Attributes:
        alpha: lambda is drawn from Beta(alpha, alpha).
        where: what is mixed in training, "input" or "hidden".
        adversarial: whether to train on mixed clean and mixed adversarial images, or only on mixed clean
            ones.
        mixes: number of mixes that are averaged at test time; 0 embeds the image itself.
        share: weight of the image in a mix at test time.
        stored: number of training images to mix with at test time.
    """

    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {"alpha": Range(0.1, 2, log=True)}

    alpha: PositiveFloat = 1.0
    where: Literal["input", "hidden"] = "input"
    adversarial: bool = False
    mixes: int = Field(default=0, ge=0, le=100)
    share: float = Field(default=0.5, gt=0, le=1)
    stored: int = Field(default=128, ge=1)

    def build(self, make_member: MemberFactory, labels: Tensor) -> Embedder:
        """Builds a plain member, wrapped to mix with stored images when `mixes` is above 0."""
        member = make_member()
        return MixedWithStored(member, self.mixes, self.share, self.stored) if self.mixes else member

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the loss on the mixed batch, or its mean over mixed clean and mixed adversarial images."""
        if isinstance(model, MixedWithStored):
            model.store(batch.images)
            model = model.member
        member = cast("Member", model)

        def mixed_loss(images: Tensor) -> Tensor:
            return self.mixed_loss(member, images, batch.labels)

        if not self.adversarial:
            return mixed_loss(batch.images)
        adversarial = attack(member.loss_of_images, batch.images, member, given=[batch.labels])
        return (mixed_loss(batch.images) + mixed_loss(adversarial)) / 2

    def mixed_loss(self, member: Member, images: Tensor, labels: Tensor) -> Tensor:
        """Computes lambda L(., y_a) + (1 - lambda) L(., y_b) on one random mix of a batch, a scalar.

        Args:
            member: the member to train.
            images: shape (n, C, H, W) in [0, 1].
            labels: shape (n,).
        """
        weight = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        partner = to_device(torch.randperm(len(labels)), labels.device)

        def mix(rows: Tensor) -> Tensor:
            return weight * rows + (1 - weight) * rows[partner]

        layers = hidden_layers(member, images[:1]) if self.where == "hidden" else []
        drawn = int(torch.randint(len(layers) + 1, ())) if layers else 0
        if drawn:
            with mixed_at(layers[drawn - 1], mix):
                embeddings = member(images)
        else:
            embeddings = member(mix(images))
        first = member.loss(embeddings, labels)
        second = member.loss(embeddings, labels[partner])
        return weight * first + (1 - weight) * second
