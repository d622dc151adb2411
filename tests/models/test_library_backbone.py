import copy
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_model, save_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.models import BACKBONES, PassCounter, SmallConv, count_flops, frozen
from benchmark.models.library_backbone import ArchitectureInfo, LibraryBackbone
from benchmark.plugins import reach

SHAPE = (3, 8, 8)
IMAGES = torch.rand(6, *SHAPE)


class Small(LibraryBackbone):
    """Counts how often a body is made."""

    name = "small"
    made: ClassVar = 0

    def info(self):
        return ArchitectureInfo(
            mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3), classifier=("fc",), images="8 pixels or more"
        )

    def random_body(self):
        Small.made += 1
        return nn.Sequential(
            nn.Conv2d(3, 5, 8), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def library_body(self):
        raise BenchmarkError("library")

    def library_weights(self):
        return "library:1"


def norms(model):
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def step(model):
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(IMAGES).sum().backward()
    optimiser.step()


def test_where_weights_come_from(tmp_path):
    for backbone, natural in ((Small(), True), (Small(pretrained="imagenet"), False)):
        with pytest.raises(BenchmarkError, match="library"):
            backbone.build(SHAPE, natural=natural)
        assert backbone.fingerprint(natural) == "library:1"
    for backbone, natural in ((Small(), False), (Small(pretrained="none"), True)):
        backbone.build(SHAPE, natural=natural)
        assert backbone.fingerprint(natural) == ""
    saved = Small().random_body()
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    backbone = Small(pretrained=str(tmp_path / "w.pth"))
    assert len(backbone.fingerprint(natural=False)) == 64
    for natural in (False, True):
        body = backbone.build(SHAPE, natural=natural).network.body
        assert torch.equal(body[0].weight, saved[0].weight)
    assert not torch.equal(backbone.build_random(SHAPE).network.body[0].weight, saved[0].weight)


@pytest.mark.parametrize("path", ["a,b.pth", "a[1.pth", "my weights, 2.pth"])
def test_a_path_of_weights_may_hold_any_character(path):
    backbone = BACKBONES.build(f'resnet18[pretrained="{path}"]')
    assert backbone.pretrained == path
    assert BACKBONES.build(backbone.spec) == backbone
    assert backbone.portable == "resnet18"


@pytest.mark.parametrize("value", ["true", "imagnet", "weights.bin", ""])
def test_values_that_are_no_choice_of_weights(value):
    with pytest.raises(UsageError, match="pretrained"):
        Small().with_pretrained(value)


def test_a_choice_for_all_leaves_alone_what_a_spec_says():
    chosen = BACKBONES.build("resnet18[dim=8]").with_pretrained("none")
    assert chosen.spec == "resnet18[dim=8,pretrained=none]"
    for spec in ("resnet18[pretrained=auto]", "resnet18[pretrained=imagenet]", "smallconv"):
        backbone = BACKBONES.build(spec)
        assert backbone.with_pretrained("none") is backbone
    assert BACKBONES.build("smallconv").fingerprint(natural=True) == ""


def test_grey_images_are_three_equal_channels():
    embedder = Small(dim=4).build((1, 8, 8)).eval()
    torch.testing.assert_close(embedder(IMAGES[:, :1]), embedder(IMAGES[:, :1].repeat(1, 3, 1, 1)))


def test_the_network_is_normalisation_body_and_head():
    embedder = Small(dim=4, dropout=0.5).build(SHAPE).eval()
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.1, 0.2, 0.3])
    normalised = ((IMAGES.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2)
    features = embedder.network.body(normalised)
    output = features @ embedder.head.weight.T + embedder.head.bias
    torch.testing.assert_close(embedder(IMAGES), F.normalize(output))
    assert {id(p) for p in embedder.head_parameters()} == {id(embedder.head.weight), id(embedder.head.bias)}


def test_the_head_of_smallconv():
    embedder = SmallConv(dim=9).build((1, 8, 8))
    assert embedder.head is embedder.network[-1]
    assert [p.shape[0] for p in embedder.head_parameters()] == [9, 9]


def test_a_seed_gives_the_same_weights_whether_or_not_the_check_is_new():
    def built():
        torch.manual_seed(5)
        return Small(dim=3).build(SHAPE).state_dict()

    first, second = built(), built()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_the_check_looks_once_and_names_what_is_wrong():
    backbone = Small(dim=11)
    before = Small.made
    for _ in range(3):
        backbone.check(SHAPE)
    assert Small.made == before + 1
    with pytest.raises(UsageError, match=r"'small' cannot take .* 3x7x7: it is made for 8 pixels or more \("):
        backbone.check((3, 7, 7))
    with pytest.raises(UsageError, match="cannot take images of 4x8x8: it needs 1 or 3 channels"):
        backbone.build((4, 8, 8))
    SmallConv().check((4, 1, 1))


@pytest.mark.parametrize("spec, shape", [("small", SHAPE), ("mobilenetv3_small_050", (3, 32, 32))])
def test_frozen_batch_norm_stays_as_it_is(spec, shape):
    freezing = Small(freeze_bn=True) if spec == "small" else BACKBONES.build(f"{spec}[freeze_bn=true]")
    model = nn.ModuleList([freezing.build_random(shape)])
    embed, images = model[0], torch.rand(4, *shape)
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        model.train()
        assert embed.network.training and not any(norm.training for norm in norms(model))
        embed(images)[:, 0].sum().backward()
        optimiser.step()
    names = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    kept = [key for key in before if key.rsplit(".", 1)[0] in names]
    assert len(kept) >= 5
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in kept)
    assert not any(torch.equal(after[key], before[key]) for key in before if key.endswith("head.weight"))
    with frozen(model):
        assert not any(module.training for module in model.modules())
    assert embed.network.training and not any(norm.training for norm in norms(model))
    with frozen(model, batch_statistics=True):
        assert not any(norm.training for norm in norms(model))
    assert any(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for norm in norms(model) for p in norm.parameters())


