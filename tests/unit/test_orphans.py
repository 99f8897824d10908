"""No process outlives the one that started it: with the real kernel, real forks and real SIGKILLs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.waiting import within
from training.orphan_guard import RUN_WORKER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")

# A parent that forks a child. The child asks to die with it (or does not), says that it is ready, and would then live
# for a minute.
PARENT = """
import os, sys, time
from training.orphan_guard import die_with_parent
guarded, ready = sys.argv[1] == "guarded", sys.argv[2]
child = os.fork()
if child == 0:
    if guarded:
        die_with_parent()
    open(ready, "w").close()
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""

# The same, one process further: the grandchild is forked by a guarded child and guards itself.
FORK = "    if os.fork() != 0:\n        time.sleep(60)\n        os._exit(0)\n    die_with_parent()\n"
CHAIN = PARENT.replace("    open(ready", FORK + "    open(ready")


def alive(pid: int) -> bool:
    """Running, and not a zombie that waits to be reaped."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def started(script: str, mode: str, ready: Path, root: Path) -> tuple[subprocess.Popen[str], int]:
    """The parent and the process id of its child, once that is ready."""
    parent = subprocess.Popen(
        [sys.executable, "-c", script, mode, str(ready)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert within(60, ready.exists)
    return parent, child


@pytest.mark.parametrize(("mode", "outlives"), [("guarded", False), ("unguarded", True)])
def test_a_child_dies_with_its_killed_parent_exactly_where_it_asked_to(mode, outlives, tmp_path, root):
    parent, child = started(PARENT, mode, tmp_path / "ready", root)
    try:
        os.kill(parent.pid, signal.SIGKILL)
        parent.communicate(timeout=60) if not outlives else parent.wait(60)
        # the kernel sends the signal while the parent ends: who lives half a second after that was sent none
        assert within(0.5 if outlives else 60, lambda: not alive(child)) is not outlives
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)
        parent.communicate()


def test_a_chain_of_guarded_processes_falls_as_a_whole(tmp_path, root):
    parent, child = started(CHAIN, "guarded", tmp_path / "ready", root)
    [grandchild] = children(child)  # it is the one that said ready, and it guarded itself before
    os.kill(parent.pid, signal.SIGKILL)
    assert within(60, lambda: not alive(child))
    assert within(60, lambda: not alive(grandchild))
    parent.communicate()


def test_a_child_whose_parent_was_gone_already_leaves_with_137(root):
    script = (
        "import os\nfrom training import orphan_guard\n"
        "parents = iter([4711, 1])\norphan_guard.os.getppid = lambda: next(parents)\n"
        "orphan_guard.die_with_parent()\nprint('still here')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (137, "")


def test_who_is_told_its_parents_id_needs_no_second_look(root):
    script = "from training import orphan_guard\norphan_guard.die_with_parent({})\nprint('still here')"
    for parent, expected in ((os.getpid(), (0, "still here\n")), (os.getppid(), (137, ""))):
        line = [sys.executable, "-c", script.format(parent)]
        done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == expected


def test_whatever_a_guarded_step_forks_knows_its_own_parent(root):
    # a step of the fork server forks in its turn: each dies with the one above it, and none takes the server for its parent
    script = (
        "import os, resources.preload_guard\n"
        "def fork(depth):\n"
        "    child = depth and os.fork()\n"
        "    return 7 if not depth else fork(depth - 1) if not child else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "os._exit(fork(3))"
    )
    environment = {**os.environ, RUN_WORKER: str(os.getpid())}
    assert subprocess.run([sys.executable, "-c", script], cwd=root, env=environment, check=False).returncode == 7


def test_importing_the_guard_arms_nothing(root):
    script = (
        "import ctypes, training.orphan_guard, resources.with_parent\n"
        "armed = ctypes.c_int(-1)\nctypes.CDLL(None).prctl(2, ctypes.byref(armed))\nprint(armed.value)"  # PR_GET_PDEATHSIG
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
