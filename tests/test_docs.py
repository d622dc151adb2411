"""Runs the commands and code of the documents, and checks their links and paths."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from benchmark.cli.options import build_parser
from benchmark.data import Folders
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import presets, resolve
from defenses import GROUPS

ROOT = Path(__file__).resolve().parents[1]


PAGES = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("**/*.md"))]


@pytest.mark.parametrize("name", ["README.md", *PAGES])
def test_links_lead_somewhere(name):
    path = ROOT / name
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), f"{name} links to {link}"


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
    "--config",
}
"""Options of commands that build no grid, or need a file that the reader writes first."""


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [*commands("README.md"), *commands("docs/defenses.md")], ids=" ".join)
def test_commands_can_be_run_unchanged(arguments, tmp_path, photos):
    if "--help" in arguments:
        pytest.skip("argparse prints the help and exits")
    options = vars(
        build_parser().parse_args([one.replace("folder:PATH", f"folder:{photos}") for one in arguments])
    )
    if WITHOUT_GRID & set(arguments):
        return
    for key in ("dry_run", "no_progress"):
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
        build_parser().parse_args(arguments)


def test_the_readme_lists_every_preset_and_defense():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE))
    assert listed == set(presets())
    for name in sorted({*GROUPS["all"], *GROUPS["dml"]}):
        assert f"`{name}`" in readme
    shown = {argument for arguments in commands("README.md") for argument in arguments}
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


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_every_guide_is_linked(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "extend").glob("*.md")):
        assert f"extend/{page.name})" in text, page.name


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
