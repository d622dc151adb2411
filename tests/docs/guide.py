"""The snippets and commands of a guide in docs/extend/."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "extend"


@dataclass(frozen=True)
class Guide:
    """One page, by the name of its file without suffix."""

    name: str

    @property
    def text(self) -> str:
        return (FOLDER / f"{self.name}.md").read_text(encoding="utf-8")

    @property
    def snippets(self) -> list[str]:
        return re.findall(r"^```python\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    @property
    def plugins(self) -> dict[str, str]:
        """Snippets that register something, by the name of their file: the last name that they register."""
        found = {}
        for snippet in self.snippets:
            if names := re.findall(r'^@[A-Z]+\.register\("(\w+)"\)', snippet, re.MULTILINE):
                found[f"{names[-1]}.py"] = snippet
        return found

    @property
    def files(self) -> dict[str, str]:
        """The plugins, and the functions that a figure is drawn by, by the name of their file."""
        found = dict(self.plugins)
        for snippet in self.snippets:
            if names := re.findall(r"^def (?!test_)(\w+)\(\w+: ", snippet, re.MULTILINE):
                found[f"{names[-1]}.py"] = snippet
        return found

    @property
    def tests(self) -> list[str]:
        return [snippet for snippet in self.snippets if "def test_" in snippet]

    @property
    def fragments(self) -> list[str]:
        """Snippets that are neither a plugin nor a test, and need names from around them."""
        return [one for one in self.snippets if one not in (*self.files.values(), *self.tests)]

    @property
    def commands(self) -> list[list[str]]:
        """The arguments of each command."""
        found = re.findall(r"^python run_benchmark\.py (.*?)(?:\s+#.*)?$", self.text, re.MULTILINE)
        return [shlex.split(command) for command in found]

    def runs_of(self, file: str) -> list[list[str]]:
        """The commands that run a plugin."""
        return [one for one in self.commands if "--plugin" in one and one[one.index("--plugin") + 1] == file]


GUIDES = [Guide(path.stem) for path in sorted(FOLDER.glob("*.md")) if path.name != "README.md"]
