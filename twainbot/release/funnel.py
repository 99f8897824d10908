"""From raw to released in numbers: what came to each step, what stayed there and why. The rows are snapshot.py's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from twainbot.records import SPLITS

RELEASED = (("passage", "dapt", "passages"), ("dialogue", "sft", "dialogues"), ("preference", "preferences", "pairs"))
TEXT_STEPS = (
    ("screened", "passages, screened"), ("dedupe", "passages, less repeats"), ("curated", "passages, less evaluation text"),
)  # fmt: skip
LATE = ["dialogues", "splits", "release"]  # stages that come after curation


@dataclass(frozen=True)
class Step:
    """One step of the funnel. `came` = `kept` + the sum of `reasons`."""

    name: str
    came: int
    kept: int
    reasons: Mapping[str, int]

    @property
    def left_out(self) -> int:
        """Rows that stayed behind here."""
        return sum(self.reasons.values())


def steps(tables: Mapping[str, pl.DataFrame], works: int, passages: int) -> list[Step]:
    """The funnel of a bundle. `works`: usable ones; `passages`: curated ones; all other counts follow from the tables."""
    left = tables["left_out"]
    texts: list[Step] = []
    for stage, name in reversed(TEXT_STEPS):
        texts.append(backward(name, texts[-1].came if texts else passages, left.filter(stage=stage)))
    return [
        backward("works that could be read", works, left.filter(stage="corpora")),
        *reversed(texts),
        *ends(tables, passages),
    ]


def ends(tables: Mapping[str, pl.DataFrame], passages: int) -> Iterator[Step]:
    """The last step of each kind: gates of the dialogues, splits and rights."""
    for kind, config, name in RELEASED:
        later = tables["left_out"].filter(pl.col("stage").is_in(LATE) & (pl.col("kind") == kind))
        released = tables[config].height
        spoken = passages - released - later.height if kind == "passage" else 0  # transcripts train as dialogues
        yield backward(f"{name}, released", released, later, {"read_as_dialogues_instead": spoken} if spoken else {})


def backward(name: str, kept: int, left: pl.DataFrame, more: Mapping[str, int] | None = None) -> Step:
    """A step out of what was kept and what was not."""
    reasons = {**reason_counts(left), **(more or {})}
    return Step(name, kept + sum(reasons.values()), kept, reasons)


def reason_counts(rows: pl.DataFrame) -> dict[str, int]:
    """Rows by the kind of their first reason, most first."""
    counted = Counter(kind_of(reasons) for reasons in rows["reasons"])
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def kind_of(reasons: Iterable[str]) -> str:
    """The kind of the first reason: `duplicate_in:pg76:0-90` and `malformed_json (line 7)` without what varies."""
    first = next(iter(reasons), "no_reason_given")
    return first.partition(":")[0].partition(" (")[0]


def by_split(rows: pl.DataFrame, column: str) -> list[tuple[Any, ...]]:
    """(value of the column, rows in train, in validation, in test), sorted by value; nothing is `-`."""
    counted = Counter((value or "-", split) for value, split in rows.select(column, "split").iter_rows())
    values = sorted({value for value, _ in counted})
    return [(value, *(counted[value, split] for split in SPLITS)) for value in values]


def left_by_source(rows: pl.DataFrame) -> list[tuple[str, str, str, int]]:
    """(source, stage, reason, rows), most first within a source."""
    counted = Counter(
        (source or "-", stage, kind_of(reasons))
        for source, stage, reasons in rows.select("source", "stage", "reasons").iter_rows()
    )
    return [(*what, count) for what, count in sorted(counted.items(), key=lambda pair: (pair[0][0], -pair[1], pair[0]))]
