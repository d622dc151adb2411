import re
from dataclasses import replace

import pytest

from .conftest import HOSTILE, REFERENCE, TRAILING, write_page

ADDRESS = re.compile(r'\b(?:src|href|action|data)="([^"]*)"')


@pytest.mark.parametrize("name", ["many", "reference", "own"])
def test_the_page_is_one_file_that_asks_for_no_other(pages, name):
    page = pages[name].read_text(encoding="utf-8")
    for address in ADDRESS.findall(page):
        # Links to the files beside it; the rest is within.
        assert address.startswith(("#", "data:image/png;base64,")) or address in {
            "leaderboard.md", "leaderboard.csv", "cells.csv"
        }  # fmt: skip
    assert "@import" not in page and "url(" not in page
    assert "default-src 'none'" in page


def test_the_page_escapes_what_users_name(pages):
    for name in ("many", "own"):
        page = pages[name].read_text(encoding="utf-8")
        assert HOSTILE not in page and TRAILING not in page and "alert(1)" in page
        assert page.count("<script>") == page.count("</script>") == 1


def test_the_page_is_small(pages):
    assert pages["many"].stat().st_size < 400_000


def test_filters_are_those_that_have_a_choice(pages):
    many, single = (pages[name].read_text(encoding="utf-8") for name in ("many", "reference"))
    assert set(re.findall(r'data-filter="(\w+)"', many)) == {
        "dataset", "eps", "compute", "scenario", "attack", "role", "status", "marks"
    }  # fmt: skip
    assert 'data-filter="dataset"' not in single


def test_the_page_does_not_depend_on_the_order_of_writing(pages, tmp_path):
    again = write_page(replace(REFERENCE, backwards=True), tmp_path)
    assert again.read_bytes() == pages["reference"].read_bytes()
