"""SIGKILL at random moments, and what must hold after each. __main__.py starts it.

A round starts something in a clone of the project, kills the victim, and looks: is every table whole, is anything
lost, does anything still write though its run is dead? Then the ordinary next run must leave every table as an unbroken run
did. Each outcome is a line of rounds.jsonl in the folder; the same command with the same folder goes on where it
was cut off. Exit code 1 where any round found a fault.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.chaos.__main__ import options_of
from benchmarks.chaos.victims import (
    BACKFILLED,
    DAEMON,
    KINDS,
    SCOPE,
    TRAINED,
    TRAINING,
    UNITS,
    WHOLE,
    Kind,
    schedule,
    victims,
)
from benchmarks.chaos.witness import Asked, Edition, called
from benchmarks.chaos.world import PROFILE, Child, World
from benchmarks.waiting import within

WATCH_S = 3.0  # how long nothing may stir after a run's death: an orphan of a tiny step would have ended by then
DEATH_S = 5.0  # within which descendants must be gone; the kernel takes milliseconds
LIMIT_S = 3600.0  # of any command, on a machine that has other things to do
ON_A_WRITE = 0.3  # share of kills that wait for a write to be under way
TRIES = 6  # moments drawn until one comes before the end of what is to be killed


@dataclass
class Round:
    """One kill and what came of it."""

    number: int
    kind: str
    seed: int
    moment_s: float = 0.0
    on_a_write: bool = False
    victim: str = ""
    survivors: list[str] = field(default_factory=list)  # that should have died with the victim
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    unrecorded: int = 0  # items committed whose event the kill cut off: the next run makes them again
    why: list[str] = field(default_factory=list)  # why the next run did not recover
    recovered: bool = False
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the round met every bar."""
        return self.recovered and not (self.survivors or self.torn or self.lost or self.orphans)


