import pandas as pd
import pytest

from benchmark.studies.ablation import COLUMNS, read_studies, scores_of

from ..report.fake_run import EQUAL_PASSES, FakeRun

WEAKNESS = {"eat": 0.2, "eat[members=2]": 0.3, "ensemble_at": 0.25, "pgd_at": 0.4, "pixels": 0.9}


@pytest.fixture
def fake_ablation():
    """Builds a fake run of the ablation: three seeds, equal passes."""

    def build(**changed) -> FakeRun:
        return FakeRun(weakness=dict(WEAKNESS), compute=(EQUAL_PASSES,), seeds=(0, 1, 2), **changed)

    return build


@pytest.fixture
def studied(fake_ablation, tmp_path):
    """Studies, notes and rows of a fake run in `tmp_path / "run"`."""
    fake_ablation().write(tmp_path / "run")
    studies, notes = read_studies([tmp_path / "run"])
    return studies, notes, pd.DataFrame(scores_of(studies[0]), columns=COLUMNS)
