"""Jobs, the units of work of a run: trainings and attacks, each of which writes its own records."""

from benchmark.jobs.attack_job import AttackJob
from benchmark.jobs.attack_run import AttackRun
from benchmark.jobs.context import RunContext
from benchmark.jobs.job import Job, Outcome, run_job
from benchmark.jobs.train_job import TrainJob, trained_job
from benchmark.jobs.training_run import TrainingRun

__all__ = [
    "AttackJob",
    "AttackRun",
    "Job",
    "Outcome",
    "RunContext",
    "TrainJob",
    "TrainingRun",
    "run_job",
    "trained_job",
]
