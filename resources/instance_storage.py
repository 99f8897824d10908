"""Dagster's SQLite storage with its connections kept open: the instance's tables, in the same files and the same form.

Dagster makes an engine and a connection for each query. Closing the last connection of a file in WAL mode checkpoints it, and a
new engine compiles every statement anew: in profile tiny that was two fifths of the graph (docs/decisions/0033). `dagster.yaml`
names `KeptSqliteStorage`; a home that Dagster's own class made opens with it, and the other way round.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing.util
import os
import shutil
import sqlite3
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as db
from dagster import __version__
from dagster._core.storage.event_log.base import EventHandlerFn
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
    SqliteEventLogStorageWatchdog,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, SqliteStorageConfig
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool
from typing_extensions import override
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from resources.patience import SECONDS

MOST_FILES = 16  # kept open in one process: three tables of the instance, and the latest runs' events
KEPT_CONNECTIONS = 4  # of one file; more are made where more threads ask, and closed when they are done
TEMPLATE = (
    f"shard-{__version__}.template"  # an empty file of a run's events: its schema takes alembic a third of a second
)
# SQLite gives the number of a deleted last event to the next one. Whoever stands on a number (the automation sensor, the
# summaries of partitions and checks) would take that event for known: so an empty row keeps it.
NO_NUMBER_TWICE = """
CREATE TRIGGER IF NOT EXISTS twainbot_no_number_twice AFTER DELETE ON event_logs
WHEN NOT EXISTS (SELECT 1 FROM event_logs WHERE id > OLD.id)
BEGIN INSERT INTO event_logs (id, event) VALUES (OLD.id, ''); END
"""


class Engines:
    """One engine for each SQLite file of this process; the files used longest ago are closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, Engine]] = OrderedDict()

    def of(self, path: str) -> Engine:
        """The engine of a file. Another file of that name (the clean-up removed the first) gets another engine."""
        with self._lock:
            inode = _inode(path)
            known = self._kept.pop(path, None)
            if known is not None and (known[0] != inode or not inode):
                known[1].dispose()
                known = None
            if known is None:
                known = (inode, _engine(path))
            if inode:  # a file that SQLite has yet to make is kept from the next time on
                self._kept[path] = known
            while len(self._kept) > MOST_FILES:
                self._kept.popitem(last=False)[1][1].dispose()
            return known[1]

    def close(self) -> None:
        """Close all connections that nobody uses; whoever asks again gets new ones. The last of a file empties its log."""
        with self._lock:
            self._closed()

    def before_fork(self) -> None:
        """Close them, and let nobody open one until the fork is over: SQLite's locks do not pass to a child."""
        self._lock.acquire()
        self._closed()

    def after_fork(self) -> None:
        """In the parent."""
        self._lock.release()

    def forked(self) -> None:
        """In the child. What another thread of the parent was using stays its own."""
        self._lock = threading.Lock()
        self._kept.clear()

    def _closed(self) -> None:
        for _, engine in self._kept.values():
            engine.dispose()
        self._kept.clear()


def _inode(path: str) -> int:
    try:
        return Path(path).stat().st_ino
    except OSError:
        return 0


