"""The page as a browser shows it: sorts, filters, exact values, keyboard, themes, accessibility."""

import pytest

from .conftest import HOSTILE

PHONE = {"viewport": {"width": 390, "height": 800}}
COLUMN = """(table, title) => {
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
    const place = heads.indexOf(title);
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    return rows.map((row) => row.cells[place].textContent.trim());
}"""
ALIKE = """() => {
    for (const table of document.querySelectorAll("table")) {
        for (const row of [...table.tBodies[0].rows].slice(5)) row.remove();
    }
    for (const table of [...document.querySelectorAll("#each-attack ~ .scroll, #truth ~ .scroll")].slice(3)) {
        table.remove();
    }
}"""
MISSING = "\u2013"


def column(page, title, table="board"):
    """What the visible rows of a table show in a column."""
    return page.locator(f"#{table}").evaluate(COLUMN, title)


def head(page, title, table="board"):
    return page.locator(f"#{table} thead th", has_text=title).first


def click(page, title, table="board", times=1):
    for _ in range(times):
        head(page, title, table).get_by_role("button").click()
    return column(page, title, table)


def choose(page, **chosen):
    """Sets filters by their names, and waits until they have been applied."""
    for name, value in chosen.items():
        page.locator(f'[data-filter="{name}"]').select_option(value)
    page.wait_for_timeout(120)


def numbers(texts):
    return [float(text.split()[0]) for text in texts if text != MISSING]


def test_numbers_sort_as_numbers_and_what_is_missing_stands_last(opened):
    page = opened()
    first = column(page, "worst R@1")
    down = click(page, "worst R@1")
    assert head(page, "worst R@1").get_attribute("aria-sort") == "descending"
    assert numbers(down) == sorted(numbers(first), reverse=True) and len(set(numbers(first))) > 5
    up = click(page, "worst R@1")
    assert head(page, "worst R@1").get_attribute("aria-sort") == "ascending"
    assert numbers(up) == sorted(numbers(first))
    assert click(page, "worst R@1") == first  # a third click gives the first order again
    assert head(page, "worst R@1").get_attribute("aria-sort") == "none"
    ranks = click(page, "rank")
    missing = ranks.count(MISSING)
    assert 0 < missing < len(ranks)
    assert ranks[-missing:] == [MISSING] * missing == click(page, "rank")[-missing:]
    assert numbers(ranks) == sorted(numbers(ranks))
    assert head(page, "worst R@1").get_attribute("aria-sort") == "none"  # one column at a time


def test_text_sorts_in_the_alphabet_and_sorts_are_stable(opened):
    page = opened()
    click(page, "worst AMI")
    scores = dict.fromkeys(column(page, "data set"))
    before = list(zip(column(page, "data set"), column(page, "worst AMI"), strict=True))
    assert click(page, "data set") == sorted(column(page, "data set")) and len(scores) == 3
    after = list(zip(column(page, "data set"), column(page, "worst AMI"), strict=True))
    assert after == sorted(before, key=lambda pair: pair[0])  # Python's sort is stable too
    assert page.locator("#status").text_content() == "Sorted by data set, ascending"


def test_filters_hide_rows_of_all_tables_and_figures(opened):
    page = opened()
    choose(page, dataset="cub")
    assert set(column(page, "data set")) == {"cub"} == set(column(page, "data set", "cells"))
    assert page.locator("main figure:visible").count() == 2  # of both modes
    assert page.locator("#attacks-0-r1 tbody tr:visible").count() == 0  # of another data set
    assert page.locator('[data-of="attacks-0-r1"]').text_content() == "None of 5 rows matches the filters"
    choose(page, compute="equal passes")
    assert len(column(page, "defense")) == 4
    assert page.locator('[data-of="board"]').text_content() == "4 of 24 rows"
    assert page.locator("#active").text_content() == "(2 active)"
    page.get_by_role("button", name="Clear").click()
    page.wait_for_timeout(120)
    assert len(column(page, "defense")) == 24 and page.locator("#active").text_content() == ""


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("plugin", {"mine plugin 1a2b3c4d"}),
        ("reference", {"pixels reference"}),
        ("\u2020 fails a check", {"vanilla \u2020"}),
        ("cells without metrics", {"mine plugin 1a2b3c4d", "pixels reference"}),
    ],
)
def test_rows_are_found_by_their_marks(opened, label, names):
    page = opened()
    choose(page, marks=label)
    assert set(column(page, "defense")) == names


