import pytest

from benchmark.core.errors import UsageError
from benchmark.data import DATASETS, Folders
from benchmark.planning.budgets import headline, multiple, training_eps, whole_range
from benchmark.planning.resolve import resolve

FOLDER = DATASETS.build("folder:birds")


@pytest.mark.parametrize(
    ("eps", "factor", "expected"),
    [(0.1, 3, 0.3), (0.1, 0.5, 0.05), (8 / 255, 2, 16 / 255), (8 / 255, 0.5, 4 / 255), (1.5, 2, 3.0)],
)
def test_a_multiple_of_a_budget_is_written_as_one_would(eps, factor, expected):
    assert multiple(eps, factor, []) == expected
    assert multiple(eps, factor, [expected + 1e-10]) == expected + 1e-10


@pytest.mark.parametrize(
    ("eps", "factor", "expected"), [(20.0, 0.5, 10), (5.0, 0.5, 2), (1.0, 0.5, 1), (7, 3, 21)]
)
def test_a_multiple_in_l0_is_a_whole_number_of_pixels(eps, factor, expected):
    assert multiple(eps, factor, [], "l0") == expected


def test_the_whole_range_of_each_norm(tmp_path):
    digits, folders = DATASETS.build("digits"), Folders(tmp_path, tmp_path)
    assert [whole_range(digits, norm, folders) for norm in ("linf", "l2", "l0")] == [1.0, 8.0, 64.0]


def test_a_headline_in_l0_is_a_number_of_pixels():
    with pytest.raises(UsageError, match=r"no headline eps for l0; give --eps, a number of pixels\."):
        headline(DATASETS.build("digits"), "l0", "--eps")
    sparse = DATASETS.build("digits")
    for eps in (0.5, 0, 2.5):
        object.__setattr__(sparse, "headline_eps", {"l0": eps})
        with pytest.raises(UsageError, match=rf"eps {eps:g} for l0; it must be a whole number of pixels"):
            headline(sparse, "l0", "--eps")
    object.__setattr__(sparse, "headline_eps", {"l0": 12})
    assert headline(sparse, "l0", "--eps") == 12


def test_the_message_says_how_to_give_a_headline():
    with pytest.raises(UsageError, match=r"; give --eps, or l2=EPS in its spec, as in \[l2=8/255\]\."):
        headline(FOLDER, "l2", "--eps")
    assert headline(DATASETS.build("folder:birds[l2=2]"), "l2", "--eps") == 2.0


def test_a_headline_in_grey_levels_is_refused():
    with pytest.raises(
        UsageError, match=r"has the headline eps 8 for linf; it must be above 0 and at most 1, as"
    ):
        headline(DATASETS.build("folder:birds[linf=8]"), "linf", "--eps")


def test_a_headline_beyond_all_images_is_refused():
    with pytest.raises(UsageError, match=r"eps 1e\+300 for l2; it must be above 0 and at most 10000"):
        headline(DATASETS.build("folder:birds[l2=1e300]"), "l2", "--eps")


def test_the_training_attack_takes_the_largest_eps_where_there_is_no_headline():
    assert training_eps(FOLDER, resolve({"eps": "4/255 8/255"})) == 8 / 255
    assert training_eps(DATASETS.build("folder:birds[linf=2/255]"), resolve({"eps": "8/255"})) == 2 / 255
    for arguments in ({}, {"eps": "1.5", "norm": "l2"}):
        with pytest.raises(UsageError, match=r"for linf; .*--eps .*\[linf=8/255\]"):
            training_eps(FOLDER, resolve(arguments))