class Campaign:
    """Rounds in one world."""

    def __init__(self, world: World, witness: Asked, seed: int) -> None:
        self.world, self.witness, self.seed = world, witness, seed
        self.editions: dict[str, Edition] = {}
        self.edition = "a"
        self.durations: dict[str, float] = {}
        self.backfill = ""  # the one that the present round ordered

    def prepare(self) -> None:
        """Build both editions without interruption, and measure how long each kind of round takes."""
        self.world.clear()
        self.world.edit("a")
        self.build(WHOLE)
        for edition in ("b", "a"):
            self.world.edit(edition)
            begun = time.monotonic()
            self.build(SCOPE)
            self.durations["run in process"] = time.monotonic() - begun
            self.editions[edition] = self.witness("states")

    def make_trainable(self) -> None:
        """Build what a training reads, and the adapter, once and without interruption: no edition changes these."""
        if not any(item.table == TRAINED for item in self.editions["a"]):
            self.build(f"+{TRAINED}")
            for edition in self.editions.values():
                edition.update({item: state for item, state in self.witness("states").items() if item not in edition})

    def build(self, scope: str) -> None:
        """Bring a scope up to date. Raises SystemExit where that fails."""
        words = ["run", "--select", scope]
        if self.world.fork("twainbot", words).wait(LIMIT_S) != 0:
            sys.exit(f"The unbroken run failed: {self.world.output.read_text()[-3000:]}")

    def play(self, kind: Kind, number: int) -> Round:
        """One round."""
        chance, begun = random.Random(f"{self.seed}/{number}"), time.monotonic()
        found = Round(number, kind.name, self.seed)
        self.world.output.write_text("")
        if kind.again == TRAINING:
            self.make_trainable()
        before, published = self.witness("states"), list(self.witness("stamps"))
        runs = set(self.witness("runs"))
        self.strike(kind, chance, found)
        new = [run for run in self.witness("runs") if run not in runs]
        self.look(found, kind, before, published, new)
        self.recover(found, kind)
        new = [run for run in self.witness("runs") if run not in runs]
        found.orphans += self.witness("late_events", new)
        found.seconds = round(time.monotonic() - begun, 1)
        self.world.clear()
        return found

    def strike(self, kind: Kind, chance: random.Random, found: Round) -> None:
        """Start, wait for the moment, kill."""
        found.on_a_write = chance.random() < ON_A_WRITE
        for _ in range(TRIES):
            if kind.changes:  # for each try: what one that was missed has built, the next would only look at
                self.edition = "b" if self.edition == "a" else "a"
                self.world.edit(self.edition)
            self.backfill = self.witness("order_backfill") if kind.backfill else ""
            process = self.begin(kind)
            length = self.durations.get(kind.name, LIMIT_S)  # unknown: the first one is left to end, and measured
            found.moment_s = round(chance.uniform(0.02, 0.98) * length, 2) if length < LIMIT_S else LIMIT_S
            if self.hit(kind, process, found, chance):
                if kind.all_die:
                    process.wait(30)
                elif not kind.backfill and process.wait(LIMIT_S) is None:
                    found.why.append("what was started never ended after its child's death")
                return
            process.end()
        raise RuntimeError(f"no {kind.name} could be hit: {self.world.output.read_text()[-3000:]}")

    def begin(self, kind: Kind) -> Child:
        """Start what the round is about."""
        return self.world.start(kind.words) if kind.program == "python" else self.world.fork(kind.program, kind.words)

    def hit(self, kind: Kind, process: Child, found: Round, chance: random.Random) -> bool:
        """Kill at the moment; False where everything was over before it came."""
        targets: list[int] = []

        def ready() -> bool:
            nonlocal targets
            targets = victims(self.world, kind, process)
            return bool(targets) or self.is_over(kind, process)

        within(LIMIT_S, ready)
        begun = time.monotonic()  # from the victim's birth: a training child is seconds younger than its run
        within(found.moment_s, lambda: self.is_over(kind, process))
        if found.on_a_write and not self.is_over(kind, process):
            within(20, lambda: self.world.temporaries() or self.is_over(kind, process))
        targets = victims(self.world, kind, process)
        if not targets and not self.is_over(kind, process):
            within(20, ready)  # between two steps
        if not targets:
            self.durations[kind.name] = max(time.monotonic() - begun, 0.1)
            return False
        pid = chance.choice(targets)
        found.victim = (
            self.world.processes().get(pid, "")[-120:] if kind.victim else " ".join((kind.program, *kind.words))
        )
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def is_over(self, kind: Kind, process: Child) -> bool:
        """Whether there is nothing left to kill: the process has ended, or a backfill has made all that it was to make."""
        if kind.backfill:
            time.sleep(0.2)
            return len(self.witness("made_by", self.backfill)) == len(BACKFILLED) * len(UNITS)
        return process.poll() is not None

    def look(self, found: Round, kind: Kind, before: Edition, published: Sequence[str], runs: Sequence[str]) -> None:
        """Right after the death: who still lives, what still writes, and is every table whole?"""
        if not kind.backfill:  # the run is dead, so all of it must be
            within(DEATH_S, lambda: not self.world.processes())
            found.survivors = list(self.world.processes().values())
            files, events = self.witness("stamps"), self.witness("events", runs)
            time.sleep(WATCH_S)
            now = self.witness("stamps")
            found.orphans += [f"{path} was written by a dead run" for path in now if now[path] != files.get(path)]
            if self.witness("events", runs) != events:
                found.orphans.append("a dead run recorded a materialization")
        found.torn = self.witness("torn", list(self.editions.values()))
        found.lost = self.witness("lost", before, published)
        if not found.torn:
            whole = {(state.recorded, state.rows) for edition in self.editions.values() for state in edition.values()}
            found.unrecorded = sum(
                (state.recorded, state.rows) not in whole for state in self.witness("states").values()
            )

    def recover(self, found: Round, kind: Kind) -> None:
        """The next run, and whether it left everything as an unbroken one did."""
        if kind.backfill:
            found.why += self.resume(self.backfill)
        if self.world.fork("twainbot", list(kind.again)).wait(LIMIT_S) != 0:
            found.why.append(f"the next run failed: {self.world.output.read_text()[-1500:]}")
        else:
            from benchmarks.chaos.truth import unequal

            found.why += unequal(self.witness("states"), self.editions[self.edition])
        found.recovered = not found.why

    def resume(self, backfill: str) -> list[str]:
        """Start a daemon again, wait for the backfill's end, and name what it did not make exactly once."""
        ended = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED", "COMPLETED")
        self.end_daemons()
        daemon = self.world.start(DAEMON)
        within(LIMIT_S, lambda: time.sleep(0.5) or self.witness("backfill", backfill) in ended)
        status = self.witness("backfill", backfill)
        daemon.end()
        if status != "COMPLETED_SUCCESS":
            return [f"the backfill ended as {status}"]
        made = self.witness("made_by", backfill)
        return [
            f"the backfill made {table} [{unit}] {made.get((table, unit), 0)} times"
            for table in BACKFILLED
            for unit in UNITS
            if made.get((table, unit)) != 1
        ]

    def end_daemons(self) -> None:
        """End daemons that a kill of the code server left, so that a new one starts; runs that are at work go on."""
        for pid, line in self.world.processes().items():
            if "dagster._daemon" in line:
                os.kill(pid, signal.SIGTERM)
        within(30, lambda: not any("dagster._daemon" in line for line in self.world.processes().values()))


