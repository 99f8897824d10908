"""Shows that the sandbox holds on this machine, before it is used: canonical solutions pass, hostile programs get nowhere.

The whole proof runs once for a code of the sandbox, kernel, user, interpreter and problem set, and its success is kept
under <home>/cache/sandbox; every later use repeats a part of it that takes a second. A failure is never kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resources import sandbox
from resources.lake import replace_file
from resources.sandbox import Outcome, Program
from twainbot.evals.coding import Problem, asked

HOSTILE = Path(__file__).with_name("hostile.py")
TEST = "def check(candidate):\n    found = candidate({host!r})\n    assert found == 'contained', found\n"
SHORT_S = (
    1.5  # for programs that end by the clock alone; 1 s or less is a risk on a busy machine, where a start takes 0.3
)
# Hostile function of hostile.py: the states that show it contained. `passed`: it tried, and reports that it got nothing.
PROBES: dict[str, tuple[str, ...]] = {
    "endless_loop": ("timed_out",), "long_sleep": ("timed_out",), "four_gigabytes": ("passed",), "network": ("passed",),
    "loopback": ("passed",), "early_exit": ("exited",), "hard_exit": ("exited",), "fork_bomb": ("passed",),
    "big_file": ("passed",), "environment": ("passed",), "daemon": ("passed",), "write_outside": ("passed",),
    "read_outside": ("passed",), "open_files": ("passed",), "kill_everything": ("exited",), "stop_the_judge": ("timed_out",),
    "interrupt_others": ("exited",), "trace_others": ("passed",),
    "leftovers": ("passed",), "symlinks": ("passed",), "output_flood": ("passed",),
    "channel_flood": ("garbled",), "forged_verdict": ("garbled", "exited"), "always_equal": ("raised",),
    "find_the_tests": ("passed",), "gain_rights": ("passed",), "raise_limits": ("passed",), "kernel_memory": ("passed",),
    "crash": ("exited",),
}  # fmt: skip
EACH_TIME = (
    "loopback", "hard_exit", "environment", "daemon", "write_outside", "read_outside", "kill_everything", "gain_rights",
)  # fmt: skip
CANONICAL_EACH_TIME = 4


@dataclass(frozen=True)
class Proof:
    """Whether the sandbox may be used, and the sentence that says why or why not."""

    holds: bool
    why: str
    canonical: int = 0  # canonical solutions that passed
    problems: int = 0
    probes: int = 0  # hostile programs contained
    seconds: float = 0.0  # of the whole proof, when it ran


@dataclass
class Neighbourhood:
    """What a hostile program might harm: a folder with a secret, servers, a process; and which of it was harmed."""

    folder: Path
    server: socket.socket
    abstract: socket.socket
    neighbour: subprocess.Popen[bytes]
    token: str
    harmed: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """What hostile programs are told, so that they need not guess."""
        return {
            "folder": str(self.folder), "secret": str(self.folder / "secret"), "port": self.server.getsockname()[1],
            "token": self.token, "pid": os.getpid(), "neighbour": self.neighbour.pid, "home": str(Path.home()),
            "temporary": tempfile.gettempdir(), "project": str(HOSTILE.parent.parent / "pyproject.toml"),
        }  # fmt: skip

    def harm(self) -> list[str]:
        """What happened to it, in words; empty where nothing did."""
        found = list(self.harmed)
        if [path.name for path in self.folder.iterdir()] != ["secret"]:
            found.append("a file was written outside")
        if any(reached(server) for server in (self.server, self.abstract)):
            found.append("a server of the host was reached")
        if self.neighbour.poll() is not None:
            found.append("a process of the host was killed")
        places = [Path(place) for place in ("/dev/shm", "/var/tmp", tempfile.gettempdir(), Path.home())]  # noqa: S108
        found += [f"a file was left in {place}" for place in places if (place / self.token).exists()]
        return found


def prove(problems: Sequence[Problem], cache: Path) -> Proof:
    """Prove the sandbox on these problems: in whole, or in part where the whole proof of the same things is kept."""
    missing = first_fault()
    if missing:
        return Proof(False, missing)
    kept = cache / "sandbox" / f"{fingerprint(problems)}.json"
    if kept.is_file():
        known = Proof(**json.loads(kept.read_text(encoding="utf-8")))
        step = max(1, len(problems) // CANONICAL_EACH_TIME)
        again = attempt(problems[::step][:CANONICAL_EACH_TIME], EACH_TIME)
        if again.holds:
            return known
        kept.unlink()
        return again
    found = attempt(problems, tuple(PROBES))
    if found.holds:
        text = json.dumps(asdict(found))
        replace_file(kept, lambda file: file.write_text(text, encoding="utf-8"))
    return found


def first_fault() -> str:
    """Why not even a harmless program runs; empty where one does, and a wrong one is told from it."""
    right, wrong = (
        Program(f"def f(x):\n    return x + {n}\n", "def check(c):\n    assert c(1) == 2\n", "f") for n in (1, 2)
    )
    found = sandbox.run(right)
    if not found.passed:
        return f"The sandbox does not start here: {found.why or found.state}. docs/deployment.md says what it needs."
    return "" if sandbox.run(wrong).state == "wrong" else "The sandbox lets a wrong solution pass."


def attempt(problems: Sequence[Problem], probes: Sequence[str]) -> Proof:
    """Run the canonical solutions and the hostile programs."""
    began = time.monotonic()
    outcomes = sandbox.run_all([program_of(problem) for problem in problems])
    failed = [f"{p.task_id} ({o.state})" for p, o in zip(problems, outcomes, strict=True) if not o.passed]
    escaped = escapes(probes)
    seconds, count = time.monotonic() - began, len(problems) - len(failed)
    figures = (count, len(problems), len(probes) - len(escaped), round(seconds, 1))
    if escaped:
        named = ", ".join(f"{name}: {why}" for name, why in list(escaped.items())[:3])
        why = f"The sandbox did not contain {len(escaped)} of {len(probes)} hostile programs ({named})."
    elif failed:
        why = f"{len(failed)} of {len(problems)} canonical solutions failed in the sandbox, first {failed[0]}."
    else:
        why = f"{count} of {count} canonical solutions pass, {len(probes)} hostile programs are contained."
    return Proof(not escaped and not failed, why, *figures)


def program_of(problem: Problem, body: str | None = None) -> Program:
    """A problem with a solution's body, the canonical one where none is given."""
    solution = problem.prompt + problem.canonical_solution if body is None else asked(problem) + body
    return Program(solution, problem.test, problem.entry_point, problem.prompt)


