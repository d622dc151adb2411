"""Cars in Kaggle's folders have the original numbers of classes where a list gives them."""

import pytest

NAMES = [f"Car {label:03d}" for label in range(98)] + ["Zenvo 2012", "Ram C-V Van 2012"]
ORIGINAL = [*reversed(NAMES[:98]), "Zenvo 2012", "Ram C/V Van 2012"]


def names_csv(folder):
    (folder / "names.csv").write_text("\n".join(ORIGINAL) + "\n")


def annotations_csv(folder):
    for part in ("train", "test"):
        order = [name.replace("/", "-") for name in ORIGINAL]
        rows = [f"{number:05d}.jpg,1,2,30,40,{order.index(name) + 1}" for number, name in enumerate(NAMES)]
        (folder / f"anno_{part}.csv").write_text("\n".join(rows))


def first_labels(tiny_sets, folders):
    """The label of the first training class by name, and those of the two test classes in order of name."""
    split = tiny_sets.load("cars196", folders)
    red = split.train.batch(slice(None))[:, 0].mean((1, 2)).mul(255).round()
    assert (split.train.num_classes, split.test.num_classes) == (98, 2)
    # The pictures' shades of red are 7 times their number, so 0 is the first by name.
    return set(split.train.labels[red == 0].tolist()), split


@pytest.mark.slow
@pytest.mark.parametrize("written_by", [names_csv, annotations_csv])
@pytest.mark.parametrize("packed", [False, True])
def test_the_original_numbers(written_by, packed, folders, tiny_sets):
    made = tiny_sets.cars_of_kaggle(folders.data, NAMES)
    written_by(folders.data)
    if packed:
        tiny_sets.pack(folders.data / "archive.zip", made, *folders.data.glob("*.csv"))
    labels, split = first_labels(tiny_sets, folders)
    assert labels == {97}
    red = split.test.batch(slice(None))[:, 0].mean((1, 2)).mul(255).round()
    zenvo = (red - 98 * 7 % 256).abs() < 3
    assert split.test.labels[zenvo].tolist() == [0, 0]


def test_in_order_of_name_where_no_list_has_them(folders, tiny_sets):
    tiny_sets.cars_of_kaggle(folders.data, NAMES)
    (folders.data / "names.csv").write_text("Another list\nof names\n")
    assert first_labels(tiny_sets, folders)[0] == {0}


def test_a_damaged_list_is_reported(folders, tiny_sets):
    tiny_sets.cars_of_kaggle(folders.data, NAMES)
    (folders.data / "anno_train.csv").write_text("00000.jpg,1,2,3,4,x")
    tiny_sets.refused("cars196", folders, "anno_train.csv: 'x' is not an integer")
