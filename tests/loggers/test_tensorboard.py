import pytest

from benchmark.loggers import LOGGERS, log_cell, log_training

from .records import CELL_TAG, MODEL_TAG, cell, training


def test_event_files_hold_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = LOGGERS.build("tensorboard")
    logger.check()
    writer = logger.open(tmp_path, {})
    log_training(training(), writer)
    log_cell(cell(), writer)
    writer.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars(f"{MODEL_TAG}/loss")] == [
        (1, pytest.approx(0.9)),
        (2, 0.5),
        (3, 0.25),
    ]
    assert [event.value for event in events.Scalars(f"{CELL_TAG}/r1")] == [0.75]
    assert len(events.Tags()["scalars"]) == 3 + 4 + 3
