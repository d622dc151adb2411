import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark.core.errors import UsageError
from benchmark.core.source import ROOT
from benchmark.models import BACKBONES
from benchmark.models.own import own_model
from defenses import DEFENSES

from .written import exported


def built(text):
    return DEFENSES.build(text).model


def settled(text, images):
    model = built(text).embedder()
    return model, model.settle(images)


def test_a_function_s_network_is_an_embedder_of_unit_vectors(file, images):
    model, notes = settled(f"{file}:make_model", images)
    assert notes == []
    expected = F.normalize(model.network(images))
    assert torch.equal(model(images), expected)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_arguments_in_brackets_reach_the_function(file, images):
    model, _ = settled(f"{file}:make_model[dim=5,width=2]", images)
    assert model(images).shape == (8, 5)
    assert built(f"{file}:make_model[width=2,dim=5]").spec == built(f"{file}:make_model[dim=5,width=2]").spec


def test_an_option_s_name_may_be_an_argument_s(file, images):
    model = built(f"{file}:make_model[channels=3,call.channels=3]").embedder()
    model.settle(images)  # grey images become three channels
    assert model(images).shape == (8, 8)


def test_a_network_may_be_named_itself_and_so_may_a_function_of_images(file, images):
    assert settled(f"{file}:NETWORK", images)[0](images).shape == (8, 8)
    assert settled(f"{file}:as_function", images)[0](images).shape == (8, 8)


def test_a_module_may_be_named_by_its_dots(images):
    model, _ = settled("defenses.pixels:PixelEmbedder", images)
    assert torch.equal(model(images), F.normalize(images.flatten(1)))


