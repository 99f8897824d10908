"""The rating page in headless Chromium: two raters, keys and touch, a reply of markup, and the verdict that moves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from resources.lake import SCHEMA_KEY, Lake
from tests.e2e.conftest import Clone
from tests.e2e.test_ui import CHROMIUM, FLAGS, wait_for
from twainbot.evals.measure import verdict_of
from twainbot.records import SCHEMA_VERSION
from twainbot_assets.rating import FINAL

pytestmark = [pytest.mark.ui, pytest.mark.slow, pytest.mark.xdist_group("tiny")]

WILD = "<img src=x onerror=\"document.title='taken'\"><b>bold</b>"
COUNT = 8  # profile tiny: two chats and six answers
PHONE = {"width": 390, "height": 844}


@contextmanager
def reviewing(clone: Clone, log: Path, *words: str) -> Iterator[str]:
    """`twainbot review` on a free port, ended by Ctrl-C; its URL."""
    with log.open("w") as out:
        process = subprocess.Popen(
            clone.command("review", "--port", "0", *words), cwd=clone.root, env=clone.environment() | {"PYTHONUNBUFFERED": "1"},
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            url = wait_for(
                lambda: next((word for word in log.read_text().split() if word.startswith("http://")), ""),
                60,
                "the page",
            )
            wait_for(lambda: urllib.request.urlopen(url, timeout=5).status == 200, 60, "an answer")
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()


def open_page(browser: Any, url: str, rater: str, **context: Any) -> Any:
    """A page on which this rater has begun; what the console says is gathered in `page.said`."""
    page = browser.new_context(**context).new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(url)
    page.get_by_label("Your name").fill(rater)
    page.get_by_role("button", name="Begin").click()
    page.locator("#save").wait_for()
    return page


def number_of(page: Any) -> int:
    """Which dialogue is shown."""
    return int(page.locator("#asked").inner_text().split()[1])


def rate_by_keys(page: Any, keys: str) -> None:
    """Six scores and Enter; returns when the next dialogue or the end is shown."""
    shown = "document.getElementById('asked')?.innerText ?? ''"
    before = page.evaluate(shown)
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    wait_for(lambda: page.evaluate(shown) != before, 20, "the next dialogue")


def make_wild(clone: Clone) -> None:
    """Give the adapter's first chat a reply of markup."""
    lake, file = Lake(str(clone.lake)), Lake(str(clone.lake)).part("evals/generations", "default")
    rows = lake.read("evals/generations", "default")
    steps = json.dumps([{"role": "assistant", "text": WILD, "call": None}])
    own = (pl.col("suite") == "chat") & (pl.col("arm") == FINAL)
    changed = rows.with_columns(steps=pl.when(own).then(pl.lit(steps)).otherwise(pl.col("steps")))
    changed.write_parquet(str(file), metadata={SCHEMA_KEY: str(SCHEMA_VERSION)})


def rate_by_touch(page: Any, done: int) -> None:
    """Six taps on targets that a thumb can hit, and one on the button; returns when it is saved."""
    for question in range(6):
        target = page.locator(f"#q-{question} label").nth(question % 5)
        assert min(target.bounding_box()["width"], target.bounding_box()["height"]) >= 44
        target.tap()
    page.get_by_role("button", name="Save and go on").tap()
    wait_for(lambda: f"{done + 1} of {COUNT}" in page.locator("#count").inner_text(), 20, "the saved rating")


def first_rater(page: Any, shots: Path) -> None:
    """Ann uses the keys, loads the page again on her way, and meets a reply that would be markup."""
    page.screenshot(path=shots / "review.png")
    seen = ""
    for _ in range(3):
        seen += page.locator("main").inner_text()
        rate_by_keys(page, "512312")
    page.reload()
    page.locator("#save").wait_for()
    assert number_of(page) == 4
    page.keyboard.press("ArrowLeft")
    wait_for(lambda: number_of(page) == 3, 20, "the dialogue before")
    assert [page.locator(f"input[name=q{n}]:checked").get_attribute("value") for n in range(6)] == list("512312")
    page.keyboard.press("ArrowRight")
    wait_for(lambda: number_of(page) == 4, 20, "the dialogue after")
    page.keyboard.press("Enter")
    assert "has no score yet" in page.locator("#error").inner_text()
    for _ in range(COUNT - 3):
        seen += page.locator("main").inner_text()
        rate_by_keys(page, "512312")
    assert f"All {COUNT} dialogues are rated. Thank you, Ann." in page.locator("main").inner_text()
    assert WILD in seen
    assert page.title() != "taken"
    assert page.locator("main img").count() == 0


