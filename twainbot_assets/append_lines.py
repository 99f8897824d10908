"""Files of JSON lines that a home only adds to: what people decided and rated. Reading such files is json_lines.py's."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.lake import replace_file


def append(path: Path, objects: Sequence[Mapping[str, Any]]) -> None:
    """Add lines to a file: whole or not at all, and never over another process's lines."""
    added = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)
    with alone(path):
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        between = "" if before.endswith("\n") or not before else "\n"
        replace_file(path, lambda file: file.write_text(before + between + added, encoding="utf-8"))


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock beside the file: reading, adding and renaming are three steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
