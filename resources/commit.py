"""Which commit the code is at, asked of git. A copy without its history has none, and no git gives none either."""

from __future__ import annotations

import subprocess
from pathlib import Path

from resources.home import PROJECT

SECONDS = 20  # of patience: a status of this tree takes 0.05 s


def commit_of(folder: Path = PROJECT) -> str | None:
    """The commit's hash, `+changes` behind it where files differ from it; None where the folder is no clone's root."""
    top = git(folder, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != folder.resolve():
        return None  # some other project's repository around it says nothing of this code
    head = git(folder, "rev-parse", "HEAD")
    if not head:
        return None
    return f"{head}+changes" if git(folder, "status", "--porcelain", "--untracked-files=no") else head


def git(folder: Path, *words: str) -> str:
    """What git prints; empty where it is missing, slow or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
