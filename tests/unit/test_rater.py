"""The language model rater: off by default, its answers remembered, its budget kept, nonsense not taken for a rating."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from resources.rater import NOT_RATED, LlmRater, load_rater
from twainbot.errors import BadUse

SOUND = {"tone": "ironic", "topic": "weather", "weather": 2, "satire": False, "why": "almanack"}


@contextmanager
def endpoint(said: str, status: int = 200):
    """An OpenAI-compatible endpoint that always says this; yields its URL and the bodies it was sent."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def test_without_an_endpoint_or_a_budget_there_is_no_rater(monkeypatch):
    monkeypatch.delenv("TWAINBOT_LLM_URL", raising=False)
    assert load_rater(None, 10) is None
    monkeypatch.setenv("TWAINBOT_LLM_URL", "http://127.0.0.1:9/v1")
    assert load_rater(None, 0) is None


def test_a_rating_stands_in_columns_of_its_own_with_the_raters_version():
    with endpoint(f"Here you are: {json.dumps(SOUND)}") as (url, asked):
        rater = LlmRater(url, "m1", "", None, 5)
        assert rater.tag("It rained.", "twain") == {
            "llm_tone": "ironic", "llm_topic": "weather", "llm_weather": 2, "llm_is_satire": False,
            "llm_rater": rater.version,
        }  # fmt: skip
        assert rater.version.startswith("llm:m1@prompt:")
    assert asked[0]["messages"][-1]["content"] == "It rained."
    assert asked[0]["temperature"] == 0


def test_a_known_text_is_not_asked_for_again_and_costs_no_budget(tmp_path):
    with endpoint(json.dumps(SOUND)) as (url, asked):
        for _ in range(2):
            assert LlmRater(url, "m1", "", tmp_path, 1).explain("It rained.", "twain")["why"] == "almanack"
        assert LlmRater(url, "m1", "", tmp_path, 0).tag("It rained.", "twain")["llm_tone"] == "ironic"
        assert len(asked) == 1
        LlmRater(url, "m2", "", tmp_path, 1).explain("It rained.", "twain")
        assert len(asked) == 2, "another model's answer is another answer"


def test_a_spent_budget_leaves_passages_not_rated():
    with endpoint(json.dumps(SOUND)) as (url, asked):
        rater = LlmRater(url, "m1", "", None, 1)
        given = [rater.tag(text, "twain")["llm_rater"] for text in ("one", "two")]
    assert given == [rater.version, NOT_RATED]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("I would rather not.", 200),
        (json.dumps({**SOUND, "tone": "purple"}), 200),
        (json.dumps({**SOUND, "weather": 7}), 200),
        (json.dumps({**SOUND, "satire": "yes"}), 200),
        (json.dumps(SOUND), 500),
    ],
)
def test_nonsense_and_faults_are_no_rating_and_are_not_remembered(tmp_path, said, status):
    with endpoint(said, status) as (url, _):
        tags = LlmRater(url, "m1", "", tmp_path, 1).tag("It rained.", "twain")
    assert (tags["llm_tone"], tags["llm_rater"]) == (None, NOT_RATED)
    assert list(tmp_path.rglob("*.json")) == []


def test_a_negative_budget_is_refused():
    with pytest.raises(BadUse, match="budget=-1"):
        LlmRater("http://127.0.0.1:9", "m1", "", None, -1)
