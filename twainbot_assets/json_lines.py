"""JSON lines that people hand to the command line, read whole and checked line by line. What a line means is its reader's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
