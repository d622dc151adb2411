import pytest

from benchmark.data import Folders
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.planning.todo import find_todo
from benchmark.records.store import Store

BOTH = "equal-epochs,equal-passes"


@pytest.fixture
def make(tmp_path):
    def make(**arguments):
        given = {"datasets": "digits", "attacks": "noise", "checks": False, **arguments}
        return build_grid(resolve(given), Folders(tmp_path, tmp_path))

    return make


def epochs(grid, mode):
    return {m.job.key.defense: m.job.epochs for m in grid.models if m.compute == mode and m.has_row}


def test_equal_passes_give_everyone_the_budget(make):
    grid = make(defenses="vanilla,pgd_at,ensemble_at,pixels", compute=BOTH, budget=27, training={"epochs": 8})
    assert epochs(grid, "equal-epochs") == {"vanilla": 8, "pgd_at": 8, "ensemble_at": 8, "pixels": 0}
    # vanilla takes 3 units an image, pgd_at 3 * 2 + 3, three of them thrice as much.
    assert epochs(grid, "equal-passes") == {"vanilla": 72, "pgd_at": 24, "ensemble_at": 8, "pixels": 0}


def test_a_defense_s_own_factor_multiplies_either(make):
    grid = make(defenses="pgd_at[epochs_scale=0.5]", compute=BOTH, budget=18, training={"epochs": 8})
    assert epochs(grid, "equal-epochs")["pgd_at[epochs_scale=0.5]"] == 4
    assert epochs(grid, "equal-passes")["pgd_at[epochs_scale=0.5]"] == 8


def test_a_model_that_is_the_same_in_both_is_made_once(make, tmp_path):
    grid = make(defenses="vanilla,ensemble_at", compute=BOTH, budget=27)
    jobs = {(model.job.key.defense, model.compute): model.job.id for model in grid.models}
    assert jobs["ensemble_at", "equal-epochs"] == jobs["ensemble_at", "equal-passes"]
    assert jobs["vanilla", "equal-epochs"] != jobs["vanilla", "equal-passes"]
    todo = find_todo(grid, Store(tmp_path / "out"))
    assert sorted(job.key.defense for job in todo.trainings) == [
        "ensemble_at", "pixels", "vanilla", "vanilla",
    ]  # fmt: skip
    cells = [cell for job in todo.attacks for cell in job.cells.values()]
    assert len(cells) == len(set(cells)) == todo.cells
    # and yet each table has its row
    shown = {(cell.compute, cell.key.defense) for cell in grid.cell_refs()}
    assert {("equal-epochs", "ensemble_at"), ("equal-passes", "ensemble_at")} <= shown


def test_a_training_is_planned_with_its_budget(make):
    grid = make(defenses="vanilla,pgd_at", compute=BOTH, budget=10, training={"epochs": 8})
    jobs = {(m.job.key.defense, m.compute): m.job for m in grid.models}
    assert jobs["pgd_at", "equal-epochs"].budget is None
    assert (jobs["pgd_at", "equal-passes"].budget, jobs["pgd_at", "equal-passes"].epochs) == (80, 9)
    other = make(defenses="pgd_at", compute="equal-passes", budget=10.2, training={"epochs": 8}).models[0].job
    assert (other.epochs, other.id != jobs["pgd_at", "equal-passes"].id) == (9, True)


def test_transferred_images_come_from_the_same_mode(make):
    grid = make(defenses="pgd_at", attacks="transfer[source=vanilla]", compute=BOTH)
    sources = {m.compute: m.job for m in grid.models if not m.has_row}
    assert {mode: job.epochs for mode, job in sources.items()} == {"equal-epochs": 48, "equal-passes": 48 * 9}
    transferred = [planned for planned in grid.attacks if planned.job.source]
    assert {planned.compute for planned in transferred} == set(sources)
    assert all(planned.job.source == sources[planned.compute] for planned in transferred)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"training": {"validation": 0.3}}, True),
        ({"training": {"validations": 3}}, True),
        ({"training": {"precision": "bfloat16"}}, True),
        ({"training": {"inner_batch_norm": "batch"}}, True),
        ({"compute": "equal-passes", "budget": 3}, False),  # vanilla's own passes
        ({"compute": "equal-passes", "budget": 6}, True),
    ],
)
def test_what_identities_hold(make, change, differs):
    one, other = make(defenses="vanilla"), make(defenses="vanilla", **change)
    assert (one.models[0].job.id != other.models[0].job.id) is differs


@pytest.mark.parametrize("bad", [{"compute": "equal-time"}, {"budget": 0}, {"compute": []}])
def test_bad_values_give_one_line(make, bad):
    with pytest.raises(Exception) as caught:
        make(defenses="vanilla", **bad)
    assert len(str(caught.value).splitlines()) == 1
    assert type(caught.value).__name__ == "UsageError"
