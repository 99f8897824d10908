"""What must hold of lake and event log after a kill, and again after the run that follows.

Every table is known in two editions, of an unbroken run each: the version that was recorded, and the hash of the rows.
After a kill each file must hold one edition or the other, whole; after the next run exactly the wanted one, and the
event log must say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resources.lake import PART, Lake
from twainbot_assets.freshness import Item

if TYPE_CHECKING:
    import dagster as dg

Stamp = tuple[int, int, int]  # inode, time and size of a file


@dataclass(frozen=True)
class State:
    """One item: the version that the event log gives, and the hash of what lies in the lake."""

    recorded: str | None
    rows: str


class Witness:
    """Reads lake and event log of a home, each file once per version of it."""

    def __init__(self, lake: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance = lake, instance
        self.lake = Lake(str(lake))
        self._read: dict[Item, tuple[Stamp, str]] = {}

    def items(self) -> list[Item]:
        """Everything that has a file."""
        found = []
        for path in sorted(self.folder.rglob(PART)):
            parts = path.relative_to(self.folder).parts[:-1]
            key = parts[-1].removeprefix("partition=") if parts[-1].startswith("partition=") else None
            found.append(Item("/".join(parts[: -1 if key else None]), key))
        return found

    def rows(self, item: Item) -> str:
        """The hash of an item's rows, or of an adapter's weights, whose row holds times. Raises where the file is torn."""
        from twainbot.records import content_hash

        stamp = stamped(Path(str(self.lake.part(item.table, item.partition))))
        known = self._read.get(item)
        if known is None or known[0] != stamp:
            rows = self.lake.read(item.table, item.partition)
            weights = "adapter_sha256" in rows.columns
            self._read[item] = known = (stamp, rows["adapter_sha256"][0] if weights else content_hash(rows))
        return known[1]

    def state(self, item: Item) -> State:
        """The item's recorded version and present rows."""
        from twainbot_assets.data_versions import recorded

        return State(recorded(self.instance, item), self.rows(item))

    def states(self) -> dict[Item, State]:
        """All of them. Raises what the reader raises where a file is torn."""
        return {item: self.state(item) for item in self.items()}

    def stamps(self) -> dict[str, Stamp]:
        """Every committed file and published folder, with what changes when it is written again."""
        files = [*self.folder.rglob(PART), *self.folder.glob("*/*/files/*")]
        return {str(path.relative_to(self.folder)): stamped(path) for path in files if not path.name.startswith(".")}

    def events(self, run_ids: Iterable[str]) -> int:
        """How many materializations these runs recorded."""
        import dagster as dg

        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        return sum(len(self.instance.all_logs(run_id, of_type=kind)) for run_id in run_ids)


def stamped(path: Path) -> Stamp:
    """Inode, modification time and size."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def torn(witness: Witness, editions: Iterable[Mapping[Item, State]]) -> list[str]:
    """Files that no reader takes, or whose rows are of neither edition."""
    found, known = list[str](), list(editions)
    for item in witness.items():
        try:
            rows = witness.rows(item)
        except Exception as error:  # whatever a reader makes of a torn file
            found.append(f"{item}: {type(error).__name__}: {error}")
            continue
        wanted = {edition[item].rows for edition in known if item in edition}
        if wanted and rows not in wanted:
            found.append(f"{item}: rows {rows[:12]} are of neither edition")
    return found


def lost(witness: Witness, before: Mapping[Item, State], published: Iterable[str]) -> list[str]:
    """Committed items and published folders that are not there any more, and versions that the log forgot."""
    from twainbot_assets.data_versions import recorded

    found = [f"{path} is gone" for path in published if not (witness.folder / path).exists()]
    for item, state in before.items():
        if state.recorded is not None and recorded(witness.instance, item) is None:
            found.append(f"{item} is recorded no more")
    return found


def late_events(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> list[str]:
    """Materializations that a run recorded after its own end, in the order of its log, whatever the clock said."""
    import dagster as dg

    found = []
    for run_id in run_ids:
        over = False
        for entry in instance.all_logs(run_id):
            kind = entry.dagster_event.event_type if entry.dagster_event else None
            if over and kind is dg.DagsterEventType.ASSET_MATERIALIZATION:
                found.append(f"run {run_id[:8]} recorded {entry.step_key} after its end")
            over = over or kind in (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
    return found


def unequal(states: Mapping[Item, State], wanted: Mapping[Item, State]) -> list[str]:
    """Items that are not as the unbroken run left them."""
    return [
        f"{item}: {states.get(item)} instead of {state}" for item, state in wanted.items() if states.get(item) != state
    ]
