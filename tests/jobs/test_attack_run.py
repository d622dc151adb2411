import torch

from benchmark.data import Folders
from benchmark.jobs import RunContext, TrainingRun, attack_run
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve


def test_attacks_and_scores_are_in_whole_float32(tiny, tmp_path, monkeypatch):
    grid = build_grid(
        resolve({"datasets": "glyphs[classes=16,per_class=4]"}, tiny), Folders(tmp_path, tmp_path)
    )
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    job = next(p.job for p in grid.attacks if p.job.attack.startswith("fgsm"))
    job.model.train(context)
    seen = []

    class Watched(attack_run.PoolEmbeddings):
        def attacked(self, *arguments):
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().attacked(*arguments)

    def load(*arguments):
        model, unit = real(*arguments)
        model.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
        return model, unit

    real = TrainingRun.load
    monkeypatch.setattr(TrainingRun, "load", load)
    monkeypatch.setattr(attack_run, "PoolEmbeddings", Watched)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        run = job.attack_and_score(job.cells, context)
        assert run.execution == "eager"
        assert len(seen) > 5 and not any(seen)
        assert torch.backends.cudnn.allow_tf32  # trainings are left as they are
    finally:
        torch.backends.cudnn.allow_tf32 = before
