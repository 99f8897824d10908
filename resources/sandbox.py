"""Model-written code runs here and nowhere else: one program at a time in namespaces of its own. What it meets is cell.py's.

A program is a solution and its tests. The host sends text and gets back one of STATES; nothing that the program does
outlives it or reaches a file, a socket, a process or the environment of the host. That this holds on the machine at
hand is shown by proof.py before anything is measured. Where namespaces are missing the state is `unavailable`, and no
code has run. Linux 5.14 or newer on x86_64 or aarch64.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

CELL = Path(__file__).with_name("cell.py")
WALL_S = 10.0  # of one program, by the clock; HumanEval's slowest canonical solution takes a second on an idle machine
GRACE_S = 60.0  # until a launcher that says nothing is killed; it needs 0.1 s on an idle machine
STATES = (
    "passed",
    "wrong",  # a test failed
    "raised",  # the solution raised, did not parse, or returned what is not plain data
    "timed_out",
    "exited",  # its process ended before the tests did
    "garbled",  # it wrote into the pipe that its answers go through
    "unavailable",  # there is no sandbox here, and nothing ran
)


@dataclass(frozen=True)
class Program:
    """A solution that defines `entry_point`, and a test: `check(candidate)`, or plain asserts that call it by its name.

    prompt: text whose definitions, other than the entry point, the tests may use.
    """

    solution: str
    test: str
    entry_point: str
    prompt: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and a few words of its own on why."""

    state: str
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""
        return self.state == "passed"


def run(program: Program, *, wall_s: float = WALL_S, token: str | None = None) -> Outcome:
    """Run one program. `token` stands in the command line of its process, so that a survivor could be found."""
    missing = unsupported()
    if missing:
        return Outcome("unavailable", missing)
    job = {
        "program": program.solution, "test": program.test, "entry_point": program.entry_point,
        "prompt": program.prompt, "wall_s": wall_s, "token": token or secrets.token_hex(8),
    }  # fmt: skip
    try:
        done = subprocess.run(
            [interpreter(), "-P", "-s", "-S", "-B", str(CELL)], input=json.dumps(job).encode(), capture_output=True,
            env={"LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}, cwd="/", timeout=wall_s + GRACE_S, check=False,
        )  # fmt: skip
        found = json.loads(done.stdout)
        return Outcome(found["outcome"], found["why"])
    except subprocess.TimeoutExpired:
        return Outcome("timed_out", "the launcher did not answer")
    except (OSError, ValueError, KeyError) as error:
        return Outcome("unavailable", f"the launcher gave no answer ({type(error).__name__})")


def run_all(programs: Sequence[Program], *, wall_s: float = WALL_S) -> list[Outcome]:
    """Outcomes of the programs, in order; as many at once as there are processors."""
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(partial(run, wall_s=wall_s), programs))


def interpreter() -> str:
    """The real file of this Python, without the virtual environment around it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def unsupported() -> str:
    """Why this machine cannot have the sandbox; empty where it may."""
    if sys.platform != "linux":
        return f"the sandbox needs Linux, and this is {sys.platform}"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"the sandbox filters system calls of x86_64 and aarch64, and this is {platform.machine()}"
    return ""


def survivors(token: str) -> list[int]:
    """Processes whose command line holds the token."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile
            continue
    return found
