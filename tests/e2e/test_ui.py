"""The real Dagster UI in headless Chromium: what people click makes a NEW run, what they read is there.

Each click is asserted through GraphQL: run ids before and after, and how the new run ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.ui, pytest.mark.slow, pytest.mark.xdist_group("tiny")]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip
LOCATION = "__repository__@twainbot"
RUNS = "{ runsOrError(limit: 100) { ... on Runs { results { runId status } } } }"
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status runConfigYaml tags { key value }
  stepStats { stepKey status } } } }"""
ASSETS = "{ assetNodes { assetKey { path } groupName } }"
BACKFILLS = """{ partitionBackfillsOrError(limit: 20) { ... on PartitionBackfills { results {
  id status partitionNames runs(limit: 10) { id status } } } } }"""
CHECKS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { assetChecksOrError {
  ... on AssetChecks { checks { name executionForLatestMaterialization { status evaluation { success } } } } } } } }"""
EXECUTIONS = """query($key: AssetKeyInput!, $name: String!) { assetCheckExecutions(assetKey: $key, checkName: $name, limit: 5) {
  runId status evaluation { partition description severity } } }"""
LATEST = """query($key: AssetKeyInput!, $partitions: [String!]) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  latestMaterializationByPartition(partitions: $partitions) { runId } } } }"""
OVER = ("SUCCESS", "FAILURE", "CANCELED")
GROUPS = [  # as the stages follow one another
    "sources", "corpora", "chunks", "screened", "dedupe", "curated", "dialogues", "splits", "adapters", "evals", "release",
]  # fmt: skip
IN_PROCESS = "execution:\n  config:\n    in_process: {}\n"


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
        """Run id to status, newest first."""
        return {run["runId"]: run["status"] for run in self.ask(RUNS)["runsOrError"]["results"]}

    def run(self, run_id: str) -> dict[str, Any]:
        """One run: status, config, tags, steps."""
        found: dict[str, Any] = self.ask(RUN, id=run_id)["runOrError"]
        return found

    def backfills(self) -> dict[str, dict[str, Any]]:
        """Backfill id to what is known of it."""
        return {one["id"]: one for one in self.ask(BACKFILLS)["partitionBackfillsOrError"]["results"]}

    def made_by(self, table: str, partition: str) -> str:
        """The run that made the last version of a partition."""
        answer = self.ask(LATEST, key={"path": table.split("/")}, partitions=[partition])
        return str(answer["assetNodeOrError"]["latestMaterializationByPartition"][0]["runId"])

    def new_run(self, click: Callable[[], object]) -> tuple[str, str]:
        """Click, and wait for the end of the one run that this makes; its id and how it ended."""
        before = set(self.runs())
        click()
        new = wait_for(lambda: set(self.runs()) - before, 180, "a new run")
        assert len(new) == 1, new
        (run_id,) = new
        wait_for(lambda: self.runs()[run_id] in OVER, 600, "the end of the new run")
        return run_id, self.runs()[run_id]


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


@pytest.fixture(scope="module")
def edited(built: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the built clone that all tests here share: they change it in ways that do not meet."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copytree(built.root, folder / "project")
    shutil.copytree(built.home, folder / "home", symlinks=True)
    return Clone(folder / "project", folder / "home")


@pytest.fixture(scope="module")
def ui(edited: Clone) -> Iterator[Ui]:
    """`twainbot ui` on a free port, in a process group of its own, ended as one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = edited.root.parent
    log = (folder / "ui.log").open("w")
    process = subprocess.Popen(
        edited.command("ui", "--port", str(port)), cwd=edited.root, env=edited.environment(), stdout=log,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    found = Ui(f"http://127.0.0.1:{port}", Path(os.environ.get("TWAINBOT_SCREENSHOTS", folder)))
    try:
        wait_for(lambda: found.ask(ASSETS)["assetNodes"], 300, "the code location")
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


@pytest.fixture(scope="module")
def page(ui: Ui) -> Iterator[Any]:
    """A browser's page, wide enough for every column."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1600, "height": 1000})
        opened.set_default_timeout(120_000)
        yield opened
        browser.close()


def visit(page: Any, ui: Ui, path: str) -> None:
    """Open a page of the UI."""
    page.goto(f"{ui.url}/{path}", wait_until="domcontentloaded")


def click_until(page: Any, button: Any, shown: Any) -> None:
    """Click until what the click opens is there: the page swallows clicks before its first answers are in."""
    button.wait_for()

    def opened() -> bool:
        if not shown.is_visible():
            with contextlib.suppress(Exception):  # covered or redrawn in between: looked at again
                button.click(timeout=3_000)
                shown.wait_for(timeout=5_000)
        return bool(shown.is_visible())

    wait_for(opened, 120, "what the click opens")


def choose_partitions(page: Any, *names: str) -> None:
    """Choose partitions in the dialog that Materialize opens."""
    chooser = page.get_by_text("Select a partition or create one")
    chooser.click()
    for name in names:
        entry = f"li:has-text('{name}'), [role=menuitem]:has-text('{name}'), label:has-text('{name}')"
        page.locator(entry).filter(visible=True).first.click()
    page.keyboard.press("Escape")


def launch(page: Any) -> None:
    """Press the dialog's Launch button once it may be pressed."""
    button = page.locator("button:has-text('Launch')").last
    wait_for(button.is_enabled, 120, "an enabled Launch button")
    button.click()


def open_dialog(page: Any, ui: Ui, path: str) -> None:
    """Open the dialog in which partitions are chosen."""
    visit(page, ui, path)
    click_until(
        page, page.locator("button:has-text('Materialize')").first, page.get_by_text("Select a partition or create one")
    )


def test_another_pages_image_launches_nothing(ui: Ui) -> None:
    """The guard stands before the server that `twainbot ui` really starts; what it knows: tests/unit/test_ui_server.py."""
    for path, host in (("graphql?query=mutation%7BsetNuxSeen%7D", ""), ("server_info", "rebound.example")):
        request = urllib.request.Request(f"{ui.url}/{path}", headers={"Host": host} if host else {})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=60)


