import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.models import Ensemble


@pytest.mark.parametrize("count", [1, 2, 5])
def test_cosine_similarity_is_the_mean_of_the_members(make_member, count):
    members = [make_member() for _ in range(count)]
    ensemble = Ensemble(members).eval()
    images = torch.rand(6, 1, 8, 8)
    embeddings = ensemble(images)
    assert embeddings.shape == (6, 8 * count)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(6))
    similarities = [member(images) @ member(images).t() for member in members]
    torch.testing.assert_close(embeddings @ embeddings.t(), torch.stack(similarities).mean(0))
    assert list(ensemble.members) == members


def test_members_have_parameters_of_their_own(make_member):
    ensemble = Ensemble([make_member() for _ in range(3)])
    one = sum(1 for _ in make_member().parameters())
    assert sum(1 for _ in ensemble.parameters()) == 3 * one
    assert len({parameter.data_ptr() for parameter in ensemble.parameters()}) == 3 * one


def test_a_member_embeds_and_scores(make_member):
    member = make_member().eval()
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    embeddings = member(images)
    assert torch.equal(embeddings, member.embedder(images))
    assert member.loss(embeddings, labels).shape == ()
    assert member.class_cosines(embeddings).shape == (6, 12)
    assert list(member.members) == [member]
    with pytest.raises(UsageError, match="no proxies"):
        make_member("multi_similarity").class_cosines(embeddings)
