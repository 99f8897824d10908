"""The rating page's server: blind, kept to this machine and this page, nothing from elsewhere, and ready for any text."""

from __future__ import annotations

import json
import re

import pytest
from starlette.testclient import TestClient

from tests import rated
from tests.unit.test_rating_desk import SIX, desk, fill, home  # noqa: F401 - fixtures
from twainbot.errors import BadUse
from twainbot_assets import rating, review_server
from twainbot_assets.profile import load

HERE = "http://127.0.0.1:3600"
SENT = {"origin": HERE}


@pytest.fixture
def page(desk):  # noqa: F811
    """A browser on this machine."""
    with TestClient(review_server.application(desk), base_url=HERE) as client:
        yield client


def sent(desk, rater="Ann", **changes):  # noqa: F811
    pair = desk.pairs[0]
    return {"rater": rater, "item": pair.item, "pair": pair.digest, **SIX, **changes}


def test_the_page_and_its_files_come_from_this_server_and_ask_for_nothing_else(page):
    for path, (_, kind) in review_server.FILES.items():
        found = page.get(path)
        assert found.status_code == 200
        assert found.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in found.headers["content-security-policy"]
        assert re.findall(r"(?:https?:)?//[a-z]", re.sub(r"^\s*//.*$", "", found.text, flags=re.MULTILINE)) == []
    assert "viewport" in page.get("/").text


def test_scripts_and_styles_stand_in_files_since_the_policy_allows_none_inline(page):
    text = page.get("/").text
    assert re.search(r"<script(?![^>]*src=)|<style|style=| on\w+=", text) is None
    script = page.get("/page.js").text
    assert re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script) is None


def test_no_answer_tells_whose_a_reply_is(page, desk):  # noqa: F811
    page.post("/api/ratings", json=sent(desk), headers=SENT)
    text = page.get("/api/session?rater=Ann").text
    assert set(json.loads(text)["dialogues"][0]) == {"item", "pair", "prompt", "given", "first", "second", "saved"}
    assert re.search(r"adapter|\bbase\b|preference", text) is None


def test_two_raters_see_the_same_dialogues_in_one_order_and_not_all_replies_on_the_same_side(page, home):  # noqa: F811
    fill(home, 40)
    with TestClient(review_server.application(rating.open_desk(home, load("tiny"), None)), base_url=HERE) as many:
        ann, bo = (many.get(f"/api/session?rater={name}").json()["dialogues"] for name in ("Ann", "Bo"))
    assert [each["item"] for each in ann] == [each["item"] for each in bo]
    assert 0 < sum(one["first"] == other["first"] for one, other in zip(ann, bo, strict=True)) < 40


def test_a_rating_is_saved_and_comes_back(page, desk):  # noqa: F811
    found = page.post("/api/ratings", json=sent(desk), headers=SENT)
    assert (found.status_code, found.json()) == (200, {"done": 1, "next": ""})
    dialogues = page.get("/api/session?rater=Ann").json()["dialogues"]
    assert [each["saved"] for each in dialogues] == [SIX, None, None]


def test_the_last_rating_brings_the_next_command(page, desk):  # noqa: F811
    for pair in desk.pairs:
        found = page.post("/api/ratings", json=sent(desk, item=pair.item, pair=pair.digest), headers=SENT).json()
    assert found["done"] == 3
    assert "`twainbot refresh`" in found["next"]
    assert page.get("/api/session?rater=Ann").json()["next"] == found["next"]


