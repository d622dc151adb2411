import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.report.boards import MARK
from benchmark.report.seen import seen

from .fake_results import attacked_images
from .fake_run import NEIGHBOUR, NOISE, OWN, FakeRun
from .own_models import save_images, save_sealed

WEAKNESS = {"a": 0.05, "b": 0.3, "c": 0.6, "d": 0.7, "e": 0.95}


@pytest.fixture
def kept(tables_of, tmp_path):
    """Builds a run of five rows, of which some kept the images of some attacks."""

    def build(names=WEAKNESS, attacks=(NEIGHBOUR,), **options):
        run, (table,) = tables_of(FakeRun(weakness=WEAKNESS, references=(), seeds=(0,), **options))
        for name in names:
            for attack in attacks:
                save_images(tmp_path / "run", run.manifest, name, attack, count=3)
        return run, table

    return build


def change(run, table, name, **tensors):
    """Overwrites tensors of the images of one row."""
    row = next(row for row in table.rows if row.name == name)
    for cell in row.cells:
        if run.images(cell).exists():
            save_sealed(attacked_images(count=3) | tensors, run.images(cell))


def lines(figure):
    return [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]


def test_the_first_the_middle_and_the_last_row_show_the_same_query(kept):
    run, table = kept()
    figure = seen(run, table)
    assert lines(figure) == ["a", "c", "e"]
    assert "a, c and e no longer find its class" in figure.get_suptitle()
    assert "Query 10: the first of those kept that all find right" in figure.get_supxlabel().replace(
        "\n", " "
    )
    first = [axes.get_title() for axes in figure.axes[:9]]
    assert first[:4] == ["query", "perturbation \u00d75", "attacked query", "nearest before"]


def test_the_title_says_who_still_finds_the_class(kept):
    run, table = kept()
    right = attacked_images(count=3)["before_labels"]
    change(run, table, "a", after_labels=right)
    title = seen(run, table).get_suptitle().replace("\n", " ")
    assert title.endswith("a still finds its class, c and e no longer")


def test_a_query_that_one_row_misses_when_clean_is_passed_over(kept):
    run, table = kept()
    missed = attacked_images(count=3)["before_labels"].copy()
    missed[0] += 1
    change(run, table, "c", before_labels=missed)
    assert "Query 11:" in seen(run, table).get_supxlabel()


def test_a_query_on_which_each_row_fares_as_on_most_goes_first(kept):
    run, table = kept()
    images = attacked_images(count=3)
    after = images["after_labels"].copy()
    after[1] = images["before_labels"][1]  # the best row keeps most queries under attack
    change(run, table, "a", after_labels=after)
    figure = seen(run, table)
    assert "Query 11:" in figure.get_supxlabel()
    assert figure.get_suptitle().replace("\n", " ").endswith("a still finds its class, c and e no longer")


def test_the_attack_is_the_strongest_that_all_rows_kept(kept):
    run, table = kept(attacks=(NOISE, OWN))
    assert OWN in seen(run, table).get_supxlabel().replace("\n", " ")


def test_rows_without_images_are_left_out_and_failing_ones_are_marked(kept):
    run, table = kept(names=("a", "b"), checks={"b": {"collapsed": "fail"}})
    assert lines(seen(run, table)) == ["a", f"b {MARK}"]
    run, table = kept(names=())
    for row in table.rows:
        for cell in row.cells:
            run.images(cell).unlink(missing_ok=True)
    assert seen(run, table) is None


def test_damaged_images_are_an_error_that_names_them(kept):
    run, table = kept()
    change(run, table, "c", clean=np.zeros((3, 2, 6, 6), np.float32))
    with pytest.raises(BenchmarkError, match="shapes that do not fit"):
        seen(run, table)
