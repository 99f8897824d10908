"""DuckDB views over the lake's files. The lake stays the only store: dropping the database loses nothing.

A file of a unit, batch or recipe that was taken out stays in the lake and is in no view. `registered` names the units that
count; whoever makes the views says what else does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from resources.lake import PART, Lake

if TYPE_CHECKING:
    import duckdb
    import polars as pl


UNIT_STAGES = ("corpora", "chunks", "screened", "dedupe/signatures")  # one partition a unit, and a table a source
Units: TypeAlias = Mapping[str, Collection[str]]  # source to its unit keys
Counted: TypeAlias = Callable[[str, Units | None], Collection[str] | None]  # what of a table counts; None: all of it


def registered(lake: Lake) -> Units | None:
    """The units that the last audit names: for whom has no Dagster instance at hand. None where nothing was audited yet."""
    if not lake.exists("corpora/audit"):
        return None
    rows = lake.read("corpora/audit")
    found: dict[str, set[str]] = {}
    for source, unit in rows.filter(rows["state"] != "not taken").select("source", "unit").iter_rows():
        found.setdefault(source, set()).add(unit)
    return found


def units_of(table: str, units: Units | None) -> Collection[str] | None:
    """The partition keys of a table that count; None where all do, as in a table that is not made unit by unit."""
    stage, _, source = table.rpartition("/")
    return units.get(source, ()) if units is not None and stage in UNIT_STAGES else None


def tables(lake: Lake) -> list[str]:
    """Tables of the lake that have at least one file, by path, sorted."""
    root = lake.root()
    found = set()
    for file in root.rglob(PART):
        parts = file.relative_to(root).parts[:-1]
        found.add("/".join(part for part in parts if not part.startswith("partition=")))
    return sorted(found)


def rebuild(connection: duckdb.DuckDBPyConnection, lake: Lake, counted: Counted = units_of) -> pl.DataFrame:
    """Drop all views and make one per table, named `<stage>_<asset>`; rows of partitions that do not count are not seen.

    counted: which partitions of a table count, by the units of the last audit. Returns view, files (relative to the lake)
    and rows, null where the view fails.
    """
    import duckdb
    import polars as pl

    connection.execute(
        "set autoinstall_known_extensions=false"
    )  # offline, and nothing is to be fetched behind our back
    if not lake.is_local:
        connection.register_filesystem(lake.root().fs)
    old = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
    for (name,) in old:
        connection.execute(f'drop view "{name}"')
    rows = []
    units = registered(lake)
    for table in tables(lake):
        view, files = table.replace("/", "_"), pattern(lake, table)
        quoted = str(lake.root() / files).replace("'", "''")
        seen = but(lake, table, counted(table, units))
        source = f"read_parquet('{quoted}', hive_partitioning=true, union_by_name=true){seen}"
        try:
            connection.execute(f'create view "{view}" as select * from {source}')  # noqa: S608 - names are our own
            count = connection.execute(f'select count(*) from "{view}"').fetchall()[0][0]  # noqa: S608
        except duckdb.Error:
            count = None
        rows.append({"view": view, "files": files, "rows": count})
    schema = {"view": pl.String, "files": pl.String, "rows": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def pattern(lake: Lake, table: str) -> str:
    """The glob that names a table's files, relative to the lake: where that lies is no part of what it holds."""
    return f"{table}/partition=*/{PART}" if lake.keys(table) else f"{table}/{PART}"


def but(lake: Lake, table: str, counted: Collection[str] | None) -> str:
    """The condition that leaves out the files of partitions that do not count; empty where there are none."""
    if counted is None:
        return ""
    gone = [key for key in lake.keys(table) if key not in counted]
    ends = (f"/{table}/partition={quote(key, safe=' ')}/{PART}".replace("'", "''") for key in gone)
    return " where " + " and ".join(f"not ends_with(filename, '{end}')" for end in ends) if gone else ""