def _engine(path: str) -> Engine:
    engine = db.create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=-1,
        connect_args={"timeout": SECONDS},
    )

    # In WAL mode a killed process loses nothing by this; after a power cut the last commits may be missing, never torn
    @db.event.listens_for(engine, "connect")
    def _relaxed(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine


ENGINES = Engines()
os.register_at_fork(before=ENGINES.before_fork, after_in_parent=ENGINES.after_fork, after_in_child=ENGINES.forked)


def _close_at_the_end(engines: Engines) -> None:
    """A process that ends closes its files, else each run leaves its log beside its table. Killed ones leave it: it is read."""
    multiprocessing.util.Finalize(None, engines.close, exitpriority=0)  # children of multiprocessing pass atexit by


atexit.register(ENGINES.close)
_close_at_the_end(ENGINES)
multiprocessing.util.register_after_fork(ENGINES, _close_at_the_end)


class _Kept:
    """What is alike in both: each query over the one engine of their file."""

    _conn_string: str

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a transaction, which is committed where the block ends well."""
        with ENGINES.of(self._conn_string.removeprefix("sqlite:///")).connect() as connection, connection.begin():
            yield connection


class KeptRunStorage(_Kept, SqliteRunStorage):
    """Runs."""


class KeptScheduleStorage(_Kept, SqliteScheduleStorage):
    """Schedules and sensors."""


class _Watchdog(SqliteEventLogStorageWatchdog):
    """Tells of new events, which stand in the file's log until a last connection closes: Dagster's looks at the file alone."""

    def __init__(
        self, storage: SqliteEventLogStorage, run_id: str, callback: EventHandlerFn, cursor: str | None
    ) -> None:
        super().__init__(storage, run_id, callback, cursor)
        self._patterns = [self._log_path, f"{self._log_path}-wal"]

    @override
    def on_modified(self, event: FileSystemEvent) -> None:
        self._process_log()


class KeptEventLogStorage(SqliteEventLogStorage):
    """Events, over one engine a file. New files of runs are copies of an empty one; no number of the index is given twice."""

    @override
    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            path = Path(self.path_for_shard(shard))
            if not path.exists():  # of a new run, or removed by the clean-up since
                self._initialized_dbs.discard(shard)
            if shard not in self._initialized_dbs:
                self._made_ready(shard, path)
                self._initialized_dbs.add(shard)
            with ENGINES.of(str(path)).connect() as connection, connection.begin():
                yield connection

    @override
    def watch(self, run_id: str, cursor: str | None, callback: EventHandlerFn) -> None:
        if not self._obs:
            self._obs = Observer()
            self._obs.start()
        watchdog = _Watchdog(self, run_id, callback, cursor)
        self._watchers[run_id][callback] = (
            watchdog, self._obs.schedule(watchdog, self._base_dir, recursive=True),
        )  # fmt: skip

    def _made_ready(self, shard: str, path: Path) -> None:
        """The file with Dagster's tables in it. Dagster's own way is kept for whatever is not as the template."""
        template = Path(self._base_dir) / TEMPLATE
        with contextlib.suppress(
            OSError
        ):  # no room, or a file system without links: Dagster's own way, and its own errors
            if _revision(template) is None:
                _write_template(template, self._initdb)
            log = path.with_name(f"{path.name}-wal")  # of a file that was removed: SQLite would play it into the copy
            if shard != INDEX_SHARD_NAME and not path.exists() and not log.exists():
                _copied(template, path)
        found = _revision(path)
        if found is None or found != _revision(template):
            self._initdb(ENGINES.of(str(path)))
        if shard == INDEX_SHARD_NAME:
            with ENGINES.of(str(path)).begin() as connection:
                connection.exec_driver_sql(NO_NUMBER_TWICE)


def _revision(path: Path) -> str | None:
    """What alembic stamped the file with; None where there is no such file or table."""
    if not path.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=SECONDS)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError:  # no table, no database (cut off by a power failure), or not ours to read
        return None
    return str(found[0]) if found else None


def _write_template(template: Path, initialise: Any) -> None:
    """Make it beside its place, whole, and move it there."""
    with tempfile.TemporaryDirectory(dir=template.parent, prefix="shard-") as folder:
        made = Path(folder) / "empty.db"
        engine = _engine(str(made))
        initialise(engine)
        engine.dispose()  # the last connection: what the log held is in the file
        made.replace(template)


def _copied(template: Path, path: Path) -> None:
    """A copy under the new name; of two that come at once the first stays."""
    descriptor, copy = tempfile.mkstemp(dir=path.parent, prefix="shard-", suffix=".new")
    try:
        shutil.copy(template, copy)
        os.fsync(descriptor)  # of the file itself, before it has its name: SQLite syncs what it wrote only
        with contextlib.suppress(FileExistsError):
            os.link(copy, path)
    finally:
        os.close(descriptor)
        Path(copy).unlink()


class KeptSqliteStorage(DagsterSqliteStorage):
    """The three of them. Config: base_dir, as of Dagster's own."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        folder = Path(base_dir)
        self._run_storage = KeptRunStorage.from_local(str(folder / "history"))
        self._event_log_storage = KeptEventLogStorage(str(folder / "history" / "runs"))
        self._schedule_storage = KeptScheduleStorage.from_local(str(folder / "schedules"))
        self._inst_data = inst_data
        super(DagsterSqliteStorage, self).__init__()  # its own __init__ would open all three a second time

    @override
    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: SqliteStorageConfig
    ) -> KeptSqliteStorage:
        return cls.from_local(config_value["base_dir"], inst_data)
