"""A data bundle's tables as files, written and read back. Hashes and lists of files are twainbot/release/manifest.py's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from twainbot.errors import BadInput, BadUse

if TYPE_CHECKING:
    import polars as pl

JSONL = "jsonl"


def write_tables(
    bundle: Path, tables: Mapping[str, pl.DataFrame], files: Mapping[str, Mapping[str, str]]
) -> None:  # fmt: skip
    """Each config's splits as Parquet, and the same rows as JSON lines. `files`: config to split to Parquet file."""
    from twainbot.release.data_card import json_line

    for config, paths in files.items():
        for split, path in paths.items():
            rows = tables[config].filter(split=split) if "split" in tables[config].columns else tables[config]
            parquet, lines = bundle / path, bundle / JSONL / Path(path).with_suffix(".jsonl")
            for file in (parquet, lines):
                file.parent.mkdir(parents=True, exist_ok=True)
            write_parquet(parquet, rows)
            lines.write_text("".join(f"{json_line(row)}\n" for row in rows.iter_rows(named=True)), encoding="utf-8")


def write_parquet(path: Path, rows: pl.DataFrame) -> None:
    """Rows as Parquet with plain strings and lists, as every reader knows them.

    A split without rows has no row group either: one of no rows is an error to `datasets` (5.2: "BatchSize must be
    greater than 0").
    """
    import pyarrow.parquet as pq

    table = rows.to_arrow()
    with pq.ParquetWriter(path, table.schema, store_schema=False) as writer:
        if table.num_rows:
            writer.write_table(table)


def read_tables(bundle: Path, files: Mapping[str, Mapping[str, str]]) -> dict[str, pl.DataFrame]:
    """A data bundle's tables by config, splits stacked. Raises BadUse where the folder is an older kind of bundle."""
    return {config: stacked(bundle, list(paths.values())) for config, paths in files.items()}


def stacked(bundle: Path, paths: Iterable[str]) -> pl.DataFrame:
    """Parquet files of one shape as one table. Raises BadUse naming a file that is not there, BadInput one that is broken."""
    import polars as pl

    found = []
    for path in paths:
        if not (bundle / path).is_file():
            raise BadUse(f"{bundle} has no {path}: it was cut before bundles told where rows come from. Cut it again.")
        try:
            found.append(pl.read_parquet(bundle / path))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadInput(
                f"{bundle / path} is not a readable Parquet file ({error}). Fetch the bundle again."
            ) from error
    return pl.concat(found)
