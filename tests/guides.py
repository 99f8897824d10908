"""The guides of docs/ as a reader follows them: their blocks become files and patches, their console lines are run.

A block's first line names its file, as a comment; a `diff` is applied to a clone of the project; lines of a `console`
block are commands. Order counts. Nothing else of a page is read, so its prose may say what it likes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:#|//|<!--) ?([\w./-]+)(?: -->)?\n")
SKIPPED = ("make ", "git ", "source ")  # what a reader does beside the guide: set-up, commits, the whole test suite


@dataclass(frozen=True)
class Step:
    """One thing that the reader does. `kind`: file, patch or command; `name`: the file's path, else empty."""

    kind: str
    text: str
    name: str = ""


def steps(page: str) -> list[Step]:
    """The steps of docs/<page>, in order."""
    found: list[Step] = []
    for language, block in FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        named = NAMED.match(block)
        if language == "console":
            lines = [line.split("  #")[0].strip() for line in block.splitlines() if line.strip()]
            found += [Step("command", line) for line in lines if not line.startswith(SKIPPED)]
        elif language == "diff":
            name, _, text = block.partition("\n")
            found.append(Step("patch", text, name.removeprefix("--- ")))
        elif named:
            found.append(Step("file", block[named.end() :], named[1]))
        else:
            raise AssertionError(
                f"docs/{page}: a block of {language} neither names its file nor is a command: {block[:80]!r}"
            )
    return found


def written(page: str, folder: Path) -> list[Path]:
    """The guide's files, written under a folder; patches and commands are left out."""
    made = []
    for step in steps(page):
        if step.kind == "file":
            made.append(folder / step.name)
            made[-1].parent.mkdir(parents=True, exist_ok=True)
            made[-1].write_text(step.text, encoding="utf-8")
    return made


def patch(path: Path, text: str) -> None:
    """Apply a guide's diff: each run of lines stands once in the file; `@@` parts runs, so that no line number can age."""
    content = path.read_text(encoding="utf-8")
    for hunk in re.split(r"^@@.*\n", text, flags=re.MULTILINE):
        lines = [(line[:1] or " ", line[1:]) for line in hunk.splitlines()]
        before, after = (
            "".join(f"{line}\n" for sign, line in lines if sign in signs) for signs in ((" ", "-"), (" ", "+"))
        )
        assert content.count(before) == 1, (
            f"{path.name} holds {content.count(before)} times, and a guide changes:\n{before}"
        )
        content = content.replace(before, after)
    path.write_text(content, encoding="utf-8")


@dataclass
class Reader:
    """Who follows a guide: a folder to work in, the project whose code runs, and a home."""

    folder: Path
    code: Path
    home: Path

    def environment(self) -> dict[str, str]:
        """The environment of somebody who knows nothing but the home; `twainbot` and `python` are on the path."""
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("DAGSTER_", "TWAINBOT_", "MLFLOW_"))
        }
        bin_ = self.home.parent / "bin"
        bin_.mkdir(parents=True, exist_ok=True)
        for name, words in (("twainbot", "-m twainbot_assets.cli"), ("python", "")):
            (bin_ / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
            (bin_ / name).chmod(0o755)
        path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": str(self.code), "TWAINBOT_HOME": str(self.home), "COLUMNS": "200"}

    def run(self, command: str, said: str = "") -> str:
        """One command to its end, which must be a good one; its output, both streams. `said`: what is typed to it."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment(), input=said, capture_output=True, text=True,
            timeout=1500,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert done.returncode == 0, f"{command!r} exits {done.returncode}: {output[-4000:]}"
        assert "Traceback (most recent call last)" not in output, output[-4000:]
        return output

    def do(self, step: Step, said: str = "") -> str:
        """One step of a guide; a command's output, else nothing."""
        if step.kind == "command":
            return self.run(step.text, said)
        if step.kind == "patch":
            patch(self.folder / step.name, step.text)
            return ""
        path = self.folder / step.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text, encoding="utf-8")
        return ""
