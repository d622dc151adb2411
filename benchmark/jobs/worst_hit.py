"""Embeddings of the classes that an attack hit worst and of their neighbors, kept for a plot."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.evaluation import PoolEmbeddings

HIT_CLASSES = 4
"""Classes that are kept because they were hit worst; each brings one neighbor, where it has one left."""

IMAGES = 20
"""Images kept of each class, the first of the pool; more would overlap."""

_ROWS = 4096
"""Embeddings that are compared with all centers at once."""


def worst_hit(embeddings: PoolEmbeddings) -> dict[str, Tensor]:
    """Keeps the embeddings of the classes that lost most images to others, and of where these went.

    An image belongs to the class whose clean center (mean of the class's clean embeddings) is nearest. A
    class lost as many of its images as belonged to it clean and do not when attacked. Its neighbor is the
    class that most of its attacked images belong to, else the one with the nearest center.

    Args:
        embeddings: of the pool.

    Returns:
        "hit_clean" and "hit_attacked", float16, shape (m, d); "hit_labels", int32, shape (m,);
        "hit_classes", the classes hit worst, worst first, int32, shape (h,); "hit_lost", the fraction of its
        images that each of these lost, float32, shape (h,).
    """
    labels, clean, attacked = embeddings.labels, embeddings.clean(), embeddings.attacked()
    count = int(labels.max()) + 1
    centers = torch.zeros(count, clean.shape[1]).index_add_(0, labels, clean.float())
    centers = torch.nn.functional.normalize(centers, dim=1)
    before, after = _nearest(clean, centers), _nearest(attacked, centers)
    sizes = torch.bincount(labels, minlength=count).clamp(min=1)
    kept = [torch.bincount(labels[found == labels], minlength=count) for found in (before, after)]
    lost = (kept[0] - kept[1]) / sizes
    hit = torch.argsort(-lost, stable=True)[:HIT_CLASSES]
    chosen = hit.tolist()
    for label in hit.tolist():
        went = torch.bincount(after[labels == label], minlength=count).float()
        went += 0.5 * (centers @ centers[label] + 1) / 2  # below one image: decides between equals
        went[chosen] = -1
        if float(went.max()) >= 0:
            chosen.append(int(went.argmax()))
    images = torch.cat([(labels == label).nonzero().squeeze(1)[:IMAGES] for label in chosen])
    return {
        "hit_clean": clean[images].half(),
        "hit_attacked": attacked[images].half(),
        "hit_labels": labels[images].int(),
        "hit_classes": hit.int(),
        "hit_lost": lost[hit].float(),
    }


def _nearest(embedded: Tensor, centers: Tensor) -> Tensor:
    """The nearest center of each embedding by the cosine, shape (n,)."""
    return torch.cat([(part.float() @ centers.t()).argmax(dim=1) for part in embedded.split(_ROWS)])