def second_rater(page: Any, shots: Path) -> None:
    """Bo uses a phone."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=shots / "review_phone.png")
    for done in range(COUNT):
        rate_by_touch(page, done)
    assert "twainbot refresh" in page.locator("main").inner_text()
    page.screenshot(path=shots / "review_done.png")


def two_raters(clone: Clone, folder: Path) -> None:
    """Both rate everything on one server."""
    from playwright.sync_api import sync_playwright

    shots = Path(os.environ.get("TWAINBOT_SCREENSHOTS", folder))
    with reviewing(clone, folder / "review.log") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        ann = open_page(browser, url, "Ann", viewport={"width": 1280, "height": 900})
        first_rater(ann, shots)
        bo = open_page(browser, url, "Bo", viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=2)
        second_rater(bo, shots)
        assert (ann.said, bo.said) == ([], [])
        browser.close()
    assert f"Rated so far: Ann {COUNT} of {COUNT}, Bo {COUNT} of {COUNT}." in (folder / "review.log").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
def test_two_raters_rate_blind_and_their_ratings_move_the_verdict(copy: Clone, tmp_path: Path) -> None:
    make_wild(copy)
    two_raters(copy, tmp_path)
    before = style_verdict(copy)
    told = copy.run("refresh")
    after = style_verdict(copy)
    assert (before.state, before.n) == ("not_run", 0)
    assert after.n == COUNT
    assert after.state in ("fail", "inconclusive")
    assert "Ann and Bo: kappa" in after.why
    assert "evals/scorecard" in told
    card = Lake(str(copy.lake)).read("evals/scorecard", "default")
    assert card.filter(pl.col("gate") == "style")["n"].to_list() == [COUNT]


def style_verdict(clone: Clone) -> Any:
    """The style verdict as the lake holds it."""
    rows = Lake(str(clone.lake)).read("evals/ratings", "default")
    return verdict_of(rows.filter(pl.col("kind") == "verdict")["payload"][0])


def test_a_killed_server_leaves_every_saved_rating_and_no_torn_one(copy: Clone, tmp_path: Path) -> None:
    log = tmp_path / "review.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            copy.command("review", "--port", "0", "--rater", "Ann"), cwd=copy.root,
            env=copy.environment() | {"PYTHONUNBUFFERED": "1"}, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        url = wait_for(
            lambda: next((word for word in log.read_text().split() if word.startswith("http://")), ""), 60, "the page"
        )
        session = wait_for(
            lambda: json.load(urllib.request.urlopen(f"{url}/api/session?rater=Ann", timeout=5)), 60, "an answer"
        )
        scores = {"style": 3, "humor": 3, "factuality": 3}
        for dialogue in session["dialogues"][:4]:
            body = {
                "rater": "Ann",
                "item": dialogue["item"],
                "pair": dialogue["pair"],
                "first": scores,
                "second": scores,
            }
            request = urllib.request.Request(
                f"{url}/api/ratings", json.dumps(body).encode(), {"content-type": "application/json", "origin": url}
            )
            urllib.request.urlopen(request, timeout=10).read()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
    time.sleep(0.1)
    file = copy.home / "tiny" / "ratings.jsonl"
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 8
    with reviewing(copy, tmp_path / "again.log", "--rater", "Ann"):
        assert "Rated so far: Ann 4 of 8." in (tmp_path / "again.log").read_text()


def test_a_wrong_recipe_name_port_or_judge_gets_one_sentence_and_its_exit_code(copy: Clone) -> None:
    assert "Known: default" in copy.run("review", "--recipe", "mild", code=2)
    assert "belong to judge models" in copy.run("review", "--rater", "judge:m", code=2)
    assert "--port" in copy.run("review", "--port", "70000", code=2)
    assert "names no judge model" in copy.run("review", "--judge", code=2)
    shutil.rmtree(copy.lake / "evals" / "generations")
    assert "twainbot run --select evals/generations" in copy.run("review", code=1)
