"""Missing or damaged files are reported in one line: what, where, and how to get the data set."""

import shutil

import pytest
from scipy.io import savemat

from benchmark.data import DATASETS, image_files


@pytest.mark.parametrize("name", ("cub200", "sop", "inshop", "cars196"))
def test_no_files_and_too_few_files(name, folders, tiny_sets):
    dataset = DATASETS.build(name)
    reason = dataset.missing(folders)
    assert f"{name} is not in {folders.data}, where {dataset.about.layout}" in reason
    assert ("--download" in reason) == (name == "cub200")
    tiny_sets.write[name](folders.data)
    reason = dataset.missing(folders)
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
def test_a_missing_metadata_file(name, file, folders, tiny_sets):
    folder = tiny_sets.write[name](folders.data)
    (folder / file).unlink()
    assert f"there is no {file} in {folder}" in tiny_sets.missing(name, folders)
    tiny_sets.refused(name, folders, file)


@pytest.mark.parametrize("folder", [".", "cars196"])
def test_images_of_cars_packed_without_their_metadata(folder, folders, tiny_sets):
    made = tiny_sets.cars(folders.data / folder)
    tiny_sets.pack(made.with_suffix(".tgz"), made)
    (folders.data / folder / "cars_annos.mat").unlink()
    assert f"no cars_annos.mat in {made.parent} beside car_ims.tgz" in tiny_sets.missing("cars196", folders)
    tiny_sets.refused("cars196", folders, "cars_annos.mat")
    assert not folders.cache.exists()


def test_cars_of_torchvision_without_the_labels_of_its_test_images(folders, tiny_sets):
    folder = tiny_sets.cars_of_torchvision(folders.data)
    for name, archive in (("devkit", "car_devkit"), ("cars_train", "cars_train"), ("cars_test", "cars_test")):
        tiny_sets.pack(folder / f"{archive}.tgz", folder / name)
    (folder / "cars_test_annos_withlabels.mat").unlink()
    reason = tiny_sets.missing("cars196", folders)
    assert f"no cars_test_annos_withlabels.mat in {folder} beside car_devkit.tgz" in reason
    assert "cars_train_annos" not in reason


def test_images_of_inshop_packed_without_their_list(folders, tiny_sets):
    folder = tiny_sets.inshop(folders.data)
    tiny_sets.pack(folder / "Img" / "img.zip", folder / "Img" / "img")
    shutil.rmtree(folder / "Eval")
    assert f"no Eval/list_eval_partition.txt in {folder} beside img.zip" in tiny_sets.missing(
        "inshop", folders
    )
    tiny_sets.refused("inshop", folders, "list_eval_partition")
    assert not folders.cache.exists()


def test_the_large_images_of_inshop_are_not_what_is_wanted(folders, tiny_sets):
    folder = tiny_sets.inshop(folders.data)
    tiny_sets.pack(folder / "Img" / "img_highres.zip", folder / "Img" / "img")
    reason = tiny_sets.missing("inshop", folders)
    assert "8 of 8 images" in reason and "put Img/img.zip or img.zip" in reason


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><title>Sign in</title>", b"PK is how zips begin"])
def test_a_file_that_only_has_the_name_of_an_archive(content, folders, tiny_sets):
    archive = folders.data / "CUB_200_2011.tgz"
    archive.write_bytes(content)
    assert f"has a file that is not an archive: {archive}; delete it" in tiny_sets.missing("cub200", folders)


def test_a_damaged_archive_does_not_hide_an_intact_one(folders, tiny_sets):
    folder = tiny_sets.cub(folders.data)
    tiny_sets.pack(folders.data / "CUB_200_2011.tgz", folder)
    (folders.data / "CUB_200_2011.tar.gz").write_bytes(b"")
    assert tiny_sets.missing("cub200", folders) is None
    assert len(tiny_sets.load("cub200", folders).test) == 4


def emptied(file):
    file.write_bytes(b"")


def made_a_folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), emptied, made_a_folder])
@pytest.mark.parametrize("number", [0, 1])
def test_images_that_are_missing_are_counted_and_the_first_is_named(damage, number, folders, tiny_sets):
    folder = tiny_sets.cub(folders.data)
    for name in ("101.Bird/b101_0.jpg", "102.Bird/b102_1.jpg")[number:]:
        damage(folder / "images" / name)
    first = ("101.Bird/b101_0.jpg", "102.Bird/b102_1.jpg")[number]
    reason = tiny_sets.missing("cub200", folders)
    assert f"{2 - number} of 8 images are missing or empty in {folder}, the first is {first}" in reason
    assert "put CUB_200_2011.tgz or CUB_200_2011.tar.gz there" in reason
    tiny_sets.refused("cub200", folders, first)
    assert not folders.cache.exists()