@pytest.mark.parametrize("pretrained, natural", [("auto", False), ("none", True), ("none", False)])
def test_batch_norm_is_not_frozen_at_random(pretrained, natural):
    backbone = Small(freeze_bn=True, pretrained=pretrained)
    for way in (
        lambda: backbone.check(SHAPE, natural),
        lambda: backbone.build(SHAPE, natural),
        lambda: backbone.fingerprint(natural),
    ):
        with pytest.raises(UsageError, match=r"random weights.*cannot learn.*freeze_bn=false, or weights"):
            way()
    backbone.build_random(SHAPE)  # a checkpoint comes over it
    Small(freeze_bn=True).check(SHAPE, natural=True)
    Small(pretrained=pretrained).check(SHAPE, natural)


def test_batch_norm_that_is_not_there_cannot_be_frozen():
    class Plain(Small):
        def random_body(self):
            return nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten())

    with pytest.raises(UsageError, match="'small' has no batch norm to freeze"):
        Plain(freeze_bn=True).check(SHAPE, natural=True)
    Plain().check(SHAPE, natural=True)


def test_a_file_is_tried_by_the_check(tmp_path):
    state = Small().random_body().state_dict()
    file = tmp_path / "w.pth"
    backbone = Small(pretrained=str(file))
    torch.save(state, file)
    drawn = torch.random.get_rng_state()
    backbone.check(SHAPE)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    del state["0.bias"]
    torch.save(state, file)
    with pytest.raises(UsageError, match=r"it has no '0\.bias'"):
        backbone.check(SHAPE)


def test_weights_are_fetched_where_they_are_wanted():
    asked = []

    class Fetching(Small):
        def library_body(self):
            asked.append(self.spec)
            return self.random_body()

    drawn = torch.random.get_rng_state()
    Fetching().fetch(natural=True)
    assert len(asked) == 1
    Fetching(pretrained="imagenet").fetch(natural=False)
    assert len(asked) == 2
    Fetching().fetch(natural=False)
    Fetching(pretrained="none").fetch(natural=True)
    Fetching(pretrained="absent.pth").fetch(natural=True)
    Fetching().check(SHAPE, natural=True)
    SmallConv().fetch(natural=True)
    assert len(asked) == 2
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_batch_norm_that_is_not_frozen_learns():
    model = Small().build(SHAPE).train()
    step(model)
    assert not torch.equal(norms(model)[0].weight, torch.ones(5))
    assert not torch.equal(norms(model)[0].running_mean, torch.zeros(5))


