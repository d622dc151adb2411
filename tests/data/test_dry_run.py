"""The black images that a dry run uses: nothing is decoded or unpacked for it."""

import pytest
import torch

from benchmark.data import DATASETS, image_files


@pytest.fixture
def blank(folders):
    return folders._replace(blank=True)


@pytest.mark.parametrize("name", ("cub200", "sop", "inshop", "cars196"))
def test_labels_and_identity_of_unpacked_data(name, folders, blank, monkeypatch, tiny_sets):
    tiny_sets.write[name](folders.data)
    with monkeypatch.context() as patched:
        patched.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
        patched.setattr(image_files, "check_headers", lambda *_: pytest.fail("read"))
        tiny_sets.build(name).check_files(blank)
        outline = tiny_sets.load(name, blank)
        identity = tiny_sets.build(name).identity(blank)
    assert not folders.cache.exists()
    split = tiny_sets.load(name, folders)
    assert identity == tiny_sets.build(name).identity(folders) != "blank"
    for have, wanted in ((outline.train, split.train), (outline.test, split.test)):
        assert torch.equal(have.labels, wanted.labels) and torch.equal(have.ids, wanted.ids)
        assert have.image_shape == wanted.image_shape
        assert have.images.stride(0) == 0 and not have.batch(slice(None)).any()
        assert (have.queries is None) == (wanted.queries is None)
        assert have.queries is None or torch.equal(have.queries, wanted.queries)


def test_an_archive_is_not_unpacked_and_recognized_once_it_was(folders, blank, tiny_sets):
    tiny_sets.pack(folders.data / "CUB_200_2011.tgz", tiny_sets.write["cub200"](folders.data))
    assert len(tiny_sets.load("cub200", blank).test) == 5_924
    assert tiny_sets.build("cub200").identity(blank) == "blank"
    assert not folders.cache.exists()
    identity = tiny_sets.build("cub200").identity(folders)
    later = blank._replace(data=folders.data / ".." / "data")  # else what was found before would be kept
    assert tiny_sets.build("cub200").identity(later) == identity
    assert len(tiny_sets.load("cub200", later).test) == 4


def test_validation_of_unpacked_data(folders, blank, tiny_sets):
    tiny_sets.write["cub200"](folders.data, (1, 2, 3, 4, 5, 6, 101, 102))
    spec = tiny_sets.build("cub200").spec.replace("]", ",validation=true]")
    assert DATASETS.build(spec).load(blank).test.num_classes == 2


def test_blank_images_take_no_memory_whatever_their_number():
    split = DATASETS.build("sop").blank()
    assert (len(split.train), len(split.test), split.test.num_classes) == (59_551, 60_502, 11_316)
    kept, held = split.train.hold_out(0.15)
    assert len(kept) + len(held) == 59_551
    assert kept.images.stride(0) == 0


def test_small_data_sets_are_read(folders, blank):
    assert DATASETS.build("digits").load(blank).train.images.stride(0) != 0
    assert DATASETS.build("digits").identity(blank) == DATASETS.build("digits").identity(folders)


def test_the_grid_and_its_costs_decode_nothing(folders, blank, monkeypatch, capsys, tiny_sets):
    from benchmark.cli.commands import dry_run
    from benchmark.jobs import RunContext
    from benchmark.planning.resolve import resolve

    tiny_sets.write["cub200"](folders.data)
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
    given = {
        "datasets": tiny_sets.build("cub200").spec,
        "attacks": "noise",
        "defenses": "vanilla",
        "norm": "l2",
    }
    config = resolve({**given, "training": {"validation": 0}})
    context = RunContext(
        output=folders.cache / "results",
        cache=blank.cache,
        data=blank.data,
        device="cpu",
        commit="",
        blank=True,
    )
    assert dry_run(config, context) == 0
    assert "Cost: " in capsys.readouterr().out
    assert not list(folders.cache.glob("*.pixels"))