def test_the_global_lineage_reads_left_to_right_in_the_order_of_stages(ui: Ui, page: Any) -> None:
    assert {node["groupName"] for node in ui.ask(ASSETS)["assetNodes"]} >= {*GROUPS, "base", "warehouse"}
    visit(page, ui, "asset-groups")

    def places() -> list[float]:
        graph = page.locator("foreignObject")  # the boxes of the graph; the list beside it is no part of the drawing
        boxes = [graph.get_by_text(group, exact=True).first.bounding_box(timeout=1_000) for group in GROUPS]
        return [box["x"] for box in boxes if box]

    def drawn() -> bool:
        with contextlib.suppress(Exception):  # not all there yet
            return len(places()) == len(GROUPS)
        return False

    wait_for(drawn, 180, "a box for every group")
    page.screenshot(path=ui.shots / "graph.png")
    assert places() == sorted(places())
    assert len(set(places())) == len(GROUPS) - 1  # screen and dedupe both read chunks, and stand one above the other


def test_a_partition_is_materialized_from_its_assets_page(ui: Ui, page: Any) -> None:
    open_dialog(page, ui, "assets/chunks/local")
    choose_partitions(page, "river")
    run_id, status = ui.new_run(lambda: launch(page))
    assert status == "SUCCESS"
    assert ui.made_by("chunks/local", "river") == run_id
    visit(page, ui, "assets/chunks/local?view=checks")
    page.get_by_text("spans_equal_text").first.wait_for()
    answer = ui.ask(CHECKS, key={"path": ["chunks", "local"]})["assetNodeOrError"]["assetChecksOrError"]["checks"]
    states = {check["name"]: check["executionForLatestMaterialization"]["status"] for check in answer}
    assert states["spans_equal_text"] == "SUCCEEDED"


