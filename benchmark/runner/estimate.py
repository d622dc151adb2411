"""What a job will cost, in passes, before it starts."""

from __future__ import annotations

from attacks import ATTACKS
from benchmark.data import Folders
from benchmark.runner.attacking import AttackJob
from benchmark.runner.probe import Costs, probe
from benchmark.runner.records import CLEAN
from benchmark.runner.trained import TrainJob, load_data
from benchmark.training import Recipe


class Estimator:
    """Estimates costs in units of one forward pass of one image through the plain backbone.

    Args:
        folders: where data sets are.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def cost(self, job: TrainJob | AttackJob) -> float:
        """Units that a job will take; a guess of one plain training where a plugin cannot be probed."""
        training = job if isinstance(job, TrainJob) else job.model
        data = load_data(training.key.dataset, self._folders)
        try:
            costs = probe(training.key, Recipe(**training.recipe), self._folders)
        except (Exception, SystemExit):  # whatever is wrong with a plugin is told when its job runs
            costs = Costs(3.0, 1.0, len(data.train), False)
        if isinstance(job, TrainJob):
            return costs.step * costs.images * job.epochs
        passes = 1.0 if job.attack == CLEAN else ATTACKS.build(job.attack).passes_per_image()
        scoring = 2.0 * (job.passes if costs.randomised else 1)
        return costs.embed * len(data.test) * (passes * (job.eot if costs.randomised else 1) + scoring)
