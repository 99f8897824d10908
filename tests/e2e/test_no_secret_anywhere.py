"""A unique secret in every variable that holds one; then nothing that a run leaves behind, and nothing that it says, has it.

The run is the real command line on profile tiny: it builds the corpora, asks a writing service that echoes every header in
its error, and so fails in the middle.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.canary import disguises, found_in
from tests.e2e.conftest import Clone

# Variables whose whole value is a secret, of the project and of the libraries that it calls.
KEYS = (
    "TWAINBOT_LLM_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
)  # fmt: skip
# Addresses that hold one. Port 1 answers nobody.
ADDRESSES = {
    "TWAINBOT_ALERT_URL": "http://127.0.0.1:1/hook?key={}",
    "TWAINBOT_ALERT_URLS": "json://canary:{}@127.0.0.1:1",
    "TWAINBOT_POSTGRES_URL": "postgresql://canary:{}@127.0.0.1:1/dagster",
    "TWAINBOT_GEOCODER_URL": "http://127.0.0.1:1/search?api_key={}",
    "MLFLOW_TRACKING_URI": "http://canary:{}@127.0.0.1:1",
}
IS_SECRET = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|ALERT\w*|POSTGRES_URL)$")


@pytest.fixture
def echo() -> Iterator[str]:
    """A writing service that refuses everybody and repeats what it was sent, as badly written ones do."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps({"error": {"message": f"Not allowed: {self.path} {dict(self.headers)}"}}).encode()
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def asking_a_service(clone: Clone) -> None:
    """Let the clone's profile have its dialogues written by an API."""
    profile = clone.root / "profiles" / "tiny.yaml"
    text = profile.read_text()
    writer = "  generator: { backend: openai, model: m1, budget_tokens: 100000, attempts: 1 }\n"
    profile.write_text(text.replace("dialogues:\n", f"dialogues:\n{writer}"))
    assert writer in profile.read_text()


def planted(secret: str) -> dict[str, str]:
    return dict.fromkeys(KEYS, secret) | {name: address.format(secret) for name, address in ADDRESSES.items()}


def test_every_documented_secret_is_planted(root: Path) -> None:
    table = (root / "docs" / "deployment.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([A-Z][A-Z0-9_]{5,})`", table) if IS_SECRET.search(name)}
    assert named, "the table of variables is gone"
    assert named <= {*KEYS, *ADDRESSES}


@pytest.mark.timeout(1800)
def test_a_failing_run_leaves_no_secret_in_its_home_and_says_none(new_clone: Callable[[str], Clone], echo: str) -> None:
    clone, secret = new_clone("canary"), f"canary{uuid.uuid4().hex}"
    asking_a_service(clone)
    said = clone.run("run", code=1, **planted(secret), TWAINBOT_LLM_URL=echo)
    assert "401" in said, said[-3000:]  # the service was asked, with the key, and its echo came as far as this
    said += clone.run("status", code=None, **planted(secret))
    hidden = [line for line in said.splitlines() if any(mark in line.encode() for mark in disguises(secret))]
    assert hidden == []
    assert found_in(clone.home, secret) == []
    assert list(clone.home.rglob("*.parquet"))  # there was something to search
    assert list(clone.home.rglob("*.db"))


ALERT = "from resources.alerts import alert; print(alert('sft diverged', 'Training diverged at step 3.', {'step': 3}, print))"


def test_an_alert_that_cannot_be_delivered_says_no_secret(new_clone: Callable[[str], Clone]) -> None:
    clone, secret = new_clone("canary-alert"), f"canary{uuid.uuid4().hex}"
    done = subprocess.run(
        [sys.executable, "-c", ALERT],
        cwd=clone.root,
        env=clone.environment() | planted(secret),
        capture_output=True,
        timeout=300,
    )
    assert b"could not be delivered" in done.stdout
    assert not any(mark in done.stdout + done.stderr for mark in disguises(secret))
