"""The web chat in headless Chromium: a call and its source, keys, a stop, errors, markup, a phone, a saved transcript."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_ui import CHROMIUM, FLAGS
from tests.scripted import ScriptedSpeaker, served, simulated
from twainbot.corpora.transcripts import parse_transcripts
from twainbot.errors import Busy
from twainbot_assets import tool_door

pytestmark = [pytest.mark.ui, pytest.mark.slow]

WILD = "<img src=x onerror=\"document.title='taken'\"><b>bold</b>"
PHONE = {"width": 360, "height": 740}


def script(messages):
    """What the bot says to each kind of thing."""
    said = messages[-1]["content"]
    if messages[-1]["role"] == "tool":
        failed = "error" in json.loads(said)
        return (
            ["The instrument ", "declines to say."] if failed else ["A fair day, ", "if the wire can be ", "believed."]
        )
    place = "Nowhere Gulch" if "nowhere" in said else "Reno, Nevada"
    day = "the Tuesday before last" if "nowhere" in said else "tomorrow"
    if "rain" in said:
        call = json.dumps({"name": "get_forecast", "arguments": {"location": place, "datetime": day}})
        return ["Let me ask the wire. ", f"<tool_call>{call[:20]}", f"{call[20:]}</tool_call>"]
    if "busy" in said:
        return [Busy("64 requests wait already, and no more may. Try again in a moment.")]
    if "long" in said:
        return ["word "] * 5000
    return [WILD] if "wild" in said else ["Good ", "day."]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The chat over a scripted speaker and simulated weather."""
    speaker, source = ScriptedSpeaker(script, pause_s=0.01), tool_door.source_of("mock")
    with simulated() as tools, served(speaker, tools, source) as found:
        yield found


@pytest.fixture
def page(browser, url) -> Iterator[Any]:
    """The chat on a desk's screen; what the console says must be nothing."""
    yield from opened(browser, url, viewport={"width": 1100, "height": 760})


@pytest.fixture
def phone(browser, url) -> Iterator[Any]:
    """The chat on a phone."""
    yield from opened(browser, url, viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")


def opened(browser, url, **context):
    page = browser.new_context(**context, accept_downloads=True).new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    page.locator("#voice option").nth(1).wait_for(state="attached")
    yield page
    page.context.close()
    assert said == []


def answered(page):
    """Wait until nothing is being said."""
    page.locator("#send", has_text="Send").wait_for()


def ask(page, words):
    """Say something with the keyboard and wait until it is answered."""
    page.locator("#words").fill(words)
    page.keyboard.press("Enter")
    answered(page)


def shot(page, name):
    """A picture for people, where TWAINBOT_SHOTS names a folder."""
    if folder := os.environ.get("TWAINBOT_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_a_call_its_result_and_its_source_are_shown_and_the_saved_talk_is_a_transcript(page, tmp_path):
    ask(page, "Will it rain in Reno tomorrow?")
    assert page.locator(".turn .said").all_inner_texts() == [
        "Will it rain in Reno tomorrow?", "Let me ask the wire.", "A fair day, if the wire can be believed."
    ]  # fmt: skip
    card = page.locator(".tool").inner_text()
    assert "get_forecast" in card
    assert "Reno, NV" in card
    assert "Source: simulated by TwainBot" in card
    assert page.locator(".turn.assistant .who").first.inner_text() == "twain"
    page.locator("#voice").select_option("franklin")
    ask(page, "Good morning")
    assert page.locator(".turn.assistant .who").last.inner_text() == "franklin"
    shot(page, "desk")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    (row,) = parse_transcripts(file.read_bytes(), file.name)
    assert (row["reject_reason"], row["format"], row["style_tags"]) == (None, "twainbot", ["twain", "franklin"])
    assert [turn["role"] for turn in row["turns"]] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert row["turns"][1]["tool_call"]["tool_name"] == "weather_api.get_forecast"


def test_a_tool_that_fails_is_shown_so_and_the_talk_goes_on(page):
    ask(page, "Will it rain in nowhere?")
    assert "No answer: No place called Nowhere Gulch is known." in page.locator(".tool.failed").inner_text()
    assert page.locator(".turn .said").last.inner_text() == "The instrument declines to say."
    ask(page, "Good morning")
    assert page.locator(".turn .said").last.inner_text() == "Good day."


def test_markup_is_words(page):
    ask(page, "be wild")
    assert page.locator(".turn .said").last.inner_text() == WILD
    assert page.title() == "TwainBot"
    assert page.locator(".said b, .said img").count() == 0


def test_an_error_is_told_the_words_stay_and_the_talk_lives_on(page):
    ask(page, "Good morning")
    ask(page, "are you busy")
    assert "64 requests wait" in page.get_by_role("alert").inner_text()
    assert page.locator("#words").input_value() == "are you busy"
    ask(page, "Good evening")
    assert page.locator("#error").text_content() == ""
    assert page.locator(".turn .said").last.inner_text() == "Good day."


def test_escape_stops_a_long_answer_and_shift_enter_begins_a_line(page):
    page.locator("#words").fill("a long one")
    page.keyboard.press("Shift+Enter")
    assert page.locator("#words").input_value() == "a long one\n"
    page.keyboard.press("Enter")
    page.locator(".writing").wait_for()
    page.keyboard.press("Escape")
    answered(page)
    assert "Stopped" in page.locator("#status").inner_text()
    assert page.evaluate("document.activeElement.id") == "words"
    page.get_by_role("button", name="New talk").click()
    assert page.locator(".turn").count() == 0


def test_on_a_phone_nothing_is_wider_than_the_screen_and_all_can_be_touched(phone):
    ask(phone, "Will it rain in Reno tomorrow?")
    shot(phone, "phone")
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for name in ("Send", "Save", "New talk"):
        assert phone.get_by_role("button", name=name).bounding_box()["height"] >= 44
    box = phone.locator("#send").bounding_box()
    assert box["y"] + box["height"] <= PHONE["height"]
    last = phone.locator(".turn .said").last.bounding_box()
    assert last["y"] + last["height"] <= box["y"]  # the newest words are in sight
