"""Two data bundles against each other: rows added, removed and changed, by source and reason.

A reason is what the bundles themselves know: the newer one's `left_out` says why a row is no longer there, the older
one's why a new row was not; otherwise the work or batch behind the row tells.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl

from twainbot.release.funnel import kind_of
from twainbot.release.origins import WRITTEN_HERE

Tables: TypeAlias = Mapping[str, pl.DataFrame]

COMPARED = ("dapt", "sft", "preferences")
CHANGES = ("added", "removed", "changed")
WORDS = {  # reasons of left_out as they follow `now` or `no longer`
    "duplicate_in": "rejected as a near-duplicate",
    "near_duplicate": "rejected as a near-duplicate",
    "eval_text": "rejected as text of an evaluation",
    "rights_unknown": "rejected for unknown rights",
    "rights_restricted": "rejected for restricted rights",
    "rights_forbid_release": "withheld: its rights forbid a release of the text",
    "parent_not_curated": "rejected with the passage that it was written from",
    "would_tie_splits": "held back, since it would tie two splits",
    "its_dialogue_is_left_out": "left out with the dialogue that it was made from",
}


@dataclass(frozen=True)
class Change:
    """One row that differs. `what`: added | removed | changed."""

    what: str
    config: str
    sample_id: str
    source: str
    reason: str


@dataclass(frozen=True)
class Row:
    """What is compared of a row: its split, and a hash of each of its columns."""

    split: str
    columns: Mapping[str, str]


def changes(old: Tables, new: Tables) -> list[Change]:
    """All rows that differ, sorted by config, by what happened, and by id."""
    before_side, after_side = side_of(old), side_of(new)
    found: list[Change] = []
    for config in COMPARED:
        before, after = rows_of(old, config), rows_of(new, config)
        found += added(after.keys() - before.keys(), config, before_side, after_side)
        found += removed(before.keys() - after.keys(), config, before_side, after_side)
        found += changed(before, after, config, after_side)
    return sorted(found, key=lambda each: (COMPARED.index(each.config), CHANGES.index(each.what), each.sample_id))


def rows_of(tables: Tables, config: str) -> dict[str, Row]:
    """The rows of a config by id."""
    columns = [name for name in tables[config].columns if name not in ("sample_id", "split")]
    return {
        row["sample_id"]: Row(row["split"], {name: digest(row[name]) for name in columns})
        for row in tables[config].to_dicts()
    }


def digest(value: Any) -> str:
    """A short hash of a value of any shape."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Side:
    """What a bundle knows beside its rows."""

    origins: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, Mapping[str, Any]]
    texts: Mapping[str, str]  # work id -> hash of its cleaned text
    units: frozenset[tuple[str, str]]

    def why_not(self, origin: Mapping[str, Any]) -> str:
        """Why this bundle left a row out, in words; empty where it never knew of it."""
        names = (origin["sample_id"], origin["work_id"] if origin["kind"] == "passage" else None)
        row = next((self.left_out[name] for name in names if name in self.left_out), None)
        return left_words(row) if row else ""


def side_of(tables: Tables) -> Side:
    """The side that a bundle's tables make."""
    provenance, works = tables["provenance"], tables["works"]
    return Side(
        origins={row["sample_id"]: row for row in provenance.drop("origin").to_dicts()},
        left_out={row["sample_id"]: row for row in tables["left_out"].to_dicts()},
        texts=dict(works.select("work_id", "text_sha256").iter_rows()),
        units=frozenset(provenance.select("source", "unit").unique().iter_rows()),
    )


def removed(ids: Iterable[str], config: str, old: Side, new: Side) -> Iterator[Change]:
    """Rows that the newer bundle lacks."""
    for name in ids:
        origin = old.origins[name]
        why = new.why_not(origin)
        yield Change(
            "removed", config, name, origin["source"], f"now {why}" if why else unexplained(origin, new, old, "is gone")
        )


def added(ids: Iterable[str], config: str, old: Side, new: Side) -> Iterator[Change]:
    """Rows that the older bundle lacked."""
    for name in ids:
        origin = new.origins[name]
        why = old.why_not(origin)
        yield Change(
            "added",
            config,
            name,
            origin["source"],
            f"no longer {why}" if why else unexplained(origin, old, new, "is new"),
        )


def unexplained(origin: Mapping[str, Any], lacking: Side, having: Side, fate: str) -> str:
    """Why one side lacks a row that it did not leave out, by the batch or work that it came from. `fate`: is gone | is new."""
    if origin["source"] == WRITTEN_HERE:
        known = (origin["source"], origin["unit"]) in lacking.units
        return "written anew" if known else f"batch {origin['unit']} {fate}"
    work = origin["work_id"]
    if work not in lacking.texts:
        return f"its work {fate}"
    return "its work was cut anew" if lacking.texts[work] == having.texts.get(work) else "its work's text changed"


def changed(before: Mapping[str, Row], after: Mapping[str, Row], config: str, new: Side) -> Iterator[Change]:
    """Rows that both have and that are not the same."""
    for name in before.keys() & after.keys():
        told = differences(before[name], after[name])
        if told:
            yield Change("changed", config, name, new.origins[name]["source"], told)


def differences(before: Row, after: Row) -> str:
    """What differs between two versions of a row, in words; empty where nothing does."""
    columns = sorted(
        name for name in {*before.columns, *after.columns} if before.columns.get(name) != after.columns.get(name)
    )
    moved = [f"moved from {before.split} to {after.split}"] if before.split != after.split else []
    return "; ".join([*moved, *([f"other {', '.join(columns)}"] if columns else [])])


def left_words(row: Mapping[str, Any]) -> str:
    """Why a row was left out, as words that follow `now` or `no longer`."""
    kind = kind_of(row["reasons"])
    waiting = "waiting for a review" if row["decision"] == "review" else f"rejected at {row['stage']}"
    return WORDS.get(kind, f"{waiting}: {kind}")


@dataclass(frozen=True)
class Group:
    """Changes of one kind, of one source, for one reason. `first`: one of their ids."""

    config: str
    what: str
    source: str
    reason: str
    rows: int
    first: str


def grouped(found: Sequence[Change]) -> list[Group]:
    """Changes counted, in the order of `changes`, larger groups first within it."""
    counted = Counter((each.config, each.what, each.source, each.reason) for each in found)
    firsts: dict[tuple[str, str, str, str], str] = {}
    for each in found:
        firsts.setdefault((each.config, each.what, each.source, each.reason), each.sample_id)
    made = [Group(*key, rows, firsts[key]) for key, rows in counted.items()]
    return sorted(
        made, key=lambda group: (COMPARED.index(group.config), CHANGES.index(group.what), -group.rows, group.first)
    )


def totals(found: Sequence[Change], old: Tables, new: Tables) -> list[dict[str, Any]]:
    """Per config: rows before and after, and how many were added, removed and changed."""
    counted = Counter((each.config, each.what) for each in found)
    return [
        {"config": config, "before": old[config].height, "after": new[config].height,
         **{what: counted[config, what] for what in CHANGES}}
        for config in COMPARED
    ]  # fmt: skip
