"""The number of images in one forward pass of an attack: by memory on a GPU, by their size on a CPU."""

import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, Problem, images_per_pass
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.data import Folders
from benchmark.evaluation import PoolEmbeddings
from benchmark.jobs import RunContext, TrainingRun, batches
from benchmark.jobs.batches import bytes_per_image, first_batch_size, images_that_fit, run_in_batches
from benchmark.jobs.memory import Memory
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve

GB, MB = 10**9, 10**6


class Gpu:
    """Stands in for a GPU's memory: each image of a pass takes `each` bytes while it runs."""

    def __init__(self, each, allocated=0, limit=None):
        self.each, self.allocated, self.limit, self.peak, self.passes = each, allocated, limit, 0, []

    def reset_peak_memory_stats(self, device):
        self.peak = self.allocated

    def memory_allocated(self, device):
        return self.allocated

    def max_memory_allocated(self, device):
        return self.peak

    def embed(self, images):
        if self.limit is not None and len(images) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.peak = max(self.peak, self.allocated + self.each * len(images))
        self.passes.append(len(images))
        return F.normalize(images.flatten(1))


class Small(Embedder):
    def __init__(self, gpu):
        super().__init__()
        self.gpu = gpu

    def forward(self, images):
        return self.gpu.embed(images)


@pytest.fixture
def gpu(monkeypatch):
    def make(each, total=80 * GB, free=None, allocated=0, limit=None):
        made = Gpu(each, allocated, limit)
        for name in ("reset_peak_memory_stats", "memory_allocated", "max_memory_allocated"):
            monkeypatch.setattr(torch.cuda, name, getattr(made, name))
        memory = Memory(total if free is None else free, total)
        monkeypatch.setattr(batches, "memory_of_device", lambda _: memory)
        return made

    return make


@pytest.mark.parametrize(
    ("each", "usable", "expected"),
    [(1, 100 * GB, 1024), (MB, 100 * MB, 64), (MB, 64 * MB, 64), (MB, 63 * MB, 32), (MB, 1, 1), (MB, -5, 1)],
)
def test_a_batch_is_the_largest_power_of_two_that_fits(each, usable, expected):
    assert images_that_fit(each, usable) == expected


def test_memory_is_measured_on_a_pass(gpu):
    made = gpu(5 * MB, allocated=3 * GB)
    assert bytes_per_image(Small(made), torch.rand(16, 1, 4, 4)) == 5 * MB
    assert made.passes == [16]


