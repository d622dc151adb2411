import re
import shlex
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmark.report.escapes import NONE, code, text
from benchmark.report.latex import escape
from benchmark.report.reproduce import _quoted

NASTY = (
    "<script>alert(1)</script>",
    "a | b\n| c |",
    "![x](http://example.com/x.png) [y](javascript:z)",
    "\x1b]0;title\x07\x1b[2J\r\x9b31m",
    "`unbalanced <b>",
    "``two`` <i> `code <b>`",
    "&lt;b&gt; &#60;",
    "$(touch hacked) `touch hacked` $HOME !x",
    "a\u202eb\u2028c",
    r"\end{tabular} \input{x} $x$ %",
    "'; touch hacked; '",
    "line\nbreak and 'quote' \\ \t tab",
)
LETTERS = st.text(alphabet="ab<>&;|`[]()!\\\n\r\x1b\u202e$'\"#{}%~^_-*")


def live(line):
    """What of HTML, links and pictures Markdown finds in a line."""
    (found,) = MarkdownIt("commonmark").parseInline(line)
    return {token.type for token in found.children} & {"html_inline", "link_open", "image"}


@pytest.mark.parametrize("value", NASTY)
def test_foreign_text_is_one_harmless_line(value):
    shown = text(value)
    assert "\n" not in shown and "\x1b" not in shown and "\u202e" not in shown
    assert not live(shown)
    assert not re.search(r"(?<!\\)\|", shown)


@given(LETTERS)
@example("``")
@example("a`<b`")
@example("\\`<b>`")
@example("```<b>`")
@example("`\\|<b>`")
def test_no_text_makes_html_or_leaves_its_cell(value):
    for shown in (text(value), code(value)):
        assert not set("\n\r\x1b\u202e") & set(shown)
        assert not re.search(r"(?<!\\)(\\\\)*\|", shown)
        assert not live(shown)
    if value.strip() and "\\|" not in value:
        fence = re.match("`+", code(value))[0]
        assert code(value).endswith(fence) and fence not in code(value)[len(fence) : -len(fence)].split()


def test_usual_text_stays_as_it_is():
    assert (
        text("pgd_at[steps=3] fails `collapsed`: 0.5 > 0.02")
        == "pgd_at[steps=3] fails `collapsed`: 0.5 > 0.02"
    )
    assert code("eat[members=3]") == "`eat[members=3]`" and code("") == NONE


@pytest.mark.parametrize("value", NASTY)
def test_a_command_hands_every_value_to_the_program_as_it_is(tmp_path, value):
    line = f"printf %s {_quoted(value)}"
    assert "\n" not in line and "\x1b" not in line
    done = subprocess.run(["bash", "-c", line], capture_output=True, cwd=tmp_path, check=True)
    assert done.stdout.decode() == value
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=200)
@given(LETTERS)
def test_quoted_values_are_one_word(value):
    if value and value.isprintable():
        assert shlex.split(_quoted(value)) == [value]


@given(LETTERS)
def test_latex_text_holds_no_command(value):
    shown = escape(value)
    known = r"\\text(backslash|asciitilde|asciicircum|less|greater|bar|quotedbl|asciigrave)\{\}"
    rest = re.sub(known, "", shown).replace("-{}", "")
    assert not re.search(r"(?<!\\)[$#%&_{}]", rest) and not re.search(r"\\[^$#%&_{}]", rest)
