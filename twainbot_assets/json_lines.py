"""JSON lines: files that people hand over, read whole and checked line by line, and files of a home, added to whole.

What a line means is its reader's.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.lake import replace_file
from twainbot.errors import BadInput, BadUse


def read_objects(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of every line that is not blank, in order.

    Raises BadUse where there is no such file, BadInput naming file and line where a line is not a JSON object.
    """
    lines = enumerate(read_text(path).split("\n"), 1)  # not splitlines: a text may hold U+2028 within a line
    return [(number, read_object(line, f"{path} line {number}")) for number, line in lines if line.strip()]


def read_text(path: Path) -> str:
    """A file's UTF-8 text, a byte order mark taken off."""
    require_file(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error


def read_object(line: str, where: str) -> dict[str, Any]:
    """One line as an object. `where` names file and line in the error."""
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error}). Write one object a line, or take the line out.") from error
    if not isinstance(value, dict):
        raise BadInput(f"{where} is not a JSON object but {type(value).__name__}. Write one object a line.")
    return value


def require_file(path: Path) -> None:
    """Raise BadUse where a path given on the command line is no file."""
    if not path.is_file():
        raise BadUse(f"There is no file {path}. Check the name.")


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
