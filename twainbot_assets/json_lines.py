"""JSON lines that people hand to the command line or a home keeps, checked line by line. What one means is its reader's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twainbot.errors import BadInput, BadUse

_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is no UTF-8


def read_objects(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of every line that is not blank, in order.

    Raises BadUse where there is no such file, BadInput naming file and line where a line is not a JSON object.
    """
    return list(each_object(path))


def kept_objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that a home adds to (append_lines.py), in order; none where nothing was added yet."""
    return [row for _, row in read_objects(path)] if path.is_file() else []


def each_object(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """`read_objects`, one line in memory at a time."""
    require_file(path)
    try:
        # a file's own lines, not splitlines': a text may hold U+2028 within a line
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                if not line.isascii() and (bad := _NOT_UTF8.search(line)):
                    found = f"{path} is not UTF-8 text (line {number} has the byte 0x{ord(bad[0]) - 0xDC00:02x})."
                    raise BadInput(f"{found} Save it as UTF-8.")
                if line.strip():
                    yield number, read_object(line, f"{path} line {number}")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error


def read_object(line: str, where: str) -> dict[str, Any]:
    """One line as an object. `where` names file and line in the error."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError only
        raise BadInput(f"{where} is not JSON ({error}). Write one object a line, or take the line out.") from error
    if not isinstance(value, dict):
        raise BadInput(f"{where} is not a JSON object but {type(value).__name__}. Write one object a line.")
    return value


def require_file(path: Path) -> None:
    """Raise BadUse where a path given on the command line is no file. A pipe is one: the shell makes it of `<(...)`."""
    if path.is_dir():
        raise BadUse(f"{path} is a folder. Name a file in it.")
    if not (path.is_file() or path.is_fifo()):
        raise BadUse(f"There is no file {path}. Check the name.")


def require_place(path: Path, option: str) -> None:
    """Raise BadUse where a file that an option names cannot be written over.

    A file is renamed over the old one, which would put a plain file in place of a pipe, or of the machine's /dev/null.
    """
    try:
        if path.is_dir():
            raise BadUse(f"{path} is a folder. Name a file with {option}.")
        if path.exists() and not path.is_file():
            raise BadUse(f"{path} is a device or a pipe, and only a plain file is written. Name one with {option}.")
    except OSError as error:
        raise BadUse(f"{path} cannot be written: {error.strerror}. Choose another place with {option}.") from error
