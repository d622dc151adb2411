"""What a job will cost, in passes, before it starts."""

from __future__ import annotations

from attacks import ATTACKS, images_a_pass
from benchmark.data import Folders, ImageSet
from benchmark.jobs.attack_job import AttackJob
from benchmark.jobs.probe import Costs, probe
from benchmark.jobs.train_job import TrainJob, load_data
from benchmark.records import CLEAN
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
        if isinstance(job, TrainJob):
            return self._training(job)
        pool = load_data(job.model.key.dataset, self._folders).test
        return self._attacking(job, len(pool)) + self._scoring(job, pool)

    def _costs(self, job: TrainJob) -> Costs:
        try:
            return probe(job.key, Recipe(**job.recipe), self._folders)
        except (Exception, SystemExit):  # whatever is wrong with a plugin is told when its job runs
            return Costs(3.0, 1.0, len(load_data(job.key.dataset, self._folders).train), False)

    def _training(self, job: TrainJob) -> float:
        costs, size = self._costs(job), Recipe(**job.recipe).batch_size
        whole = costs.images // size * size  # an epoch leaves out a batch that is not full
        return costs.step * (whole or costs.images) * job.epochs

    def _attacking(self, job: AttackJob, images: int) -> float:
        passes = 0.0 if job.attack == CLEAN else ATTACKS.build(job.attack).passes_per_image()
        if not passes:
            return 0.0
        if job.source is None:
            return images * self._on(job.model, job, passes)
        # All but a look at the result are the source's.
        return images * (self._on(job.source, job, passes - 1.0) + self._on(job.model, job, 1.0))

    def _on(self, model: TrainJob, job: AttackJob, passes: float) -> float:
        """Units an image of an attack's passes on one model, and of one over its clean pool."""
        costs = self._costs(model)
        anew = 1.0 if costs.randomised and passes > 1 else 0.0  # the best of noisy scores is scored once more
        eot = job.eot if costs.randomised else 1
        return costs.embed * eot * ((passes + anew) * job.share + 1.0)

    def _scoring(self, job: AttackJob, pool: ImageSet) -> float:
        """Units of scoring in every scenario; in clustering alone a randomised model takes fewer."""
        costs = self._costs(job.model)
        whole = (job.passes if costs.randomised else 1) * len(pool)
        if job.attack == CLEAN:  # one pool, and two passes over its first batch
            return costs.embed * (whole + 2 * min(len(pool), 2 * images_a_pass(pool.image_shape)))
        return costs.embed * 3 * whole  # the clean pool, the attacked one, and that once more for the checks
