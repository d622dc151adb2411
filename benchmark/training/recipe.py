"""The training recipe, the same for every defense of a table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from benchmark.core.parameters import Number, Parameters


class Recipe(Parameters):
    """How every model is trained; set by a preset or a configuration, never by a defense.

    Attributes:
        epochs: number of epochs.
        batch_size: images in a batch.
        images_per_class: images of a class in a batch, for losses on the tuples of a batch; at most half of
            the batch, since a tuple needs two classes. Other losses take the images in random order.
        lr: highest learning rate of AdamW.
        schedule: learning-rate schedule. "one_cycle": up and down again over the whole training (Smith &
            Topin 2018, arXiv 1708.07120); "step": multiplied by `decay` after every `decay_every` epochs;
            "constant".
        decay_every: epochs between decays, for the schedule "step"; scaled in proportion where a defense
            trains for more or fewer epochs than the recipe's.
        decay: factor on the learning rate, for the schedule "step".
        warm_up: number of first epochs in which only the last layer and the loss's own parameters are
            trained.
        proxy_lr_scale: factor on the learning rate of the loss's own parameters.
        weight_decay: weight decay of AdamW.
        clip: largest absolute value of a gradient's entry.
        shift: largest random shift of an image in each direction, in pixels.
        crop: smallest fraction of an image's area that a random resized crop covers; None turns crops off.
        flip: whether images are mirrored left to right with probability 1/2.
        eps: radius of the training attack's L_inf ball; None takes the data set's headline eps.
        inner_steps: steps of the training attack.
        inner_step: size of one of its steps, in units of eps.
        ramp: fraction of the training during which eps grows from 0 to its full size.
        inner_batch_norm: "eval": in the training attack batch norm normalizes by its running statistics, as
            in the attacks of the evaluation; "batch": by the batch. Its running statistics are not updated in
            either case.
        precision: precision of the networks' forward and backward passes; losses, optimizer and validation
            stay in float32.
        validation: fraction of the training classes that are held out to choose the epoch whose weights are
            kept; fewer where that makes more than a thousand images. 0 trains on every class and keeps the
            last epoch. With fewer than ten classes none is held out.
        validations: how many times the model is validated during the training.
    """

    epochs: PositiveInt = 48
    batch_size: int = Field(default=64, ge=4)
    images_per_class: int = Field(default=4, ge=2)
    lr: PositiveFloat = 6e-3
    schedule: Literal["one_cycle", "step", "constant"] = "one_cycle"
    decay_every: PositiveInt = 10
    decay: float = Field(default=0.5, gt=0, le=1)
    warm_up: NonNegativeInt = 0
    proxy_lr_scale: PositiveFloat = 100.0
    weight_decay: NonNegativeFloat = 1e-4
    clip: PositiveFloat = 10.0
    shift: NonNegativeInt = 2
    crop: float | None = Field(default=None, gt=0, le=1)
    flip: bool = False
    eps: Annotated[Number, Field(ge=0, le=1)] | None = None
    inner_steps: PositiveInt = 3
    inner_step: PositiveFloat = 0.5
    ramp: float = Field(default=0.25, ge=0, le=1)
    inner_batch_norm: Literal["eval", "batch"] = "eval"
    precision: Literal["float32", "bfloat16"] = "float32"
    validation: float = Field(default=0.15, ge=0, le=0.5)
    validations: PositiveInt = 12
