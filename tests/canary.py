"""Looks for a secret in everything that a home holds: plain bytes, cells of SQLite (Dagster packs its snapshots), Parquet,
packed files. What it can find is tested beside it: a search that misses a container would be no proof.
"""

from __future__ import annotations

import base64
import gzip
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import polars as pl


def disguises(secret: str) -> list[bytes]:
    """The secret as it may be written: plain, quoted, and the three ways in which base64 shows what stands in its middle."""
    plain = secret.encode()
    shifted = [base64.b64encode(b"x" * shift + plain)[4 if shift else 0 : -4].rstrip(b"=") for shift in range(3)]
    return [plain, quote(secret, safe="").encode(), plain.hex().encode(), *shifted]


def found_in(folder: Path, secret: str) -> list[str]:
    """Where the secret stands, file by file, with the table of a database."""
    marks = disguises(secret)
    return [
        f"{path.relative_to(folder)}{where}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for where, raw in pieces(path)
        if any(mark in raw for mark in marks)
    ]


def pieces(path: Path) -> Iterator[tuple[str, bytes]]:
    """(where, bytes) of a file: itself, and what is packed in it."""
    raw = path.read_bytes()
    yield "", raw + path.name.encode()
    if raw.startswith(b"SQLite format 3"):
        yield from cells(path)
    if path.suffix == ".parquet":
        yield " (rows)", str(pl.read_parquet(path).to_dicts()).encode("utf-8", "replace")
    if raw.startswith(b"\x1f\x8b"):
        with suppress(OSError, EOFError, zlib.error):
            yield " (unpacked)", gzip.decompress(raw)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f" ({name})", archive.read(name)


def cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every cell of every table, unpacked where it is packed."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        base.text_factory = bytes
        names = [name.decode() for (name,) in base.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            for row in base.execute(f'select * from "{name}"'):
                for cell in row:
                    if isinstance(cell, bytes):
                        yield f" [{name}]", cell
                        with suppress(zlib.error):
                            yield f" [{name}] (unpacked)", zlib.decompress(cell)
