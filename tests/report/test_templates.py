import pytest
from jinja2 import UndefinedError

from benchmark.report.templates import fill, said_of_run, said_of_table

from .fake_run import FakeRun


@pytest.mark.parametrize(("html", "shown"), [(True, "A &lt; B\n"), (False, "A < B\n")])
def test_only_html_is_escaped(tmp_path, html, shown):
    template = tmp_path / "page.jinja"
    template.write_text("\n{{ text | upper_case }}\n\n")
    assert fill(template, {"upper_case": str.upper}, {"text": "a < b"}, html=html) == shown


def test_a_value_that_is_not_given_is_an_error(tmp_path):
    template = tmp_path / "page.jinja"
    template.write_text("{{ text }}")
    with pytest.raises(UndefinedError, match="text"):
        fill(template, {}, {}, html=False)


def test_both_pages_name_what_made_the_records_and_only_the_first_mode_what_was_not_attacked(tables_of):
    fake = FakeRun(compute=("equal-epochs", "equal-passes"), commits={"pgd_at": "fedcba9"})
    run, tables = tables_of(fake)
    said = said_of_run(run, tables)
    assert said["commits"] == ["0123abc", "fedcba9"] and said["date"] == "2025-06-01"
    assert not said["failing"] and said["problems"] == []
    first, second = (said_of_table(run, table) for table in tables)
    assert len(first["conclusion"]) == 3 and first["verdicts"] == []
    assert second["unattacked"] == []
