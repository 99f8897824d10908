"""One invocation of the command line on the graph: the lock, dead runs, units and observations, then the work asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from resources.home import Home
from resources.lake import Lake
from twainbot_assets import alerting, estimates, releasing, runner, unrecorded
from twainbot_assets.definitions import defs
from twainbot_assets.freshness import FILE_GONE, Freshness, Item, selected
from twainbot_assets.progress import watcher


@dataclass
class Session:
    """The graph of one profile, reconciled and observed."""

    home: Home
    instance: dg.DagsterInstance
    dead: list[str]
    observed: list[Item]

    def build(self, select: str | None, partition: str | None, force: bool) -> runner.Report:
        """Bring the selection, or the whole graph, up to date."""
        with watcher() as progress:
            work = runner.Runner(defs, self.instance, progress)
            return work.bring_up_to_date(selected(defs, select), partition, force)

    def outlook(self) -> tuple[dict[Item, tuple[str, ...]], list[Item]]:
        """What is stale now with reasons, and what may follow."""
        stale = runner.stale_items(defs, self.instance)
        return stale, runner.followers(defs, self.instance, list(stale))

    def estimate(self, stale: Sequence[Item], follow: Sequence[Item]) -> Iterator[str]:
        """What an outlook would take, a line per asset, by past runs."""
        return estimates.told(estimates.ahead(self.instance, stale, follow))

    def cut_rehearsal(self, report: runner.Report) -> None:
        """Cut the next bundle if the newest one is not of the present adapter and scorecard."""
        with watcher() as progress:
            releasing.cut_if_new(runner.Runner(defs, self.instance, progress), report)

    def cut(self, version: str, recipe: str | None) -> runner.Report:
        """Cut one named version."""
        with watcher() as progress:
            work = runner.Runner(defs, self.instance, progress)
            return releasing.cut(work, version, recipe)

    def closing(self, report: runner.Report) -> list[str]:
        """Where the report and the adapter are, and what to do next."""
        return releasing.closing_lines(self.home, failed=bool(report.faults or report.skipped))

    def status_lines(self) -> Iterator[str]:
        """A line per asset with counts by state, reasons of what is stale or lost its file, then sizes."""
        freshness = Freshness(defs, self.instance)
        for key in freshness.ordered():
            items = freshness.items(key)
            verdicts = {item: freshness.of(item) for item in items}
            counts = [f"{state} {n}" for state in ("fresh", "stale", "missing")
                      if (n := sum(verdict.state == state for verdict in verdicts.values()))]  # fmt: skip
            yield f"{'/'.join(key.path):32} {', '.join(counts) or 'no partitions'}"
            for item, verdict in verdicts.items():
                if verdict.state == "stale" or FILE_GONE in verdict.reasons:
                    yield f"    {item}: {'; '.join(verdict.reasons)}"
        yield from self.not_taken()
        for name, folder in (("lake", Path(self.home.lake)), ("models", self.home.models), ("raw", self.home.raw),
                             ("work", self.home.work), ("dagster", self.home.own / "dagster")):  # fmt: skip
            yield f"{name:32} {size_of(folder) / 2**20:.1f} MiB"

    def not_taken(self) -> Iterator[str]:
        """A line for each thing that the sources hold and the last audit did not take, with the reason."""
        lake = Lake(self.home.lake)
        if lake.exists("corpora/audit"):
            rows = lake.read("corpora/audit")
            for row in rows.filter(rows["state"] == "not taken").iter_rows(named=True):
                yield f"{'not taken':32} {row['source']}/{row['unit']}: {'; '.join(row['reasons'])}"


def size_of(folder: Path) -> int:
    """Bytes under a folder; 0 where it is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


@contextmanager
def opened(home: Home, instance: dg.DagsterInstance, lock: bool = True) -> Iterator[Session]:
    """A session; with `lock`, alone on this home and with sources over the net observed too. Dead runs are failed first."""
    with (
        instance,
        runner.only_one(home) if lock else nullcontext(),
        alerting.telling(instance) if lock else nullcontext(),
    ):
        dead = runner.reconcile(instance)
        if lock:
            unrecorded.settle(instance, Lake(home.lake))
        runner.register_units(instance, live=lock)
        yield Session(home, instance, dead, runner.observe(instance, live=lock))
