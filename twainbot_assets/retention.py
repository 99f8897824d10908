"""`twainbot clean`: what nothing needs any more. Tables, raw downloads, base models and cached answers always stay.

Unneeded are folders of adapters and bundles that no current row names, what finished trainings and bundles left in
work/, and temporary files of a killed write. Only what has lain untouched for an hour is listed: a run publishes a
folder before it commits the row that names it. A lake in an object store is left alone.
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
TEMPORARY = re.compile(r"^\..+\.[0-9a-f]{32}\.tmp$")  # the names that resources/lake.py writes under


def unneeded(home: Home, now: float | None = None) -> list[tuple[Path, int]]:
    """(path, bytes) of what can go, sorted by path; none lies inside another. `now`: seconds since the epoch.

    Raises BadInput where a table cannot be read: then nobody knows what it names.
    """
    moment = time.time() if now is None else now
    found = {*unnamed_folders(home), *finished_work(home.work), *temporary_files(home)}
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
