import hashlib
import io
import subprocess
import sys
import zipfile
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from pytorchcv.models.bninception import bninception

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.models import BACKBONES, BNInception, pytorchcv_store

SHAPE = (3, 64, 64)


@pytest.fixture(scope="module")
def original():
    """Pytorchcv's network with its classifier, with statistics of its own."""
    torch.manual_seed(1)
    network = bninception()
    for key, value in network.state_dict().items():
        if "running_var" in key:
            value.uniform_(0.5, 2)
        elif "running_mean" in key:
            value.normal_(std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def file(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "bninception.pth"
    torch.save(original.state_dict(), path)
    return path


def test_its_size_is_the_published_one(original):
    assert sum(p.numel() for p in original.parameters()) == 11_295_240
    embedder = BNInception().build(SHAPE)
    assert sum(p.numel() for p in embedder.network.body.parameters()) == 10_270_240
    assert sum(p.numel() for p in embedder.head_parameters()) == 512 * 1025


def test_it_is_pytorchcvs_network_up_to_the_classifier(original, file):
    embedder = BNInception(dim=7, pretrained=str(file)).build((3, 224, 224)).eval()
    images = torch.rand(1, 3, 224, 224)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        features = original.features((images - mean) / std).flatten(1)
        torch.testing.assert_close(embedder(images), F.normalize(embedder.head(features)))


def test_pooling(file):
    average, both = (
        BNInception(pretrained=str(file), pooling=pooling).build(SHAPE).network.body.eval()
        for pooling in ("avg", "avg_max")
    )
    images = torch.rand(2, *SHAPE)
    with torch.no_grad():
        maps = average.features(images).flatten(2)
        torch.testing.assert_close(average(images), maps.mean(2))
        torch.testing.assert_close(both(images), maps.mean(2) + maps.max(2).values)


def test_sizes_that_it_cannot_take_are_refused_early():
    BNInception().check((1, 32, 32))
    for shape, reason in (((3, 28, 28), "multiples of 32 pixels"), ((2, 64, 64), "1 or 3 channels")):
        name = "x".join(map(str, shape))
        with pytest.raises(UsageError, match=f"'bn_inception' cannot take images of {name}: .*{reason}"):
            BNInception().check(shape)


@pytest.fixture
def store(monkeypatch, tmp_path, file):
    """Pytorchcv's store and server; `answers` are what the server says, in turn."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as parts:
        parts.write(file, "bninception.pth")
    sha1 = hashlib.sha1(file.read_bytes()).hexdigest()
    answers = []

    def urlopen(address, timeout):
        assert address.endswith("/releases/download/v1/bninception.pth.zip")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)

    monkeypatch.setattr(pytorchcv_store, "_STORE", tmp_path / "models")
    monkeypatch.setattr(pytorchcv_store, "_known", lambda model: ("bninception.pth", sha1, "v1"))
    monkeypatch.setattr(pytorchcv_store, "urlopen", urlopen)
    return answers, archive.getvalue(), tmp_path / "models"


def test_a_failed_download_leaves_no_files(store, original):
    answers, archive, folder = store
    backbone = BACKBONES.build("bn_inception")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as parts:
        parts.writestr("bninception.pth", "something else")
    for answer in (URLError("no route"), archive[: len(archive) // 2], other.getvalue()):
        answers.append(answer)
        with pytest.raises(BenchmarkError, match=r"cannot be loaded \(.*--pretrained none") as caught:
            backbone.build(SHAPE, natural=True)
        assert len(str(caught.value).splitlines()) == 1
        assert list(folder.iterdir()) == []
    answers.append(archive)
    for _ in range(2):  # the second time from the folder
        body = backbone.build(SHAPE, natural=True).network.body
        assert torch.equal(
            body.state_dict()["features.stage1.unit1.branches.branch1.conv.weight"],
            original.state_dict()["features.stage1.unit1.branches.branch1.conv.weight"],
        )
    assert [path.name for path in folder.iterdir()] == ["bninception.pth"]


def test_the_name_of_the_weights_is_pytorchcvs():
    backbone = BACKBONES.build("bn_inception")
    kind, name, sha1 = backbone.fingerprint(natural=True).split(":")
    assert (kind, name, len(sha1)) == ("pytorchcv", "bninception", 40)
    assert backbone.fingerprint(natural=False) == ""


@pytest.mark.slow
def test_other_backbones_do_not_import_its_library():
    code = (
        "import sys; from benchmark.models import BACKBONES; BACKBONES.build('smallconv').build((1, 8, 8));"
        "assert 'bn_inception' in BACKBONES.names();"
        "sys.exit(any(name in sys.modules for name in ('timm', 'pytorchcv', 'huggingface_hub')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
