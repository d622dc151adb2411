"""CUB-200-2011 is fetched once and then used, whatever lay there before."""

import shutil

import pytest
from layouts_on_disk import build, cub, load, pack, refused

from benchmark.data.downloads import download_missing


@pytest.fixture
def fetched():
    """The addresses that something was fetched from."""
    return []


@pytest.fixture
def birds(places, fetched, monkeypatch):
    """The content of a tiny CUB-200-2011's archive, which is what is fetched."""
    archive = pack(places.data / "CUB_200_2011.tgz", cub(places.data))
    content = archive.read_bytes()
    archive.unlink()

    def fetch(url, to, md5):
        fetched.append(url)
        to.write_bytes(content)

    monkeypatch.setattr("benchmark.data.downloads.fetch", fetch)
    return content


def cut_off(data, content):
    (data / "CUB_200_2011.tgz").write_bytes(content[:100])


def a_page(data, content):
    (data / "CUB_200_2011.tgz").write_bytes(b"<html>")


def without_images(data, content):
    shutil.rmtree(cub(data) / "images")


def without_some_images(data, content):
    (cub(data) / "images" / "001.Bird" / "b1_0.jpg").unlink()


def without_some_lines(data, content):
    (cub(data) / "images.txt").write_text("1 001.Bird/b1_0.jpg")


def flat_in_the_data_folder(data, content):
    (data / "images.txt").write_text("1 001.Bird/b1_0.jpg")
    (data / "image_class_labels.txt").write_text("1 1")


def flat_and_of_other_images(data, content):
    for file in cub(data).glob("*.txt"):
        (data / file.name).write_text(file.read_text().replace("Bird", "Fish"))
    shutil.rmtree(data / "CUB_200_2011")


def a_broken_one_of_another_name(data, content):
    (data / "CUB_200_2011.tar.gz").write_bytes(b"<html>")


@pytest.mark.parametrize(
    "before",
    [
        a_page,
        without_images,
        without_some_images,
        without_some_lines,
        flat_in_the_data_folder,
        flat_and_of_other_images,
        a_broken_one_of_another_name,
    ],
)
def test_whatever_lies_there_what_is_fetched_is_used(before, birds, places, fetched):
    before(places.data, birds)
    download_missing([build("cub200")], places)
    assert len(fetched) == 1
    assert len(load("cub200", places).test) == 4
    download_missing([build("cub200")], places)
    assert len(fetched) == 1


def test_an_archive_that_was_cut_off_is_named_to_be_deleted(birds, places, fetched):
    cut_off(places.data, birds)
    download_missing([build("cub200")], places)
    archive = places.data / "CUB_200_2011.tgz"
    refused("cub200", places, f"{archive} is damaged or was cut off .*: delete it, and get it again")
    archive.unlink()
    download_missing([build("cub200")], places)
    assert len(load("cub200", places).test) == 4 and len(fetched) == 1
