import pytest

from benchmark.report.escapes import code, text
from benchmark.report.page.prose import SECTIONS, anchor, breakable, sections, sentence

from .conftest import HOSTILE

PAGE = """# Title

before

## What was run

- **Data**: `glyphs`

```sh
## no heading
python run_benchmark.py
```

## glyphs, L∞ 0.1

| a |
| --- |
| 1 |

## What to doubt

- all
"""


def test_sections_are_those_without_boards():
    found = sections(PAGE)
    assert list(found) == ["What was run", "What to doubt"]
    assert "<strong>Data</strong>: <code>glyphs</code>" in found["What was run"]
    assert '<pre tabindex="0">' in found["What was run"] and "## no heading\npython" in found["What was run"]
    assert "all" in found["What to doubt"] and "## " not in found["What to doubt"]


def test_tables_can_be_scrolled_with_the_keyboard():
    found = sections(f"## {SECTIONS[0]}\n\n| a |\n| --- |\n| 1 |\n\ntext\n\n| b |\n| --- |\n| 2 |\n")[
        SECTIONS[0]
    ]
    assert found.count('role="region"') == found.count("</table></div>") == 2
    assert f'aria-label="{SECTIONS[0]}, table 2"' in found


@pytest.mark.parametrize("escape", [code, text])
def test_what_users_name_is_text(escape):
    shown = str(sentence(f"It is {escape(HOSTILE)}."))
    assert "<img" not in shown and "<script" not in shown and "onerror" in shown


def test_links_to_scripts_are_no_links():
    assert "href" not in sentence("[a](javascript:alert(1))")
    assert 'href="cells.csv"' in sentence("[a](cells.csv)")


def test_headings_have_the_ids_that_markdown_links_to():
    assert anchor("What was run") == "what-was-run"


def test_specs_break_after_their_signs_and_are_escaped():
    assert str(breakable("a[b=c_d,e]<")) == "a[<wbr>b=<wbr>c_<wbr>d,<wbr>e]&lt;"


def test_a_report_has_all_sections_but_those_of_its_attacks(pages):
    found = sections((pages["many"].parent / "leaderboard.md").read_text(encoding="utf-8"))
    assert list(found) == list(SECTIONS[1:])  # no attack of the ranking scenario was run
