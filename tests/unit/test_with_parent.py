"""A child started through with_parent dies with its parent, even when that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "resources.with_parent", sys.executable, "-c",
    "import time, pathlib; pathlib.Path(%r).write_text('up'); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Running, and not a zombie that waits to be reaped."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
def test_a_killed_parent_takes_its_child_along(tmp_path, root):
    up = tmp_path / "up"
    parent = subprocess.Popen([sys.executable, "-c", PARENT % str(up)], cwd=root, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert wait_for(up.exists, 120)
        assert alive(child)
        os.kill(parent.pid, signal.SIGKILL)
        assert wait_for(lambda: not alive(child), 60)
    finally:
        parent.kill()
        parent.communicate()


def test_the_commands_exit_code_comes_through(root):
    line = [sys.executable, "-m", "resources.with_parent", sys.executable, "-c", "raise SystemExit(7)"]
    assert subprocess.run(line, cwd=root, check=False).returncode == 7


def test_without_a_command_it_says_how_to_use_it(root):
    line = [sys.executable, "-m", "resources.with_parent"]
    done = subprocess.run(line, cwd=root, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "usage" in done.stderr
