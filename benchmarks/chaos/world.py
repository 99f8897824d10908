"""A clone of the project with a home of its own, the processes that work in it, and how they are started and ended.

Commands are forked from this process, which has imported the graph: the same code as from a shell, without the seconds of
importing that would make most kills hit an import. So this process starts no thread and imports no polars; whatever
reads tables is witness.py's, in a process of its own.

Every process of the home carries TWAINBOT_HOME in its environment, so that what a killed one left behind is found
however it was started, and nothing else on the machine is ever touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.pipeline import copied
from benchmarks.waiting import within

EDITED = "samples/local/river.md"  # the unit that rounds change and change back
EDIT = "\n\nA line of the second edition, which nobody on the levee had asked for.\n"
FOREIGN = ("DAGSTER_", "TWAINBOT_", "MLFLOW_")
PROFILE = "tiny"
READERS = (
    "tail -F ",
    "watch_orphans",
    "poll_compute_logs",
)  # of a step's output, Dagster's: they write nothing, and end alone


@dataclass(frozen=True)
class World:
    """Clone and home under one folder."""

    folder: Path
    spared: set[int] = field(default_factory=set, compare=False)  # processes of the campaign itself

    @property
    def root(self) -> Path:
        """The clone's code, profiles and samples."""
        return self.folder / "project"

    @property
    def home(self) -> Path:
        """What TWAINBOT_HOME names."""
        return self.folder / "home"

    @property
    def lake(self) -> Path:
        """The lake's folder."""
        return self.home / PROFILE / "lake"

    @property
    def output(self) -> Path:
        """What the commands of the present round print."""
        return self.folder / "output.txt"

    def make(self) -> World:
        """Copy the project here, unless a campaign that is resumed did."""
        if not self.root.exists():
            copied(self.root)
        if not (self.folder / "first_edition.md").exists():
            shutil.copy(self.root / EDITED, self.folder / "first_edition.md")
        return self

    def environment(self) -> dict[str, str]:
        """The environment of every process of this home, whatever the caller's was; trainings run as children."""
        from resources.home import Home, export

        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        own = {"PYTHONPATH": str(self.root), "DAGSTER_HOME": str(self.root), "COLUMNS": "200"}
        found = {**kept, **own, "PYTHONWARNINGS": "ignore", "TWAINBOT_TRAINER": "subprocess"}
        export(Home(self.home, PROFILE), found)
        return found

    def fork(self, program: str, words: Sequence[str]) -> Child:
        """Start `twainbot WORDS` or `dagster WORDS`, forked from this process, in a process group of its own."""
        self.output.touch()
        pid = os.fork()
        if pid == 0:
            _become(self, program, words)
        return Child(pid)

    def start(self, words: Sequence[str]) -> Child:
        """Start `python WORDS` in the clone, in a process group of its own."""
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=self.root, env=self.environment(), stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return Child(process.pid)

    def edit(self, edition: str) -> None:
        """Set the changing unit to edition `a`, as it is in the project, or `b`, a line longer."""
        text = (self.folder / "first_edition.md").read_text(encoding="utf-8")
        replacement = self.root / f"{EDITED}.new"
        replacement.write_text(text + (EDIT if edition == "b" else ""), encoding="utf-8")
        replacement.replace(self.root / EDITED)

    def processes(self) -> dict[int, str]:
        """Command lines of all living processes of this home, by process id; those of the campaign are none."""
        mark, found = f"TWAINBOT_HOME={self.home}".encode(), dict[int, str]()
        spared = {os.getpid(), *self.spared}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int(folder.name) in spared or mark not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if line and not any(word in line for word in READERS):  # a zombie has none
                    found[int(folder.name)] = line
        return found

    def clear(self) -> None:
        """End whatever still lives in this home."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        within(10, lambda: not self.processes())

    def temporaries(self) -> list[Path]:
        """Files and folders of writes that are under way, or were cut off."""
        return [path for path in self.lake.rglob(".*.tmp") if path.name.startswith(".")]


class Child:
    """A process that this one started and reaps."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None  # exit code, or minus the signal; None while it lives

    def poll(self) -> int | None:
        """The exit code if it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float) -> int | None:
        """The exit code once it has ended; None if that takes longer."""
        within(seconds, lambda: self.poll() is not None)
        return self.code

    def end(self) -> None:
        """End it and its group, politely first. What has ended already is left alone: its number may be another's."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.poll() is None:
                os.killpg(self.pid, sign)
                self.wait(20)


def _become(world: World, program: str, words: Sequence[str]) -> None:
    """In the forked child: be that program to its end. Never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(world.root)
        with world.output.open("ab") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        code = _called(program, words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _called(program: str, words: Sequence[str]) -> int:
    """Call a command line as a shell would; its exit code."""
    if program == "twainbot":
        from twainbot_assets.cli import main
    else:
        from dagster._cli import create_dagster_cli

        main = create_dagster_cli()
    try:
        main(list(words), program)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0
