"""Hashes of modules behind an identity: written once, and again where they are damaged."""

import pytest

from benchmark.records.sources import read_source, save_sources

SOURCES = {"one": {"attacks.base": "1", "defenses.vanilla": "2"}, "two": {"attacks.base": "3"}}


def test_what_is_written_is_read_and_kept(tmp_path):
    save_sources(tmp_path, SOURCES)
    assert {name: read_source(tmp_path, name) for name in SOURCES} == SOURCES
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "identities").iterdir()}
    save_sources(tmp_path, SOURCES)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "identities").iterdir()} == before
    assert read_source(tmp_path, "three") == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"\xff")),
        lambda path: path.write_bytes(path.with_name("two.json").read_bytes()),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_what_is_damaged_is_written_again(tmp_path, damage):
    save_sources(tmp_path, SOURCES)
    damage(tmp_path / "identities" / "one.json")
    save_sources(tmp_path, SOURCES)
    assert {name: read_source(tmp_path, name) for name in SOURCES} == SOURCES
