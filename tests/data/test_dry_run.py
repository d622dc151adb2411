"""What a dry run is given in place of photographs: nothing is decoded or unpacked for it."""

import pytest
import torch
from layouts_on_disk import LAYOUTS, build, load, pack

from benchmark.data import DATASETS, image_files


@pytest.fixture
def blank(places):
    return places._replace(blank=True)


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_and_identity_of_what_is_here(name, places, blank, monkeypatch):
    LAYOUTS[name](places.data)
    with monkeypatch.context() as patched:
        patched.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
        patched.setattr(image_files, "check_headers", lambda *_: pytest.fail("read"))
        build(name).check_files(blank)
        outline = load(name, blank)
        identity = build(name).identity(blank)
    assert not places.cache.exists()
    split = load(name, places)
    assert identity == build(name).identity(places) != "blank"
    for have, wanted in ((outline.train, split.train), (outline.test, split.test)):
        assert torch.equal(have.labels, wanted.labels) and torch.equal(have.ids, wanted.ids)
        assert have.image_shape == wanted.image_shape
        assert have.images.stride(0) == 0 and not have.batch(slice(None)).any()
        assert (have.queries is None) == (wanted.queries is None)
        assert have.queries is None or torch.equal(have.queries, wanted.queries)


def test_an_archive_is_not_unpacked_and_known_again_once_it_was(places, blank):
    pack(places.data / "CUB_200_2011.tgz", LAYOUTS["cub200"](places.data))
    assert len(load("cub200", blank).test) == 5_924
    assert build("cub200").identity(blank) == "blank"
    assert not places.cache.exists()
    identity = build("cub200").identity(places)
    later = blank._replace(data=places.data / ".." / "data")  # else what was found before would be kept
    assert build("cub200").identity(later) == identity
    assert len(load("cub200", later).test) == 4


def test_validation_of_what_is_here(places, blank):
    LAYOUTS["cub200"](places.data, (1, 2, 3, 4, 5, 6, 101, 102))
    spec = build("cub200").spec.replace("]", ",validation=true]")
    assert DATASETS.build(spec).load(blank).test.num_classes == 2


def test_blank_images_take_no_memory_whatever_their_number():
    split = DATASETS.build("sop").blank()
    assert (len(split.train), len(split.test), split.test.num_classes) == (59_551, 60_502, 11_316)
    kept, held = split.train.hold_out(0.15)
    assert len(kept) + len(held) == 59_551
    assert kept.images.stride(0) == 0


def test_what_is_in_memory_is_read_as_ever(places, blank):
    assert DATASETS.build("digits").load(blank).train.images.stride(0) != 0
    assert DATASETS.build("digits").identity(blank) == DATASETS.build("digits").identity(places)


def test_the_grid_and_its_costs_decode_nothing(places, blank, monkeypatch, capsys):
    from benchmark.cli.commands import dry_run
    from benchmark.jobs import RunContext
    from benchmark.planning.resolve import resolve

    LAYOUTS["cub200"](places.data)
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
    given = {"datasets": build("cub200").spec, "attacks": "noise", "defenses": "vanilla", "norm": "l2"}
    config = resolve({**given, "training": {"validation": 0}})
    context = RunContext(
        output=places.cache / "results",
        cache=blank.cache,
        data=blank.data,
        device="cpu",
        commit="",
        blank=True,
    )
    assert dry_run(config, context) == 0
    assert "Cost: " in capsys.readouterr().out
    assert not list(places.cache.glob("*.pixels"))
