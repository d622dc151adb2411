"""A watcher that notes which jobs started and ended."""

from benchmark.runner.job_watcher import JobWatcher


class Noting(JobWatcher):
    """Notes ids of jobs that started, and ids and reasons of those that ended, in one list and by kind."""

    def __init__(self):
        self.log, self.ended = [], []

    def start(self, job):
        self.log.append(job.id)

    def finish(self, job, reason):
        self.log.append((job.id, reason))
        self.ended.append((job.id, reason))
