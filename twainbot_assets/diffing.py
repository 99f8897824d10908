"""`twainbot diff`: two data bundles, out of the lake or in folders. What differs and why is twainbot/release/compare.py's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.errors import BadUse, UnknownName
from twainbot_assets.tools import verify_folder

if TYPE_CHECKING:
    import polars as pl

    from resources.home import Home
    from resources.lake import Lake
    from twainbot.release.compare import Group

DATA = "twainbot-data"
LONGEST = 100  # characters of a reason in the terminal


@dataclass(frozen=True)
class Bundle:
    """A data bundle with its tables."""

    name: str
    manifest: Mapping[str, Any]
    tables: Mapping[str, pl.DataFrame]


def diff(home: Home, old: str, new: str, as_json: bool = False) -> str:
    """What the newer bundle has other than the older one, as a table or as JSON.

    `old`, `new`: versions in the lake, or folders. Raises UnknownName on a version that the lake lacks, BadUse on two
    equal bundles and on one that holds no data, BadInput on one whose files are not those of its manifest.
    """
    from twainbot.release import compare

    if old == new:
        raise BadUse(f"{old} and {new} are the same version. Name two.")
    before, after = opened(home, old), opened(home, new)
    if before.manifest["manifest_id"] == after.manifest["manifest_id"]:
        raise BadUse(f"{old} and {new} are the same bundle, {before.manifest['version']}. Name two.")
    found = compare.changes(before.tables, after.tables)
    totals, groups = compare.totals(found, before.tables, after.tables), compare.grouped(found)
    if as_json:
        sides = {"old": side(before), "new": side(after)}
        told = {
            **sides,
            "totals": totals,
            "groups": [asdict(group) for group in groups],
            "rows": [asdict(each) for each in found],
        }
        return json.dumps(told, ensure_ascii=False, indent=2)
    return "\n".join(lines(before, after, totals, groups))


def opened(home: Home, name: str) -> Bundle:
    """A bundle by version or folder, checked whole."""
    from resources.bundles import read_tables
    from resources.lake import Lake
    from twainbot.release import data_card, manifest

    folder = Path(name) if Path(name).is_dir() else folder_of(Lake(home.lake), home, name)
    verify_folder(folder)
    found = manifest.from_json((folder / manifest.MANIFEST_NAME).read_bytes())
    if found["name"] != DATA:
        raise BadUse(
            f"{name} is {found['name']} {found['version']}, which holds no data set. Name a data-v... version."
        )
    return Bundle(name, found, read_tables(folder, data_card.configs()))


def folder_of(lake: Lake, home: Home, version: str) -> Path:
    """The folder of a data version in the lake."""
    if lake.exists("release/model", version):
        raise BadUse(f"{version} is a model, and only data sets are compared. Name a data-v... version.")
    if not lake.exists("release/dataset", version):
        known = ", ".join(lake.keys("release/dataset")) or "none yet"
        raise UnknownName(f"No data version {version!r} in {lake.base}, and no such folder. Versions: {known}.")
    return lake.fetch_folder(lake.read("release/dataset", version)["folder"][0], home.cache)


def side(bundle: Bundle) -> dict[str, Any]:
    """A bundle by what names it."""
    return {key: bundle.manifest[key] for key in ("version", "manifest_id")}


def lines(
    before: Bundle, after: Bundle, totals: Sequence[Mapping[str, Any]], groups: Sequence[Group]
) -> Iterator[str]:  # fmt: skip
    """The comparison for people: sums by config, then each group of changes with one of its ids."""
    yield f"{before.manifest['version']} -> {after.manifest['version']}"
    yield ""
    names = ("config", "before", "after", "added", "removed", "changed")
    yield from aligned([names, *([str(row[name]) for name in names] for row in totals)])
    if not groups:
        yield "\nNo row differs."
        return
    yield ""
    head = ("config", "", "rows", "source", "reason", "such as")
    rows = [
        (group.config, group.what, str(group.rows), group.source, group.reason[:LONGEST], group.first)
        for group in groups
    ]
    yield from aligned([head, *rows])


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows as lines whose columns stand under each other; numbers to the right."""
    listed = [list(row) for row in rows]
    widths = [max(len(row[at]) for row in listed) for at in range(len(listed[0]))]
    for row in listed:
        cells = [
            cell.rjust(width) if cell.isdigit() else cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()
