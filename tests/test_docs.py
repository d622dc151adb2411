"""Runs the commands and code of the documents, and checks their links and paths."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from PIL import Image

from benchmark.cli.options import build_parser
from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.data import Folders
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import presets, resolve
from defenses import GROUPS

ROOT = Path(__file__).resolve().parents[1]


PAGES = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("**/*.md"))]


def relative_links(name):
    """The targets of the links of a document that lead into the repository, without their anchors."""
    found = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", (ROOT / name).read_text(encoding="utf-8"))
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES])
def test_links_lead_somewhere(name):
    for link in relative_links(name):
        assert ((ROOT / name).parent / link).exists(), f"{name} links to {link}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def nav_pages(entry):
    """The pages of an entry of the navigation, of its parts too."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in nav_pages(part)]


def test_every_page_is_in_the_navigation_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    # The first page of the site is the README.
    assert sorted(nav_pages(nav)) == sorted(["index.md", *(page.removeprefix("docs/") for page in PAGES)])


def test_the_readme_leads_to_every_page_but_the_guides():
    linked = set(relative_links("README.md"))
    assert {page for page in PAGES if not page.startswith("docs/extend/")} <= linked


def test_the_citation_and_the_package_have_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{citation["version"]}"\n' in project
    assert citation["authors"] == [{"name": re.findall(r'authors = \[\{ name = "(.*?)"', project)[0]}]


def test_the_changes_name_every_protocol():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## Protocol (\d+)", changes, re.MULTILINE)
    assert versions == [str(number) for number in range(int(PROTOCOL_VERSION), 0, -1)]


def test_hooks_before_a_commit_need_no_host():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {hook["id"] for repo in config["repos"] for hook in repo["hooks"]} == {
        "ruff",
        "ruff-format",
        "mypy",
    }


def commands(name):
    """The arguments of each command of a document, with continued lines joined and without comments."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^python run_benchmark\.py (.*?)(?:\s+#.*)?$", text, re.MULTILINE)
    return [shlex.split(command) for command in found]


@pytest.fixture
def photos(tmp_path):
    """A folder of images in place of the reader's own."""
    for name in "abcdefgh":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (9, 9), 20 * number).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


WITHOUT_GRID = {
    "--help",
    "--list",
    "--list-data",
    "--status",
    "--explain",
    "--plugin",
    "--new-defense",
    "--check-plugin",
    "--model",
    "--report-only",
    "--merge",
    "--config",
}
"""Options of commands that build no grid, or need a file that the reader writes first."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        arguments
        for name in ("README.md", "docs/commands.md", "docs/defenses.md")
        for arguments in commands(name)
    ],
    ids=" ".join,
)
def test_commands_can_be_run_unchanged(arguments, tmp_path, photos):
    if "--help" in arguments:
        pytest.skip("argparse prints the help and exits")
    options = vars(
        build_parser().parse_args([one.replace("folder:PATH", f"folder:{photos}") for one in arguments])
    )
    if WITHOUT_GRID & set(arguments):
        return
    for key in ("dry_run", "no_progress", "open", "export"):
        options.pop(key, None)
    assert int(options.pop("tune", 1)) > 0
    assert resolve(options).compute
    # Equal passes would need a training step of each defense to count its cost.
    folders = Folders(tmp_path, tmp_path, blank=True)
    config = resolve({**options, "compute": "equal-epochs", "device": "cpu"})
    assert build_grid(config, folders).cell_refs()


@pytest.mark.parametrize("name", PAGES)
def test_commands_have_options_that_exist(name):
    for arguments in commands(name):
        if "--help" not in arguments:  # argparse prints it and exits
            build_parser().parse_args(arguments)


def test_the_pages_list_every_preset_and_defense():
    listed = re.findall(
        r"^\| `(\w+)` \|", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(listed) == set(presets())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in sorted({*GROUPS["all"], *GROUPS["controls"], *GROUPS["dml"]}):
        assert f"`{name}`" in readme
    shown = {argument for arguments in commands("docs/commands.md") for argument in arguments}
    for option in (
        "--tune",
        "--compute",
        "--new-defense",
        "--check-plugin",
        "--plugin",
        "--preset",
        "--dry-run",
    ):
        assert option in shown


@pytest.mark.parametrize("name", ["docs/extend/README.md", "docs/architecture.md"])
def test_every_guide_is_linked(name):
    linked = {((ROOT / name).parent / link).resolve() for link in relative_links(name)}
    guides = set((ROOT / "docs" / "extend").glob("*.md")) - {ROOT / "docs" / "extend" / "README.md"}
    assert guides <= linked


def test_paths_of_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("| floor |") : text.index("\n\n", text.index("| floor |"))]
    named = [line.split(" | ", 1) for line in table.splitlines()[2:]]
    floors = {folder for cell, _ in named for folder in re.findall(r"`([\w/.]+)`", cell)}
    for floor in floors:
        assert (ROOT / floor).exists(), floor
    packages = {path.parent.name for path in (ROOT / "benchmark").glob("*/__init__.py")} - {"presets"}
    assert {Path(floor).name for floor in floors if floor.endswith("/")} == packages | {"attacks", "defenses"}
    for cell, what in named:
        folders = [ROOT / folder for folder in re.findall(r"`([\w/.]+)`", cell)]
        for module in re.findall(r"`([a-z]+)(?:\.py|/)?`", what):
            places = [folder / module for folder in folders]
            assert any(path.exists() or path.with_suffix(".py").exists() for path in places), (cell, module)
