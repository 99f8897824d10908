"""What a refresh would take, by what the same steps took before: medians out of the event log, nothing modelled.

A step's own seconds: between steps a run costs a second or two more.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from twainbot_assets import keys
from twainbot_assets.freshness import Item

LOOKED_AT = 5  # latest materializations of an asset; older ones may be of other code or data
NAMED = 4  # partitions named in a line before the rest is counted


@dataclass(frozen=True)
class Line:
    """What is ahead of one asset. `seconds`: of one partition, or None where no step of it ever succeeded here."""

    table: str
    stale: tuple[str, ...]
    follow: tuple[str, ...]
    seconds: float | None

    @property
    def surely(self) -> float:
        """Seconds for what is stale."""
        return (self.seconds or 0.0) * len(self.stale)

    @property
    def at_most(self) -> float:
        """Seconds for what is stale and all that may follow."""
        return self.surely + (self.seconds or 0.0) * len(self.follow)


def step_seconds(instance: dg.DagsterInstance, table: str) -> float | None:
    """Median seconds of the asset's latest steps; None where there is none."""
    step = table.replace("/", "__")
    records = instance.fetch_materializations(keys.key(table), limit=LOOKED_AT).records
    runs = dict.fromkeys(record.event_log_entry.run_id for record in records)
    found = [seconds for run in runs if run and (seconds := seconds_in(instance, run, step)) is not None]
    return statistics.median(found) if found else None


def seconds_in(instance: dg.DagsterInstance, run_id: str, step: str) -> float | None:
    """Seconds of a step in one run; None where it did not end there."""
    for stats in instance.get_run_step_stats(run_id, [step]):
        if stats.start_time is not None and stats.end_time is not None:
            return float(stats.end_time - stats.start_time)
    return None


def ahead(instance: dg.DagsterInstance, stale: Sequence[Item], follow: Sequence[Item]) -> list[Line]:
    """A line per asset, in build order, with the median of its past steps."""
    tables = dict.fromkeys(item.table for item in (*stale, *follow))
    surely, maybe = grouped(stale), grouped(follow)
    return [Line(table, surely.get(table, ()), maybe.get(table, ()), step_seconds(instance, table)) for table in tables]


def grouped(items: Sequence[Item]) -> Mapping[str, tuple[str, ...]]:
    """Partition names per table; one empty name where the table has no partitions."""
    found: dict[str, tuple[str, ...]] = {}
    for item in items:
        found[item.table] = (*found.get(item.table, ()), item.partition or "")
    return found


def told(lines: Sequence[Line]) -> Iterator[str]:
    """The lines for people, then the sum, then what has no past here."""
    if not lines:
        return
    width = max(len(line.table) for line in lines)
    yield f"{'asset':{width}} {'stale':>5} {'follow':>6}  minutes"
    for line in lines:
        minutes = "unknown" if line.seconds is None else f"{line.at_most / 60:7.2f}"
        which = shown([name for name in (*line.stale, *line.follow) if name])
        yield f"{line.table:{width}} {len(line.stale):5} {len(line.follow):6}  {minutes:>7}  {which}".rstrip()
    surely, most = sum(line.surely for line in lines) / 60, sum(line.at_most for line in lines) / 60
    yield f"About {surely:.1f} min for what is stale, at most {most:.1f} min with all that may follow, by past runs."
    unknown = [line.table for line in lines if line.seconds is None]
    if unknown:
        yield f"Not counted, as they never ran here - {', '.join(unknown)}"


def shown(names: Sequence[str]) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
