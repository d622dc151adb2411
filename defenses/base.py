"""The whole contract of a defense.

A defense is a class with parameters and two methods: `build` assembles a model from the members that it is
given, and `loss` computes what one training step minimizes. State that must persist between steps is a
parameter or buffer of the model, and so part of its checkpoint; `build` gives it its final shape. Optimizer,
learning rate, epochs, data, seeds, checkpoints and costs are the benchmark's, the same for every defense.

To embed images within `loss` without changing batch norm's running statistics, do it within
`benchmark.models.frozen`, which also keeps parameters from getting gradients:

    with frozen(model), torch.no_grad():  # without no_grad, gradients reach the images
        embeddings = model(images)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import torch
from pydantic import PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.models import Member

MemberFactory = Callable[[], Member]
"""Builds a new member: the configured backbone and training loss, freshly initialized."""


@dataclass(frozen=True)
class Batch:
    """A batch of training images.

    Attributes:
        images: images in [0, 1], shape (n, C, H, W).
        labels: classes, contiguous from 0, shape (n,).
        index: indices of the images in the training set, shape (n,).
        progress: the fraction of the training that is done, in [0, 1): of its steps, or under equal passes
            the fraction of its budget that is spent.
        strata: stratum of each image, shape (n,), on the CPU, so that a look at it does not wait for a GPU;
            None where the defense has no `strata`.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    progress: float = 0.0
    strata: Tensor | None = None


def wrong_strata(strata: object, count: int) -> str:
    """Says why a value cannot be the strata of `count` images, as a clause; empty where it can."""
    if not isinstance(strata, Tensor) or strata.dtype != torch.int64 or strata.shape != (count,):
        kind = type(strata).__name__
        if isinstance(strata, Tensor):
            kind = f"{strata.dtype} of shape {tuple(strata.shape)}"
        return f"strata returns {kind}, not int64 of shape ({count},)"
    return f"strata returns {int(strata.min())}" if count and int(strata.min()) < 0 else ""


class InnerMaximiser(Protocol):
    """The training attack: maximizes an objective over images within the training ball."""

    def __call__(
        self,
        objective: Callable[..., Tensor],
        images: Tensor,
        model: Embedder,
        *,
        start: str = "uniform",
        given: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Computes adversarial images.

        During the attack batch norm is in evaluation mode, unless the recipe's `inner_batch_norm` is "batch";
        the parameters' gradients are left as they are.

        On a GPU the attack may be captured as a CUDA graph and replayed in later steps, if `given` is used
        and an equal objective comes again: the method of the same object, a function of a module, or an
        object that compares equal, but not a function that is made in each step. Its Python code then no
        longer runs, so all that changes from step to step must be in `given`, or in parameters and buffers of
        the model that are changed in place.

        Args:
            objective: maps candidate images, shape (n, C, H, W), and what is given, to the scalar to
                maximize, or to one value per image, which are summed.
            images: the clean images in [0, 1], shape (n, C, H, W).
            model: a module that contains every parameter that the objective depends on.
            start: "uniform" in the ball, "gaussian" (clean + 0.001 N(0, I), as in TRADES), or "clean": at the
                images themselves, where a distance to their own embeddings has no gradient.
            given: tensors that the objective receives after the images, such as labels; None for none, and no
                capture.

        Returns:
            Adversarial images in [0, 1], shape (n, C, H, W), detached.
        """
        ...


@dataclass(frozen=True)
class Range:
    """The values that tuning may choose for a parameter: from `low` to `high`, both included.

    Attributes:
        low, high: the bounds; both are integers for an integer parameter.
        log: whether values are drawn uniformly on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


class Defense(Parameters):
    """A defense; subclasses implement `loss`, and `build` unless they train one plain member.

    Attributes:
        needs_proxies: whether the method needs a distribution over the training classes, and therefore a
            training loss with proxies.
        trained: whether a model is trained at all; `loss` is never called otherwise, and `make_member` must
            not be.
        needs: specs of defenses whose trained models `build` is given, as in ("vanilla",): those of the same
            data set, backbone, loss and seed, trained for the recipe's epochs. What their trainings cost is
            added to this method's cost, and under equal passes comes out of its budget.
        reference: whether its rows are shown for reference, without a rank.
        adaptive: specs of attacks designed against this method, which are added to the attack suite of its
            rows; they may use an objective that the defense's own file registers.
        tunable: the parameters that `--tune` may choose, each with a range or a tuple of values.
        keep_from: fraction of the training, in [0, 1), before which no epoch is kept, as for a warm-up: its
            validations are recorded, but do not choose the epoch.
        epochs_scale: factor on the recipe's number of epochs, for controls at equal compute.
    """

    needs_proxies: ClassVar[bool] = False
    trained: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[bool] = False
    adaptive: ClassVar[tuple[str, ...]] = ()
    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {}
    keep_from: ClassVar[float] = 0.0

    epochs_scale: PositiveFloat = 1.0

    def fingerprint(self) -> str:
        """Return a hash of what the model depends on besides parameters and code, such as files."""
        return ""

    def build(self, make_member: MemberFactory, labels: Tensor) -> Embedder:
        """Builds the model; by default one plain member.

        A defense that `needs` others takes a third argument: `build(self, make_member, labels, trained)`.

        Args:
            make_member: builds a new member at each call.
            labels: classes of the training set, shape (n,), for methods that split it; none, shape
                (0,), where `trained` is False.
            trained: only where `needs` names any: the models by their specs as written there, in evaluation
                mode, their parameters frozen. One that is assigned to the returned model is saved in its
                checkpoint, and stays in evaluation mode during the training; a copy to train further gets
                its gradients back by `copy.deepcopy(trained["vanilla"]).requires_grad_(True)`. They hold
                random weights where only shapes and costs matter, as when a checkpoint is loaded.

        Returns:
            The model, which is trained, saved, attacked and scored.
        """
        return make_member()

    def build_from(
        self, make_member: MemberFactory, labels: Tensor, trained: Mapping[str, Embedder]
    ) -> Embedder:
        """Calls `build`, with the trained models where the defense needs any."""
        if not self.needs:
            return self.build(make_member, labels)
        return cast("Embedder", cast("Any", self).build(make_member, labels, trained))

    def strata(self, model: Embedder) -> Tensor | None:
        """Divides the training images into strata, of which every batch of an epoch holds the same share.

        For methods that train parts of the model on parts of the data: each then sees batches of one size
        (see `benchmark.training.sampling.stratum_sizes`). Asked for once, before the first step.

        Args:
            model: the model that `build` returned; a split that it keeps is part of its checkpoint.

        Returns:
            The stratum of each training image, from 0, int64, shape (n,), in the order of the labels that
            `build` was given; None for batches that are drawn without regard to strata.
        """
        return None

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the loss that one training step minimizes, a scalar.

        Args:
            model: the model that `build` returned, in training mode.
            batch: the training batch.
            attack: the training attack, for methods that train on adversarial images.
        """
        raise NotImplementedError


DEFENSES: Registry[Defense] = Registry("defense", Defense)
