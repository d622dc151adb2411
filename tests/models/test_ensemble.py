import pytest
import torch

from benchmark.api.checked_model import CheckedEmbedder
from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.models import Ensemble, in_float32
from benchmark.models.own import OwnEmbedder
from defenses.random_transforms import Transformed
from defenses.transforms import TRANSFORMS


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


def test_a_stand_in_of_a_part_is_one_of_the_whole(make_member):
    plain, declared = make_member(), make_member()
    declared.embedder = WithStandIn(declared.embedder)
    whole = Ensemble([plain, declared])
    assert [model.has_stand_in for model in (plain, declared, Ensemble([plain]), whole)] == [
        False,
        True,
        False,
        True,
    ]
    half = in_float32(Half(declared), torch.rand(2, 1, 8, 8))
    assert half.has_stand_in and not in_float32(Half(plain), torch.rand(2, 1, 8, 8)).has_stand_in
    wrapped = Transformed(declared, TRANSFORMS.build("translate").applied())
    assert (
        wrapped.has_stand_in and not Transformed(plain, TRANSFORMS.build("translate").applied()).has_stand_in
    )
    assert CheckedEmbedder(declared, False).has_stand_in and not CheckedEmbedder(plain, False).has_stand_in
    owned = [OwnEmbedder(model, lambda images: images, "a model") for model in (declared, plain)]
    assert [model.has_stand_in for model in owned] == [True, False]


class WithStandIn(Embedder):
    """Declares a stand-in, as a model does whose forward pass holds one."""

    has_stand_in = True

    def __init__(self, embedder):
        super().__init__()
        self.embedder = embedder

    def forward(self, images):
        return self.embedder(images)


class Half(Embedder):
    """A model whose embeddings are of 16 bits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @property
    def has_stand_in(self):
        return self.model.has_stand_in

    def forward(self, images):
        return self.model(images).half()