def test_the_more_complete_of_two_locations_is_reported(folders, tiny_sets):
    folder = tiny_sets.cub(folders.data / "cub200")
    (folder / "images" / "001.Bird" / "b1_0.jpg").unlink()
    (tiny_sets.cub(folders.data) / "images.txt").unlink()
    assert f"1 of 8 images are missing or empty in {folder}" in tiny_sets.missing("cub200", folders)


def test_what_was_unpacked_and_then_deleted_in_part(folders, tiny_sets):
    archive = tiny_sets.pack(folders.data / "CUB_200_2011.tgz", tiny_sets.cub(folders.data))
    tiny_sets.load("cub200", folders)
    next(folders.cache.rglob("b1_0.jpg")).unlink()
    assert f"not in {archive} either" in tiny_sets.missing("cub200", folders)
    assert "delete the folder 'unpacked' of the cache" in tiny_sets.missing("cub200", folders)
    shutil.rmtree(folders.cache / "unpacked")
    assert tiny_sets.missing("cub200", folders) is None


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("images.txt", "1", "line 1: expected 2 columns, found '1'"),
        ("images.txt", b"\xff\xfe", "it is not a text file"),
        ("image_class_labels.txt", "1 x", "'x' is not an integer"),
        ("image_class_labels.txt", "1 1", "no class for image 2"),
    ],
)
def test_damaged_metadata(file, content, message, folders, tiny_sets):
    path = tiny_sets.cub(folders.data) / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert str(path) in tiny_sets.refused("cub200", folders, message)


def test_damaged_metadata_of_inshop(folders, tiny_sets):
    path = tiny_sets.inshop(folders.data) / "Eval" / "list_eval_partition.txt"
    text = path.read_text()
    path.write_text(text.replace("gallery", "galery", 1))
    tiny_sets.refused("inshop", folders, "'galery' of img.*not one of train, query, gallery")
    path.write_text(text.rsplit("\n", 1)[0])
    tiny_sets.refused("inshop", folders, "announces 8 images, but lists 7")


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([("a.jpg", "Audi"), ("b.jpg", "BMW")], "relative_im_path"),
        ([("a.jpg", []), ("b.jpg", [])], "relative_im_path"),
        ([("a.jpg", 1), ("b.jpg", 2)], "fname"),
    ],
)
def test_annotations_of_another_kind(rows, name, folders, tiny_sets):
    tiny_sets.annotations(folders.data / "cars_annos.mat", rows, name)
    tiny_sets.refused(
        "cars196", folders, "annotations without the field 'relative_im_path' or a number in 'class'"
    )


def test_annotations_that_are_no_struct_or_no_file_of_matlab(folders, tiny_sets):
    savemat(folders.data / "cars_annos.mat", {"annotations": ["one", "two"]})
    tiny_sets.refused("cars196", folders, "without the field")
    savemat(folders.data / "cars_annos.mat", {"others": [1]})
    tiny_sets.refused("cars196", folders, "cars_annos.mat cannot be read")
    (folders.data / "cars_annos.mat").write_bytes(b"none")
    tiny_sets.refused("cars196", folders, "cars_annos.mat cannot be read")


def test_headers_are_checked_before_anything_is_decoded(folders, monkeypatch, tiny_sets):
    folder = tiny_sets.sop(folders.data)
    for name in ("4_0", "4_1"):
        (folder / "chair_final" / f"{name}.JPG").write_bytes(b"no image")
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
    reason = tiny_sets.refused("sop", folders, r"4_0.JPG \(and 1 others\) cannot be read", "check_files")
    assert tiny_sets.refused("sop", folders, "4_0.JPG") == reason


def test_headers_are_not_checked_where_the_images_were_decoded(folders, monkeypatch, tiny_sets):
    tiny_sets.sop(folders.data)
    tiny_sets.load("sop", folders)
    monkeypatch.setattr(image_files, "check_headers", lambda *_: pytest.fail("looked"))
    copied = folders._replace(data=folders.data.with_name("copy"))  # of the same contents
    shutil.copytree(folders.data, copied.data)
    tiny_sets.build("sop").check_files(copied)


def test_every_data_set_of_a_command_is_checked_before_the_first_is_decoded(folders, monkeypatch, tiny_sets):
    from benchmark.core.errors import BenchmarkError
    from benchmark.planning.grid import build_grid
    from benchmark.planning.resolve import resolve

    tiny_sets.cub(folders.data)
    (tiny_sets.sop(folders.data) / "chair_final" / "4_0.JPG").write_bytes(b"no image")
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
    specs = f"{tiny_sets.build('cub200').spec} {tiny_sets.build('sop').spec}"
    config = resolve({"datasets": specs, "attacks": "noise", "defenses": "vanilla", "checks": False})
    with pytest.raises(BenchmarkError, match=r"4_0.JPG cannot be read"):
        build_grid(config, folders)
