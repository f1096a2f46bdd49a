"""The pages as people use them, in a real browser, opened as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.metrics.catalogue import metrics_of
from benchmark.protocol import load_protocol
from leaderboard.schema import ENTRIES
from leaderboard.site.build import build_site
from leaderboard.site.made_entries import make_board, make_entry
from tests.leaderboard.browsers import chromium
from tests.leaderboard.made_boards import add_video, make_small_board, scores, submission

PAGES = (
    "index.html",
    "tables/paper-v1-made.html",
    "methods/strong.html",
    "paper.html",
    "history.html",
    "rules.html",
)
PHONE = {"viewport": {"width": 375, "height": 700}, "is_mobile": True, "has_touch": True}
SECOND_COLUMN = metrics_of(load_protocol("mini-v1"))[1].column
DESKTOP = {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    board = make_small_board(folder / "board")
    for method in ("ground_truth", "strong"):
        (entry,) = (board / ENTRIES).glob(f"{method}-*")
        add_video(entry, "person00-0", 90)
    for method in ("strong", "twin"):
        make_entry(board, method, scores(1.0), submission(method.title()), protocol_id="paper-v1")
    build_site(board, folder / "site", lambda line: None)
    return folder / "site"


@pytest.fixture
def page(browser) -> Iterator[Any]:
    """A tab that fails its test for any error of a script and any request but for files."""
    tab = browser.new_context(**DESKTOP).new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda said: said.type == "error" and problems.append(said.text))
    tab.on(
        "request", lambda request: request.url.startswith(("file:", "data:")) or problems.append(request.url)
    )
    yield tab
    assert problems == []
    tab.context.close()


def shown(page) -> list[str]:
    return page.locator("tbody tr:not(.divide) th a:first-child:visible").all_inner_texts()


def ranks(page) -> list[str]:
    return page.locator("tbody.ranked tr td.r:visible").all_inner_texts()


def values(page, column: str) -> list[float]:
    place = page.locator("thead th").evaluate_all(
        "(heads, key) => heads.findIndex(h => h.dataset.key === key)", column
    )
    texts = page.locator(f"tbody.ranked tr > :nth-child({place + 1}) .v").all_inner_texts()
    return [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]


def test_a_click_on_a_column_sorts_by_it_and_a_second_one_turns_it_round(page, site):
    page.goto((site / "index.html").as_uri())
    head = page.locator('th[data-key="1"]')
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert page.locator("[aria-sort]").count() == 1
    assert values(page, "1") == sorted(values(page, "1"), reverse=True)
    assert ranks(page) == ["1–2", "1–2", "3"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert values(page, "1") == sorted(values(page, "1"))
    assert ranks(page) == ["3", "1–2", "1–2"]
    assert f"Sorted by {SECOND_COLUMN}" in page.locator("[role=status]").inner_text()
    page.locator('th[data-key="name"] button').click()
    assert shown(page)[:3] == ["Strong", "Twin", "Weak"]
    assert ranks(page) == ["–", "–", "–"]


def test_sorting_never_mixes_what_is_ranked_with_what_is_only_shown(page, site):
    page.goto((site / "index.html").as_uri())
    for _ in range(2):
        page.locator('th[data-key="0"] button').click()
        assert set(shown(page)[:3]) == {"Strong", "Twin", "Weak"}
        assert set(shown(page)[3:]) == {"Truth", "Patchy", "Knows"}


def test_filters_by_words_by_badge_and_by_standing(page, site):
    page.goto((site / "index.html").as_uri())
    page.fill("[data-filter]", "lab two")
    assert shown(page) == ["Weak"]
    page.fill("[data-filter]", "nobody")
    assert shown(page) == []
    assert page.locator("[data-none]").is_visible()
    page.click("[data-reset]")
    assert len(shown(page)) == 6
    page.uncheck("[data-shown]")
    assert set(shown(page)) == {"Strong", "Twin", "Weak"}
    page.select_option("[data-badge]", "1")  # nothing here was verified
    assert shown(page) == []


def test_a_link_keeps_sorting_and_filters(page, site):
    page.goto((site / "index.html").as_uri())
    page.locator('th[data-key="1"] button').click()
    page.fill("[data-filter]", "lab one")
    page.reload()
    assert page.locator('th[data-key="1"]').get_attribute("aria-sort") == "descending"
    assert shown(page) == ["Strong"]


def test_provenance_opens_on_a_click_and_closes_with_escape(page, site):
    page.goto((site / "index.html").as_uri())
    page.locator("tbody.ranked tr:has-text('Weak') a.more").click()
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    text = dialog.inner_text()
    assert "Weak 1.0" in text
    assert "=Lab Two" in text
    assert "mini-v1" in text
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_keyboard_alone_sorts(page, site):
    page.goto((site / "index.html").as_uri())
    page.locator('th[data-key="name"] button').focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator('th[data-key="1"]').get_attribute("aria-sort") == "descending"


def test_colours_follow_the_system_until_the_switch_says_otherwise(browser, site):
    context = browser.new_context(**DESKTOP, color_scheme="dark")
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.click("[data-theme-toggle]")
    assert page.evaluate(background) != dark
    page.goto((site / "rules.html").as_uri())
    assert page.evaluate(background) != dark  # remembered
    page.click("[data-theme-toggle]")
    assert page.evaluate(background) == dark
    context.close()


def test_the_truth_and_the_prediction_play_together(page, site):
    page.goto((site / "methods/strong.html").as_uri())
    if (
        page.evaluate(
            "() => document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64001f\"')"
        )
        == ""
    ):
        pytest.skip("this browser has no H.264")
    assert page.locator("video").count() == 1  # the same bytes as the truth: no pair
    page.goto((site / "methods/ground_truth.html").as_uri())
    page.click("[data-play]")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.05")


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_down_only(browser, site, name):
    context = browser.new_context(**PHONE)
    page = context.new_page()
    page.goto((site / name).as_uri())
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 375
    context.close()


def test_a_phone_shows_the_sorted_column_and_all_on_demand(browser, site):
    context = browser.new_context(**PHONE)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    heads = page.locator("thead th:visible")
    assert heads.count() == 3
    page.select_option("[data-sort-select]", "1")
    assert SECOND_COLUMN in heads.last.inner_text()
    page.check("[data-all]")
    assert heads.count() == page.locator("thead th").count() > 3
    context.close()


def test_without_scripts_the_tables_are_whole(browser, site):
    context = browser.new_context(**DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert len(shown(page)) == 6
    assert not page.locator(".tools").is_visible()
    context.close()


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_to_mend(browser, site, screen, colours):
    axe_package = pytest.importorskip(
        "axe_playwright_python", reason="the package axe-playwright-python is not installed"
    )
    script = (Path(axe_package.__file__).parent / "axe.min.js").read_text()
    context = browser.new_context(**screen, color_scheme=colours)
    page = context.new_page()
    for name in PAGES:
        page.goto((site / name).as_uri())
        page.evaluate(script)
        result = page.evaluate("() => axe.run(document)")
        found = [
            (name, rule["id"], node["html"][:200]) for rule in result["violations"] for node in rule["nodes"]
        ]
        assert found == []
        assert len(result["passes"]) > 10
    context.close()


def test_a_long_table_shows_its_head_first_and_the_rest_on_demand(page, tmp_path):
    make_board(tmp_path / "board", 120)
    build_site(tmp_path / "board", tmp_path / "site", lambda line: None)
    page.goto((tmp_path / "site/index.html").as_uri())
    assert page.locator("tbody tr:visible").count() == 100
    page.fill("[data-filter]", "method 0119")  # the last one is found all the same
    assert shown(page) == ["Method 0119"]
    page.fill("[data-filter]", "")
    page.click("[data-rest] button")
    assert page.locator("tbody tr:visible").count() == 120