def test_without_a_name_there_is_the_rubric_and_no_dialogue(page):
    found = page.get("/api/session").json()
    assert (found["dialogues"], found["of"], found["needed"]) == ([], 3, 3)
    assert [scale["title"] for scale in found["scales"]] == ["Voice", "Humour", "Correctness"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3600", "127.0.0.1.evil.example", "192.168.1.4:3600", "", "[", "0.0.0.0:3600"]
)
def test_a_name_that_was_rebound_to_this_machine_gets_nothing(page, host):
    for path in ("/", "/api/session?rater=Ann"):
        found = page.get(path, headers={"host": host})
        assert found.status_code == 403
        assert "river" not in found.text


@pytest.mark.parametrize("host", ["localhost:3600", "127.0.0.1:8080", "[::1]:3600", "LOCALHOST"])
def test_this_machines_own_names_are_known_whatever_the_port_of_a_tunnel(page, host):
    assert page.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "null"}, {"origin": "http://evil.example"}, {"origin": "http://127.0.0.1:3000"}, {"origin": "https://127.0.0.1:3600"},
     {**SENT, "sec-fetch-site": "cross-site"}, {**SENT, "sec-fetch-site": "same-site"}, {**SENT, "content-type": "text/plain"},
     {**SENT, "content-type": "application/x-www-form-urlencoded"}],
)  # fmt: skip
def test_what_another_page_posts_is_refused_and_not_written(page, desk, headers):  # noqa: F811
    body = json.dumps(sent(desk)).encode()
    found = page.post("/api/ratings", content=body, headers={"content-type": "application/json", **headers})
    assert found.status_code == 403
    assert not desk.file.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[1]", 400), (b"[" * 9000, 400),
     (b"\xff", 400), (b"{}", 400), (b'{"rater": "Ann"}', 409), (b" " * 20_000, 400)],
    ids=["torn", "list", "deep", "bytes", "empty", "nothing rated", "long"],
)  # fmt: skip
def test_a_body_that_is_no_rating_gets_one_sentence(page, desk, body, status):  # noqa: F811
    found = page.post("/api/ratings", content=body, headers={**SENT, "content-type": "application/json"})
    assert found.status_code == status
    assert found.json()["error"].endswith(".")
    assert not desk.file.exists()


def test_scores_that_are_no_objects_or_a_bad_name_are_refused(page, desk):  # noqa: F811
    for changes in ({"first": "5"}, {"second": None}, {"rater": "judge:m"}, {"first": {**SIX["first"], "style": 9}}):
        assert page.post("/api/ratings", json=sent(desk, **changes), headers=SENT).status_code == 400
    assert not desk.file.exists()


def test_a_page_that_was_loaded_before_the_replies_changed_is_told_to_load_again(page, desk):  # noqa: F811
    found = page.post("/api/ratings", json=sent(desk, pair="0" * 16), headers=SENT)
    assert (found.status_code, found.json()["error"][-20:]) == (409, "Load the page again.")


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_other_methods_are_not_served(page, method):
    assert (
        getattr(page, method)("/api/ratings", headers={**SENT, "content-type": "application/json"}).status_code == 405
    )


def test_a_reply_with_markup_travels_as_text(page, home):  # noqa: F811
    from resources.lake import Lake
    from twainbot.records import GENERATION, frame

    wild = "<img src=x onerror=alert(1)></script>\u2028 \U0001f600"
    base, _ = rated.arms(1)
    Lake(home.lake).write("evals/baseline", None, base)
    Lake(home.lake).write(
        "evals/generations", rated.RECIPE, frame([rated.generation("c00", rated.FINAL, wild)], GENERATION)
    )
    with TestClient(review_server.application(rating.open_desk(home, load("tiny"), None)), base_url=HERE) as client:
        found = client.get("/api/session?rater=Ann")
    (dialogue,) = found.json()["dialogues"]
    assert wild in (dialogue["first"][0]["text"], dialogue["second"][0]["text"])
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"


def test_the_rater_of_the_command_line_is_offered_and_another_may_take_over(desk):  # noqa: F811
    with TestClient(review_server.application(desk, "Ann"), base_url=HERE) as client:
        assert client.get("/api/session").json()["named"] == "Ann"
        assert client.get("/api/session?rater=Bo").json()["rater"] == "Bo"


def test_only_this_machines_own_address_is_bound_and_a_taken_port_names_the_option():
    with review_server.bound(0) as door:
        address, port = door.getsockname()
        assert address == "127.0.0.1"
        door.listen()
        with pytest.raises(BadUse, match="--port"):
            review_server.bound(port)
    with pytest.raises(BadUse, match="--port"):
        review_server.bound(99_999)
