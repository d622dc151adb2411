import torch

from benchmark.data import Folders
from benchmark.jobs import RunContext, attack_job
from benchmark.jobs.train_job import train_model
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve


def test_attacks_and_scores_are_in_whole_float32(tiny, tmp_path, monkeypatch):
    grid = build_grid(
        resolve({"datasets": "glyphs[classes=16,per_class=4]"}, tiny), Folders(tmp_path, tmp_path)
    )
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    job = next(p.job for p in grid.attacks if p.job.attack.startswith("fgsm"))
    train_model(job.model, context)
    seen = []

    class Watched(attack_job.PoolEmbeddings):
        def attacked(self, *arguments):
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().attacked(*arguments)

    def load(*arguments):
        model, unit = real(*arguments)
        model.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
        return model, unit

    real = attack_job.load_trained
    monkeypatch.setattr(attack_job, "load_trained", load)
    monkeypatch.setattr(attack_job, "PoolEmbeddings", Watched)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        attack_job.make_cells(job, context)
        assert len(seen) > 5 and not any(seen)
        assert torch.backends.cudnn.allow_tf32  # trainings are left as they are
    finally:
        torch.backends.cudnn.allow_tf32 = before
