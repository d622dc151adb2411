from pathlib import Path

import pytest
import torch

from attacks import ATTACKS
from benchmark.core.errors import UsageError
from benchmark.core.spec import format_spec
from defenses import DEFENSES

from .written import exported, network, onnx, script


def build(path):
    return DEFENSES.build(str(path)).model


DYNAMIC = {"dynamic_shapes": ({0: torch.export.Dim("n", min=1, max=4096)},)}


@pytest.mark.parametrize(
    ("suffix", "save", "gradients"),
    [(".pt", script, True), (".pt2", lambda n, p: exported(n, p, **DYNAMIC), True), (".onnx", onnx, False)],
)
def test_a_file_embeds_as_the_network_that_it_was_made_of(tmp_path, images, suffix, save, gradients):
    net = network()
    path = tmp_path / f"net{suffix}"
    save(net, path)
    model = build(path).embedder()
    assert [note for note in model.settle(images) if "gradient" not in note] == []
    assert model.gradients == gradients
    expected = torch.nn.functional.normalize(net(images))
    assert torch.allclose(model(images), expected, atol=1e-4)
    assert str(tmp_path) not in build(path).short_name
    if gradients:
        inputs = images.clone().requires_grad_(True)
        (theirs,) = torch.autograd.grad(model(inputs).sum(), inputs)
        (own,) = torch.autograd.grad(torch.nn.functional.normalize(net(inputs)).sum(), inputs)
        assert torch.allclose(theirs, own, atol=1e-5)


def test_another_content_is_another_model(tmp_path):
    net = network()
    script(net, tmp_path / "net.pt")
    before = build(tmp_path / "net.pt").fingerprint()
    with torch.no_grad():
        net.layers[5].bias.add_(1.0)
    script(net, tmp_path / "net.pt")
    assert build(tmp_path / "net.pt").fingerprint() != before


def test_weights_in_place_of_a_network_are_named(tmp_path):
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=r"is no TorchScript file\. Weights alone .* --weights weights\.pt"):
        build(tmp_path / "weights.pt").embedder()


@pytest.mark.parametrize("name", ["net.pt", "net.pt2", "net.onnx"])
def test_missing_and_damaged_files_are_one_line(tmp_path, name):
    with pytest.raises(UsageError, match=f"{name} cannot be read: No such file"):
        build(tmp_path / name).embedder()
    (tmp_path / name).write_bytes(b"nothing that a library reads")
    with pytest.raises(UsageError, match=name) as caught:
        build(tmp_path / name).embedder()
    assert "\n" not in str(caught.value)


def test_a_program_for_one_size_of_batch_says_so(tmp_path):
    exported(network(), tmp_path / "fixed.pt2")
    with pytest.raises(UsageError, match=r"fixed\.pt2 takes 4 images at a time; export it with a dynamic"):
        build(tmp_path / "fixed.pt2").embedder()


def test_a_program_exported_in_training_mode_is_refused(tmp_path, images):
    exported(network().train(), tmp_path / "train.pt2", **DYNAMIC)
    with pytest.raises(UsageError, match=r"embeds an image alone otherwise than in a batch|cannot embed"):
        build(tmp_path / "train.pt2").embedder().settle(images)


def test_a_graph_for_a_fixed_number_of_images_is_refused(tmp_path):
    onnx(network(), tmp_path / "net.onnx", count=1)
    with pytest.raises(UsageError, match=r"net\.onnx takes 1 images at a time; export it with a dynamic"):
        build(tmp_path / "net.onnx").embedder()


def test_a_relative_path_means_the_working_directory_of_now(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert build("net.pt").file == tmp_path / name / "net.pt"
        assert build("net.py:make").spec == f"{tmp_path / name}/net.py:make"


@pytest.mark.parametrize("name", ["my nets/n.py:make", 'a "b", c/n.py:make', "a [b]/n.py:make", "a b/net.pt"])
def test_a_spec_is_read_back_also_within_an_attack(name):
    spec = build(format_spec(f"/{name}", {"weights": "/w, x.pth", "mean": "[0.1,0.2,0.3]"})).spec
    assert build(spec).spec == spec
    assert build(spec).weights == Path("/w, x.pth")
    attack = ATTACKS.build("transfer").made_on(spec)
    assert ATTACKS.build(attack.spec).needs == spec
    assert ATTACKS.build(attack.spec).spec == attack.spec
