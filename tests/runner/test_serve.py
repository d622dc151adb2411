import pytest

from benchmark.jobs.progress import INTERVAL, Progress
from benchmark.runner import serve
from benchmark.runner.serve import Reporter, Said


class Connection:
    def __init__(self, error=None):
        self.sent, self.error = [], error

    def send(self, answer):
        if self.error is not None:
            raise self.error
        self.sent.append(answer)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(serve.time, "monotonic", lambda: now[0])
    return now


def test_progress_is_sent_once_an_interval_and_the_latest_is_kept(clock):
    connection = Connection()
    reporter = Reporter(connection)
    for step in range(21):
        reporter(Progress(step / 20))
        clock[0] += INTERVAL / 8
    assert [answer.said for answer in connection.sent] == [Said.PROGRESS] * 3
    assert [answer.progress.share for answer in connection.sent] == [0.0, 0.4, 0.8]
    clock[0] += INTERVAL / 8
    reporter(Progress(0.99))
    assert reporter.unsent == Progress(0.99)


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError("handle is closed")])
def test_a_run_that_has_gone_does_not_stop_the_job(clock, error):
    reporter = Reporter(Connection(error))
    reporter(Progress(0.5))
    assert reporter.unsent == Progress(0.5)
