"""What real bulletins said about a place and a time, one observation per forecast period. Simulated ones are weather.py's.

Reading bulletins is twainbot/corpora's business; here their facts become what a weather tool could have answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from twainbot.dialogues.weather import WEEKDAYS, resolve
from twainbot.errors import BadInput

FIGURES = ("high_f", "low_f", "precipitation_chance", "wind_mph")
LEAST_FIGURES = 1  # with a condition beside; a period without any figure gives a reply nothing to be held to
_TODAY = {"Today", "Rest Of Today", "This Morning", "This Afternoon", "This Evening", "Tonight", "Overnight"}


@dataclass(frozen=True)
class Observation:
    """A forecast period of one bulletin for one town. Degrees Fahrenheit, miles per hour, percent; None: not said.

    `chunk_id`: the curated passage that the bulletin became. `issued`, `day`: local dates of issue and of what is
    forecast. `period` as the bulletin has it ("Tonight", "Wednesday Night"). `town` in title case, `state` two letters.
    """

    chunk_id: str
    work_id: str
    town: str
    state: str
    issued: date
    day: date
    period: str
    condition: str
    high_f: int | None
    low_f: int | None
    precipitation_chance: int | None
    wind_mph: int | None
    wind_direction: str | None
    text: str

    @property
    def location(self) -> str:
        """ "Hannibal, MO"."""
        return f"{self.town}, {self.state}"

    @property
    def is_night(self) -> bool:
        """Whether the period lies after dark."""
        return self.period.endswith("Night") or self.period in ("Tonight", "Overnight", "This Evening")


def observations(works: pl.DataFrame, passages: pl.DataFrame) -> list[Observation]:
    """Observations of the bulletins among `works` of which a passage is curated, in order of work, period and town.

    `works`: rows of records.WORK whose `extra` holds facts; `passages`: chunk_id and work_id of what is curated. Raises
    BadInput where a column is missing. Periods without town, state, day, condition or figure give nothing.
    """
    for name, table, needed in (
        ("Works", works, {"work_id", "extra"}),
        ("Passages", passages, {"chunk_id", "work_id"}),
    ):
        if missing := needed - set(table.columns):
            raise BadInput(
                f"{name} lack the columns {sorted(missing)}. Materialize corpora/weather and curated/passages."
            )
    first = passages.group_by("work_id").agg(pl.col("chunk_id").min())
    chunk_of = dict(first.select("work_id", "chunk_id").iter_rows())
    rows = works.filter(pl.col("work_id").is_in(list(chunk_of))).sort("work_id").select("work_id", "extra")
    return [
        seen for row in rows.to_dicts() for seen in _of_work(row["work_id"], chunk_of[row["work_id"]], row["extra"])
    ]


def _of_work(work_id: str, chunk_id: str, extra: str) -> Iterator[Observation]:
    read: Mapping[str, Any] = json.loads(extra or "{}")
    try:
        issued = date.fromisoformat(str(read.get("issued_at") or "")[:10])
    except ValueError:
        return
    for fact in read.get("facts") or []:
        day = day_of(fact.get("period") or "", issued)
        state = next((zone[:2] for zone in fact.get("zones") or []), "")
        known = sum(fact.get(name) is not None for name in FIGURES)
        if day is None or not state or not fact.get("condition") or known < LEAST_FIGURES:
            continue
        shared = {name: fact.get(name) for name in (*FIGURES, "wind_direction", "condition", "text")}
        for city in fact.get("cities") or []:
            yield Observation(
                chunk_id, work_id, city.title(), state, issued, day, str(fact["period"]), **_typed(shared)
            )


def _typed(shared: dict[str, Any]) -> dict[str, Any]:
    return {**shared, "text": shared["text"] or "", "condition": str(shared["condition"]).lower()}


def day_of(period: str, issued: date) -> date | None:
    """The day that a period's name means in a bulletin of that day: "Wednesday Night" is the next Wednesday."""
    if period in _TODAY:
        return issued
    name = period.removesuffix(" Night")
    return resolve(name, issued) if name in ("Tomorrow", *WEEKDAYS) else None
