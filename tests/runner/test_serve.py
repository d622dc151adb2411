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


class Gone(Connection):
    """To a run that is killed after it has sent a job, or once the job has begun."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def recv_bytes(self):
        return b"no job"

    def send(self, answer):
        if len(self.sent) == self.after:
            raise BrokenPipeError
        super().send(answer)


@pytest.mark.parametrize("after", [0, 1])
def test_a_worker_whose_run_was_killed_ends_without_a_traceback(after):
    connection = Gone(after)
    serve.serve(connection)
    assert len(connection.sent) == after


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
