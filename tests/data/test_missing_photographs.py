"""What is missing or damaged is told in one line: what, where, and where the whole is to be had."""

import shutil

import pytest
from layouts_on_disk import (
    LAYOUTS,
    annotations,
    build,
    cars,
    cars_of_torchvision,
    cub,
    inshop,
    load,
    pack,
    refused,
    sop,
    told,
)
from scipy.io import savemat

from benchmark.data import DATASETS, image_files


@pytest.mark.parametrize("name", LAYOUTS)
def test_nothing_there_and_too_little_there(name, places):
    dataset = DATASETS.build(name)
    reason = dataset.missing(places)
    assert f"{name} is not in {places.data}, where {dataset.about.layout}" in reason
    assert ("--download" in reason) == (name == "cub200")
    LAYOUTS[name](places.data)
    reason = dataset.missing(places)
    assert f"4 test images instead of {dataset.official.test_images:,}" in reason
    assert f"{name}[partial=true]" in reason


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cub200", "image_class_labels.txt"),
        ("cub200", "images.txt"),
        ("sop", "Ebay_test.txt"),
        ("sop", "Ebay_train.txt"),
    ],
)
def test_metadata_that_lack_beside_the_rest(name, file, places):
    folder = LAYOUTS[name](places.data)
    (folder / file).unlink()
    assert f"there is no {file} in {folder}" in told(name, places)
    refused(name, places, file)


@pytest.mark.parametrize("folder", [".", "cars196"])
def test_images_of_cars_packed_without_their_metadata(folder, places):
    made = cars(places.data / folder)
    pack(made.with_suffix(".tgz"), made)
    (places.data / folder / "cars_annos.mat").unlink()
    assert f"no cars_annos.mat in {made.parent} beside car_ims.tgz" in told("cars196", places)
    refused("cars196", places, "cars_annos.mat")
    assert not places.cache.exists()


def test_cars_of_torchvision_without_the_labels_of_its_test_images(places):
    folder = cars_of_torchvision(places.data)
    for name, archive in (("devkit", "car_devkit"), ("cars_train", "cars_train"), ("cars_test", "cars_test")):
        pack(folder / f"{archive}.tgz", folder / name)
    (folder / "cars_test_annos_withlabels.mat").unlink()
    reason = told("cars196", places)
    assert f"no cars_test_annos_withlabels.mat in {folder} beside car_devkit.tgz" in reason
    assert "cars_train_annos" not in reason


def test_images_of_inshop_packed_without_their_list(places):
    folder = inshop(places.data)
    pack(folder / "Img" / "img.zip", folder / "Img" / "img")
    shutil.rmtree(folder / "Eval")
    assert f"no Eval/list_eval_partition.txt in {folder} beside img.zip" in told("inshop", places)
    refused("inshop", places, "list_eval_partition")
    assert not places.cache.exists()


def test_the_large_images_of_inshop_are_not_what_is_wanted(places):
    folder = inshop(places.data)
    pack(folder / "Img" / "img_highres.zip", folder / "Img" / "img")
    reason = told("inshop", places)
    assert "8 of 8 images" in reason and "put Img/img.zip or img.zip" in reason


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><title>Sign in</title>", b"PK is how zips begin"])
def test_what_is_named_as_an_archive_and_is_none(content, places):
    archive = places.data / "CUB_200_2011.tgz"
    archive.write_bytes(content)
    assert f"has a file that is no archive: {archive}; delete it" in told("cub200", places)


def test_a_broken_archive_does_not_hide_a_sound_one(places):
    folder = cub(places.data)
    pack(places.data / "CUB_200_2011.tgz", folder)
    (places.data / "CUB_200_2011.tar.gz").write_bytes(b"")
    assert told("cub200", places) is None
    assert len(load("cub200", places).test) == 4


def emptied(file):
    file.write_bytes(b"")


def made_a_folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), emptied, made_a_folder])
@pytest.mark.parametrize("number", [0, 1])
def test_images_that_are_missing_are_counted_and_the_first_is_named(damage, number, places):
    folder = cub(places.data)
    for name in ("101.Bird/b101_0.jpg", "102.Bird/b102_1.jpg")[number:]:
        damage(folder / "images" / name)
    first = ("101.Bird/b101_0.jpg", "102.Bird/b102_1.jpg")[number]
    reason = told("cub200", places)
    assert f"{2 - number} of 8 images are missing or empty in {folder}, the first is {first}" in reason
    assert "put CUB_200_2011.tgz or CUB_200_2011.tar.gz there" in reason
    refused("cub200", places, first)
    assert not places.cache.exists()


