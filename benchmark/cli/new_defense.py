"""Writes a new defense file from a template."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

from benchmark.core.errors import UsageError
from benchmark.core.output import say

TEMPLATE = "new_defense.py.jinja"


def new_defense(name: str) -> int:
    """Writes a documented skeleton, which keeps the contract as it is, into the working directory.

    Args:
        name: the name of the defense and, with `.py`, of the file.

    Raises:
        UsageError: when the name is not a Python name, is taken, or would hide a module; or the file exists.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from benchmark.cli.plugin_warnings import load
    from benchmark.core.registry import RESERVED
    from defenses import DEFENSES, GROUPS

    load([])
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        raise UsageError(f"'{name}' cannot be a defense's name: use letters, digits and _, as in my_defense.")
    if name in DEFENSES.names() or name in GROUPS or name in RESERVED:
        raise UsageError(f"The name '{name}' is taken; choose another (--list shows them all).")
    path = Path(f"{name}.py")
    if path.exists():
        raise UsageError(f"{path} exists already; choose another name, or move it away.")
    if importlib.util.find_spec(name) is not None:
        raise UsageError(f"A file {path} would hide the Python module '{name}'; choose another name.")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    camel_case = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    class_name = camel_case if camel_case.isidentifier() and camel_case != "Defense" else f"My{camel_case}"
    text = environment.get_template(TEMPLATE).render(name=name, class_name=class_name)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    say(
        f"Wrote {path}. Edit it, then:",
        f"  python run_benchmark.py --check-plugin {path}",
        f"  python run_benchmark.py --plugin {path} --defenses vanilla,{name} --attacks fast --no-checks",
    )
    return 0
