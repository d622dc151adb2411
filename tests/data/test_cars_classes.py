"""Cars in Kaggle's folders have the original numbers of classes where a list tells them."""

import pytest
from layouts_on_disk import cars_of_kaggle, load, pack

NAMES = [f"Car {label:03d}" for label in range(98)] + ["Zenvo 2012", "Ram C-V Van 2012"]
ORIGINAL = [*reversed(NAMES[:98]), "Zenvo 2012", "Ram C/V Van 2012"]


def names_csv(folder):
    (folder / "names.csv").write_text("\n".join(ORIGINAL) + "\n")


def annotations_csv(folder):
    for part in ("train", "test"):
        order = [name.replace("/", "-") for name in ORIGINAL]
        rows = [f"{number:05d}.jpg,1,2,30,40,{order.index(name) + 1}" for number, name in enumerate(NAMES)]
        (folder / f"anno_{part}.csv").write_text("\n".join(rows))


def first_labels(places):
    """The label of the first training class by name, and those of the two test classes in order of name."""
    split = load("cars196", places)
    red = split.train.batch(slice(None))[:, 0].mean((1, 2)).mul(255).round()
    assert (split.train.num_classes, split.test.num_classes) == (98, 2)
    # The pictures' shades of red are 7 times their number, so 0 is the first by name.
    return set(split.train.labels[red == 0].tolist()), split


@pytest.mark.parametrize("told_by", [names_csv, annotations_csv])
@pytest.mark.parametrize("packed", [False, True])
def test_the_original_numbers(told_by, packed, places):
    made = cars_of_kaggle(places.data, NAMES)
    told_by(places.data)
    if packed:
        pack(places.data / "archive.zip", made, *places.data.glob("*.csv"))
    labels, split = first_labels(places)
    assert labels == {97}
    red = split.test.batch(slice(None))[:, 0].mean((1, 2)).mul(255).round()
    zenvo = (red - 98 * 7 % 256).abs() < 3
    assert split.test.labels[zenvo].tolist() == [0, 0]


def test_in_order_of_name_where_no_list_tells_them(places):
    cars_of_kaggle(places.data, NAMES)
    (places.data / "names.csv").write_text("Another list\nof names\n")
    assert first_labels(places)[0] == {0}


def test_a_list_that_is_damaged_is_told(places):
    from layouts_on_disk import refused

    cars_of_kaggle(places.data, NAMES)
    (places.data / "anno_train.csv").write_text("00000.jpg,1,2,3,4,x")
    refused("cars196", places, "anno_train.csv: 'x' is not a whole number")
