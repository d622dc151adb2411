import pytest

from benchmark.loggers import log_cell, log_training

from .records import CELL_TAG, MODEL_TAG, Written, cell, training


def test_the_curves_of_a_training():
    writer = Written()
    log_training(training(), writer)
    assert writer.curves == {
        f"{MODEL_TAG}/loss": {1: 0.9, 2: 0.5, 3: 0.25},
        f"{MODEL_TAG}/validation_clean_map_r": {2: 0.5},
        f"{MODEL_TAG}/validation_attacked_map_r": {2: 0.125},
    }
    assert writer.values == {
        f"{MODEL_TAG}/train_seconds": 12.5,
        f"{MODEL_TAG}/train_cost": 3.0,
        f"{MODEL_TAG}/best_epoch": 2.0,
        f"{MODEL_TAG}/peak_memory": 1024.0,
    }


def test_the_metrics_of_a_cell():
    writer = Written()
    log_cell(cell(), writer)
    assert writer.values == {f"{CELL_TAG}/r1": 0.75, f"{CELL_TAG}/map_r": 0.5, f"{CELL_TAG}/objective": -0.25}
    assert writer.curves == {}


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_what_is_not_done_is_not_logged(status):
    writer = Written()
    log_training(training(status), writer)
    log_cell(cell(status), writer)
    assert writer.curves == writer.values == {}