def escapes(probes: Sequence[str]) -> dict[str, str]:
    """Hostile programs that were not contained, and how it showed."""
    found: dict[str, str] = {}
    with neighbourhood() as near, ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        facts = near.facts()

        def one(name: str) -> tuple[Outcome, list[int]]:
            return probed(name, facts)

        for name, (outcome, left) in zip(probes, pool.map(one, probes), strict=True):
            if outcome.state not in PROBES[name]:
                found[name] = outcome.why or outcome.state
            elif left:
                found[name] = f"processes {left} outlived it"
        harm = near.harm()
    return found | ({"afterwards": "; ".join(harm)} if harm else {})


def probed(name: str, facts: Mapping[str, Any]) -> tuple[Outcome, list[int]]:
    """How a hostile program ended, and what processes it left."""
    token = secrets.token_hex(8)
    program = Program(HOSTILE.read_text(encoding="utf-8"), TEST.format(host=dict(facts)), name)
    outcome = sandbox.run(program, wall_s=SHORT_S if "timed_out" in PROBES[name] else sandbox.WALL_S, token=token)
    return outcome, sandbox.survivors(token)


@contextmanager
def neighbourhood() -> Iterator[Neighbourhood]:
    """Things of the host's that hostile programs are told of, made for them and taken down again."""
    token = secrets.token_hex(8)
    with (
        tempfile.TemporaryDirectory() as name,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
        subprocess.Popen(
            [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        ) as neighbour,
    ):
        folder = Path(name)
        (folder / "secret").write_text(token, encoding="utf-8")
        folder.chmod(0o755)
        abstract.bind(f"\0{token}")
        abstract.listen()
        try:
            yield Neighbourhood(folder, server, abstract, neighbour, token)
        finally:
            neighbour.kill()


def reached(server: socket.socket) -> bool:
    """Whether somebody connected."""
    server.setblocking(False)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def fingerprint(problems: Sequence[Problem]) -> str:
    """What a whole proof holds for: the sandbox's code, machine, kernel, user, interpreter, problems."""
    digest = hashlib.sha256()
    for path in (sandbox.CELL, Path(sandbox.__file__), HOSTILE, Path(__file__)):
        digest.update(path.read_bytes())
    machine = (
        platform.node(),
        platform.release(),
        platform.machine(),
        os.geteuid(),
        sys.version,
        sandbox.interpreter(),
    )
    digest.update(json.dumps([machine, [asdict(problem) for problem in problems]]).encode())
    return digest.hexdigest()[:32]
