"""Attacked images that are kept to look at, with the neighbors of each before and after the attack."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.evaluation import PoolEmbeddings

NEIGHBORS = 4
"""Neighbors of each image that are kept."""


SHOWN, SHOWN_BYTES = 4, 4_000_000
"""Queries that are kept for the board's picture where none were asked for, and bytes that they may take."""


def shown_images(embeddings: PoolEmbeddings) -> dict[str, Tensor]:
    """Collects the few queries that the board's picture is chosen from, as `attacked_images` does.

    Returns:
        At least one query; "asked" is 0.
    """
    one = embeddings.images("clean", embeddings.query_indices[:1])
    size = (2 + 2 * NEIGHBORS) * one.numel() * one.element_size()
    kept = attacked_images(embeddings, max(1, min(SHOWN, SHOWN_BYTES // size)))
    return kept | {"asked": torch.tensor(0)}


def attacked_images(embeddings: PoolEmbeddings, count: int) -> dict[str, Tensor]:
    """Collects some queries of a pool, clean and attacked, with their nearest images of the clean gallery.

    The queries are spread evenly over the pool, so that they show many classes, and are the same for every
    attack on a pool.

    Args:
        embeddings: of the pool.
        count: how many queries; all of them where there are fewer.

    Returns:
        "clean" and "attacked", float32 in [0, 1], shape (N, C, H, W); "before" and "after", the images of the
        K nearest neighbors, shape (N, K, C, H, W), with "before_index", "after_index", "before_labels" and
        "after_labels", int64, shape (N, K); "query", indices in the pool, and "label", int64, shape (N,);
        "asked", the count that was asked for, int64, shape ().
    """
    queries, gallery = embeddings.query_indices, embeddings.gallery_indices
    chosen = queries[torch.linspace(0, len(queries) - 1, min(count, len(queries))).round().long()]
    kept = {
        "asked": torch.tensor(count),
        "query": chosen,
        "label": embeddings.labels[chosen],
        "clean": embeddings.images("clean", chosen),
        "attacked": embeddings.images("attacked", chosen),
    }
    candidates = embeddings.clean()[gallery]
    for name, embedded in (("before", embeddings.clean()), ("after", embeddings.attacked())):
        cosines = embedded[chosen] @ candidates.t()
        cosines[chosen[:, None] == gallery[None]] = -torch.inf  # an image does not retrieve itself
        nearest = gallery[cosines.topk(min(NEIGHBORS, len(gallery) - 1), dim=1).indices]
        images = embeddings.images("clean", nearest.flatten())
        kept[name] = images.view(*nearest.shape, *images.shape[1:])
        kept[f"{name}_index"], kept[f"{name}_labels"] = nearest, embeddings.labels[nearest]
    return {key: value.contiguous() for key, value in kept.items()}
