"""Steps of a launched run die with their run worker: the real executor, a real fork server, a real SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twainbot_assets import steps

GRAPH = """
import os, sys, time
from pathlib import Path
import dagster as dg
from twainbot_assets.steps import executor

@dg.asset
def slow() -> None:
    folder = Path(os.environ["FOLDER"])
    (folder / "step").write_text(str(os.getpid()))
    time.sleep(float(os.environ["SECONDS"]))
    (folder / "late").touch()

defs = dg.Definitions(assets=[slow], jobs=[dg.define_asset_job("all", "*")], executor=executor)
"""

# The same run worker, killed when it has ordered its first step and the fork server is a process that has not run a line.
AT_ONCE = """
from multiprocessing import forkserver

def order_and_die(_fd):
    Path(os.environ["FOLDER"], "server").write_text(str(forkserver._forkserver._forkserver_pid))
    os.kill(os.getpid(), 9)

forkserver.read_signed = order_and_die
"""


def test_the_guard_is_armed_before_anything_else_is_imported():
    assert steps.PRELOADED[0] == "resources.preload_guard"
    assert "dagster._core.executor.multiprocess" in steps.PRELOADED  # else Dagster puts it first


def test_nobody_but_the_fork_server_imports_the_guard(root):
    importing = [
        path.relative_to(root).as_posix()
        for package in ("twainbot", "training", "resources", "checks", "twainbot_assets")
        for path in (root / package).rglob("*.py")
        if "import preload_guard" in path.read_text() or "from resources.preload_guard" in path.read_text()
    ]
    assert importing == []


def test_the_graph_starts_its_steps_that_way():
    from twainbot_assets.definitions import defs

    assert defs.executor is steps.executor


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
def test_a_step_dies_with_its_run_worker_and_writes_nothing_more(tmp_path, root):
    worker = started(GRAPH, tmp_path, root, seconds=20)
    try:
        wait_for(lambda: (tmp_path / "step").exists() and (tmp_path / "step").read_text(), 400)
        step = int((tmp_path / "step").read_text())
        worker.kill()
        worker.wait(30)
        wait_for(lambda: not lives(step), 10)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
    assert not (tmp_path / "late").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_no_step_of_a_run_worker_that_was_killed_at_once_begins(tmp_path, root):
    worker = started(GRAPH + AT_ONCE, tmp_path, root, seconds=0)
    assert worker.wait(400) == -signal.SIGKILL
    server = int((tmp_path / "server").read_text())
    wait_for(lambda: not lives(server), 100)
    assert not (tmp_path / "step").exists()


def started(graph: str, folder: Path, root: Path, seconds: int) -> subprocess.Popen:
    """A run worker of the graph, whose step takes so long."""
    (folder / "chaos_graph.py").write_text(graph)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {**os.environ, "FOLDER": str(folder), "DAGSTER_HOME": str(folder), "SECONDS": str(seconds),
                   "PYTHONPATH": f"{folder}{os.pathsep}{root}", "TWAINBOT_PROFILE": "tiny",
                   "TWAINBOT_HOME": str(folder / "home")}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute", "-m", "chaos_graph", "-j", "all"],
        cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come within {seconds} s"
        time.sleep(0.05)
