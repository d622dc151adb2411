import webbrowser

import pytest

from benchmark.cli import main
from benchmark.cli.commands import report
from benchmark.records import Store

from ..report.fake_run import FakeRun


@pytest.fixture
def done(tmp_path):
    """A run of one reference row, whose report draws next to nothing."""
    FakeRun(weakness={"pixels": 0.9}, seeds=(0,), classes=8, per_class=3, curve={}).write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("there", [True, False])
def test_the_page_is_opened_or_one_line_says_that_there_is_no_browser(done, monkeypatch, capsys, there):
    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or there)
    assert main(["--report-only", "--open", "--output", str(done)]) == 0
    page = done / "leaderboard.html"
    assert asked == [page.as_uri()] and page.is_file()
    said = f"The board: {done / 'leaderboard.md'} (in a browser: {page})"
    missing = f"There is no browser to open the page with: {page}"
    assert capsys.readouterr().out.splitlines()[-1] == (said if there else missing)


def test_without_the_option_nothing_is_opened(done, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail(address))
    assert main(["--report-only", "--output", str(done)]) == 0


def test_a_report_is_of_its_own_run_though_another_has_used_the_folder(done):
    store = Store(done)
    mine = store.manifest()
    store.save_manifest(mine.model_copy(update={"cells": mine.cells[:1]}))
    report(done, manifest=mine)
    assert len((done / "cells.csv").read_text().splitlines()) > len(mine.cells)
    report(done)
    assert len((done / "cells.csv").read_text().splitlines()) < len(mine.cells)


def test_a_report_into_a_folder_that_cannot_be_written_names_the_folder(done, monkeypatch, capsys):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", f"{dir}/a temporary file")

    monkeypatch.setattr("benchmark.records.store.tempfile.TemporaryFile", refuse)
    assert main(["--report-only", "--output", str(done)]) == 2
    said = f"error: The output folder '{done}' cannot be written: Permission denied.\n"
    assert capsys.readouterr().err == said
