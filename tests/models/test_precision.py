import pytest
import torch
import torch.nn.functional as F

from benchmark.core.embedder import Embedder
from benchmark.models import Ensemble, PassCounter, count_flops, in_float32

SHAPE = (1, 8, 8)
IMAGES = torch.rand(4, *SHAPE)


class Cast(Embedder):
    """A member whose embeddings are of another type."""

    def __init__(self, member, dtype, stand_in=None):
        super().__init__()
        self.member = member
        self.dtype = dtype
        self.stand_in = stand_in

    def forward(self, images):
        return self.member(images).to(self.dtype)

    def differentiable(self):
        return self.stand_in or self


def test_a_float32_model_is_left_as_it_is(make_member):
    member = make_member()
    assert in_float32(member, IMAGES) is member


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_embeddings_of_any_float_type_become_float32_and_gradients_pass(make_member, dtype):
    member = make_member().eval()
    model = in_float32(Cast(member, dtype), IMAGES)
    images = IMAGES.clone().requires_grad_(True)
    embeddings = model(images)
    assert embeddings.dtype == torch.float32
    assert torch.equal(embeddings, member(IMAGES).to(dtype).float())
    target = F.normalize(torch.ones_like(embeddings))
    (gradient,) = torch.autograd.grad((embeddings * target).sum(), images)
    assert float(gradient.abs().max()) > 0
    assert model.differentiable() is model and model.members == [model]


def test_the_stand_in_and_the_members_are_float32_too(make_member):
    stand_in = Cast(make_member(), torch.float16)
    model = in_float32(Cast(make_member(), torch.float16, stand_in), IMAGES)
    assert model.differentiable()(IMAGES).dtype == torch.float32
    both = Ensemble([Cast(make_member(), torch.bfloat16), Cast(make_member(), torch.bfloat16)])
    members = in_float32(both, IMAGES).members
    assert [member(IMAGES).dtype for member in members] == [torch.float32] * 2


def test_its_members_are_counted(make_member):
    member = make_member()
    model = in_float32(Cast(member, torch.bfloat16), IMAGES)
    with PassCounter(model, SHAPE, count_flops(member, SHAPE)) as counter, torch.no_grad():
        model(IMAGES)
    assert counter.total == 4


def test_looking_changes_nothing(make_member):
    member = make_member().train()
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in member.state_dict().items()}
    in_float32(member, IMAGES)
    assert member.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in member.state_dict().items())
