"""Jobs: what a worker does. A training makes a model, an attack makes cells; each writes its own records."""

from benchmark.jobs.attack_job import AttackJob
from benchmark.jobs.context import RunContext
from benchmark.jobs.job import Epochs, Job, run_job
from benchmark.jobs.train_job import TrainJob, load_trained, trained_job

__all__ = ["AttackJob", "Epochs", "Job", "RunContext", "TrainJob", "load_trained", "run_job", "trained_job"]
