"""Whether a file or folder is there, by a name that somebody wrote."""

from __future__ import annotations

import errno
from pathlib import Path


def is_file(path: Path) -> bool:
    """As Path.is_file, but a name that no file can have, such as one of a page's length, is none and no OSError."""
    try:
        return path.is_file()
    except OSError as error:
        return _too_long(error)


def exists(path: Path) -> bool:
    """As Path.exists, likewise."""
    try:
        return path.exists()
    except OSError as error:
        return _too_long(error)


def _too_long(error: OSError) -> bool:
    """False for a name that is too long; any other error is raised again: a folder that is closed to us is no absent one."""
    if error.errno == errno.ENAMETOOLONG:
        return False
    raise error