def test_attacks_and_scenarios_are_filtered(opened):
    page = opened()
    choose(page, attack="noise", scenario="clustering", eps="0.1")
    found = column(page, "attack", "cells")
    assert set(found) == {"noise"} and len(found) == 24
    assert set(column(page, "scenario", "cells")) == {"clustering"}
    assert not head(page, "worst R@1").is_visible() and head(page, "worst AMI").is_visible()
    choose(page, scenario="")
    assert head(page, "worst R@1").is_visible()


def test_the_search_finds_names_and_filters_keep_the_order(opened):
    page = opened()
    down = click(page, "worst R@1")
    page.locator("#find").fill("PGD_AT")
    page.wait_for_timeout(120)
    assert set(column(page, "defense")) == {"pgd_at"}
    assert numbers(column(page, "worst R@1")) == sorted(numbers(column(page, "worst R@1")), reverse=True)
    page.locator("#find").fill("")
    page.wait_for_timeout(120)
    assert column(page, "worst R@1") == down


def test_pointing_at_a_value_shows_its_digits_and_where_it_is_from(opened):
    page = opened()
    cell = page.locator("#board tbody tr").first.locator("td[data-v]").nth(1)
    exact = cell.get_attribute("data-v")
    cell.hover()
    tip = page.get_by_role("tooltip")
    assert exact in tip.text_content() and "store/cells/c-" in tip.text_content()
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_the_keyboard_reaches_every_value(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the leaderboard"
    start = page.locator("#board tbody [tabindex='0']")
    assert start.count() == 1
    start.focus()
    tip = page.get_by_role("tooltip")
    seen = set()
    for key in ("End", "ArrowLeft", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "tip"
        value = page.evaluate("document.activeElement.dataset.v")
        assert value is None or value in tip.text_content()
        seen.add(tip.text_content())
    assert len(seen) == 4
    assert page.locator("#board tbody [tabindex='0']").count() == 1
    head(page, "rank").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head(page, "rank").get_attribute("aria-sort") == "ascending"


def test_the_theme_follows_the_system_and_a_switch(opened):
    page = opened(color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.locator("#theme").select_option("light")
    assert page.evaluate(background) == "rgb(255, 255, 255)" != dark
    page.reload()
    assert page.evaluate(background) == "rgb(255, 255, 255)"  # it is remembered
    page.locator("#theme").select_option("")
    assert page.evaluate(background) == dark


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
@pytest.mark.parametrize("name", ["many", "reference", "own"])
def test_axe_finds_nothing_to_mend(opened, name, options):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(name, **options)
    page.evaluate(ALIKE)  # which axe would take seconds for
    page.locator("#board tbody [tabindex='0']").focus()  # with an open tooltip
    found = axe.run(page).response
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert len(found["passes"]) > 15
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_is_readable_without_scripts(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#board tbody tr:visible").count() == 24
    assert not page.locator("#filters").is_visible() and not page.locator("#theme").is_visible()
    assert "store/cells/c-" in page.locator("#board td[data-v]").nth(1).get_attribute("title")


def test_on_paper_there_are_no_controls(opened):
    page = opened(color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible() and not page.get_by_role("navigation").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#board").is_visible()


def test_a_single_reference_has_a_page(opened):
    page = opened("reference")
    assert column(page, "defense") == ["pixels reference"] and column(page, "rank") == [MISSING]
    assert click(page, "rank") == [MISSING]


def test_text_of_users_is_text(opened):
    page = opened("own")
    assert f"{HOSTILE} own model" in column(page, "model")
    assert page.locator("img[src=x]").count() == 0 and page.locator("script").count() == 1
    many = opened("many")
    assert many.locator("img[src=x]").count() == 0 and many.locator("script").count() == 1
    assert HOSTILE in many.locator("main").text_content()
