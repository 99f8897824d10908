"""The real Dagster UI in headless Chromium: the graph shows, a click materializes, a new run succeeds, checks show."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("tiny")]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip
RUNS = "{ runsOrError(limit: 50) { ... on Runs { results { runId status } } } }"
ASSETS = "{ assetNodes { assetKey { path } groupName } }"
CHECKS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { assetChecksOrError {
  ... on AssetChecks { checks { name executionForLatestMaterialization { status evaluation { success } } } } } } } }"""


@dataclass
class Ui:
    """A running `dagster dev`."""

    url: str
    shots: Path

    def ask(self, query: str, **variables: Any) -> Any:
        """A GraphQL answer's data."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def runs(self) -> dict[str, str]:
        """Run id to status."""
        return {run["runId"]: run["status"] for run in self.ask(RUNS)["runsOrError"]["results"]}


def wait_for(condition: Any, limit_s: float, what: str) -> Any:
    """The condition's first true value; fails naming what never came."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.5)
    pytest.fail(f"{what} did not come within {limit_s:.0f} s")


@pytest.fixture
def ui(copy: Clone, tmp_path: Path) -> Iterator[Ui]:
    """`twainbot ui` on a free port, in a process group of its own, ended as one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path / "ui.log").open("w")
    process = subprocess.Popen(
        copy.command("ui", "--port", str(port)), cwd=copy.root, env=copy.environment(), stdout=log,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    found = Ui(f"http://127.0.0.1:{port}", Path(os.environ.get("TWAINBOT_SCREENSHOTS", tmp_path)))
    try:
        wait_for(lambda: found.ask(ASSETS)["assetNodes"], 180, "the code location")
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def test_the_graph_shows_and_a_partition_is_materialized_by_clicking(ui: Ui) -> None:
    from playwright.sync_api import sync_playwright

    groups = {node["groupName"] for node in ui.ask(ASSETS)["assetNodes"]}
    assert groups >= {
        "sources", "base", "corpora", "chunks", "screened", "dedupe", "curated", "dialogues", "splits", "adapters", "evals",
        "release", "warehouse",
    }  # fmt: skip
    before = ui.runs()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(f"{ui.url}/asset-groups", wait_until="domcontentloaded")
        page.get_by_text("curated").first.wait_for(timeout=90_000)
        time.sleep(3)
        page.screenshot(path=ui.shots / "graph.png")

        page.goto(f"{ui.url}/assets/chunks/local", wait_until="domcontentloaded")
        button = page.locator("button:has-text('Materialize')").first
        button.wait_for(timeout=90_000)
        time.sleep(3)  # the page settles after its first answers; an early click launches nothing
        button.click()
        chooser = page.get_by_text("Select a partition or create one")
        chooser.wait_for(timeout=60_000)
        chooser.click()
        entry = "li:has-text('river'), [role=menuitem]:has-text('river'), label:has-text('river')"
        page.locator(entry).filter(visible=True).first.click()
        page.keyboard.press("Escape")
        page.screenshot(path=ui.shots / "dialog.png")
        launch = page.locator("button:has-text('Launch')").last
        launch.wait_for(timeout=60_000)
        wait_for(launch.is_enabled, 60, "an enabled Launch button")
        launch.click()
        new = wait_for(lambda: {run for run in ui.runs() if run not in before}, 120, "a new run")
        wait_for(lambda: all(ui.runs()[run] in ("SUCCESS", "FAILURE") for run in new), 240, "the end of the new run")
        assert {ui.runs()[run] for run in new} == {"SUCCESS"}

        page.goto(f"{ui.url}/assets/chunks/local?view=checks", wait_until="domcontentloaded")
        page.get_by_text("spans_equal_text").first.wait_for(timeout=90_000)
        time.sleep(3)
        page.screenshot(path=ui.shots / "checks.png")
        browser.close()
    answer = ui.ask(CHECKS, key={"path": ["chunks", "local"]})["assetNodeOrError"]["assetChecksOrError"]["checks"]
    states = {check["name"]: check["executionForLatestMaterialization"]["status"] for check in answer}
    assert states["spans_equal_text"] == "SUCCEEDED"
