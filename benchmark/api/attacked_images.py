"""Attacked images of any model, for a training loop or an evaluation of one's own."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks import ATTACKS, REFERENCE_ATTACK, WHOLE, Attack, Problem, check_precision, expand
from benchmark.api.checked_images import (
    check_budget,
    check_count,
    check_images,
    check_integers,
    check_labels,
    check_queries,
)
from benchmark.api.checked_model import CheckedEmbedder, Model
from benchmark.api.unchanged_state import seed_generators, unchanged_state
from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError

EOT = 5
"""EOT samples of a randomized model, as in the benchmark's runs."""


def attack(
    model: Model,
    images: Tensor,
    labels: Tensor,
    attack: str = REFERENCE_ATTACK,
    *,
    eps: float | str,
    norm: str = "linf",
    seed: int = 0,
    ids: Tensor | None = None,
    queries: Tensor | None = None,
    eot: int | None = None,
    source: Model | None = None,
    attack_precision: str = WHOLE,
) -> Tensor:
    """Attacks images so that a model's embeddings go wrong; each image stays within its ball and in [0, 1].

    The images are one another's gallery: a batch is attacked with respect to itself, a whole pool as the
    benchmark attacks it. On the CPU, the images, labels, ids and seed of a run's cell give the cell's images
    (with the same number of threads; for a randomized model other, equally good ones).

    Can be called anywhere in a training loop. Nothing of the caller is changed: training modes, gradients,
    random generators, grad mode and defaults are what they were. Modules are attacked in evaluation mode, and
    so are those that a function refers to.

    Args:
        model: an nn.Module or a callable from float images in [0, 1], shape (n, C, H, W), to embeddings,
            shape (n, d), which are scaled to unit length here; normalization of the input belongs inside.
            An `Embedder` is used as it is. White-box attacks need its gradients, black-box ones do not.
        images: float, in [0, 1], shape (n, C, H, W), on the model's device.
        labels: classes, any integers, shape (n,); at least two classes.
        attack: spec of one attack, as in `python run_benchmark.py --list`.
        eps: radius of the ball, in units of pixels in [0, 1]; also as "8/255".
        norm: "linf", "l2" or "l0"; in the last, eps is the number of pixels that may change.
        seed: of random starts; a training loop gives another one at each step.
        ids: of the images, integers, shape (n,): an image's random start depends on its id and the seed, not
            on its batch. By default its position.
        queries: marks the images that are queries only, while the others are the gallery; bool, shape (n,).
            By default each image is both.
        eot: samples that each gradient of a randomized model is averaged over; giving more than one says that
            the model is randomized. By default 5 for an `Embedder` that declares it, and 1 for any other.
        source: the model that `transfer[...]` makes its images on.
        attack_precision: of the forward and backward passes of the search: "float32", "tf32" (GPUs) or
            "bfloat16". What the search finds is chosen and scored in float32.

    Returns:
        The attacked images, float32, shape (n, C, H, W), on the device of `images`, without a graph.

    Raises:
        UsageError: for an argument that does not fit, or a model whose output is not (n, d), not finite, or
            without a gradient that the attack needs.
        AttackError: when the model's gradient is not finite.
    """
    chosen = _one_attack(attack)
    budget = check_budget(eps, norm)
    seed = check_count("seed", seed, 0)
    samples = None if eot is None else check_count("eot", eot, 1)
    if chosen.needs and source is None:
        raise UsageError(f"{chosen.spec} starts from another model; give it as source=.")
    if source is not None and not chosen.needs:
        raise UsageError(f"{chosen.spec} takes no other model; source= is for transfer[...].")
    embedder = _as_embedder(model, samples)
    sources = {} if source is None or not chosen.needs else {chosen.needs: _as_embedder(source, samples)}
    with torch.inference_mode(False):
        clean = check_images(images)
        check_precision(attack_precision, clean.device)
        clean = clean.clone() if clean.is_inference() else clean  # such tensors can have no gradient
        classes = check_labels(labels, len(clean)).to(clean.device)
        names = (
            torch.arange(len(clean), device="cpu")
            if ids is None
            else check_integers("ids", ids, len(clean)).cpu()
        )
        only = None if queries is None else check_queries(queries, len(clean)).to(clean.device)
        with unchanged_state(clean.device, embedder, *sources.values()):
            seed_generators(clean.device, "attack", chosen.spec, norm, budget, seed)
            problem = Problem(
                embedder,
                clean,
                classes,
                names,
                norm,
                budget,
                seed,
                samples or EOT,
                queries=only,
                sources=sources,
                precision=attack_precision,
            )
            return chosen.run(problem).images.to(clean.device)


def _one_attack(text: str) -> Attack:
    """Builds the attack of a spec.

    Raises:
        UsageError: for an unknown one, or a suite of several.
    """
    specs = expand([text])
    if len(specs) != 1:
        raise UsageError(f"'{text}' is a suite of {len(specs)} attacks; name one, such as {specs[0]}.")
    return ATTACKS.build(specs[0])


def _as_embedder(model: Model, eot: int | None) -> CheckedEmbedder:
    declared = isinstance(model, Embedder) and model.randomised
    return CheckedEmbedder(model, declared if eot is None else declared or eot > 1)
