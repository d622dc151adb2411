import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from benchmark.records import Store
from benchmark.report import write_report
from benchmark.report.cell_results import Run
from benchmark.report.ranking import rank
from benchmark.report.tables import collect

from .fake_run import CLUSTERING, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun
from .own_models import MY_MODEL, models_alone, models_beside_defenses, save_images


@pytest.fixture
def tables_of(tmp_path):
    """Builds a fake run and returns it with its ranked tables, without drawing anything."""

    def build(fake: FakeRun, folder: str = "run"):
        fake.write(tmp_path / folder)
        run = Run(Store(tmp_path / folder))
        tables = collect(run)
        for table in tables:
            rank(run, table)
        return run, tables

    return build


@pytest.fixture
def by_hand(tmp_path):
    """One defense with two seeds, ten queries and chosen results; returns the run and its only table."""
    lost = {"none": [], OWN: [0, 1, 2], NEIGHBOUR: [2, 3, 4, 5], NOISE: [5]}  # queries that fail
    ami = {("none", 0.0): 0.9, (NEIGHBOUR, 0.05): 0.45, (NEIGHBOUR, 0.1): 0.5, (NEIGHBOUR, 0.2): 0.1}
    ami |= {(OWN, 0.1): 0.4, (NOISE, 0.1): 0.8}
    manifest = FakeRun(weakness={"pgd_at": 0.3}, references=()).write(tmp_path)
    store = Store(tmp_path)
    for ref in manifest.cells:
        key, record = ref.key, store.cell(ref.id)
        if key.scenario == RETRIEVAL:
            success = np.ones(10, dtype=np.float32)
            success[lost[key.attack] if key.eps <= 0.1 else slice(None)] = 0.0
            metrics = {"r1": float(success.mean())}
            store.save_cell(record.model_copy(update={"metrics": metrics}), {"success": success})
        elif key.scenario == CLUSTERING:
            value = ami[key.attack, key.eps] - 0.1 * (key.attack == OWN and key.seed == 1)
            store.save_cell(record.model_copy(update={"metrics": {"ami": value, "nmi": value}}))
    run = Run(store)
    return run, collect(run)[0]


@pytest.fixture(scope="session")
def drawn_once(tmp_path_factory, worker_id):
    """Writes a fake run and its report, which takes seconds, once for all processes of the tests.

    Args of the function: the name of the folder, and what writes the run into it. Returns the folder and the
    files of its report.
    """

    def drawn(name: str, write: Callable[[Path], object]) -> tuple[Path, list[Path]]:
        base = tmp_path_factory.getbasetemp()
        output = (base if worker_id == "master" else base.parent) / f"report-{name}"
        files = output.with_suffix(".json")
        with FileLock(f"{output}.lock"):
            if not files.exists():
                write(output)
                files.write_text(json.dumps([str(path) for path in write_report(output)]))
        return output, [Path(path) for path in json.loads(files.read_text())]

    return drawn


@pytest.fixture(scope="session")
def full_report(drawn_once) -> tuple[Path, list[Path]]:
    """One whole report: two seeds, a training that failed, an attack that failed, a cell not run."""
    fake = FakeRun(
        failed_trainings={"trades": "the loss is not a number"},
        failed_attacks={("mixup", "noise"): "the attack left its ball | by far"},
        missing={("vanilla", "fgsm[objective=own]")},
        skipped=["data set cub: not on this machine"],
        descriptions={"pgd_at": "adversarial training (Madry et al. 2018)."},
        commits={"pgd_at": "fedcba9-dirty"},
    )
    fake.weakness |= {"trades": 0.3, "mixup": 0.9}
    return drawn_once("full", fake.write)


@pytest.fixture(scope="session")
def report_of_both_modes(drawn_once) -> tuple[Path, list[Path]]:
    """A whole report of both compute modes with one seed, in which `vanilla` fails a check."""
    fake = FakeRun(
        compute=("equal-epochs", "equal-passes"),
        alike=("eat[members=3]", "pixels"),
        checks={"vanilla": {"collapsed": "fail"}},
        seeds=(0,),
    )
    return drawn_once("modes", fake.write)


@pytest.fixture(scope="session")
def report_with_paths(drawn_once) -> tuple[Path, list[Path]]:
    """A whole report of a data set and a backbone whose specs hold paths."""
    folder, backbone = "folder:/home/me/birds[linf=8/255,size=32]", "resnet18[pretrained=/home/me/r18.pt]"
    fake = FakeRun(
        weakness={"vanilla": 0.95},
        attacks={OWN: 0.8, NOISE: 0.05},
        curve={},
        references=(),
        datasets=(folder, "glyphs"),
        backbone=backbone,
        short_names={folder: "birds[linf=8/255,size=32]", backbone: "resnet18[pretrained=r18.pt]"},
        descriptions={folder: "photographs of birds."},
        seeds=(0,),
        missing={("vanilla", NOISE)},
    )
    return drawn_once("paths", fake.write)


@pytest.fixture(scope="session")
def report_of_own_models(drawn_once) -> tuple[Path, list[Path]]:
    """A whole report of own models alone, one without a rank, with attacked images of one."""

    def write(output):
        save_images(output, models_alone().write(output), MY_MODEL, NEIGHBOUR)

    return drawn_once("models", write)


@pytest.fixture(scope="session")
def report_of_models_and_defenses(drawn_once) -> tuple[Path, list[Path]]:
    """A whole report of both modes with own models, and a plugin with a file, beside defenses."""
    return drawn_once("mixed", models_beside_defenses().write)