def test_dropout_is_for_training_only():
    model = Small(dropout=0.5, freeze_bn=True).build_random(SHAPE).train()
    assert not torch.equal(model(IMAGES), model(IMAGES))
    with frozen(model):
        assert torch.equal(model(IMAGES), model(IMAGES))
    assert not torch.equal(model(IMAGES), model(IMAGES))
    model.eval()
    assert torch.equal(model(IMAGES), model(IMAGES))
    plain = Small(freeze_bn=True).build_random(SHAPE).train()
    assert torch.equal(plain(IMAGES), plain(IMAGES))
    for value in (1.0, -0.1):
        with pytest.raises(ValueError, match="dropout"):
            Small(dropout=value)


def test_a_checkpoint_is_read_back(tmp_path):
    backbone = Small(freeze_bn=True, dropout=0.1)
    model = backbone.build_random(SHAPE)
    step(model.train())
    save_model(model, str(tmp_path / "m.safetensors"))
    other = backbone.build_random(SHAPE)
    load_model(other, str(tmp_path / "m.safetensors"))
    assert torch.equal(other.eval()(IMAGES), model.eval()(IMAGES))


def test_passes_are_counted_with_frozen_batch_norm(make_member):
    member = make_member(shape=SHAPE)
    member.embedder = Small(freeze_bn=True).build_random(SHAPE)
    with PassCounter(member, SHAPE, count_flops(member, SHAPE)) as counter:
        member(IMAGES).sum().backward()
    assert (counter.forward, counter.backward) == (6, 12)


def test_smallconv_does_not_depend_on_the_source_of_other_backbones():
    seen = reach.reached(frozenset([SmallConv.__module__])).modules
    assert "benchmark.models.backbone" in seen
    others = ("library_backbone", "timm_backbone", "bn_inception", "weights_file", "embedding_network")
    assert not seen & {f"benchmark.models.{name}" for name in others}


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("resnet18[dim=8]", "resnet18[dim=8]"),
        ("resnet18[pretrained=imagenet]", "resnet18[pretrained=imagenet]"),
        ("resnet18[pretrained=/home/me/best.v2.pth,dim=8]", "resnet18[dim=8,pretrained=best.v2]"),
        ("resnet18[pretrained=~/my weights.pt]", "resnet18[pretrained=my-weights]"),
        ("resnet18[pretrained=/home/me/imagenet.pth]", "resnet18[pretrained=imagenet.pth]"),
        ("resnet18[pretrained=/home/me/a.pth,name=mine]", "resnet18[pretrained=mine]"),
        (
            "bn_inception[pretrained=w.safetensors,pooling=avg_max]",
            "bn_inception[pooling=avg_max,pretrained=w]",
        ),
        ("smallconv[dim=8]", "smallconv[dim=8]"),
    ],
)
def test_the_short_name_holds_no_path(spec, name):
    backbone = BACKBONES.build(spec)
    assert backbone.short_name == name
    assert BACKBONES.build(backbone.spec) == backbone


def test_seeds_do_not_depend_on_the_name_of_a_file():
    named = BACKBONES.build("resnet18[pretrained=/home/me/a.pth,name=mine,dim=8]")
    assert named.spec == "resnet18[dim=8,name=mine,pretrained=/home/me/a.pth]"
    assert named.portable == BACKBONES.build("resnet18[dim=8]").portable == "resnet18[dim=8]"
    assert named.with_pretrained("none") is named
    assert named == type(named)(pretrained="/home/me/a.pth", label="mine", dim=8)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("name=mine", "name is for a file of weights: write pretrained=FILE"),
        ("name=mine,pretrained=imagenet", "name is for a file of weights: write pretrained=FILE"),
        ("name=imagenet,pretrained=a.pth", "name='imagenet': has another meaning"),
        ("name=my weights,pretrained=a.pth", "name='my weights': must begin with a letter"),
        ("label=mine,pretrained=a.pth", "Unknown parameter of resnet18 'label'"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_in_one_line(parameters, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        BACKBONES.build(f"resnet18[{parameters}]")
    assert len(str(caught.value).splitlines()) == 1
