"""The page and the notebook on the Python interface can be run as they stand."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
import torch

import benchmark

from ..report.fake_run import EQUAL_EPOCHS, EQUAL_PASSES, FakeRun

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def block(word):
    (found,) = [text for text in BLOCKS if word in text]
    return found


@pytest.fixture
def names(make_images):
    data = make_images(classes=4, per_class=4)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8))
    return {"benchmark": benchmark, "model": model, "images": data.images, "labels": data.labels}


def test_the_page_shows_every_function():
    for name in ("evaluate", "attack", "load_results", "load_model"):
        assert block(f"benchmark.{name}(")


def test_evaluate(names, monkeypatch, capsys):
    whole = benchmark.evaluate

    def small(*given, **named):
        return whole(*given, **named, attacks="noise", checks=False, progress=False)

    monkeypatch.setattr(benchmark, "evaluate", small, raising=False)
    exec(block("benchmark.evaluate("), names)
    assert "Retrieval: " in capsys.readouterr().out


def test_attack(names):
    names |= {"loader": [(names["images"], names["labels"])], "criterion": lambda found, labels: found.sum()}
    exec(block("benchmark.attack("), names)
    assert names["attacked"].shape == names["images"].shape


def test_results(names, tmp_path, monkeypatch, capsys):
    matplotlib.use("agg")
    FakeRun(compute=(EQUAL_EPOCHS, EQUAL_PASSES)).write(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    exec(block("benchmark.load_results("), names)
    assert (tmp_path / "plot.png").stat().st_size > 0
    assert r"\toprule" in capsys.readouterr().out


def test_load_model(names, monkeypatch):
    signature = inspect.signature(benchmark.load_model)

    def load_model(*given, **named):
        signature.bind(*given, **named)
        return names["model"]

    monkeypatch.setattr(benchmark, "load_model", load_model, raising=False)
    exec(block("benchmark.load_model("), names)
    assert names["embeddings"].shape == (16, 8)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    cells = json.loads((ROOT / "docs" / "api.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 3
    program = tmp_path / "run.py"
    program.write_text(
        "import json, sys, matplotlib, sklearn.datasets\n"
        "matplotlib.use('agg')\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        # A third of the images, which takes a third of the time.
        "whole = sklearn.datasets.load_digits()\n"
        "whole.images, whole.target = whole.images[::3], whole.target[::3]\n"
        "sklearn.datasets.load_digits = lambda: whole\n"
        f"names = {{'__name__': '__main__'}}\n"
        f"for cell in json.loads({json.dumps(json.dumps(code))}):\n"
        "    exec(cell, names)\n"
        "rows = names['results']\n"
        "print('WORST', rows.row('plain').worst.r1, rows.row('adversarial').worst.r1)\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    plain, adversarial = map(float, done.stdout.rsplit("WORST", 1)[1].split())
    assert adversarial > plain
    assert "plain on " in done.stdout


def test_the_notebook_has_no_output():
    for cell in json.loads((ROOT / "docs" / "api.ipynb").read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
