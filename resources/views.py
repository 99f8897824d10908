"""DuckDB views over the lake's files. The lake stays the only store: dropping the database loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.lake import PART, Lake

if TYPE_CHECKING:
    import duckdb
    import polars as pl


def tables(lake: Lake) -> list[str]:
    """Tables of the lake that have at least one file, by path, sorted."""
    root = lake.root()
    found = set()
    for file in root.rglob(PART):
        parts = file.relative_to(root).parts[:-1]
        found.add("/".join(part for part in parts if not part.startswith("partition=")))
    return sorted(found)


def rebuild(connection: duckdb.DuckDBPyConnection, lake: Lake) -> pl.DataFrame:
    """Drop all views and make one per table, named `<stage>_<asset>`.

    Returns view, files (relative to the lake) and rows, null where the view fails.
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
    for table in tables(lake):
        view, files = table.replace("/", "_"), pattern(lake, table)
        quoted = str(lake.root() / files).replace("'", "''")
        source = f"read_parquet('{quoted}', hive_partitioning=true, union_by_name=true)"
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
