"""Pages of fake runs, and Debian's chromium to look at them."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmark.records import Store
from benchmark.report.cell_results import Run
from benchmark.report.figures import FOLDER, TableFigures
from benchmark.report.markdown import render
from benchmark.report.page import render_page
from benchmark.report.ranking import rank
from benchmark.report.tables import collect

from ..fake_run import EQUAL_EPOCHS, EQUAL_PASSES, NOISE, OWN, FakeRun

REQUIRED = "DML_BENCHMARK_REQUIRES_BROWSER"
"""The environment variable with which a missing browser is a failure, as in CI."""
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
TRAILING = "</script><script>alert(3)</script>"

MANY = FakeRun(
    weakness={"vanilla": 0.95, "pgd_at": 0.3, "mine": 0.5, "pixels": 0.9},
    datasets=("cub", "cars", "glyphs"),
    compute=(EQUAL_EPOCHS, EQUAL_PASSES),
    alike=("pixels",),
    plugins={"mine": "1a2b3c4d5e6f"},
    checks={"vanilla": {"collapsed": "fail"}},
    failed_attacks={("mine", OWN): f"out of memory {HOSTILE}"},
    missing={("pixels", NOISE)},
    descriptions={"pgd_at": f"adversarial training {HOSTILE} {TRAILING}."},
    seeds=(0,),
    classes=8,
    per_class=4,
)
"""Three data sets, two modes, a plugin, a row that fails a check, cells that failed or were not run."""
REFERENCE = FakeRun(weakness={"pixels": 0.9}, seeds=(0,), classes=8, per_class=4)
OWN_MODEL = replace(
    REFERENCE,
    weakness={HOSTILE: 0.5, "pixels": 0.9},
    own_models={HOSTILE: f"Python function {HOSTILE}"},
    unranked={HOSTILE: f"made by {TRAILING}"},
    compute=("none",),
    asked=(EQUAL_EPOCHS,),
    backbone="none",
    loss="none",
    validated=False,
)


def write_page(fake, output):
    """Writes the page of a fake run with a small picture for each table; returns its path."""
    fake.write(output)
    run = Run(Store(output))
    tables = collect(run)
    for table in tables:
        rank(run, table)
    folder = output / FOLDER
    folder.mkdir()
    figures = []
    for number in range(len(tables)):
        path = folder / f"clean_vs_worst_{number}.png"
        Image.fromarray(np.full((20, 30, 3), 10 * number, dtype=np.uint8)).save(path)
        figures.append(TableFigures(clean_vs_worst=path))
    text = render(run, tables, figures, output)
    (output / "leaderboard.md").write_text(text, encoding="utf-8")
    page = output / "leaderboard.html"
    page.write_text(render_page(run, tables, figures, output, text), encoding="utf-8")
    return page


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """The paths of three pages, by name."""
    fakes = {"many": MANY, "reference": REFERENCE, "own": OWN_MODEL}
    return {name: write_page(fake, tmp_path_factory.mktemp(name)) for name, fake in fakes.items()}


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "there is no chromium: `make browser` installs it"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason} ({REQUIRED} is set)")
        pytest.skip(reason)
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, pages):
    """Opens a page without a network; afterwards no error, no dialog and no request must have been seen."""
    contexts, seen = [], []

    def open_(name="many", **options):
        context = browser.new_context(offline=True, **{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (seen.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        address = pages[name].as_uri()
        page.on("request", lambda request: None if request.url == address else seen.append(request.url[:100]))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [one for one in seen if not one.startswith("data:")] == []


@pytest.fixture
def both_seeds(tables_of):
    """A run of four rows with two seeds, one of a plugin and one that fails a check, and its table."""
    fake = FakeRun(
        checks={"vanilla": {"collapsed": "fail"}}, plugins={"pgd_at": "abcdef1234"}, classes=8, per_class=4
    )
    return tables_of(fake)


def shown(grid, title):
    """The values of a column."""
    place = [column.title for column in grid.columns].index(title)
    return [line.values[place] for line in grid.lines]
