import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for fake_run, which these tests share

from fake_run import FakeRun

from benchmark.records.store import Store
from benchmark.report import write_report
from benchmark.report.cell_results import Run
from benchmark.report.ranking import rank
from benchmark.report.tables import collect


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


@pytest.fixture(scope="session")
def full_report(tmp_path_factory) -> tuple[Path, list[Path]]:
    """One whole report: two seeds, a training that failed, an attack that failed, a cell not run."""
    output = tmp_path_factory.mktemp("full")
    fake = FakeRun(
        failed_trainings={"trades": "the loss is not a number"},
        failed_attacks={("mixup", "noise"): "the attack left its ball | by far"},
        missing={("vanilla", "fgsm[objective=own]")},
        skipped=["data set cub: not on this machine"],
        descriptions={"pgd_at": "adversarial training (Madry et al. 2018)."},
        commits={"pgd_at": "fedcba9-dirty"},
    )
    fake.weakness |= {"trades": 0.3, "mixup": 0.9}
    fake.write(output)
    return output, write_report(output)
