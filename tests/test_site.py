"""The site of the documentation: its links, a build without warnings, and pages that fetch nothing."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

import benchmark

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location(
        "repository_pages", ROOT / "docs" / "_site" / "repository_pages.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path):
    """A repository of a few files, with a page that links to them."""
    for name in ("docs/extend", "source/parts", "results"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "source/parts/one.py",
        "source/two.py",
        "results/plot.png",
        "docs/other.md",
        "docs/extend/README.md",
    ):
        (tmp_path / name).write_text("text")
    (tmp_path / "docs" / "extend" / "README.md").write_text("text")
    (tmp_path / "README.md").write_text("[page](docs/page.md)")
    (tmp_path / "results" / "board.md").write_text("![plot](plot.png)")
    return tmp_path


@pytest.mark.parametrize(
    ("page", "link", "shown"),
    [
        ("docs/page.md", "../source/two.py", "repository/source/two.py.md"),
        ("docs/page.md", "../source/parts", "repository/source/parts/index.md"),
        ("docs/page.md", "../results/board.md#top", "repository/results/board.md#top"),
        ("docs/page.md", "../README.md", "index.md"),
        ("docs/page.md", "other.md#part", "other.md#part"),
        ("docs/page.md", "extend", "extend/README.md"),
        ("docs/extend/page.md", "../../source/two.py", "../repository/source/two.py.md"),
        ("docs/extend/page.md", "../other.md", "../other.md"),
        ("README.md", "docs/other.md", "other.md"),
        ("README.md", "results/plot.png", "repository/results/plot.png"),
        ("results/board.md", "plot.png", "../../repository/results/plot.png"),
        ("docs/page.md", "https://example.org/two.py", "https://example.org/two.py"),
        ("docs/page.md", "../absent.py", "../absent.py"),
        ("docs/page.md", "../../outside.py", "../../outside.py"),
    ],
)
def test_links_lead_to_where_the_site_shows_their_targets(hook, repository, page, link, shown):
    (repository.parent / "outside.py").write_text("text")
    assert hook.rewrite(repository, PurePosixPath(page), f"See [it]({link}).") == f"See [it]({shown}).\n"


def test_what_pages_link_to_is_shown_with_what_that_links_to(hook, repository):
    (repository / "docs" / "page.md").write_text("[board](../results/board.md), [parts](../source/parts)")
    assert [str(path) for path in hook.linked_from_pages(repository)] == [
        "README.md",
        "results/board.md",
        "results/plot.png",
        "source/parts",
        "source/parts/one.py",
    ]


def test_source_is_fenced_by_more_marks_than_it_has(hook, repository):
    (repository / "source" / "two.py").write_text("a = 1  # ````")
    page = hook.as_page(repository, PurePosixPath("source/two.py"))
    assert page == "# `source/two.py`\n\n`````python\na = 1  # ````\n`````\n"


def test_lists_nested_by_two_spaces_are_nested_by_four(hook):
    text = "- a\n  - b\n    c\n\n  ```text\n  x\n    y\n  ```\n"
    assert hook.nest_by_four(text) == "- a\n    - b\n        c\n\n    ```text\n    x\n      y\n    ```\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; a warning of MkDocs fails it."""
    apart = ROOT / ".venv-site" / "bin" / "python"  # of the Makefile
    if not apart.exists() and importlib.util.find_spec("mkdocs") is None:
        pytest.skip("needs docs/_site/requirements.txt")
    python = apart if apart.exists() else sys.executable
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [str(python), "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_the_site_fetches_nothing(site):
    fetched = re.compile(
        r"""<(?:script|img|iframe|source|video)[^>]*\ssrc=["']?(?:https?:)?//[^>]*>|<link[^>]*\shref=["']?(?:https?:)?//[^>]*>"""
    )
    for page in site.glob("**/*.html"):
        text = page.read_text(encoding="utf-8")
        assert not fetched.findall(text), page
        # The theme would load the library for such diagrams from a host.
        assert 'class="mermaid"' not in text, page


@pytest.mark.slow
def test_the_reference_has_every_public_name_and_no_other(site):
    text = (site / "reference.html").read_text(encoding="utf-8")
    top = re.findall(r'<h3 id="([\w.]+)"', text)
    assert {name.rpartition(".")[2] for name in top} == set(benchmark.__all__)
