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

# A parent that is killed as soon as its child is a process: a Python that has not run a line yet.
KILLED = """
import os, signal, subprocess, sys
from pathlib import Path
from resources.trainer import Trainer
from training.command import Arguments
script = "import pathlib; pathlib.Path(%r).write_text('trains')"
trainer = Trainer(launcher=[sys.executable, "-c", script])
child = subprocess.Popen(trainer.command("sft", Arguments(*[Path("/nowhere")] * 4)), stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
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


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_a_parent_that_is_killed_at_once_leaves_no_training_behind(tmp_path, root):
    mark = tmp_path / "mark"
    parent = subprocess.run(
        [sys.executable, "-c", KILLED % str(mark)], cwd=root, stdout=subprocess.PIPE, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    assert wait_for(lambda: not alive(int(parent.stdout)), 60)
    assert not mark.exists()


def test_the_child_of_another_than_it_was_told_leaves_with_137_and_runs_nothing(root):
    line = [sys.executable, "-m", "resources.with_parent", "--parent", str(os.getppid()), "echo", "it runs"]
    done = subprocess.run(line, cwd=root, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (137, "", "")


@pytest.mark.parametrize("told", [[], ["--parent", str(os.getpid())]])
def test_the_commands_exit_code_comes_through(told, root):
    line = [sys.executable, "-m", "resources.with_parent", *told, sys.executable, "-c", "raise SystemExit(7)"]
    assert subprocess.run(line, cwd=root, check=False).returncode == 7


def test_without_a_command_it_says_how_to_use_it(root):
    line = [sys.executable, "-m", "resources.with_parent"]
    done = subprocess.run(line, cwd=root, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "usage" in done.stderr
