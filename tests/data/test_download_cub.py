"""CUB-200-2011 is downloaded once and then used, whatever was there before."""

import shutil

import pytest

from benchmark.data.downloads import download_missing


@pytest.fixture
def fetched():
    """The addresses that something was fetched from."""
    return []


@pytest.fixture
def birds(folders, fetched, monkeypatch, tiny_sets):
    """The content of a tiny_sets CUB-200-2011's archive, which is what is fetched."""
    archive = tiny_sets.pack(folders.data / "CUB_200_2011.tgz", tiny_sets.cub(folders.data))
    content = archive.read_bytes()
    archive.unlink()

    def fetch(url, to, md5):
        fetched.append(url)
        to.write_bytes(content)

    monkeypatch.setattr("benchmark.data.downloads.fetch", fetch)
    return content


def cut_off(tiny_sets, data, content):
    (data / "CUB_200_2011.tgz").write_bytes(content[:100])


def a_page(tiny_sets, data, content):
    (data / "CUB_200_2011.tgz").write_bytes(b"<html>")


def without_images(tiny_sets, data, content):
    shutil.rmtree(tiny_sets.cub(data) / "images")


def without_some_images(tiny_sets, data, content):
    (tiny_sets.cub(data) / "images" / "001.Bird" / "b1_0.jpg").unlink()


def without_some_lines(tiny_sets, data, content):
    (tiny_sets.cub(data) / "images.txt").write_text("1 001.Bird/b1_0.jpg")


def flat_in_the_data_folder(tiny_sets, data, content):
    (data / "images.txt").write_text("1 001.Bird/b1_0.jpg")
    (data / "image_class_labels.txt").write_text("1 1")


def flat_and_of_other_images(tiny_sets, data, content):
    for file in tiny_sets.cub(data).glob("*.txt"):
        (data / file.name).write_text(file.read_text().replace("Bird", "Fish"))
    shutil.rmtree(data / "CUB_200_2011")


def a_broken_one_of_another_name(tiny_sets, data, content):
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
def test_the_download_is_used_whatever_was_there(before, birds, folders, fetched, tiny_sets):
    before(tiny_sets, folders.data, birds)
    download_missing([tiny_sets.build("cub200")], folders)
    assert len(fetched) == 1
    assert len(tiny_sets.load("cub200", folders).test) == 4
    download_missing([tiny_sets.build("cub200")], folders)
    assert len(fetched) == 1


def test_a_truncated_archive_is_named_to_be_deleted(birds, folders, fetched, tiny_sets):
    cut_off(tiny_sets, folders.data, birds)
    download_missing([tiny_sets.build("cub200")], folders)
    archive = folders.data / "CUB_200_2011.tgz"
    tiny_sets.refused(
        "cub200", folders, f"{archive} is damaged or truncated .*: delete it, and download it again"
    )
    archive.unlink()
    download_missing([tiny_sets.build("cub200")], folders)
    assert len(tiny_sets.load("cub200", folders).test) == 4 and len(fetched) == 1
