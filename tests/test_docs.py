"""The documents' own words, run."""

import re
from pathlib import Path

import pytest

from benchmark.cli import build_parser, main
from benchmark.runner.config import resolve
from benchmark.runner.grid import build_grid

ROOT = Path(__file__).resolve().parents[1]


def test_the_plugin_of_the_guide_gets_a_row(tmp_path):
    guide = (ROOT / "docs" / "adding_a_defense.md").read_text(encoding="utf-8")
    text = next(
        block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "register(" in block
    )
    assert len(text.splitlines()) <= 45
    plugin = tmp_path / "anchored_at.py"
    plugin.write_text(text, encoding="utf-8")
    config = tmp_path / "tiny.yaml"
    config.write_text("training: {epochs: 1}\ndatasets: digits\nattacks: noise\nworkers: 1\nchecks: false\n")
    output = tmp_path / "out"
    arguments = ["--plugin", str(plugin), "--defenses", "anchored_at[weight=3]", "--config", str(config)]
    assert main([*arguments, "--output", str(output), "--no-progress"]) == 0
    assert "anchored_at[weight=3]" in (output / "leaderboard.csv").read_text()


@pytest.mark.parametrize(
    "name", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_links_lead_somewhere(name):
    path = ROOT / name
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), f"{name} links to {link}"


def test_the_commands_of_the_readme_are_understood(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python run_benchmark\.py (.*?)(?:\s+#.*)?$", readme, re.MULTILINE)
    assert len(commands) > 5
    import shlex

    for command in commands:
        arguments = shlex.split(command)
        if {"--help", "--plugin"} & set(arguments):
            continue
        options = vars(build_parser().parse_args(arguments))
        for key in ("list", "dry_run", "report_only", "no_progress"):
            options.pop(key, None)
        build_grid(resolve(options), tmp_path)
