"""A clone of the project that tests may edit, and homes that the real command line filled in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "data", "__pycache__", ".*_cache", "*.egg-info", "notebooks")


@dataclass
class Clone:
    """The project's files in a folder of their own, with a home beside them. `run` is the command line."""

    root: Path
    home: Path
    profile: str = "tiny"

    def environment(self) -> dict[str, str]:
        """The environment of a user who knows nothing but profile and home."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DAGSTER_", "TWAINBOT_", "MLFLOW_"))
        }
        own = {"PYTHONPATH": str(self.root), "TWAINBOT_HOME": str(self.home), "TWAINBOT_PROFILE": self.profile}
        return {**kept, **own, "COLUMNS": "200"}

    def command(self, *words: str) -> list[str]:
        """The command line of `twainbot` run from this clone."""
        return [sys.executable, "-m", "twainbot_assets.cli", *words]

    def run(self, *words: str, code: int | None = 0, **more: str) -> str:
        """Run a command to its end; its output, both streams. `code`: what it must exit with (None: anything)."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.root,
            env=self.environment() | more,
            capture_output=True,
            text=True,
            timeout=900,
        )
        output = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"exit {done.returncode}: {output[-3000:]}"
        assert "Traceback (most recent call last)" not in output, output[-3000:]
        return output

    @property
    def lake(self) -> Path:
        """The lake's folder."""
        return self.home / self.profile / "lake"

    def versions(self) -> dict[str, tuple[int, int]]:
        """Inode and time of every partition file: a rebuilt one has others."""
        found = sorted(self.lake.rglob("part-0.parquet"))
        return {
            str(path.relative_to(self.lake).parent): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found
        }


def rebuilt(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> set[str]:
    """Partitions whose file is new or another one."""
    return {path for path, version in after.items() if before.get(path) != version}


@pytest.fixture(scope="session")
def new_clone(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Callable[[str], Clone]:
    """Makes clones with empty homes."""

    def make(name: str) -> Clone:
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(root, folder / "project", ignore=NOT_COPIED)
        return Clone(folder / "project", folder / "home")

    return make


@pytest.fixture(scope="session")
def built(new_clone: Callable[[str], Clone]) -> Clone:
    """A clone whose main job ran once in profile tiny. Read it, never change it."""
    clone = new_clone("built")
    (clone.root.parent / "first_run.txt").write_text(clone.run("run"))
    return clone


@pytest.fixture
def copy(built: Clone, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the built clone that a test may edit and rebuild."""
    shutil.copytree(built.root, tmp_path / "project")
    shutil.copytree(built.home, tmp_path / "home", symlinks=True)
    yield Clone(tmp_path / "project", tmp_path / "home")
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
