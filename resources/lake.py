"""The Parquet lake: one file per asset partition, whole or not there at all. DuckDB's views over it live in warehouse.py.

    <lake>/<stage>/<asset>/part-0.parquet
    <lake>/<stage>/<asset>/partition=<key>/part-0.parquet
    <lake>/<stage>/<asset>/files/<sha12>/...              folders (adapters, bundles), written before the row that names them

A file is written under a temporary name in its own folder, fsynced, then renamed. Killed anywhere, a partition is the old
one or the new one. polars is imported inside functions: the code location must load in about the time of Dagster itself.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import dagster as dg
from pydantic import PrivateAttr
from typing_extensions import override

from resources import orders
from twainbot.errors import BadInput, Fenced, LakeUnavailable, StaleSchema, TwainBotError

if TYPE_CHECKING:
    import polars as pl
    from upath import UPath

    Table = pl.LazyFrame
else:
    Table = Any  # Dagster resolves annotations when it loads the code location, which must not import polars

PART = "part-0.parquet"
SCHEMA_KEY, RUN_KEY = "twainbot_schema", "twainbot_run"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL = ("No space left", "File too large", "quota exceeded")  # as polars words them, without a number
REMOTE = ("botocore", "aiobotocore", "aiohttp")  # whose errors mean the store, where the lake is in one
OVER_THE_NET = ("S3 error", "HTTP error", "error sending request", "object-store")  # as polars words its own
LIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


class Lake:
    """Tables by path ('chunks/local') and partition key. `base`: a folder, also as file:// URL, or an object-store URL."""

    def __init__(self, base: str, storage_options: Mapping[str, str] | None = None) -> None:
        plain = unquote(urlsplit(base).path) if base.startswith("file://") else base
        self.base = plain.rstrip("/")
        self.options = dict(storage_options or {}) or None
        self.is_local = "://" not in plain

    def root(self) -> UPath:
        """The lake's root as a path object of its own file system."""
        from upath import UPath

        if self.is_local or not self.options:
            return UPath(self.base) if self.is_local else UPath(self.base, use_listings_cache=False)
        return UPath(
            self.base,
            key=self.options.get("aws_access_key_id"),
            secret=self.options.get("aws_secret_access_key"),
            endpoint_url=self.options.get("aws_endpoint_url"),
            client_kwargs={"region_name": self.options.get("aws_region", "us-east-1")},
            use_listings_cache=False,  # s3fs would serve a stale listing
        )

    def folder(self, table: str) -> UPath:
        """The folder of a table."""
        return self.root().joinpath(*table.split("/"))

    def part(self, table: str, key: str | None = None) -> UPath:
        """The file of a table or of one of its partitions. Keys are percent-encoded where a path needs it."""
        folder = self.folder(table)
        return (folder if key is None else folder / f"partition={quote(key, safe=' ')}") / PART

    def exists(self, table: str, key: str | None = None) -> bool:
        """Whether a good version of this partition was ever committed."""
        return self.part(table, key).exists()

    def keys(self, table: str) -> list[str]:
        """Partition keys that have a file, sorted."""
        folder = self.folder(table)
        if not folder.exists():
            return []
        found = (
            item.name.removeprefix("partition=") for item in folder.iterdir() if item.name.startswith("partition=")
        )
        return sorted(key for key in map(unquote, found) if self.exists(table, key))

    def write(
        self,
        table: str,
        key: str | None,
        rows: pl.DataFrame,
        before_commit: Callable[[], None] | None = None,
        order: int | None = None,
        run: str = "",
    ) -> UPath:
        """Commit rows as one partition. `before_commit` runs last before the rename and may raise to stop it.

        order: the number that `begin` gave this writer; Fenced is raised where one with a higher number committed.
        run: the id of the run that writes, kept in the file.
        """
        from twainbot import records

        schema = records.schema_of(table)
        checked = rows if schema is None else records.conform(rows, schema, table)
        path = self.part(table, key)
        metadata = {SCHEMA_KEY: str(records.SCHEMA_VERSION), **({RUN_KEY: run} if run else {})}
        if self.is_local:
            turn = self._turn(table, key, Path(str(path)).parent, order)
            replace_file(
                Path(str(path)), lambda file: checked.write_parquet(file, metadata=metadata), before_commit, turn
            )
        else:
            if before_commit is not None:
                before_commit()
            checked.write_parquet(str(path), metadata=metadata, storage_options=self.options)  # one PUT: atomic per key
        return path

    def begin(self) -> int | None:
        """A number for a writer that begins to read now; None in an object store, which keeps no order."""
        return orders.begin(Path(self.base)) if self.is_local else None

    @contextmanager
    def _turn(self, table: str, key: str | None, folder: Path, order: int | None) -> Iterator[None]:
        """Hold a partition while it is replaced. Raises Fenced where a writer that began later was there."""
        if order is None:
            yield
            return
        with orders.turn(folder, order) as last:
            if last > order:
                which = table if key is None else f"{table} [{key}]"
                raise Fenced(
                    f"A run that began later has already committed {which}, so the result of this older one was not "
                    "written. Nothing needs to be done: the newer version stands."
                )
            yield

    def scan(self, table: str, key: str | None = None) -> pl.LazyFrame:
        """One table or partition, lazily. Raises BadInput where it was never committed, StaleSchema on an old file."""
        import polars as pl

        path = self.part(table, key)
        if not path.exists():
            which = table if key is None else f"{table} [{key}]"
            raise BadInput(f"{which} was never materialized. Run `twainbot run --select {table}`.")
        self._check_version(path, table, key)
        return pl.scan_parquet(str(path), glob=False, storage_options=self.options)  # a home may be called "run[1]"

    def writer(self, table: str, key: str | None = None) -> str:
        """The id of the run that wrote a partition; empty where the file names none, or is no Parquet file."""
        import polars as pl

        try:
            return pl.read_parquet_metadata(str(self.part(table, key)), storage_options=self.options).get(RUN_KEY, "")
        except (pl.exceptions.PolarsError, OSError):
            return ""

    def scan_all(self, table: str, keys: Iterable[str] | None = None) -> pl.LazyFrame:
        """The last good file of every key (default: of every key that has one), stacked; no file gives no rows."""
        import polars as pl

        from twainbot import records

        wanted = self.keys(table) if keys is None else [key for key in keys if self.exists(table, key)]
        frames = [self.scan(table, key) for key in sorted(wanted)]
        if frames:
            return pl.concat(frames, how="diagonal_relaxed")
        return records.empty(records.schema_of(table) or {}).lazy()

    def read(self, table: str, key: str | None = None) -> pl.DataFrame:
        """`scan`, collected."""
        return self.scan(table, key).collect()

    def _check_version(self, path: UPath, table: str, key: str | None) -> None:
        import polars as pl

        from twainbot import records

        target = str(path)
        try:
            found = pl.read_parquet_metadata(target, storage_options=self.options).get(SCHEMA_KEY)
        except (pl.exceptions.PolarsError, OSError) as error:
            trouble = None if isinstance(error, FileNotFoundError) else trouble_of(self.base, error)
            if trouble is not None:  # of disk or net: the file may be as good as it was
                raise LakeUnavailable(trouble) from error
            raise BadInput(
                f"{target} is not a readable Parquet file ({error}). Rebuild it: {repair(table, key)}"
            ) from error
        if found != str(records.SCHEMA_VERSION):
            expected = f"this code reads version {records.SCHEMA_VERSION}"
            raise StaleSchema(f"{target} has schema version {found}, {expected}. Rebuild it: {repair(table, key)}")

    def publish_folder(self, table: str, source: Path, digest: str) -> str:
        """Copy a folder to `<table>/files/<digest>` and return that path relative to the lake.

        Content-addressed: the same digest is written once, and a half copy is never visible under its final name.
        """
        relative = f"{table}/files/{digest}"
        target = self.root().joinpath(*relative.split("/"))
        if not self.is_local:
            for file in sorted(path for path in source.rglob("*") if path.is_file()):
                # pipe_file commits whole objects; open("wb") would commit a torn one on an exception
                target.fs.pipe_file(target.joinpath(*file.relative_to(source).parts).path, file.read_bytes())
            return relative
        final = Path(str(target))
        if not final.exists():
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
            try:
                shutil.copytree(source, temporary)
                temporary.rename(final)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return relative

    def fetch_folder(self, relative: str, cache: Path) -> Path:
        """A published folder as a local path: in place on a local lake, else downloaded once into the cache."""
        source = self.root().joinpath(*relative.split("/"))
        if self.is_local:
            folder = Path(str(source))
            if not folder.is_dir():
                raise BadInput(f"The lake has no folder {relative}. {folder_repair(relative)}")
            return folder
        items = [item for item in source.rglob("*") if item.is_file()]
        if not items:
            raise BadInput(f"The lake has no folder {relative}. {folder_repair(relative)}")
        target = cache / "lake" / relative
        for item in items:
            file = target / str(item.relative_to(source))
            if not file.exists():
                replace_file(file, lambda path, item=item: path.write_bytes(item.read_bytes()))
        return target


