"""The lineage page in headless Chromium, from a file and offline: wild text, keys, a phone, and a real home's page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.e2e.conftest import Clone
from tests.e2e.test_ui import CHROMIUM, FLAGS
from tests.unit.test_lineage import CHUNK_ID, DIALOGUE_ID, PLENTY, SFT, WILD, tables
from twainbot.lineage.links import join
from twainbot.lineage.page import render

pytestmark = [pytest.mark.ui, pytest.mark.slow, pytest.mark.xdist_group("tiny")]

PHONE = {"width": 390, "height": 844}
HATS = "\U0001f3a9\U0001f3a9 "  # two characters of two halves each: JavaScript counts them as five with the space


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all pages here, without a network."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go."""
    return Path(os.environ.get("TWAINBOT_SCREENSHOTS", tmp_path))


def open_page(browser: Any, file: Path, node: str = "", **context: Any) -> Any:
    """The page of a file, at a node where one is named. Console, errors and requests are gathered in `page.said`."""
    page = browser.new_context(offline=True, **context).new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.said.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None)
    page.goto(file.as_uri() + node)
    page.locator(".column .node").first.wait_for()
    return page


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """The page of a work whose title and text are markup, whose passage stands after characters of two halves."""
    before = HATS + WILD
    work = builders.work(title=WILD, text=before + builders.TEXT)
    chunk = builders.chunk(start=len(before))
    found = tables(works=builders.works(work), chunks=builders.chunks(chunk))
    file = tmp_path / "wild page.html"
    file.write_text(
        render(join(replace(found, splits={}, adapters=[]), PLENTY), f"Lineage of {WILD}"), encoding="utf-8"
    )
    return file


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The page of one work, passage, dialogue and pair, with their rows and two adapters."""
    file = tmp_path / "plain.html"
    file.write_text(render(join(tables(), PLENTY), "Lineage"), encoding="utf-8")
    return file


def column(page: Any, name: str) -> list[str]:
    """Ids that a column shows."""
    return page.locator(f".column[aria-label='{name}'] .node b").all_inner_texts()


def test_text_that_would_be_markup_is_shown_as_text(browser: Any, wild: Path) -> None:
    page = open_page(browser, wild, "#4:tales%2Fthe-flood")
    assert page.locator("h1").inner_text() == f"Lineage of {WILD}"
    assert page.locator("main .said").text_content() == HATS + WILD + builders.TEXT
    assert page.locator("main h2").text_content() == f"{WILD} (tales/the-flood)"
    assert page.locator("img").count() == 0
    assert page.evaluate("document.scripts.length") == 2
    assert page.title() != "taken"
    assert page.said == []


def test_spans_count_characters_not_halves_of_them(browser: Any, wild: Path) -> None:
    start = len(HATS + WILD)
    page = open_page(browser, wild, f"#3:tales%2Fthe-flood%3A{start}-{start + len(builders.TEXT)}")
    assert page.locator("main mark").text_content() == builders.TEXT
    assert page.said == []


def test_an_id_is_searched_and_walked_by_keys_alone(browser: Any, plain: Path) -> None:
    page = open_page(browser, plain)
    page.keyboard.press("/")
    page.keyboard.type(DIALOGUE_ID)
    page.keyboard.press("Enter")
    page.locator("main h2").filter(has_text=DIALOGUE_ID).wait_for()
    assert column(page, "Adapters") == [SFT.name]
    assert column(page, "Passages") == [CHUNK_ID]
    assert column(page, "Units") == ["local/tales"]
    assert page.locator("main mark.deep").text_content() == "on the tenth the river came up"
    for _ in range(3):
        page.keyboard.press("ArrowRight")  # to the passage, its work, its unit
    page.keyboard.press("Enter")
    page.locator("main h2").filter(has_text="local/tales").wait_for()
    assert len(column(page, "Adapters")) == 2
    assert len(column(page, "Rows")) == 3
    page.go_back()
    page.locator("main h2").filter(has_text=DIALOGUE_ID).wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Choose anything").wait_for()
    assert page.said == []


def test_words_are_found_and_nothing_found_is_said(browser: Any, plain: Path) -> None:
    page = open_page(browser, plain)
    page.locator("#words").fill("the TENTH the river")
    assert page.locator("#found .node b").first.inner_text() == CHUNK_ID
    page.locator("#words").fill("no such words anywhere")
    page.get_by_text("Nothing on this page has that id").wait_for()


def test_a_phone_shows_one_column_and_never_scrolls_sideways(browser: Any, plain: Path, shots: Path) -> None:
    page = open_page(browser, plain, viewport=PHONE, has_touch=True)
    for name in ("Rows", "Dialogues", "Passages", "Works", "Units"):
        page.get_by_role("tab", name=name).tap()
        assert page.locator(".column:visible").get_attribute("aria-label") == name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".column:visible .node").first.tap()
    page.locator("main h2").filter(has_text="local/tales").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("scrollY") == 0  # to choose moves no page under the thumb
    page.screenshot(path=shots / "lineage-phone.png")
    assert page.said == []


def test_the_main_job_left_a_page_that_walks_from_its_adapter_to_its_texts(
    built: Clone, browser: Any, shots: Path
) -> None:
    page = open_page(browser, built.home / "tiny" / "reports" / "lineage.html")
    page.locator(".column[aria-label='Adapters'] .node").filter(has_text="adapters/sft [default]").click()
    page.locator("main h2").filter(has_text="adapters/sft [default]").wait_for()
    for name in ("Rows", "Dialogues", "Passages", "Works", "Units"):
        assert column(page, name), name
    page.screenshot(path=shots / "lineage.png")
    assert page.said == []
