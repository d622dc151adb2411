import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark.core.embedder import Embedder
from benchmark.evaluation import PoolEmbeddings
from benchmark.metrics import verification_metrics, verification_pairs


def test_attacked_images_are_compared_with_clean_partners(make_embeddings, pool, fixed_model, score):
    embeddings = make_embeddings(fixed_model)
    result = score("verification", embeddings)
    pairs = verification_pairs(pool.labels, pool.ids)
    attacked, clean = embeddings.attacked(), embeddings.clean()
    similarity = [float(attacked[i] @ clean[j]) for i, j in enumerate(pairs.partner)]
    assert result.metrics == pytest.approx(verification_metrics(torch.tensor(similarity), pairs.same))
    assert set(result.metrics) == {"eer"}  # 35 negative pairs are too few for a FAR of 1e-2
    np.testing.assert_allclose(result.arrays["similarity"], similarity, atol=1e-5)
    assert np.array_equal(result.arrays["same"], pairs.same.numpy())
    assert 0 < result.metrics["eer"] < 1


def test_scores_of_a_randomised_model_are_means_over_repeats(make_embeddings, pool, randomised_model, score):
    embeddings = make_embeddings(randomised_model, repeats=3)
    result = score("verification", embeddings)
    pairs = verification_pairs(pool.labels, pool.ids)
    similarity = [(embeddings.attacked(r) * embeddings.clean(r)[pairs.partner]).sum(1) for r in range(3)]
    rates = [verification_metrics(one, pairs.same)["eer"] for one in similarity]
    assert result.metrics["eer"] == pytest.approx(np.mean(rates))
    assert len(set(rates)) > 1
    np.testing.assert_allclose(result.arrays["similarity"], torch.stack(similarity).mean(0), atol=1e-5)


@pytest.mark.parametrize("constant", [True, False])
def test_equal_embeddings_count_as_ties(make_images, constant, score):
    class Constant(Embedder):
        def forward(self, images):
            vector = torch.tensor([0.1, 0.7, 0.3]) / np.sqrt(0.59)
            copies = vector.repeat(len(images), 1)
            return copies if constant else F.normalize(copies + images.flatten(1)[:, :3])

    data = make_images(classes=20, per_class=20)
    embeddings = PoolEmbeddings(Constant(), data.images, data.images.clone(), data.labels, data.ids, 1)
    metrics = score("verification", embeddings).metrics
    assert (metrics == {"tar_far_1e2": 0.0, "eer": 1.0}) == constant
