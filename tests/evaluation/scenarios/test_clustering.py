import numpy as np
import pytest
import torch

from benchmark.evaluation import PoolEmbeddings
from benchmark.metrics import KMEANS_SEEDS, cluster, mean_clustering_metrics


def test_the_metrics_are_means_over_kmeans_seeds_on_the_attacked_pool(
    make_embeddings, pool, fixed_model, score
):
    embeddings = make_embeddings(fixed_model)
    result = score("clustering", embeddings)
    assignments = cluster(embeddings.attacked(), 14, KMEANS_SEEDS)
    assert result.metrics == mean_clustering_metrics(pool.labels.numpy(), assignments)
    assert set(result.metrics) == {"ami", "nmi", "f1"}
    assert np.array_equal(result.arrays["assignments"], assignments)
    assert np.array_equal(result.arrays["labels"], pool.labels.numpy())
    shown = pool.labels.numpy() < 12
    assert np.array_equal(result.arrays["display_labels"], pool.labels.numpy()[shown])
    np.testing.assert_allclose(result.arrays["display"], embeddings.attacked().numpy()[shown], atol=1e-3)
    assert result.metrics != score("clustering", make_embeddings(fixed_model, pool.images)).metrics


def test_some_images_of_some_classes_are_kept_for_plots(make_images, fixed_model, score):
    data = make_images(classes=13, per_class=22)
    order = torch.randperm(len(data))
    images, labels = data.images[order], data.labels[order]
    embeddings = PoolEmbeddings(fixed_model, images, images, labels, data.ids[order], 1)
    arrays = score("clustering", embeddings).arrays
    rows = np.concatenate([np.flatnonzero(labels.numpy() == label)[:20] for label in range(12)])
    assert np.array_equal(arrays["display_labels"], labels.numpy()[rows])
    np.testing.assert_allclose(arrays["display"], embeddings.attacked().numpy()[rows], atol=1e-3)


@pytest.mark.parametrize("fraction", [0.4, 1])
def test_a_partly_attacked_pool_is_scored_as_a_whole(make_embeddings, fixed_model, fraction, score):
    embeddings = make_embeddings(fixed_model)
    part, whole = (score(name, embeddings) for name in (f"clustering[fraction={fraction}]", "clustering"))
    assert part.metrics == whole.metrics


def test_a_randomised_model_is_embedded_anew_for_each_kmeans_seed(
    make_embeddings, pool, randomised_model, score
):
    embeddings = make_embeddings(randomised_model, repeats=20)
    result = score("clustering", embeddings)
    assignments = np.concatenate(
        [cluster(embeddings.attacked(i), 14, [seed]) for i, seed in enumerate(KMEANS_SEEDS)]
    )
    assert np.array_equal(result.arrays["assignments"], assignments)
    assert result.metrics == mean_clustering_metrics(pool.labels.numpy(), assignments)