def test_a_file_may_import_its_neighbour(file, images):
    (file.parent / "beside_the_net.py").write_text("WIDTH = 3\n")
    wide = "def wide():\n    from beside_the_net import WIDTH\n    return Net(width=WIDTH)\n"
    file.write_text(f"{file.read_text()}\n{wide}")
    assert settled(f"{file}:wide", images)[0](images).shape == (8, 8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two_outputs", r"nets.py:two_outputs returns one tuple, not one tensor of shape \(n, d\)"),
        ("with_map", r"returns shape \(8, 4, 10, 10\) for 8 images, not \(8, d\)"),
        ("squeezed", r"nets.py:squeezed returns shape \(\d+,\) for 1 image, not \(1, d\)"),
        ("not_finite", r"values that are not finite for 8 of 8 images\. Does it expect another range"),
        ("zeros", "returns a vector of zeros, which has no direction"),
        ("integers", "returns torch.int64 values, not floating-point ones"),
        ("of_the_batch", r"embeds an image alone otherwise than in a batch .* training mode\?"),
        ("trains_inside", r"Expected more than 1 value|embeds an image alone otherwise than in a batch"),
        ("fails", r"nets\.py:fails fails: RuntimeError: no weights on this machine \(line \d+\)"),
        ("lazy", "nets.py:lazy has lazy layers whose sizes are not known yet: pass one batch through it"),
        ("nothing", "returns a NoneType, not a network: give one torch.nn.Module"),
        ("NUMBER", "is of type int, not a function or a network"),
        ("lacking", "nets.py has no 'lacking' to make a model with"),
        (
            "make_model[depth=3]",
            r"cannot be called with \{'depth': 3\}.*Options of every model: size, resize",
        ),
        ("make_model[call.channels=3]", r"cannot embed images of 1x12x12: RuntimeError: .*channels=3,mean=0"),
        ("of_the_place", r"embeds an image alone otherwise than in a batch"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(file, images, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        settled(f"{file}:{name}", images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("in_half", "its weights were float16, and are used as float32"),
        ("noisy", "two forward passes over the same images differ: it is evaluated as randomised"),
        ("detached", "no gradient reaches the images through it, so white-box attacks cannot be run"),
        ("through_numpy", "no gradient reaches the images through it, so white-box attacks cannot be run"),
        ("constant", "embeddings of 8 images are nearly the same"),
    ],
)
def test_what_is_handled_is_noted(file, images, name, note):
    model, notes = settled(f"{file}:{name}", images)
    assert [part for part in notes if note in part]
    assert model.randomised == (name == "noisy")
    assert model.gradients == (name not in ("detached", "through_numpy"))


def test_a_missing_file_and_a_missing_module_are_named():
    with pytest.raises(UsageError, match=r"There is no file /nowhere/net\.py to take a model from"):
        built("/nowhere/net.py:make").embedder()
    with pytest.raises(
        UsageError, match=r"There is no file .*/~nobody-of-this-name/net\.py to take a model from"
    ):
        built("~nobody-of-this-name/net.py:make").embedder()
    with pytest.raises(UsageError, match=r"There is no module 'no_such_package\.nets'"):
        built("no_such_package.nets:make").embedder()


def test_a_file_that_does_not_import_names_its_line(tmp_path):
    path = tmp_path / "broken_net.py"
    path.write_text("import torch\n\nraise ValueError('a file is missing')\n")
    with pytest.raises(
        UsageError, match=r"broken_net\.py does not import: ValueError: a file is missing \(line 3\)"
    ):
        built(f"{path}:make").embedder()


def test_weights_are_loaded_and_change_the_fingerprint(file, images, tmp_path):
    plain = built(f"{file}:make_model")
    state = {
        key: value + 0.1
        for key, value in plain.embedder().network.state_dict().items()
        if value.is_floating_point()
    }
    state |= {key: value for key, value in plain.embedder().network.state_dict().items() if key not in state}
    torch.save(state, tmp_path / "w.pth")
    loaded = built(f"{file}:make_model[weights={tmp_path / 'w.pth'}]")
    assert loaded.fingerprint() != plain.fingerprint() == built(f"{file}:make_model").fingerprint()
    assert not torch.equal(loaded.embedder()(images), plain.embedder()(images))
    assert loaded.portable == plain.portable
    assert str(tmp_path) not in loaded.short_name
    assert loaded.short_name == "nets.py:make_model[weights=w.pth]"


def test_weights_that_do_not_fit_are_refused(file, tmp_path):
    torch.save({"other": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"w\.pth does not fit"):
        built(f"{file}:make_model[weights={tmp_path / 'w.pth'}]").embedder()
    with pytest.raises(UsageError, match=r"none\.pth"):
        built(f"{file}:make_model[weights={tmp_path / 'none.pth'}]").embedder()


def test_other_names_are_no_models():
    assert own_model("pgd_at") is None
    assert own_model("smallconv") is None
    with pytest.raises(UsageError, match="Unknown defense 'pgd_att'"):
        DEFENSES.build("pgd_att")


def test_preparation_is_differentiable_and_as_written(file, images):
    model = built(f"{file}:make_model[resize=24,crop=20,size=10,mean=0.5,std=0.25]").embedder()
    prepared = model.prepare(images)
    scaled = F.interpolate(images, (24, 24), mode="bilinear", antialias=True)[:, :, 2:22, 2:22]
    expected = (F.interpolate(scaled, (10, 10), mode="bilinear", antialias=True) - 0.5) / 0.25
    np.testing.assert_allclose(prepared.numpy(), expected.numpy(), atol=1e-6)
    with pytest.raises(UsageError, match="crop=20 is larger than the images of 12 x 12; give resize too"):
        settled(f"{file}:make_model[crop=20]", images)


@pytest.mark.parametrize("value", ["[1,2]", "bright", "[]"])
def test_a_bad_mean_is_refused(file, value):
    with pytest.raises(UsageError, match="must be one number, three as in"):
        built(f"{file}:make_model[mean={value}]")


def test_a_library_s_mean_brings_its_deviation(file):
    prepare = built(f"{file}:make_model[mean=imagenet]").embedder().prepare
    assert prepare.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


def test_generators_stay_as_they_were(file):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = (built(f"{file}:make_model").network() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.layers[0].weight, other.layers[0].weight)


@pytest.mark.slow
def test_a_network_that_the_file_makes_itself_is_the_same_in_each_process(file):
    code = (
        "import sys, torch; torch.rand(int(sys.argv[1])); from defenses import DEFENSES; "
        f"print(DEFENSES.build('{file}:NETWORK').model.fingerprint())"
    )
    prints = {
        subprocess.run([sys.executable, "-c", code, n], cwd=ROOT, capture_output=True, check=True).stdout
        for n in ("1", "2")
    }
    assert len(prints) == 1 and prints != {b""}


def test_two_files_of_weights_for_one_network_are_two_models(file, images, tmp_path):
    plain = built(f"{file}:NETWORK").embedder()
    embedders = []
    for number in range(2):
        state = {key: value + number * 0.5 for key, value in plain.network.state_dict().items()}
        torch.save(state, tmp_path / f"{number}.pth")
        embedders.append(built(f"{file}:NETWORK[weights={tmp_path / f'{number}.pth'}]").embedder())
    assert torch.equal(embedders[0](images), plain(images))
    assert not torch.equal(embedders[1](images), plain(images))


def test_weights_that_a_function_refers_to_are_in_the_fingerprint_and_loaded(file, tmp_path):
    model = built(f"{file}:as_function")
    network = model.network().behind[0]
    state = {key: value + 1 for key, value in network.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    loaded = built(f"{file}:as_function[weights={tmp_path / 'w.pth'}]")
    assert loaded.fingerprint() != model.fingerprint() == built(f"{file}:as_function").fingerprint()
    assert torch.equal(loaded.loaded()[0].behind[0].layers[0].weight, state["layers.0.weight"])


def test_the_code_of_a_library_s_class_is_not_followed(tmp_path):
    path = tmp_path / "plain_net.py"
    path.write_text("from torch import nn\n\nNET = nn.Sequential(nn.Flatten(), nn.Linear(144, 4))\n")
    (module,) = built(f"{path}:NET").modules()
    assert module.startswith("own_plain_net")


def test_every_training_begins_from_the_same_weights(file):
    backbone = BACKBONES.build(f"{file}:NETWORK")
    members = [backbone.build((1, 12, 12)) for _ in range(2)]
    with torch.no_grad():
        next(members[0].parameters()).add_(1)
    assert not torch.equal(next(members[0].parameters()), next(members[1].parameters()))


def test_an_exported_program_is_not_trained_further(file, tmp_path):
    net = built(f"{file}:make_model").network().eval()
    batch = torch.export.Dim("batch")
    exported(net, tmp_path / "net.pt2", dynamic_shapes=({0: batch},))
    with pytest.raises(UsageError, match=r"net\.pt2 keeps the mode of its export"):
        BACKBONES.build(str(tmp_path / "net.pt2")).build((1, 12, 12))


def test_a_tensor_that_is_no_weight_is_in_the_fingerprint(file, tmp_path):
    held = "def holding():\n    net = Net()\n    net.scale = torch.load({!r})\n    return net\n"
    closed = (
        "def closed():\n    scale = torch.load({!r})\n    return lambda images: images.flatten(1) * scale\n"
    )
    path = str(tmp_path / "scale.pt")
    file.write_text("\n".join([file.read_text(), held.format(path), closed.format(path)]))
    for name in ("holding", "closed"):
        torch.save(torch.tensor(1.0), path)
        before = built(f"{file}:{name}").fingerprint()
        torch.save(torch.tensor(2.0), path)
        assert built(f"{file}:{name}").fingerprint() != before


def test_an_argument_that_is_a_path_shows_no_folder(file, tmp_path):
    (tmp_path / "w.pt").touch()
    model = built(f"{file}:make_model[checkpoint={tmp_path}/w.pt,ratio=1/2]")
    assert model.short_name == "nets.py:make_model[checkpoint=w.pt,ratio=1/2]"
