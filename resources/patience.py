"""How long a process waits for a locked SQLite file: a minute. What to say when that was not enough is said here too.

Dagster waits 5 s for its table of runs and 30 s for events. A backup, a slow disk or a look with another program holds
the file longer, and then a run would end over it.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sqlite3
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from typing_extensions import override

SECONDS = 60
LIBRARY = "sqlalchemy"


def wait_for_locks() -> None:
    """Have every SQLite connection that SQLAlchemy opens from here on in this process wait. Calling it twice is once.

    Where SQLAlchemy is not imported yet, its import is waited for: it would cost a quarter of the graph's loading time,
    and a process that opens no instance never needs it.
    """
    if LIBRARY in sys.modules:
        _listen()
    elif not any(isinstance(finder, _OnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnImport())


class _OnImport(importlib.abc.MetaPathFinder):
    """Finds SQLAlchemy as any other finder does, once, and listens as soon as it is imported."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != LIBRARY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(LIBRARY)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module: ModuleType) -> None:
                execute(module)
                _listen()

            spec.loader.exec_module = executed  # type: ignore[method-assign]  # of this one loader
        return spec


def _listen() -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _patient):
        event.listen(Engine, "connect", _patient)


def _patient(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {SECONDS * 1000}")


def trouble_of(error: BaseException) -> str | None:
    """The sentence for a database of the instance that is locked, read-only, full or damaged; None for any other error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, sqlite3.DatabaseError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    text = str(cause)
    if "locked" in text or "busy" in text:
        return (
            f"Dagster's database is locked by another program ({text}), for more than {SECONDS} s. What was committed stays. "
            "End what holds it (`fuser` names it), then run again."
        )
    if "readonly" in text or "unable to open" in text:  # by its permissions, or by those of the disk
        return (
            f"Dagster's database cannot be opened for writing ({text}). What was committed stays. Give this user the right to "
            "write into the folder that TWAINBOT_HOME names and all that lies in it, or name another, then run again."
        )
    if "full" in text or "I/O" in text:
        return f"Dagster's database cannot be written ({text}). What was committed stays. Make room, then run again."
    return None
