"""Bring the graph up to date in this one process, on the shared instance: dead runs first, then stage by stage.

Assets with different partition sets cannot share a Dagster run, and a daemon backfill waits 30 s and imports everything
again for each run; so every item is executed in process, as a run of its own that the UI shows like any other.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import dagster as dg
from dagster._core.events.log import EventLogEntry
from dagster._utils.error import SerializableErrorInfo

from resources.home import Home
from twainbot.errors import BadUse, UnknownName
from twainbot_assets import engines, keys, sources
from twainbot_assets.automation import on_request
from twainbot_assets.data_versions import recorded, report_version
from twainbot_assets.freshness import Files, Freshness, Item, lake_of
from twainbot_assets.partitions import UNITS, register
from twainbot_assets.profile import SOURCES, current

PID_TAG, HOST_TAG, BORN_TAG = "twainbot/pid", "twainbot/host", "twainbot/born"
PARTITION_TAG = "dagster/partition"
NOT_FINISHED = (
    dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)  # fmt: skip
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Progress(Protocol):
    """What the runner tells whoever watches."""

    def started(self, items: Sequence[Item]) -> None:
        """A run of these items begins."""
        ...

    def event(self, message: str) -> None:
        """Something inside the run, such as a training step."""
        ...

    def finished(self, items: Sequence[Item], seconds: float, faults: Sequence[Fault]) -> None:
        """The run has ended."""
        ...


@dataclass(frozen=True)
class Fault:
    """An item that was not committed, or whose blocking check failed."""

    item: Item
    why: str


@dataclass
class Report:
    """What one invocation did."""

    made: list[Item] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    skipped: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    reasons: dict[Item, tuple[str, ...]] = field(default_factory=dict)
    seconds: float = 0.0


@contextmanager
def only_one(home: Home) -> Iterator[None]:
    """Hold the profile's lock, or raise BadUse naming the process that does."""
    home.own.mkdir(parents=True, exist_ok=True)
    with (home.own / "run.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BadUse(f"Another run (process {holder}) is at work in {home.own}. Wait for it, or stop it.") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def alive(pid: int, started: float, born: str = "") -> bool:
    """Whether the process that began a run still lives; a later process with its number does not count.

    born: what `birth` said of it. Without that, as for runs launched from the UI, `started` decides: when the run began,
    by a clock that may have been set since.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    now = birth(pid)
    if born or not now:
        return not born or not now or born == now
    boot = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    return boot + int(now.split("/")[1]) / os.sysconf("SC_CLK_TCK") <= started + 2.0  # give or take clock rounding


def birth(pid: int) -> str:
    """Which boot of the machine a process was born in and how many ticks after it, which no clock changes; else empty."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"
    except OSError:
        return ""


def reconcile(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone and free their pool slots. Returns their ids."""
    dead = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(NOT_FINISHED))):
        run = record.dagster_run
        pid = process_of(instance, run)
        begun = record.start_time or record.create_timestamp.timestamp()
        if pid is not None and not alive(pid, begun, run.tags.get(BORN_TAG, "")):
            instance.report_run_failed(run, f"Its process {pid} is gone: killed, or the machine stopped.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            dead.append(run.run_id)
    return dead


def signature() -> dict[str, str]:
    """The tags by which a later process finds out whether this one still lives."""
    return {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname(), BORN_TAG: birth(os.getpid())}


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process that executes a run on this machine, if known: our tag, else what the executor reported."""
    if run.tags.get(HOST_TAG, socket.gethostname()) != socket.gethostname():
        return None
    if PID_TAG in run.tags:
        return int(run.tags[PID_TAG])
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        data = entry.dagster_event.engine_event_data if entry.dagster_event else None
        pid = (data.metadata if data else {}).get("pid")
        if pid is not None:
            return int(str(pid.value))
    return None


def register_units(instance: dg.DagsterInstance, live: bool = True) -> dict[str, tuple[list[str], list[str]]]:
    """Make the registered units equal to what the profile's sources hold. Returns what was added and removed.

    Without `live`, sources over the net stay as they were last seen: a look at the state must not wait for a mirror.
    """
    from twainbot_assets.definitions import harvest

    return {source: register(instance, source, harvest.units(source)) for source in asked(harvest, live)}


def asked(harvest: sources.Harvest, live: bool) -> list[str]:
    """The sources to look at: all, or those of this machine."""
    return [source for source in SOURCES if live or not harvest.is_live(source)]


def observe(instance: dg.DagsterInstance, live: bool = True) -> list[Item]:
    """Report the data version of every source item that changed since it was last seen. Returns those."""
    from twainbot_assets.definitions import defs, harvest

    resolver = Freshness(defs, instance).resolver
    changed = []
    for item, version in current_versions(harvest, instance, live):
        if resolver.get_current_data_version(item.key, item.partition).value != version:
            report_version(instance, item, version)
            changed.append(item)
    return changed


def current_versions(
    harvest: sources.Harvest, instance: dg.DagsterInstance, live: bool = True
) -> Iterator[tuple[Item, str]]:
    """Every source item with its data version now."""
    yield from unit_versions(harvest, instance, live)
    yield from settings_versions(instance)


def unit_versions(harvest: sources.Harvest, instance: dg.DagsterInstance, live: bool) -> Iterator[tuple[Item, str]]:
    """Every registered unit of the sources asked."""
    for source in asked(harvest, live):
        registered = set(instance.get_dynamic_partitions(UNITS[source].name or source))
        for unit, version in sources.unit_versions(harvest, source).items():
            if unit in registered:
                yield Item(f"sources/{source}", unit), version


def settings_versions(instance: dg.DagsterInstance) -> Iterator[tuple[Item, str]]:
    """Settings, watched files, recipes, what people decided, and the set of units: all that is no unit."""
    for name, version in sources.plain_versions(sources.registered(instance)).items():
        yield Item(f"sources/{name}"), version
    for stage in keys.TRAINING_STAGES:
        for recipe, version in sources.recipe_versions(stage).items():
            yield Item(f"sources/recipe_{stage}", recipe), version
    for recipe, version in sources.mixture_versions().items() if current().mixtures else ():
        yield Item("sources/recipe_mixture", recipe), version


def observe_settings(instance: dg.DagsterInstance) -> list[Item]:
    """Report the data version of every setting that differs from the last one seen. Returns those. Loads no graph."""
    changed = []
    for item, version in settings_versions(instance):
        if recorded(instance, item, observed=True) != version:
            report_version(instance, item, version)
            changed.append(item)
    return changed


class Runner:
    """Executes items in process, or on Ray. One per invocation."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance, progress: Progress) -> None:
        self.defs = defs
        self.instance = instance
        self.progress = progress
        self.job = defs.resolve_implicit_global_asset_job_def()
        self.engine = engines.engine()
        self.report = Report()
        self.files = Files(lake_of(defs))
        self.good: set[Item] = set()  # items that have a good version
        self.lost: set[Item] = set()  # items that had one whose file is gone

    def bring_up_to_date(
        self, wanted: Sequence[dg.AssetKey] | None = None, partition: str | None = None, force: bool = False
    ) -> Report:
        """Materialize what is missing or stale (with `force`: everything) among the wanted assets, stage by stage."""
        begun = time.monotonic()
        chosen = self.chosen(wanted, partition)
        self.good, self.lost = Freshness(self.defs, self.instance, self.files).materialized()
        waiting = set(chosen)
        for item in chosen:
            if item in waiting:
                self.visit(item, waiting, force)
        self.report.seconds = time.monotonic() - begun
        return self.report

    def chosen(self, wanted: Sequence[dg.AssetKey] | None, partition: str | None) -> list[Item]:
        """The wanted items in build order. Raises UnknownName on a partition that none of them has."""
        freshness = Freshness(self.defs, self.instance)
        listed = [key for key in freshness.ordered() if (key in wanted if wanted is not None else not on_request(key))]
        items = [item for key in listed for item in freshness.items(key)]
        if partition is None:
            return items
        found = [item for item in items if item.partition == partition]
        if not found:
            known = ", ".join(sorted({item.partition for item in items if item.partition})) or "none"
            raise UnknownName(f"No selected asset has the partition {partition!r}. Known: {known}.")
        return found

    def visit(self, item: Item, waiting: set[Item], force: bool) -> None:
        """Make one item if it needs it, together with the chain of missing items that hangs on the same partition."""
        waiting.discard(item)
        freshness = Freshness(self.defs, self.instance, self.files)
        verdict = freshness.of(item)
        if verdict.state == "fresh" and not force:
            return
        hindrance = self.hindrance(freshness, item)
        if hindrance:
            self.report.skipped.append(Fault(item, hindrance))
            return
        chain = [item] if force or verdict.state != "missing" else self.chain(freshness, item, waiting)
        waiting.difference_update(chain)
        self.report.reasons[item] = ("forced",) if verdict.state == "fresh" else verdict.reasons
        self.execute(chain)

    def hindrance(self, freshness: Freshness, item: Item) -> str:
        """Why an item cannot be made now; empty if nothing is in its way."""
        for parent in freshness.parents(item):
            if parent not in self.good:
                return f"waits for {parent}, which has no good version"
            if failed := freshness.failed_checks(parent):
                self.blame(parent, failed)
                return f"waits for {parent}: {'; '.join(failed)}"
        lost = self.lost_to(freshness, item)
        return f"waits for {lost}, whose file is gone" if lost else ""

    def lost_to(self, freshness: Freshness, item: Item) -> Item | None:
        """A partition whose file is gone and that a fan-in reads: made without it, the fan-in would count as fresh for good,
        as the partition comes back with the version that was recorded of it."""
        return next((each for each in freshness.fan_in(item) if each in self.lost), None) if self.lost else None

    def blame(self, parent: Item, failed: Sequence[str]) -> None:
        """Report a parent whose checks went wrong in another invocation: this one ends as failed too."""
        if all(parent != fault.item for fault in (*self.report.faults, *self.report.skipped)):
            repair = f"Run `twainbot run --select {parent.table}`, which makes and judges it again"
            self.report.faults.append(Fault(parent, f"{'; '.join(failed)}. {repair}."))

    def chain(self, freshness: Freshness, item: Item, waiting: set[Item]) -> list[Item]:
        """The item and the missing ones of the same partition that need nothing else: one run instead of many.

        Items without partitions are joined only while they follow each other: nothing slow is done before its turn.
        """
        found = [item]
        for key in freshness.ordered():
            candidate = Item(keys.table(key), item.partition)
            if candidate in waiting and self.fits(freshness, candidate, found, waiting):
                found.append(candidate)
            elif item.partition is None and any(other.table == candidate.table for other in waiting):
                break
        return found

    def fits(self, freshness: Freshness, candidate: Item, found: Sequence[Item], waiting: set[Item]) -> bool:
        """Whether a missing item can join the run of these: same partition set, and all that it reads is done or among them."""
        node = freshness.graph.get(candidate.key)
        partitions = node.partitions_def
        if candidate in self.good or partitions != freshness.graph.get(found[0].key).partitions_def:
            return False
        ready = all(
            parent in found or (parent in self.good and not freshness.failed_checks(parent))
            for parent in freshness.parents(candidate)
        )
        fan_in = {keys.table(key) for key in node.parent_keys
                  if freshness.graph.get(key).partitions_def not in (None, partitions)}  # fmt: skip
        whole = fan_in.isdisjoint(other.table for other in waiting) and self.lost_to(freshness, candidate) is None
        return ready and whole

    def execute(self, items: Sequence[Item], tags: dict[str, str] | None = None) -> None:
        """One Dagster run over items of one partition; its faults and warnings go to the report."""
        self.progress.started(items)
        begun = time.monotonic()
        result = self.finished_run(items, {**signature(), **(tags or {})})
        made = {Item(keys.table(event.asset_key), event.partition) for event in result.get_asset_materialization_events()
                if event.asset_key}  # fmt: skip
        faults = self.faults(result, items, made) or run_faults(result, items)
        self.report.made.extend(item for item in items if item in made)
        self.good |= made
        self.lost -= made
        self.files.add(made)
        self.report.faults.extend(faults)
        at_fault = {fault.item for fault in faults}
        left = [item for item in items if item not in made and item not in at_fault]
        self.report.skipped.extend(Fault(item, "waits for what failed in its run") for item in left)
        self.progress.finished(items, time.monotonic() - begun, faults)

    def finished_run(
        self, items: Sequence[Item], tags: dict[str, str]
    ) -> dg.ExecuteInProcessResult | dg.JobExecutionResult:
        """The run, executed here, or step by step on the engine that TWAINBOT_EXECUTOR names."""
        chosen = [item.key for item in items]
        if self.engine != "processes":
            partition = {PARTITION_TAG: items[0].partition} if items[0].partition else {}
            return dg.execute_job(
                engines.graph_job(), self.instance, run_config=QUIET, tags={**tags, **partition},
                asset_selection=chosen,
            )  # fmt: skip
        run_id = str(uuid.uuid4())
        self.instance.add_event_listener(run_id, self.listen)
        return self.job.execute_in_process(
            instance=self.instance,
            run_id=run_id,
            partition_key=items[0].partition,
            asset_selection=chosen,
            raise_on_error=False,
            run_config=QUIET,
            tags=tags,
        )

    def listen(self, entry: EventLogEntry) -> None:
        """Pass one log entry of a run on to whoever watches."""
        line = line_of(entry)
        if line:
            self.progress.event(line)

    def faults(
        self, result: dg.ExecuteInProcessResult | dg.JobExecutionResult, items: Sequence[Item], made: set[Item]
    ) -> list[Fault]:
        """What failed in a run: steps first, then blocking checks of what was made. WARNs go to the report."""
        if any(interrupted(event) for event in result.get_step_failure_events()):
            raise KeyboardInterrupt  # stop the whole job, not this item alone
        by_step = {keys.table(item.key).replace("/", "__"): item for item in items}
        found = [
            Fault(by_step.get(event.step_key or "", items[0]), failure_text(event))
            for event in result.get_step_failure_events()
            if (event.step_key or "") in by_step
        ]
        for check in result.get_asset_check_evaluations():
            item = Item(keys.table(check.asset_key), items[0].partition)
            if check.passed or item not in made:
                continue
            fault = Fault(item, f"{check.check_name}: {check.description or 'failed'}")
            if check.severity is dg.AssetCheckSeverity.ERROR and self.is_blocking(check.asset_check_key):
                found.append(fault)
            else:
                self.report.warnings.append(fault)
        return found

    def is_blocking(self, key: dg.AssetCheckKey) -> bool:
        """Whether a check stops what is built on its asset."""
        return self.defs.resolve_asset_graph().get_check_spec(key).blocking


def interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step ended because somebody stopped the process."""
    error = event.step_failure_data.error
    return error is not None and error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


def run_faults(result: dg.ExecuteInProcessResult | dg.JobExecutionResult, items: Sequence[Item]) -> list[Fault]:
    """The fault of a run that failed before any step began, as where the lake's disk is not there."""
    if result.success or result.get_step_failure_events():
        return []
    failures = [event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE]
    return [Fault(items[0], plain_words(failures[-1].job_failure_data.error) if failures else "its run failed")]


def failure_text(event: dg.DagsterEvent) -> str:
    """The plain words of a step failure: our own sentence where the step raised one."""
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name == "Failure" and event.step_failure_data.user_failure_data:
            return event.step_failure_data.user_failure_data.description or error.message
        error = error.cause
    return plain_words(event.step_failure_data.error)


def plain_words(error: SerializableErrorInfo | None) -> str:
    """What an error's first cause says, without the name of its class."""
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "failed"
    name, _, rest = error.message.partition(": ")
    return " ".join((rest if rest and name.endswith(str(error.cls_name)) else error.message).split())


def line_of(entry: EventLogEntry) -> str:
    """A log entry as one line for whoever watches; empty for Dagster's own bookkeeping."""
    if entry.dagster_event is None:
        return entry.user_message
    return f"{entry.step_key}" if entry.dagster_event.is_step_start else ""


def stale_items(defs: dg.Definitions, instance: dg.DagsterInstance) -> dict[Item, tuple[str, ...]]:
    """What is missing or stale now, with reasons, in build order. What is built on request is left out."""
    freshness = Freshness(defs, instance)
    found = {}
    for key in freshness.ordered():
        if not on_request(key):
            for item in freshness.items(key):
                verdict = freshness.of(item)
                if verdict.state != "fresh":
                    found[item] = verdict.reasons
    return found


def followers(defs: dg.Definitions, instance: dg.DagsterInstance, stale: Sequence[Item]) -> list[Item]:
    """Fresh items downstream of stale ones: rebuilt only if what they read really changes."""
    freshness = Freshness(defs, instance)
    reached = set(stale)
    found: list[Item] = []
    for key in freshness.ordered():
        for item in [] if on_request(key) else freshness.items(key):
            node = freshness.graph.get(key)
            hit = any(
                other.key in node.parent_keys
                and (other.partition == item.partition or different(freshness, other, key))
                for other in reached
            )
            if hit and item not in reached:
                reached.add(item)
                found.append(item)
    return found


def different(freshness: Freshness, parent: Item, child: dg.AssetKey) -> bool:
    """Whether parent and child have different partition sets, so that any parent partition reaches every child one."""
    return freshness.graph.get(parent.key).partitions_def != freshness.graph.get(child).partitions_def
