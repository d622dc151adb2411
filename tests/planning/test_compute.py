import pytest

from benchmark.data import Folders
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.records.store import Store
from benchmark.runner.run import plan

BOTH = "equal-epochs,equal-passes"


@pytest.fixture
def make(tmp_path):
    def make(**arguments):
        given = {"datasets": "digits", "attacks": "noise", "checks": False, **arguments}
        return build_grid(resolve(given), Folders(tmp_path, tmp_path))

    return make


def epochs(grid, mode):
    pairs = zip(grid.trainings, grid.modes, strict=True)
    return {job.key.defense: job.epochs for job, found in pairs if found == mode}


def test_equal_passes_give_everyone_the_budget(make):
    grid = make(defenses="vanilla,pgd_at,ensemble_at,pixels", compute=BOTH, budget=27, training={"epochs": 8})
    assert epochs(grid, "equal-epochs") == dict.fromkeys(["vanilla", "pgd_at", "ensemble_at", "pixels"], 8)
    # vanilla takes 3 units an image, pgd_at 3 * 2 + 3, three of them thrice as much.
    assert epochs(grid, "equal-passes") == {"vanilla": 72, "pgd_at": 24, "ensemble_at": 8, "pixels": 8}


def test_a_defense_s_own_factor_multiplies_either(make):
    grid = make(defenses="pgd_at[epochs_scale=0.5]", compute=BOTH, budget=18, training={"epochs": 8})
    assert epochs(grid, "equal-epochs")["pgd_at[epochs_scale=0.5]"] == 4
    assert epochs(grid, "equal-passes")["pgd_at[epochs_scale=0.5]"] == 8


def test_a_model_that_is_the_same_in_both_is_made_once(make, tmp_path):
    grid = make(defenses="vanilla,ensemble_at", compute=BOTH, budget=27)
    jobs = {}
    for job, mode in zip(grid.trainings, grid.modes, strict=True):
        jobs[job.key.defense, mode] = job.id
    assert jobs["ensemble_at", "equal-epochs"] == jobs["ensemble_at", "equal-passes"]
    assert jobs["vanilla", "equal-epochs"] != jobs["vanilla", "equal-passes"]
    todo = plan(grid, Store(tmp_path / "out"))
    assert sorted(job.key.defense for job in todo.trainings) == [
        "ensemble_at", "pixels", "vanilla", "vanilla",
    ]  # fmt: skip
    cells = [cell for job in todo.attacks for cell in job.cells.values()]
    assert len(cells) == len(set(cells)) == todo.cells
    # and yet each table has its row
    shown = {(cell.compute, cell.key.defense) for cell in grid.cells()}
    assert {("equal-epochs", "ensemble_at"), ("equal-passes", "ensemble_at")} <= shown


def test_transferred_images_come_from_the_same_mode(make):
    grid = make(defenses="pgd_at", attacks="transfer[source=vanilla]", compute=BOTH)
    sources = {mode: {job.source.epochs for job in grid.attacks if job.source} for mode in ("equal-epochs",)}
    assert sources["equal-epochs"] == {grid.sources[0].epochs, grid.sources[1].epochs}
    for attack, mode in zip(grid.attacks, grid.attack_modes, strict=True):
        if attack.source and attack.model.key.defense == "pgd_at":
            assert attack.source.epochs == (48 if mode == "equal-epochs" else 48 * 9)


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
    assert (one.trainings[0].id != other.trainings[0].id) is differs


@pytest.mark.parametrize("bad", [{"compute": "equal-time"}, {"budget": 0}, {"compute": []}])
def test_bad_values_give_one_line(make, bad):
    with pytest.raises(Exception) as caught:
        make(defenses="vanilla", **bad)
    assert len(str(caught.value).splitlines()) == 1
    assert type(caught.value).__name__ == "UsageError"
