import dataclasses
import os
import re

import pytest
from PIL import Image

from benchmark.records import Store
from benchmark.report import figures, write_report
from benchmark.report.attacked_images import write_attacked_images
from benchmark.report.cell_results import Run
from benchmark.report.figures import draw_figures
from benchmark.report.style import svg_of

from .fake_run import EQUAL_EPOCHS, NEIGHBOUR, FakeRun
from .own_models import save_images


def save_small(figure, path):
    """Writes files in place of a figure's, which take long to draw."""
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    svg_of(path).write_text("<svg/>")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A run with its report; its figures are small, and there are none of embeddings."""
    monkeypatch.setattr(figures, "save", save_small)
    monkeypatch.setitem(figures.FIGURES, "tsne", lambda run, table, row=None: None)
    FakeRun(seeds=(0,), compute=(EQUAL_EPOCHS,)).write(tmp_path)
    return tmp_path, write_report(tmp_path)


def refuse(*_):
    raise AssertionError("drawn")


def report_again(output, monkeypatch):
    """Writes the report, which may draw nothing; returns its files and what it told."""
    told = []
    for kind in figures.FIGURES:
        monkeypatch.setitem(figures.FIGURES, kind, refuse)
    return write_report(output, told.append), told


def redrawn(output, monkeypatch):
    """Names of the figures that a new report would draw."""
    _, told = report_again(output, monkeypatch)
    failed = [
        re.fullmatch(r"The figure (\S+) could not be drawn: AssertionError: drawn", line) for line in told
    ]
    return [found[1] for found in failed if found]


def test_figures_are_kept_when_no_record_changed(written, monkeypatch):
    output, paths = written
    pictures = [path for path in paths if path.suffix in (".png", ".svg")]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in pictures}
    again, told = report_again(output, monkeypatch)
    assert len(before) >= 3 and again == paths
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert told == [
        "The figures are kept: no record changed since they were drawn. Delete figures/ to redraw them."
    ]


def test_the_page_is_written_again_with_the_figures(written, monkeypatch):
    output, _ = written
    page = (output / "leaderboard.md").read_text()
    (output / "leaderboard.md").unlink()
    report_again(output, monkeypatch)
    assert (output / "leaderboard.md").read_text() == page and "](figures/" in page


def _change_a_score(output, paths):
    store = Store(output)
    record = store.cell(store.manifest().cells[0].id)
    metrics = dict.fromkeys(record.metrics, 0.125)
    store.save_cell(record.model_copy(update={"metrics": metrics}))


def _remove_a_cell(output, paths):
    store = Store(output)
    (store.root / "cells" / f"{store.manifest().cells[-1].id}.json").unlink()


def _write_arrays_again(output, paths):
    path = next((output / "store" / "arrays").iterdir())
    os.utime(path, ns=(1, 1))


def _change_the_grid(output, paths):
    store = Store(output)
    manifest = store.manifest()
    store.save_manifest(manifest.model_copy(update={"references": ["vanilla"]}))


def _damage_a_figure(output, paths):
    next(path for path in paths if path.suffix == ".png").write_bytes(b"damaged")


def _delete_a_figure(output, paths):
    next(path for path in paths if path.suffix == ".png").unlink()


def _delete_a_vector_figure(output, paths):
    next(path for path in paths if path.suffix == ".svg").unlink()


def _keep_images(output, paths):
    save_images(output, Store(output).manifest(), "vanilla", NEIGHBOUR)


def _damage_the_note(output, paths):
    (output / "store" / "figures.json").write_text("{")


@pytest.mark.parametrize(
    "change",
    [
        _change_a_score,
        _remove_a_cell,
        _write_arrays_again,
        _change_the_grid,
        _damage_a_figure,
        _delete_a_figure,
        _delete_a_vector_figure,
        _keep_images,
        _damage_the_note,
    ],
)
def test_figures_are_drawn_again_after_a_change(written, monkeypatch, change):
    output, paths = written
    change(output, paths)
    assert redrawn(output, monkeypatch)


@pytest.mark.parametrize("what", ["SOURCE_DIGEST", "_LIBRARIES"])
def test_figures_are_drawn_again_with_other_code(written, monkeypatch, what):
    output, _ = written
    other = {"SOURCE_DIGEST": "other", "_LIBRARIES": ("numpy",)}[what]
    monkeypatch.setattr(f"benchmark.report.kept_figures.{what}", other)
    assert redrawn(output, monkeypatch)


def test_a_new_commit_or_command_does_not_matter(written, monkeypatch):
    output, _ = written
    store = Store(output)
    manifest = store.manifest()
    later = manifest.provenance.model_copy(update={"created": "2030-01-01T00:00:00+00:00"})
    store.save_manifest(manifest.model_copy(update={"provenance": later, "command": "another"}))
    assert report_again(output, monkeypatch)[1]


@pytest.fixture
def two_budgets(tmp_path, monkeypatch):
    """A run of two budgets with its report; without the slow figures of embeddings."""
    monkeypatch.setitem(figures.FIGURES, "tsne", lambda run, table, row=None: None)
    fake = FakeRun(weakness={"vanilla": 0.95}, seeds=(0,), references=(), eps=(0.1, 0.3), curve={})
    fake.write(tmp_path)
    write_report(tmp_path)
    return tmp_path, fake


def test_only_the_figures_that_show_a_change_are_drawn_again(two_budgets, monkeypatch):
    output, _ = two_budgets
    store = Store(output)
    ref = next(ref for ref in store.manifest().cells if ref.key.eps == 0.3)
    record = store.cell(ref.id)
    store.save_cell(record.model_copy(update={"metrics": dict.fromkeys(record.metrics, 0.125)}))
    again = redrawn(output, monkeypatch)
    assert {name.partition("_glyphs")[0] for name in again if "_0.3" in name} >= {"clean_vs_worst", "heatmap"}
    assert all(name.startswith("eps_") for name in again if "_0.1" in name)  # it shows both budgets
    assert not any(name.startswith("training") for name in again if "_0.1" in name)


def test_a_new_budget_leaves_the_figures_of_the_others(two_budgets, monkeypatch):
    output, fake = two_budgets
    files = [path for kind in ("arrays", "cells") for path in (output / "store" / kind).iterdir()]
    times = {path: path.stat().st_mtime_ns for path in files}
    dataclasses.replace(fake, eps=(0.1, 0.3, 0.5)).write(output)
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    again = redrawn(output, monkeypatch)
    assert any("_0.5" in name for name in again)
    assert all(name.startswith("eps_") for name in again if "_0.5" not in name)


def test_a_figure_that_fails_costs_only_itself_and_is_tried_again(written, monkeypatch):
    output, _ = written
    (output / "store" / "figures.json").unlink()

    def fail(run, table, row=None):
        raise ValueError("two\nlines | <b>")

    heatmap = figures.FIGURES["heatmap"]
    monkeypatch.setitem(figures.FIGURES, "heatmap", fail)
    for _ in range(2):
        told = []
        paths = write_report(output, told.append)
        line = "could not be drawn: ValueError: two lines | <b>"
        assert [one for one in told if line in one and one.startswith("The figure heatmap_")]
        assert not any(path.name.startswith("heatmap") for path in paths)
        assert any(path.name.startswith("clean_vs_worst") for path in paths)
        assert not list((output / "figures").glob("heatmap*"))
        page = (output / "leaderboard.md").read_text()
        assert "## Figures that could not be drawn" in page and "(figures/heatmap" not in page
    monkeypatch.setitem(figures.FIGURES, "heatmap", heatmap)
    assert any(path.name.startswith("heatmap") for path in write_report(output))
    assert "could not be drawn" not in (output / "leaderboard.md").read_text()


def test_what_killed_reports_left_is_removed(tmp_path):
    output = tmp_path / "run"
    FakeRun().write(output)
    for folder in ("figures", "images", "images/row"):
        (output / folder).mkdir(exist_ok=True)
        (output / folder / ".writing-old").write_text("half")
        os.utime(output / folder / ".writing-old", (0, 0))
    run = Run(Store(output))
    draw_figures(run, [], output)
    write_attacked_images(run, [], output)
    assert not list(output.rglob(".writing-*"))
