from benchmark.runner.job_queue import JobQueue

from .dummy_jobs import DummyJob
from .noting import Noting


def test_ready_jobs_come_by_need_then_cost_and_a_job_put_back_comes_first_among_its_equals():
    jobs = [DummyJob("a", needs={"t": "training"}), DummyJob("s"), DummyJob("t"), DummyJob("u")]
    queue = JobQueue(jobs, {"a": 9.0, "s": 1.0, "t": 2.0, "u": 1.0})
    assert [job.id for job in queue.ready] == ["t", "s", "u"]
    first = queue.ready.pop(0)
    queue.finish(first, None, None, Noting())
    assert [job.id for job in queue.ready] == ["s", "u", "a"]
    queue.put_back(queue.ready.pop(0))
    assert [job.id for job in queue.ready] == ["s", "u", "a"]


def test_a_job_that_needs_two_fails_once(tmp_path):
    class Fails(DummyJob):
        def fail(self, reason, context, status="failed", log=""):
            return reason

    jobs = [Fails("t"), Fails("u", needs={"t": "training of t"})]
    jobs.append(Fails("a", needs={"t": "training of t", "u": "training of u"}))
    watcher = Noting()
    queue = JobQueue(jobs, dict.fromkeys("tua", 1.0))
    queue.finish(queue.ready.pop(), "no", None, watcher)
    assert [name for name, _ in watcher.ended] == ["t", "u", "a"]
    assert not queue.ready


def test_ten_thousand_jobs_are_ordered_and_ended_in_little_time():
    jobs = [DummyJob("t"), *(DummyJob(str(number), needs={"t": "training"}) for number in range(10_000))]
    queue = JobQueue(jobs, {job.id: 1.0 for job in jobs})
    watcher = Noting()
    while queue.ready:
        queue.finish(queue.ready.pop(0), None, None, watcher)
    assert watcher.ended == [(job.id, None) for job in jobs]
