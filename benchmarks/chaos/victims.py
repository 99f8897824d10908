"""The kinds of rounds: what is started, whom the SIGKILL hits, and what must die with it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chaos.world import Child, World

if TYPE_CHECKING:
    import dagster as dg

UNIT, UNITS = "river", ("river", "aphorisms")  # of source `local`: the one that changes, and those of a backfill
WORKER = (
    "job", "execute", "-m", "twainbot_assets.definitions", "-j", "harvest_local",
    "--tags", f'{{"dagster/partition": "{UNIT}"}}',
)  # fmt: skip
DAEMON = ("-m", "dagster._daemon", "run", "-w", "workspace.yaml")
TABLES = ("corpora/local", "chunks/local", "screened/local", "dedupe/signatures/local")  # what job harvest_local makes
BACKFILLED = TABLES[:2]
SCOPE = " or ".join(TABLES)
WHOLE = f"+{TABLES[-1]}"
TRAINED = "adapters/dapt"
TRAINING = ("run", "--force", "--select", TRAINED)


@dataclass(frozen=True)
class Kind:
    """One kind of round.

    program, words: what is started, `twainbot`, `dagster` or `python`. victim: finds its process among those of the
    home; None is the started process itself. all_die: whether everything must die with the victim at once, as with a run
    worker; else the started process is waited for, which sees the death and ends by itself. again: the next run.
    """

    name: str
    weight: int
    program: str
    words: tuple[str, ...]
    victim: Callable[[str], bool] | None = None
    all_die: bool = True
    again: tuple[str, ...] = ("run", "--select", SCOPE)
    changes: bool = False  # whether the unit gets its other edition before the round
    backfill: bool = False


def is_step(line: str) -> bool:
    """Whether a command line is that of a fork server or of a step forked from it, which share one."""
    return "multiprocessing.forkserver" in line


def is_training(line: str) -> bool:
    """Whether a command line is a training's, past its wrapper."""
    return "training.dapt" in line and "with_parent" not in line


def is_code_server(line: str) -> bool:
    """Whether a command line is that of the server that imports the graph for the daemon."""
    return "dagster api grpc" in line or "dagster code-server" in line or "api grpc" in line


KINDS = (  # weights by what a round costs: a daemon and its code servers import the graph five times
    Kind("run in process", 17, "twainbot", ("run", "--select", SCOPE), changes=True),
    Kind("run worker", 13, "dagster", WORKER, changes=True),
    Kind("step", 9, "dagster", WORKER, is_step, all_die=False, changes=True),
    Kind("training child", 5, "twainbot", TRAINING, is_training, all_die=False, again=TRAINING),
    Kind("daemon", 3, "python", DAEMON, changes=True, all_die=False, backfill=True),
    Kind("code server", 3, "python", DAEMON, is_code_server, changes=True, all_die=False, backfill=True),
)  # fmt: skip


def schedule(kills: int, random_of: Callable[[], float]) -> list[Kind]:
    """The kinds of so many rounds in proportion to their weights, shuffled; from six rounds on each at least once."""
    total = sum(kind.weight for kind in KINDS)
    chosen = dict.fromkeys(KINDS, 0)
    for number in range(kills):
        missing = [kind for kind in KINDS if not chosen[kind]]
        behind = max(KINDS, key=lambda kind: kind.weight * kills / total - chosen[kind])
        chosen[missing[0] if missing and kills - number <= len(missing) else behind] += 1
    planned = [kind for kind, count in chosen.items() for _ in range(count)]
    return sorted(planned, key=lambda _kind: random_of())


def steps_of(world: World) -> list[int]:
    """Processes of steps: those whose parent is a fork server, which is a child of the run worker."""
    servers = {pid for pid, line in world.processes().items() if is_step(line)}
    return [pid for pid in servers if _parent(pid) in servers]


def victims(world: World, kind: Kind, process: Child) -> list[int]:
    """Process ids that the SIGKILL may hit now."""
    if kind.victim is None:
        return [process.pid] if process.poll() is None else []
    if kind.victim is is_step:
        return sorted(steps_of(world))
    return sorted(pid for pid, line in world.processes().items() if kind.victim(line))


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def order_backfill(instance: dg.DagsterInstance) -> str:
    """Order a backfill of two units of `local` through two assets, as the UI does; its id."""
    import dagster as dg
    from dagster._core.execution.backfill import PartitionBackfill

    from twainbot_assets.definitions import defs

    name = uuid.uuid4().hex[:8]
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=name,
            asset_graph=defs.resolve_asset_graph(),
            partition_names=list(UNITS),
            asset_selection=[dg.AssetKey(table.split("/")) for table in BACKFILLED],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )
    return name


def made_by(instance: dg.DagsterInstance, backfill: str) -> dict[tuple[str, str | None], int]:
    """How often a backfill's runs materialized each asset and partition."""
    import dagster as dg

    counts: dict[tuple[str, str | None], int] = {}
    for run in instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill})):
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            event = entry.dagster_event
            if event and event.asset_key:
                which = ("/".join(event.asset_key.path), event.partition)
                counts[which] = counts.get(which, 0) + 1
    return counts
