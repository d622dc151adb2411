"""Markdown of the board as HTML: its sentences, notes, and the sections that need no table."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markupsafe import Markup

RANKING = "Ranking attacks and the empirical robustness score"
SECTIONS = (
    RANKING,
    "What was run",
    "How to read this",
    "What to doubt",
    "How to reproduce a row",
)
"""The sections of `leaderboard.md` that the page has too, by their headings."""


@cache
def _parser() -> MarkdownIt:
    # Without HTML: what users name is text, whatever it holds. Links to scripts are refused by the parser.
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def sentence(markdown: str) -> Markup:
    """Renders a line of Markdown, without a paragraph around it."""
    return Markup(_parser().renderInline(markdown))


def sections(markdown: str) -> dict[str, Markup]:
    """Renders the sections of `leaderboard.md` that the page has too, by their headings."""
    found = re.split(r"^## (.+)$", _without_fences(markdown), flags=re.MULTILINE)
    bodies = dict(zip(found[1::2], found[2::2], strict=True))
    return {name: _section(_restored(bodies[name])) for name in SECTIONS if name in bodies}


def anchor(heading: str) -> str:
    """The id of a heading, as links in Markdown name it."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


@lru_cache(maxsize=4096)
def breakable(spec: str) -> Markup:
    """A spec that may be broken into lines after commas, underscores, signs and brackets."""
    pieces = re.split(r"(?<=[,_=\[/])", spec)
    return Markup("<wbr>").join(pieces)


def _section(markdown: str) -> Markup:
    # What scrolls sideways must be within reach of the keyboard.
    html = _parser().render(markdown).replace("<pre>", '<pre tabindex="0">')
    for number in range(html.count("<table>")):
        label = f"{RANKING}, table {number + 1}"
        frame = f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">'
        html = html.replace("<table>", f'{frame}<table class="text">', 1)
    return Markup(html.replace("</table>", "</table></div>"))


def _without_fences(markdown: str) -> str:
    """Hides the # of commands within fences, which is no heading."""
    return re.sub(r"(?ms)^```.*?^```", lambda match: match[0].replace("\n##", "\n\0##"), markdown)


def _restored(markdown: str) -> str:
    return markdown.replace("\n\0##", "\n##")