@pytest.mark.parametrize(
    ("memory", "workers", "to_come", "expected"),
    [
        ({}, 1, 0, 1024),  # the most, of 1,440 that would fit
        ({}, 2, 0, 512),
        ({}, 6, 0, 128),
        ({}, 1, 40 * GB, 512),
        ({"free": 10 * GB}, 1, 0, 128),  # others hold the rest
        ({"allocated": 50 * GB}, 1, 0, 512),
        ({"total": 8 * GB}, 8, 0, 16),
        ({"total": GB // 100}, 1, 0, 1),
        ({"limit": 15}, 1, 0, 8),  # the probe itself does not fit
    ],
)
def test_a_batch_on_a_gpu_is_what_fits_into_the_worker_s_part(gpu, memory, workers, to_come, expected):
    made = gpu(49 * MB, **memory)
    few = torch.rand(4, 3, 16, 16)
    found = first_batch_size((100, 3, 16, 16), [Small(made)], few, "cuda", workers, to_come)
    assert found == expected


def test_the_largest_of_several_models_decides(gpu):
    made = gpu(100 * MB)
    models = [Small(Gpu(MB)), Small(made)]
    few = torch.rand(4, 3, 16, 16)
    assert first_batch_size((100, 3, 16, 16), models, few, "cuda", 1, 0) == 512


@pytest.mark.parametrize("shape", [(50, 1, 28, 28), (9, 3, 224, 224)])
def test_a_batch_on_a_cpu_depends_on_the_image_shape_alone(shape):
    found = {
        first_batch_size(shape, [], torch.zeros(1, *shape[1:]), "cpu", workers, to_come)
        for workers, to_come in ((1, 0), (8, GB))
    }
    assert found == {images_per_pass(shape[1:])}


def test_where_memory_runs_out_the_batch_is_halved():
    asked = []

    def run(size):
        asked.append(size)
        if size > 100:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "done"

    result, size, notes = run_in_batches(256, run)
    assert (result, size, asked) == ("done", 64, [256, 128, 64])
    assert notes == [
        f"The device's memory ran out with {full} images in a forward pass, so the attack was started again "
        f"with {full // 2}."
        for full in (256, 128)
    ]


def test_a_single_image_that_does_not_fit_gets_one_line():
    asked = []

    def run(size):
        asked.append(size)
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GB.")

    with pytest.raises(BenchmarkError) as caught:
        run_in_batches(5, run)
    assert asked == [5, 2, 1]
    assert str(caught.value) == (
        "The device's memory ran out with a single image in a forward pass. Use smaller images, a smaller "
        "network, fewer workers, or a GPU with more memory."
    )


@pytest.fixture
def job_and_context(tiny, tmp_path):
    asked = {
        "datasets": "glyphs[classes=16,per_class=8]",
        "attacks": "pgd_decay[objective=neighbour,steps=4]",
        "scenarios": "clustering,retrieval-query",
    }
    grid = build_grid(resolve(asked, tiny), Folders(tmp_path, tmp_path))
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    job = next(p.job for p in grid.attacks if p.job.attack != "none" and p.job.model.trained)
    job.model.train(context)
    return job, context


@pytest.fixture
def limited(monkeypatch):
    """Makes passes of more than some images run out of memory; those with a graph count twice."""

    def limit(most):
        def load(*arguments):
            model, unit = real(*arguments)

            def check(_, inputs):
                sizes.append(len(inputs[0]))
                if len(inputs[0]) * (2 if inputs[0].requires_grad else 1) > most:
                    raise torch.OutOfMemoryError("CUDA out of memory.")

            model.register_forward_pre_hook(check)
            return model, unit

        sizes = []
        real = TrainingRun.load
        monkeypatch.setattr(TrainingRun, "load", load)
        return sizes

    return limit


def test_an_attack_that_runs_out_of_memory_is_started_again_and_recorded(job_and_context, limited):
    job, context = job_and_context
    whole = job.attack_and_score(job.cells, context)
    assert (whole.batch_size, whole.notes) == (256, [])
    limited(40)
    assert job.execute(context) is None
    for cell in job.cells.values():
        record = context.store.cell(cell)
        assert record.status == "done" and record.batch_size == 16 and record.precision == "float32"
        assert len(record.notes) == 4 and record.notes[-1].endswith(
            "so the attack was started again with 16."
        )
        assert record.objective == pytest.approx(whole.objective, abs=1e-4)
        assert record.forward_passes == whole.forward_passes  # of the last start alone


def test_an_attack_that_never_fits_fails_in_one_line(job_and_context, limited, monkeypatch):
    job, context = job_and_context
    monkeypatch.setattr("benchmark.jobs.attack_run.check_embedder", lambda *_: None)
    limited(0)
    with pytest.raises(BenchmarkError, match=r"^The device's memory ran out with a single image"):
        job.attack_and_score(job.cells, context)


@pytest.mark.parametrize("objective", ["neighbour", "information"])
def test_figures_in_two_batch_sizes_differ_by_rounding(objective, make_images, make_member):
    """What docs/protocol.md promises of batches that are composed otherwise."""
    torch.manual_seed(0)
    model = make_member().eval().requires_grad_(False)
    pool = make_images(classes=50, per_class=20, noise=0.2)
    attack = ATTACKS.build(f"pgd_decay[objective={objective},steps=10]")
    values, hits = [], []
    for size in (256, 100):
        problem = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.02, batch_size=size)
        result = attack.run(problem)
        embedded = PoolEmbeddings(
            model, pool.images, result.images, pool.labels, pool.ids, 1, batch_size=2 * size
        )
        similarity = embedded.attacked() @ embedded.clean().t()
        similarity.fill_diagonal_(-2)
        values.append(result.objective)
        hits.append(pool.labels[similarity.argmax(1)] == pool.labels)
    assert 0.02 < float(hits[0].float().mean()) < 0.98
    assert int((hits[0] != hits[1]).sum()) <= 1
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-4)
