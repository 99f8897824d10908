"""Planted faults that the gates must catch: read from the manifests of folder sources, matched to works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twainbot_assets.profile import SOURCES

if TYPE_CHECKING:
    import polars as pl

    from resources.sources import Harvest

EVAL_TEXT = "eval_text"
COPIES = ("near_duplicate", "exact_duplicate")


@dataclass(frozen=True)
class Canary:
    """One planted fault. `work`: the work id it becomes; empty for a row that cannot be parsed."""

    kind: str
    work: str
    of: str  # work id of what it copies, for copies
    source: str
    unit: str
    caught_by: str


def planted(harvest: Harvest) -> list[Canary]:
    """All canaries of the units that this profile harvests from folders."""
    from resources.folder_source import FolderSource
    from resources.sources import Joined

    found: list[Canary] = []
    for source in SOURCES:
        door = harvest.door(source)
        doors = door.doors if isinstance(door, Joined) else [door]
        folders = [folder for folder in doors if isinstance(folder, FolderSource)]
        wanted = set(harvest.units(source)) if folders else set[str]()  # a mirror would ask over the net
        for folder in folders:
            for unit in sorted(wanted.intersection(folder.units())):
                listed = folder.known(unit).get("canaries") or []
                found.extend(as_canary(source, unit, entry) for entry in listed)
    return found


def as_canary(source: str, unit: str, entry: dict[str, Any]) -> Canary:
    """A manifest entry as a canary. `of` names a work of the same source as `<unit>/<heading or id>`."""
    from twainbot.corpora.works import slug

    name = entry.get("heading") or entry.get("id")
    malformed = entry["kind"] == "malformed"
    of_unit, _, of_name = str(entry.get("of") or "").partition("/")
    return Canary(
        kind=entry["kind"],
        work="" if malformed or not name else f"{source}/{unit}/{slug(str(name))}",
        of=f"{source}/{of_unit}/{slug(of_name)}" if entry["kind"] in COPIES else "",
        source=source,
        unit=unit,
        caught_by=entry["caught_by"],
    )


def copies(harvest: Harvest, chunks: pl.DataFrame) -> list[tuple[str, str]]:
    """Work ids (copy, original) of planted copies, where the units of both have chunks."""
    units = set(chunks.select("source", "unit").unique().iter_rows())
    named = {unit for _, unit in units}
    return [
        (canary.work, canary.of)
        for canary in planted(harvest)
        if canary.kind in COPIES and (canary.source, canary.unit) in units and canary.of.split("/")[1] in named
    ]


def planted_eval_text(harvest: Harvest, chunks: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Work id of each planted evaluation problem to its chunks, id and text, where the canary's unit has chunks at all.

    A planted work without chunks has an empty mapping: its fault can be found nowhere.
    """
    import polars as pl

    units = set(chunks.select("source", "unit").unique().iter_rows())
    works = [
        canary.work for canary in planted(harvest) if canary.kind == EVAL_TEXT and (canary.source, canary.unit) in units
    ]
    rows = chunks.filter(pl.col("work_id").is_in(works)).select("work_id", "chunk_id", "text").iter_rows()
    found: dict[str, dict[str, str]] = {work: {} for work in works}
    for work, chunk_id, text in rows:
        found[work][chunk_id] = text
    return found
