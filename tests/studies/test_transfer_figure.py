import pandas as pd
import pytest

from benchmark.studies.transfer_figure import transfer_figure


@pytest.fixture
def measured():
    """Two ensembles with two seeds, and a single model."""
    cosines = {"eat[members=2]": 0.2, "ensemble_at": 0.4}
    diversity = pd.DataFrame(
        [
            {
                "dataset": "d",
                "defense": name,
                "seed": seed,
                "members": 2,
                "gradient_cosine": value + 0.1 * seed,
            }
            for name, value in cosines.items()
            for seed in (0, 1)
        ]
        + [{"dataset": "d", "defense": "pgd_at", "seed": 0, "members": 1, "gradient_cosine": float("nan")}]
    )
    matrix = pd.DataFrame(
        [
            {"dataset": "d", "defense": name, "seed": s, "made_on": i, "tested_on": j, "r1": 0.6 + 0.2 * s * (i != j)}
            for name in cosines
            for s in (0, 1)
            for i in (0, 1)
            for j in (0, 1)
        ]
    )  # fmt: skip
    return matrix, diversity


def test_each_ensemble_has_its_mean_matrix_and_cosine(measured):
    figure = transfer_figure(*measured, ["d"])
    panels = [axes for axes in figure.axes if axes.images]
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in panels]
    assert titles == ["eat[members=2] cos 0.25", "ensemble_at cos 0.45"]
    assert [text.get_text() for text in panels[0].texts] == ["60", "70", "70", "60"]
    title = figure.get_suptitle().replace("\n", " ")
    assert title == "Gradients of eat[members=2] agree least (cosine 0.25), those of ensemble_at most (0.45)"


def test_without_ensembles_there_is_no_figure(measured):
    matrix, diversity = measured
    assert transfer_figure(matrix, diversity[diversity["members"] == 1], ["d"]) is None