def table_of(rounds: Sequence[Round]) -> str:
    """The summary, one line a kind of victim and one for all."""
    head = "| victim | kills | torn | lost | orphan commits | survivors | recovered by the next run |"
    lines = [head, "|" + "---|" * 7]
    for name in [*dict.fromkeys(kind.name for kind in KINDS), "all"]:
        mine = [each for each in rounds if name in (each.kind, "all")]
        if mine:
            counts = [
                sum(bool(getattr(each, what)) for each in mine) for what in ("torn", "lost", "orphans", "survivors")
            ]
            recovered = sum(each.recovered for each in mine)
            lines.append(f"| {name} | {len(mine)} | {' | '.join(map(str, counts))} | {recovered} of {len(mine)} |")
    return "\n".join(lines)


def read(log: Path) -> list[Round]:
    """The rounds of a campaign so far."""
    return [Round(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def played(folder: Path, kills: int, seed: int, kinds: Sequence[Kind] | None = None) -> list[Round]:
    """Play what is left of a campaign, in a process whose environment is the world's."""
    import twainbot_assets.cli
    import twainbot_assets.definitions
    import twainbot_assets.session  # noqa: F401  (imported once, forked often)

    world, log = World(folder), folder / "rounds.jsonl"
    done = read(log)
    witness = called(world.lake)
    # It answers, so it and its helper are there to be spared: a process just forked has no name yet.
    witness("runs")
    world.spared.update(world.processes())
    campaign = Campaign(world, witness, seed)
    campaign.prepare()
    planned = list(kinds or schedule(kills, random.Random(seed).random))
    for number, kind in enumerate(planned[len(done) :], start=len(done)):
        found = campaign.play(kind, number)
        done.append(found)
        with log.open("a") as file:
            file.write(json.dumps(asdict(found)) + "\n")
        state = "good" if found.good else "FAULT"
        print(
            f"{number + 1:3} of {len(planned)}  {kind.name:16} at {found.moment_s:6.2f} s  {state}  {found.seconds:.0f} s",
            flush=True,
        )
    world.clear()
    witness.leave()
    return done


def main() -> None:
    """Play on in the folder that __main__.py made, in its environment; exit with 1 where any round found a fault."""
    options = options_of(sys.argv[1:])
    named = {kind.name: kind for kind in KINDS}
    kinds = [named[name] for name in options.kinds.split(",")] if options.kinds else None
    rounds = played(options.folder, options.kills, options.seed, kinds)
    print(f"profile {PROFILE}, seed {options.seed}, {options.folder}\n{table_of(rounds)}")
    for bad in (each for each in rounds if not each.good):
        print(json.dumps(asdict(bad), indent=1))
    sys.exit(any(not each.good for each in rounds))


if __name__ == "__main__":
    main()
