"""`make chaos` in small: real kills in a copy of the built home, so that the campaign itself cannot rot; and a backfill
whose daemon is killed goes on under the next one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Clone

pytestmark = [
    pytest.mark.xdist_group("tiny"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes of a home are found in /proc"),
]


def campaign(clone: Clone, folder: Path, *words: str) -> tuple[str, list[dict[str, Any]]]:
    """Play rounds in a copy of a built clone's home; what was printed, and the rounds."""
    if not (folder / "home").exists():
        shutil.copytree(clone.root, folder / "project")
        shutil.copytree(clone.home, folder / "home", symlinks=True)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.chaos", "--folder", str(folder), *words]
    with (folder / "printed.txt").open("w+") as output:
        process = subprocess.Popen(
            command, cwd=clone.root, env=clone.environment(), stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(900)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        printed = output.read()
    assert code == 0, printed[-3000:]
    return printed, [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


@pytest.mark.timeout(1000)
def test_a_campaign_of_two_kills_recovers_from_both_and_goes_on_where_it_was_cut_off(
    built: Clone, tmp_path: Path
) -> None:
    printed, rounds = campaign(built, tmp_path, "--kinds", "run in process", "--seed", "7")
    assert [each["kind"] for each in rounds] == ["run in process"]
    printed, rounds = campaign(built, tmp_path, "--kinds", "run in process,step", "--seed", "7")
    assert [each["kind"] for each in rounds] == ["run in process", "step"]
    assert all(each["recovered"] and each["victim"] for each in rounds)
    assert "| all | 2 | 0 | 0 | 0 | 0 | 2 of 2 |" in printed


@pytest.mark.timeout(1000)
def test_a_backfill_whose_daemon_is_killed_is_finished_by_the_next_and_makes_every_partition_once(
    built: Clone, tmp_path: Path
) -> None:
    _, rounds = campaign(built, tmp_path, "--kinds", "daemon")
    assert rounds[0]["recovered"]  # which counts what the backfill's runs made: resume() in campaign.py
    assert "dagster._daemon" in rounds[0]["victim"]
