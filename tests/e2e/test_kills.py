"""kill -9 in the middle of anything, then run again: it completes, nothing torn, nothing held."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.e2e.conftest import Clone

pytestmark = pytest.mark.xdist_group("kills")


def kill_when(clone: Clone, condition: Callable[[], bool], limit_s: float = 300.0) -> None:
    """Start the main job and SIGKILL it as soon as the condition holds; fails with its output where it ended first."""
    log = clone.root.parent / "killed_run.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            clone.command("run"), cwd=clone.root, env=clone.environment(), stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + limit_s
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if condition():
                process.kill()  # the run alone: its children must die by themselves
                process.wait(30)
                return
            time.sleep(0.05)
        pytest.fail(f"the run ended with {process.poll()} before the moment came: {log.read_text()[-3000:]}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def children_of(clone: Clone) -> list[str]:
    """Training processes that still work in this clone's home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if "training." in line and str(clone.home) in line:
                found.append(line)
    return found


@pytest.mark.timeout(1200)  # four whole runs
def test_a_killed_run_leaves_no_torn_file_and_the_next_one_completes(new_clone: Callable[[str], Clone]) -> None:
    clone = new_clone("kills")
    profile = clone.root / "profiles" / "tiny.yaml"
    profile.write_text(profile.read_text().replace("trainer: inline", "trainer: subprocess"))
    moments: list[Callable[[], bool]] = [
        lambda: (clone.lake / "corpora").is_dir(),
        lambda: (clone.lake / "dedupe" / "edges" / "part-0.parquet").is_file(),
        lambda: bool(children_of(clone)),
        lambda: (clone.lake / "adapters" / "dapt").is_dir() and bool(children_of(clone)),
        lambda: (clone.lake / "evals").is_dir(),
    ]
    for moment in moments:
        kill_when(clone, moment)
        deadline = time.monotonic() + 60  # on a busy machine a signal is sent at once and obeyed later
        while (left := children_of(clone)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []
        for path in clone.lake.rglob("part-0.parquet"):
            pl.read_parquet(path)
    output = clone.run("run")
    assert "every blocking gate passed" in output
    assert list(clone.lake.rglob("*.tmp")) == [] or all(path.name.startswith(".") for path in clone.lake.rglob("*.tmp"))
    ids = pl.read_parquet(clone.lake / "curated/passages/part-0.parquet")["chunk_id"]
    assert ids.n_unique() == len(ids) > 0
    assert "0 built" in clone.run("run")
