import pytest

from benchmark.report.page.cell_html import marks, row
from benchmark.report.page.grid import Column, Line, Mark, Value, number

HOSTILE = "\"<b>&'"
ESCAPED = "&#34;&lt;b&gt;&amp;&#39;"


def test_numbers_have_what_they_are_sorted_by_and_their_detail():
    line = Line([Value("a", is_code=True), number("81.8", 0.8184, "exact\n0.8184", bar=0.8184)])
    html = row(line, [Column("name"), Column("R@1", numeric=True)], heads=0)
    assert html == (
        '<th scope="row"><code>a</code></th>'
        '<td class="n bar" style="--w:0.818" data-v="0.8184" title="exact\n0.8184">81.8</td>'
    )


@pytest.mark.parametrize("kind", [{}, {"is_code": True}, {"strong": True}])
def test_text_is_escaped(kind):
    value = Value(HOSTILE, detail=HOSTILE, marks=(Mark(HOSTILE), Mark(HOSTILE, HOSTILE)), **kind)
    html = row(Line([value]), [Column("name")], heads=1)
    assert html.count(ESCAPED) == 5 and "<b>" not in html


def test_sentences_show_their_code():
    html = row(Line([Value("`a` <b>", is_prose=True)]), [Column("name")], heads=1)
    assert html == "<td><code>a</code> &lt;b&gt;</td>"


def test_marks_that_need_a_meaning_have_it():
    assert marks([Mark("†", "fails a check")]) == (
        ' <span class="mark strong" role="img" aria-label="fails a check">†</span>'
    )
