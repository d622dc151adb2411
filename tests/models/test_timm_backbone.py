import huggingface_hub
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.models import BACKBONES

NAME = "mobilenetv3_small_050"


@pytest.fixture
def offline(monkeypatch):
    """A hub that does not answer, and an empty cache."""

    class Session:
        def head(self, address, timeout):
            assert address.startswith("https://") and timeout <= 10
            raise OSError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names, **options: None)
    monkeypatch.setattr(huggingface_hub, "get_session", Session)


@pytest.mark.parametrize("channels", [1, 3])
def test_unit_vectors_and_gradients(channels):
    embedder = BACKBONES.build(f"{NAME}[dim=16]").build((channels, 32, 32)).eval()
    images = torch.rand(3, channels, 32, 32, requires_grad=True)
    embeddings = embedder(images)
    assert embeddings.shape == (3, 16)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
    (gradient,) = torch.autograd.grad(embeddings[:, 0].sum(), images)
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


def test_mean_and_deviation_are_applied_inside():
    embedder = BACKBONES.build(f"{NAME}[dim=16]").build((3, 32, 32)).eval()
    images = torch.rand(2, 3, 32, 32)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    expected = F.normalize(embedder.head(embedder.network.body((images - mean) / std)))
    torch.testing.assert_close(embedder(images), expected)
    torch.testing.assert_close(embedder(images[:, :1]), embedder(images[:, :1].repeat(1, 3, 1, 1)))
    assert not any("mean" in key.split(".")[-1] and "running" not in key for key in embedder.state_dict())


@pytest.mark.parametrize("name, features", [("mobilenetv2_100", 1280), ("resnet18", 512), ("resnet50", 2048)])
def test_the_architectures_of_the_field(name, features):
    embedder = BACKBONES.build(name).build_random((3, 32, 32))
    assert (embedder.head.in_features, embedder.head.out_features) == (features, 512)
    assert sum(p.numel() for p in embedder.head_parameters()) == 512 * (features + 1)


@pytest.mark.slow
def test_a_transformer_takes_its_own_size_only():
    backbone = BACKBONES.build("vit_small_patch16_224")
    backbone.check((3, 224, 224))
    wanted = r"'vit_small_patch16_224' cannot take images of 1x28x28: it is made for images of 3x224x224 \("
    with pytest.raises(UsageError, match=wanted) as caught:
        backbone.check((1, 28, 28))
    assert len(str(caught.value).splitlines()) == 1


def test_the_spec_is_canonical():
    assert BACKBONES.build(f"{NAME}[dim=512,pretrained=auto]").spec == NAME
    assert BACKBONES.build(f"{NAME}[pretrained=none,dim=8]").spec == f"{NAME}[dim=8,pretrained=none]"
    assert BACKBONES.get(NAME) is BACKBONES.get(NAME)
    assert NAME not in BACKBONES.names()
    assert BACKBONES.build("resnet18.tv_in1k").spec == "resnet18.tv_in1k"


def test_an_unknown_architecture_gets_the_nearest_name():
    with pytest.raises(UsageError, match=r"Unknown backbone 'resnet18x'\. Did you mean 'resnet18'") as caught:
        BACKBONES.build("resnet18x")
    assert len(str(caught.value).splitlines()) == 1
    assert "smallconv" in str(caught.value)
    with pytest.raises(UsageError, match="Did you mean 'smallconv'"):
        BACKBONES.build("smalconv")
    with pytest.raises(UsageError, match=r"Unknown backbone 'resnet18\.no_such_tag'"):
        BACKBONES.build("resnet18.no_such_tag")


@pytest.mark.parametrize("spec, natural", [(NAME, True), (f"{NAME}[pretrained=imagenet]", False)])
def test_weights_that_cannot_be_fetched_are_an_error(offline, spec, natural):
    with pytest.raises(BenchmarkError, match=f"weights of '{NAME}' cannot be loaded") as caught:
        BACKBONES.build(spec).build((3, 32, 32), natural=natural)
    assert "--pretrained none" in str(caught.value) and "--pretrained PATH" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_random_weights_need_no_hub(offline):
    BACKBONES.build(NAME).build((3, 32, 32))
    BACKBONES.build(f"{NAME}[pretrained=none]").build((3, 32, 32), natural=True)
    BACKBONES.build(f"{NAME}[pretrained=imagenet]").build_random((3, 32, 32))


def test_an_architecture_without_weights_says_so():
    every = timm.list_models("*resnet*")
    name = next(name for name in every if not timm.get_pretrained_cfg(name).has_weights)
    for way in (lambda backbone: backbone.library_body(), lambda backbone: backbone.fingerprint(True)):
        with pytest.raises(UsageError, match=f"no pretrained weights of '{name}'.*--pretrained none"):
            way(BACKBONES.build(name))
    with pytest.raises(UsageError, match=f"no pretrained weights of '{name}'"):
        BACKBONES.build(name).check((3, 64, 64), natural=True)


def test_a_transformer_has_no_batch_norm_to_freeze():
    with pytest.raises(UsageError, match="'test_vit' has no batch norm to freeze"):
        BACKBONES.build("test_vit[freeze_bn=true]").check((3, 160, 160), natural=True)


def in_the_cache(monkeypatch, file):
    """Lets a file be what the hub's cache has."""
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names, **options: str(file))


@pytest.mark.parametrize("absent", ["blocks.1.0.conv_pw.weight", "bn1.running_mean"])
def test_no_layer_of_the_hubs_weights_is_left_at_random(monkeypatch, tmp_path, absent):
    state = timm.create_model(NAME).state_dict()
    del state[absent]
    file = tmp_path / "model.safetensors"
    save_file(state, file)
    in_the_cache(monkeypatch, file)
    load = torch.nn.Module.load_state_dict
    with pytest.raises(
        BenchmarkError, match=f"incomplete: {file} has no '{absent}'.*--pretrained PATH"
    ) as raised:
        BACKBONES.build(NAME).fetch(natural=True)
    assert len(str(raised.value).splitlines()) == 1
    assert torch.nn.Module.load_state_dict is load


def test_keys_that_timm_renames_are_not_missed(monkeypatch, tmp_path):
    model = timm.create_model("test_vit", img_size=96)  # embeddings of positions are for another size
    renamed = {f"visual.trunk.{key}": value for key, value in model.state_dict().items()}
    save_file(renamed, tmp_path / "model.safetensors")
    in_the_cache(monkeypatch, tmp_path / "model.safetensors")
    body = BACKBONES.build("test_vit").build((3, 160, 160), natural=True).network.body
    assert torch.equal(body.patch_embed.proj.weight, model.patch_embed.proj.weight)


def test_weights_of_the_hub_are_taken_from_its_cache(monkeypatch, tmp_path):
    model = timm.create_model(NAME).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def cached(repository, name, revision):
        asked.append((repository, name))
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(huggingface_hub, "get_session", None)  # and the hub is not asked
    backbone = BACKBONES.build(NAME)
    body = backbone.build((3, 32, 32), natural=True).network.body.eval()
    images = torch.randn(2, 3, 32, 32)
    model.reset_classifier(0)
    torch.testing.assert_close(body(images), model(images))
    assert asked == [("timm/mobilenetv3_small_050.lamb_in1k", "model.safetensors")]
    assert backbone.fingerprint(natural=True) == "timm:timm/mobilenetv3_small_050.lamb_in1k"
    assert backbone.fingerprint(natural=False) == ""