def repair(table: str, key: str | None) -> str:
    """The command that rebuilds a table or partition."""
    return f"`twainbot run --force --select {table}" + (f" --partition {key}`" if key else "`")


def folder_repair(relative: str) -> str:
    """What brings a published folder back. A bundle is cut once, so no command makes it again."""
    table = relative.partition("/files/")[0]
    bundle = table.startswith("release/")
    return "Put it back from a copy, or cut the next version." if bundle else f"Rebuild it: {repair(table, None)}"


def replace_file(
    path: Path,
    write: Callable[[Path], object],
    before_commit: Callable[[], None] | None = None,
    turn: AbstractContextManager[object] | None = None,
) -> None:
    """Write to a temporary name in the same folder, fsync, then rename over `path`. An exception leaves the old file.

    turn: what is held from before `before_commit` until after the rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        with turn or nullcontext():
            if before_commit is not None:
                before_commit()
            temporary.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # the rename itself must survive a power cut
        finally:
            os.close(descriptor)
    finally:
        temporary.unlink(missing_ok=True)


def fence(context: dg.OutputContext) -> None:
    """Raise Fenced unless the run that wants to commit is still alive (8-18 ms on SQLite)."""
    try:
        instance, run_id = context.step_context.instance, context.run_id
    except (dg.DagsterInvariantViolationError, AttributeError):
        return  # built by hand, outside a run
    run = instance.get_run_by_id(run_id)
    if run is None or run.status not in LIVE:
        state = "gone" if run is None else run.status.value
        raise Fenced(f"Run {run_id} is {state}, so its late result was not committed. Start a new run.")


@contextmanager
def reported(base: str, what: str = "") -> Iterator[None]:
    """Raise LakeUnavailable, with the repair, for a fault of disk or net. what: the partition that was to be written."""
    try:
        yield
    except TwainBotError:
        raise
    except Exception as error:
        text = trouble_of(base, error, what)
        if text is None:
            raise
        raise LakeUnavailable(text) from None


def trouble_of(base: str, error: Exception, what: str = "") -> str | None:
    """The sentence for a fault of disk or net; None for any other error."""
    plain = " ".join(str(error).split())
    nothing_lost = f"{what} was not written and its last good version stays" if what else "Nothing was changed"
    if "://" in base and not base.startswith("file://"):
        remote = type(error).__module__.partition(".")[0] in REMOTE or any(word in plain for word in OVER_THE_NET)
        if not isinstance(error, OSError) and not remote:
            return None
        return (
            f"The lake {base} cannot be reached ({plain}). {nothing_lost}. Check the store, AWS_ENDPOINT_URL and the "
            "credentials, then run again."
        )
    full = getattr(error, "errno", None) in NO_ROOM or any(word in plain for word in FULL)
    if not isinstance(error, OSError) and not full:
        return None
    state = "The disk of the lake {} is full" if full else "The lake {} cannot be used"
    advice = "Make room, for example by `twainbot clean`" if full else "Check that the disk is there and can be written"
    return f"{state.format(base)} ({plain}). {nothing_lost}. {advice}, then run again."


def run_of(context: dg.OutputContext) -> str:
    """The id of the run that writes; empty where a context was built by hand."""
    try:
        return context.run_id
    except (dg.DagsterInvariantViolationError, AttributeError):
        return ""


def gathered(lake: Lake, instance: dg.DagsterInstance, table: str, keys: Sequence[str]) -> pl.LazyFrame:
    """The last good file of each of these partitions, stacked. One that was never made has none and is left out.

    Raises BadInput where one was made and its file is gone.
    """
    refuse_lost(lake, instance, table, [key for key in keys if not lake.exists(table, key)])
    return lake.scan_all(table, keys)


def refuse_lost(lake: Lake, instance: dg.DagsterInstance, table: str, absent: Sequence[str]) -> None:
    """Raise BadInput where one of these partitions, which have no file, was made.

    The file comes back with the version that was recorded of it, so what was made without it would count as fresh for good.
    """
    made = instance.get_materialized_partitions(dg.AssetKey(table.split("/"))) if absent else set()
    lost = [key for key in absent if key in made]
    if lost:
        more = f" (and of {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise BadInput(
            f"{table} [{lost[0]}] was made, and its file{more} is gone from the lake {lake.base}: a table over all "
            f"partitions would lack the rows. Run `twainbot run --select +{table}`, then this again."
        )


class LakeResource(dg.ConfigurableResource[None]):
    """The lake for assets and checks that read tables beside their inputs. `base`: a folder or URL."""

    base: str
    storage_options: dict[str, str] = {}  # noqa: RUF012  (pydantic copies defaults)

    def open(self) -> Lake:
        """The lake itself."""
        return Lake(self.base, self.storage_options)


class LakeIOManager(dg.ConfigurableIOManager):
    """Stores polars frames as lake partitions and hands them back as LazyFrames; a fan-in is one stacked frame."""

    base: str
    storage_options: dict[str, str] = {}  # noqa: RUF012  (pydantic copies defaults)

    _order: int | None = PrivateAttr(default=None)  # of the step at work: when it began to read

    @override
    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Take a number for the first step of this process. Whatever inputs a step has, it takes a new one with them."""
        with reported(self.base):
            self._order = Lake(self.base, self.storage_options).begin()

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Commit one frame, fenced. Tells Dagster where it lies and how large it is.

        Raises LakeUnavailable where the lake takes nothing.
        """
        lake = Lake(self.base, self.storage_options)
        key = context.partition_key if context.has_asset_partitions else None
        table = "/".join(context.asset_key.path)
        with reported(self.base, table if key is None else f"{table} [{key}]"):
            path = lake.write(table, key, obj, lambda: fence(context), self._order, run_of(context))
        context.add_output_metadata({"path": dg.MetadataValue.path(str(path)), "bytes": path.stat().st_size})

    def load_input(self, context: dg.InputContext) -> Any:
        """A partition, a table, or the last good file of every upstream key; keys without a file are named in the log.

        Raises BadInput where one of these keys had a file.
        """
        with reported(self.base):
            return self._load(context, Lake(self.base, self.storage_options))

    def _load(self, context: dg.InputContext, lake: Lake) -> Any:
        self._order = lake.begin()
        table = "/".join(context.asset_key.path)
        if not context.has_asset_partitions:
            return lake.scan(table)
        keys: Sequence[str] = list(context.asset_partition_keys)
        if context.has_partition_key and len(keys) == 1:
            return lake.scan(table, keys[0])
        absent = [key for key in keys if not lake.exists(table, key)]
        if absent:
            context.log.warning(
                f"{table} has no good version of {len(absent)} registered partitions: {', '.join(absent)}"
            )
            with suppress(dg.DagsterInvariantViolationError):  # built by hand, outside a run: no instance
                refuse_lost(lake, context.instance, table, absent)
        return lake.scan_all(table, keys)
