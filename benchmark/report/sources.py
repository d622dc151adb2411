"""Where a row comes from: the project, a plugin, or a model of the user's own."""

from __future__ import annotations

from benchmark.records import RunManifest

OWN_MODEL = "own model"
PLUGIN = "plugin:"
_LETTERS = 8


def source(manifest: RunManifest, defense: str) -> str:
    """The source of a row: "own model", "plugin:HASH" with a short hash of its files, or "" if built in.

    Args:
        manifest: the grid.
        defense: the spec of the row's defense or own model.
    """
    if defense in manifest.own_models:
        return OWN_MODEL
    plugin = manifest.plugins.get(defense, "")
    return f"{PLUGIN}{plugin[:_LETTERS]}" if plugin else ""


def mark(source: str) -> str:
    """What stands beside a name in tables, as in "own model" or "plugin 1a2b3c4d"; empty if built in."""
    return source.replace(":", " ")


def legend(sources: set[str]) -> str:
    """Explains the marks of some rows in a sentence each; empty when there are none."""
    sentences = []
    if OWN_MODEL in sources:
        sentences.append("*own model*: given by the user and not trained by the benchmark.")
    if any(name.startswith(PLUGIN) for name in sources):
        sentences.append("*plugin*: a defense from a plugin, with a short hash of its source.")
    return " ".join(sentences)
