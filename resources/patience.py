"""How long a process waits for a locked SQLite file: a minute. What to say when that was not enough is said here too.

Dagster waits 5 s for its table of runs and 30 s for events. A backup, a slow disk or a look with another program holds
the file longer, and then a run would end over it.
"""

from __future__ import annotations

import sqlite3
from typing import Any

SECONDS = 60


def wait_for_locks() -> None:
    """Have every SQLite connection that SQLAlchemy opens from here on in this process wait. Calling it twice is once."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _patient):
        event.listen(Engine, "connect", _patient)


def _patient(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {SECONDS * 1000}")


def trouble_of(error: BaseException) -> str | None:
    """The sentence for a database of the instance that is locked, full or damaged; None for any other error."""
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
    if "full" in text or "I/O" in text:
        return f"Dagster's database cannot be written ({text}). What was committed stays. Make room, then run again."
    return None