def test_of_two_places_that_are_not_whole_the_one_that_lacks_less_is_told(places):
    folder = cub(places.data / "cub200")
    (folder / "images" / "001.Bird" / "b1_0.jpg").unlink()
    (cub(places.data) / "images.txt").unlink()
    assert f"1 of 8 images are missing or empty in {folder}" in told("cub200", places)


def test_what_was_unpacked_and_then_deleted_in_part(places):
    archive = pack(places.data / "CUB_200_2011.tgz", cub(places.data))
    load("cub200", places)
    next(places.cache.rglob("b1_0.jpg")).unlink()
    assert f"not in {archive} either" in told("cub200", places)
    assert "delete the folder 'unpacked' of the cache" in told("cub200", places)
    shutil.rmtree(places.cache / "unpacked")
    assert told("cub200", places) is None


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("images.txt", "1", "line 1: 2 columns belong there, not '1'"),
        ("images.txt", b"\xff\xfe", "it is not a text file"),
        ("image_class_labels.txt", "1 x", "'x' is not a whole number"),
        ("image_class_labels.txt", "1 1", "no class of image 2"),
    ],
)
def test_damaged_metadata(file, content, message, places):
    path = cub(places.data) / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert str(path) in refused("cub200", places, message)


def test_damaged_metadata_of_inshop(places):
    path = inshop(places.data) / "Eval" / "list_eval_partition.txt"
    text = path.read_text()
    path.write_text(text.replace("gallery", "galery", 1))
    refused("inshop", places, "'galery' of img.*none of train, query, gallery")
    path.write_text(text.rsplit("\n", 1)[0])
    refused("inshop", places, "lists 8 images, and lists 7")


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([("a.jpg", "Audi"), ("b.jpg", "BMW")], "relative_im_path"),
        ([("a.jpg", []), ("b.jpg", [])], "relative_im_path"),
        ([("a.jpg", 1), ("b.jpg", 2)], "fname"),
    ],
)
def test_annotations_of_another_kind(rows, name, places):
    annotations(places.data / "cars_annos.mat", rows, name)
    refused("cars196", places, "annotations without the field 'relative_im_path' or a number in 'class'")


def test_annotations_that_are_no_struct_or_no_file_of_matlab(places):
    savemat(places.data / "cars_annos.mat", {"annotations": ["one", "two"]})
    refused("cars196", places, "without the field")
    savemat(places.data / "cars_annos.mat", {"others": [1]})
    refused("cars196", places, "cars_annos.mat cannot be read")
    (places.data / "cars_annos.mat").write_bytes(b"none")
    refused("cars196", places, "cars_annos.mat cannot be read")


def test_headers_are_looked_at_before_anything_is_decoded(places, monkeypatch):
    folder = sop(places.data)
    for name in ("4_0", "4_1"):
        (folder / "chair_final" / f"{name}.JPG").write_bytes(b"no image")
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
    reason = refused("sop", places, r"4_0.JPG \(and 1 others\) cannot be read", "check_files")
    assert refused("sop", places, "4_0.JPG") == reason


def test_headers_are_not_looked_at_where_the_images_were_decoded(places, monkeypatch):
    sop(places.data)
    load("sop", places)
    monkeypatch.setattr(image_files, "check_headers", lambda *_: pytest.fail("looked"))
    copied = places._replace(data=places.data.with_name("copy"))  # of the same contents
    shutil.copytree(places.data, copied.data)
    build("sop").check_files(copied)


def test_every_data_set_of_a_command_is_looked_at_before_the_first_is_decoded(places, monkeypatch):
    from benchmark.core.errors import BenchmarkError
    from benchmark.planning.grid import build_grid
    from benchmark.planning.resolve import resolve

    cub(places.data)
    (sop(places.data) / "chair_final" / "4_0.JPG").write_bytes(b"no image")
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
    specs = f"{build('cub200').spec} {build('sop').spec}"
    config = resolve({"datasets": specs, "attacks": "noise", "defenses": "vanilla", "checks": False})
    with pytest.raises(BenchmarkError, match=r"4_0.JPG cannot be read"):
        build_grid(config, places)
