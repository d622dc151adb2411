import pytest
import torch

from benchmark import defense_checks
from benchmark.core.errors import UsageError
from benchmark.core.seeding import seed_everything
from benchmark.training import TrainingAttack
from defenses import ALL, DEFENSES, GROUPS

TRAINED = [name for name, cls in DEFENSES.items() if not cls.reference]
VARIANTS = (
    "metric_preserving[attacked=current]",
    "mixup[mixes=2]",
    "random_transforms[transform=quilting]",
)
"""Variants whose models are of another kind than the default's."""

ATTACK = TrainingAttack(eps=0.1, steps=2, step=0.5)


@pytest.fixture(params=TRAINED)
def defense(request):
    return DEFENSES.build(request.param)


@pytest.fixture
def build(make_member, images):
    def make(defense, seed=0, loss="proxy_anchor"):
        # The models that it needs would be trained; here they are those of the first weights.
        trained = {text: make(DEFENSES.build(text), seed, loss) for text in defense.needs}
        seed_everything("model", seed)
        return defense.build_from(lambda: make_member(loss), images.labels, trained)

    return make


def embed(model, images):
    torch.manual_seed(99)  # of a randomised model, the same draws
    with torch.no_grad():
        return model.eval()(images)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defense", "check"),
    [
        pytest.param(defense, check, id=f"{defense.spec}-{check.name}")
        for defense, check in (*defense_checks(), *defense_checks(VARIANTS))
    ],
)
def test_keeps_the_contract(defense, check):
    check(defense)


def test_groups_name_registered_defenses():
    assert GROUPS["all"] == ALL
    for group in GROUPS.values():
        assert set(group) <= set(TRAINED)


def test_the_first_member_starts_from_the_same_weights_under_every_defense(defense, build, images):
    plain = embed(build(DEFENSES.build("vanilla")), images.images[:5])
    first = embed(build(defense).members[0], images.images[:5])
    assert torch.equal(plain, first)


def test_proxies_are_needed_where_it_says_so(defense, build, batch):
    model = build(defense, loss="multi_similarity").train()
    if defense.needs_proxies:
        with pytest.raises(UsageError, match="no proxies"):
            defense.loss(model, batch, ATTACK)
    else:
        assert torch.isfinite(defense.loss(model, batch, ATTACK))


def test_works_with_the_other_loss_that_has_proxies(defense, build, batch):
    assert torch.isfinite(defense.loss(build(defense, loss="normalized_softmax").train(), batch, ATTACK))


@pytest.mark.parametrize(
    "text", ["trades[beta=-1]", "mixup[alpha=0]", "adp[members=1]", "eat[members=11]", "eat[split=half]"]
)
def test_bad_parameters_give_one_line(text):
    with pytest.raises(UsageError) as caught:
        DEFENSES.build(text)
    assert len(str(caught.value).splitlines()) == 1
