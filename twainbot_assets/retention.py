"""`twainbot clean`, the files: what nothing needs any more. Runs are run_history.py's. Tables, models, cached answers stay.

Unneeded are folders of adapters and bundles that no current row names; what finished trainings and bundles left in work/,
and of unfinished ones the checkpoints that nobody resumes; downloads that no index, row or bundle of any profile names; and
temporary files of a killed write. Only what has lain untouched for an hour is listed: a run publishes a folder before it
commits the row that names it. A lake in an object store is left alone.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resources.lake import PART
from twainbot.errors import BadInput, BadUse

if TYPE_CHECKING:
    from resources.home import Home

PUBLISHING_STAGES = ("adapters", "release")  # their tables keep folders beside them, under files/<digest>
NAMING_STAGES = (*PUBLISHING_STAGES, "evals")  # whose rows may name a published folder
SETTLED_S = 3600.0  # no write or commit takes an hour; whatever is younger may belong to a run at work
FINISHED = ("record.json", "manifest.json")  # written last by a training, and by the making of a bundle
SEAL = "sealed.json"  # training/watch.py writes it into a checkpoint when all its files are there
SHA256 = re.compile(r"[0-9a-f]{64}")
NAMING_COLUMNS = ("raw_sha256", "provenance")  # of a table, in which downloads are named
TEXTS = {".json", ".jsonl"}
TEMPORARY = re.compile(r"^\..+\.[0-9a-f]{32}\.tmp$")  # the names that resources/lake.py writes under


def unneeded(home: Home, now: float | None = None) -> list[tuple[Path, int]]:
    """(path, bytes) of what can go, sorted by path; none lies inside another. `now`: seconds since the epoch.

    Raises BadInput where a table cannot be read: then nobody knows what it names.
    """
    moment = time.time() if now is None else now
    found = {
        *unnamed_folders(home), *finished_work(home.work), *useless_checkpoints(home.work), *unnamed_downloads(home),
        *temporary_files(home),
    }  # fmt: skip
    outermost = (path for path in found if found.isdisjoint(path.parents))
    return [(path, size_of(path)) for path in sorted(outermost) if settled(path, moment)]


def delete(paths: Iterable[Path]) -> None:
    """Delete files and folders; what is gone already is no fault. A link is removed, never followed."""
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise BadUse(f"{path} cannot be deleted: {error.strerror}. Check its permissions.") from error


def unnamed_folders(home: Home) -> list[Path]:
    """Published folders whose path stands in no row of any table of the lake's publishing stages or scorecards."""
    if "://" in home.lake:
        return []
    lake = Path(home.lake)
    folders = [
        path for stage in PUBLISHING_STAGES for path in lake.glob(f"{stage}/*/files/*") if not path.name.startswith(".")
    ]
    if not folders:
        return []
    texts = [
        rows_as_text(part) for part in sorted(lake.rglob(PART)) if part.relative_to(lake).parts[0] in NAMING_STAGES
    ]
    return [path for path in folders if not named(path.relative_to(lake).as_posix(), texts)]


def rows_as_text(part: Path) -> str:
    """All values of a Parquet file as one text, to look for paths in: they may stand in any column, or inside JSON."""
    import polars as pl

    try:
        rows = pl.read_parquet(part)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{part} cannot be read ({error}), so what it needs is unknown. Rebuild it before.") from error
    return json.dumps(rows.to_dicts(), default=str, ensure_ascii=False)


def named(relative: str, texts: Sequence[str]) -> bool:
    """Whether a folder's path in the lake stands anywhere in these rows."""
    return any(relative in text for text in texts)


def finished_work(work: Path) -> Iterator[Path]:
    """Folders of trainings and bundles that ended: the graph never reads them again. A training without can be resumed."""
    return (record.parent for name in FINISHED for record in work.rglob(name))


def useless_checkpoints(work: Path) -> Iterator[Path]:
    """Of trainings that have not ended: checkpoints that a kill left unsealed, and all of an earlier order's.

    A folder checkpoints/<fingerprint> is one order of a stage; the newest is the one that is resumed, if its order stands.
    """
    for folder in work.rglob("checkpoints"):
        orders = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        yield from (path for path in orders[:-1] if list(path.glob("checkpoint-*")))
        for order in orders[-1:]:
            yield from (path for path in order.glob("checkpoint-*") if not (path / SEAL).is_file())


def unnamed_downloads(home: Home) -> list[Path]:
    """Raw files with their sidecars that nothing names: no index of the raw store, no table and no bundle of any profile.

    The raw store is all profiles'. Where one has its lake elsewhere nobody knows what that names, and none is listed.
    """
    blobs = {path.name: path for path in home.raw.glob("??/*") if SHA256.fullmatch(path.name)}
    lakes = [folder.parent / "lake" for folder in home.root.glob("*/dagster")]
    if not blobs or "://" in home.lake or not all(lake.is_dir() for lake in lakes):
        return []
    left = set(blobs) - named_by_index(home.raw)
    for lake in dict.fromkeys([*lakes, Path(home.lake)]):
        if left:
            left -= named_by_lake(lake)
    found = [blobs[name] for name in left]
    return [*found, *(side for path in found if (side := path.with_suffix(".json")).exists())]


def named_by_index(raw: Path) -> set[str]:
    """Hashes in the raw store's own lists: latest and last good answers, cached headers, what was gathered."""
    lists = (path for path in raw.glob("*/**/*.json") if len(path.relative_to(raw).parts[0]) > 2)
    return {found for path in lists for found in SHA256.findall(path.read_text(encoding="utf-8", errors="replace"))}


def named_by_lake(lake: Path) -> set[str]:
    """Hashes in the tables of a lake and in the files of its bundles. Only the columns that name downloads are read."""
    found = set[str]()
    for path in lake.rglob("*"):
        if path.suffix == ".parquet":
            found |= named_by_table(path)
        elif path.suffix in TEXTS and path.is_file():
            with path.open(encoding="utf-8", errors="replace") as lines:
                found |= {name for line in lines for name in SHA256.findall(line)}
    return found


def named_by_table(path: Path) -> set[str]:
    """Hashes in the columns of a Parquet file that name downloads. Raises BadInput where it cannot be read."""
    import polars as pl

    try:
        columns = [name for name in pl.read_parquet_schema(path) if name in NAMING_COLUMNS]
        rows = pl.read_parquet(path, columns=columns).unique() if columns else pl.DataFrame()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path} cannot be read ({error}), so what it needs is unknown. Rebuild it before.") from error
    return set(SHA256.findall(json.dumps(rows.to_dicts(), default=str)))


def temporary_files(home: Home) -> Iterator[Path]:
    """Files and folders that a killed write left under its temporary name."""
    roots = {home.own, home.raw, home.models, home.cache, *([Path(home.lake)] if "://" not in home.lake else [])}
    return (path for root in roots for path in root.rglob(".*.tmp") if TEMPORARY.match(path.name))


def settled(path: Path, now: float) -> bool:
    """Whether nothing in a file or folder changed for an hour; ctime cannot be set back by a copy, as mtime can."""
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return all(now - item.lstat().st_ctime > SETTLED_S for item in (path, *inside))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(item.lstat().st_size for item in path.rglob("*") if item.is_file())
    return path.lstat().st_size
