"""One `twainbot clean`: list, ask, delete. What can go is known by run_history.py (runs) and retention.py (files)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twainbot_assets import retention, run_history
from twainbot_assets.runner import only_one, reconcile

if TYPE_CHECKING:
    from pathlib import Path

    import dagster as dg

    from resources.home import Home

MIB = 2**20


@dataclass(frozen=True)
class Bounds:
    """Which runs stay: the newest so many, and those that ended within so many days."""

    keep_runs: int = run_history.KEEP_RUNS
    older_than_days: float = run_history.OLDER_THAN_DAYS


def always(_: str) -> bool:
    """Yes to whatever is asked."""
    return True


def clean(
    home: Home, instance: dg.DagsterInstance, bounds: Bounds, ask: Callable[[str], bool] | None,
    say: Callable[[str], None], now: float | None = None,
) -> None:  # fmt: skip
    """Say what can go and delete it where `ask` agrees; without `ask` only say. Alone on the home, as a run is."""
    moment = time.time() if now is None else now
    with only_one(home):  # a run could publish again what is listed here
        reconcile(instance)
        runs = run_history.forgettable(
            instance, home, check_keys(), moment, bounds.keep_runs, bounds.older_than_days
        )  # fmt: skip
        files = unneeded_files(home, instance, moment, say)
        for run in runs:
            say(f"{run.size / MIB:8.1f} MiB  run {run.run_id} ({run.said})")
        for path, size in files:
            say(f"{size / MIB:8.1f} MiB  {path}")
        found = len(runs) + len(files)
        if found and ask is not None and ask(f"Delete these {found}?"):
            run_history.forget(instance, runs)
            retention.delete([path for path, _ in files])
        total = sum(run.size for run in runs) + sum(size for _, size in files)
        say(f"{found} unneeded, {total / MIB:.1f} MiB: {len(runs)} runs, {len(files)} files and folders.")


def unneeded_files(
    home: Home, instance: dg.DagsterInstance, now: float, say: Callable[[str], None]
) -> list[tuple[Path, int]]:
    """Files and folders that can go. While runs are at work only those of runs that no longer exist."""
    busy = run_history.at_work(instance)
    if busy:
        say(f"Runs at work: {', '.join(busy[:3])}{' ...' if len(busy) > 3 else ''}. Lake, work and downloads stay.")
    return [*([] if busy else retention.unneeded(home, now)), *run_history.leftovers(instance, home, now)]


def check_keys() -> list[dg.AssetCheckKey]:
    """Every check of the graph."""
    from twainbot_assets.definitions import defs

    return sorted(defs.resolve_asset_graph().asset_check_keys)
