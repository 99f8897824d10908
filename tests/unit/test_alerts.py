"""Alerts: what is posted, and that nothing about them can fail a run or show the webhook's address."""

from __future__ import annotations

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from resources.alerts import URL, alert


@pytest.fixture
def webhook():
    """A server on this machine: its address, what it got, and the status that it answers with."""
    got: list[dict] = []
    answer = {"status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answer["status"])
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook?key=s3cret", got, answer
    server.shutdown()
    server.server_close()


def test_title_text_and_facts_arrive_as_one_object(webhook, monkeypatch):
    address, got, _ = webhook
    monkeypatch.setenv(URL, address)
    lines: list[str] = []
    assert alert("sft diverged", "Training diverged at step 3.", {"step": 3, "loss": math.nan}, lines.append)
    assert got == [
        {"title": "sft diverged", "text": "Training diverged at step 3.", "facts": {"step": 3, "loss": "nan"}}
    ]
    assert lines == ["Alert: sft diverged. Delivered."]


def test_without_an_address_it_is_logged_and_nobody_is_asked(monkeypatch):
    monkeypatch.delenv(URL, raising=False)
    lines: list[str] = []
    assert not alert("sft diverged", "...", {}, lines.append)
    assert "TWAINBOT_ALERT_URL is not set" in lines[0]


@pytest.mark.parametrize(
    "address", ["", "http://127.0.0.1:1/hook?key=s3cret", "no address s3cret", "gopher://x/s3cret"]
)
def test_an_address_that_does_not_answer_fails_nothing_and_shows_no_key(address, webhook):
    lines: list[str] = []
    _, _, answer = webhook
    answer["status"] = 500
    target = address or webhook[0]
    assert not alert("sft diverged", "...", {}, lines.append, url=target)
    assert "could not be delivered" in lines[0]
    assert "s3cret" not in lines[0]