def test_two_partitions_are_backfilled_each_by_a_new_run(ui: Ui, page: Any) -> None:
    before, runs_before = set(ui.backfills()), set(ui.runs())
    open_dialog(page, ui, "assets/screened/local")
    choose_partitions(page, "river", "aphorisms")
    launch(page)
    (backfill,) = wait_for(lambda: set(ui.backfills()) - before, 180, "a new backfill")
    wait_for(
        lambda: ui.backfills()[backfill]["status"] not in ("REQUESTED", "CANCELING"), 600, "the end of the backfill"
    )
    found = ui.backfills()[backfill]
    runs = {run["id"]: run["status"] for run in found["runs"]}
    assert found["status"] == "COMPLETED_SUCCESS"
    assert sorted(found["partitionNames"]) == ["aphorisms", "river"]
    assert sorted(runs.values()) == ["SUCCESS", "SUCCESS"]
    assert not set(runs) & runs_before
    assert {ui.made_by("screened/local", name) for name in ("river", "aphorisms")} == set(runs)
    visit(page, ui, f"runs/b/{backfill}")
    page.get_by_text("Completed").first.wait_for()


def test_a_failing_gate_stops_what_comes_after_and_the_last_good_version_stays(
    edited: Clone, ui: Ui, page: Any
) -> None:
    before = {table: ui.made_by(table, "weather_plains") for table in ("corpora/local", "chunks/local")}
    file = edited.root / "samples" / "local" / "weather_plains.md"
    file.write_text(file.read_text() + "\n\n" + "Rain \ufffd\ufffd\ufffd and wind. " * 200)
    visit(page, ui, f"locations/{LOCATION}/jobs/harvest_local")
    click_until(
        page, page.locator("button:has-text('Materialize')").first, page.get_by_text("Select a partition or create one")
    )
    choose_partitions(page, "weather_plains")
    run_id, status = ui.new_run(lambda: launch(page))
    assert status == "FAILURE"
    steps = {step["stepKey"]: step["status"] for step in ui.run(run_id)["stepStats"]}
    assert steps["corpora__local"] == "FAILURE"
    assert steps.get("chunks__local", "SKIPPED") == "SKIPPED"
    newest = ui.ask(EXECUTIONS, key={"path": ["corpora", "local"]}, name="encoding_is_sane")["assetCheckExecutions"][0]
    assert (newest["runId"], newest["status"]) == (run_id, "FAILED")
    assert {table: ui.made_by(table, "weather_plains") for table in before} == before
    visit(page, ui, "assets/corpora/local?view=checks&checkDetail=encoding_is_sane")
    page.get_by_text("encoding_is_sane").first.wait_for()
    page.get_by_text("Failed").first.wait_for()


def test_lineage_metadata_owner_and_code_are_read_on_an_assets_page(ui: Ui, page: Any) -> None:
    visit(page, ui, "assets/curated/passages")
    for words in (
        "Chunks that may be trained on", "in editor", "twainbot/made_by: refresh", "lineage_page", "by_style",
    ):  # fmt: skip
        page.get_by_text(words).first.wait_for()  # the file's name before "in editor" is cut in its middle by the page
    page.get_by_text("corpus", exact=True).first.wait_for()  # its owner
    visit(page, ui, "assets/curated/passages?view=lineage&lineageScope=neighbors")
    for name in ("clusters", "assignments"):  # what it is made of, and what is made of it
        page.get_by_text(name, exact=True).first.wait_for()


def test_a_run_is_launched_from_the_launchpad_with_a_config(ui: Ui, page: Any) -> None:
    visit(page, ui, "assets/splits/preferences")
    button = page.locator("button:has-text('Materialize')").first
    button.wait_for()
    menu = page.get_by_text("Open launchpad")
    click_until(page, button.locator("xpath=following::button[1]"), menu)
    menu.click()
    page.locator(".CodeMirror").wait_for()

    def written() -> bool:  # what the launchpad fills in by itself may come after it opened
        page.evaluate("config => document.querySelector('.CodeMirror').CodeMirror.setValue(config)", IN_PROCESS)
        return bool(page.get_by_text("No errors").is_visible())

    wait_for(written, 120, "a config without errors")
    button = page.locator("button:has-text('Materialize')").last
    wait_for(button.is_enabled, 120, "an enabled Materialize button")
    run_id, status = ui.new_run(button.click)
    assert status == "SUCCESS"
    assert "in_process" in ui.run(run_id)["runConfigYaml"]
