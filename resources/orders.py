"""Which of several runs may commit a partition: none that read its inputs before the one that committed last did.

Two people may materialize the same partition at once, from two processes, and both runs are alive. Each takes a number
when it begins to read, out of one counter of the lake, and a partition keeps the number of its last commit. So an older
order that ends late finds a higher number and is refused. Numbers, not times: clocks jump. Locks of the file system, so
a folder only; an object store has none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

COUNTER, COMMITTED = ".orders", ".order"


def begin(lake: Path) -> int:
    """The next number of this lake, counted from 1."""
    lake.mkdir(parents=True, exist_ok=True)
    with _held(lake / COUNTER) as file:
        number = _read(file) + 1
        _write(file, number)
    return number


@contextlib.contextmanager
def turn(folder: Path, number: int) -> Iterator[int]:
    """Hold a partition's folder for a commit under this number; gives the number of the last commit there.

    What raises inside leaves that as it was. A kill between the commit and its mark leaves the mark too low: then a run
    that began before the killed one could still commit, which is no newer than what the next run finds stale.
    """
    with _held(folder / COMMITTED) as file:
        last = _read(file)
        yield last
        _write(file, max(number, last))


@contextlib.contextmanager
def _held(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then the order alone decides
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode("ascii", errors="replace").strip()
    return int(text) if text.isdigit() else 0  # empty, or cut off by a power cut


def _write(descriptor: int, number: int) -> None:
    os.pwrite(descriptor, f"{number:<20}\n".encode(), 0)  # one width, so that no old digit stays
