"""The campaign: each parser in a process of its own for so many minutes, findings written down, hangs ended.

    python -m fuzz                                       every parser, 1 minute each, findings in data/fuzz
    python -m fuzz --minutes 20 --inputs 1000000         until 20 minutes or a million inputs, whichever comes first
    python -m fuzz --minutes 20 --resume                 go on where an earlier campaign of that folder ended
    python -m fuzz --only pdf --engine atheris           one parser, guided by coverage (pip install atheris)

An input passes where the parser returns or raises an error of ours. A finding is any other exception, more than SLOW_S of
processor time, or a process that dies or stands still; equal ones (same error, same line) are one, shrunk and kept as a file. Exit code 1
where there is any. The same seed repeats the same inputs; a part that was resumed has inputs of its own. Minutes are the
processor's: a loaded machine shortens nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fuzz.doors import Door, doors
from fuzz.mutations import MOST_BYTES, mutated

SLOW_S = 5.0  # of processor time, not of the clock: a loaded machine makes nothing slow
SAVED_EVERY_S = 2.0
STILL_S = 60.0  # without a new input: the process hangs where no signal reaches, and is killed
MOST_MEMORY = 6 * 2**30  # of address space
MOST_FINDINGS = 20  # of one parser; then it wants mending, not more inputs
SHRINK_S = 20.0
KEPT = 400  # interesting inputs beside the seeds
ROOT = Path(__file__).resolve().parent.parent


class TooSlow(BaseException):
    """A parser took more than SLOW_S; no `except Exception` on its way may take it for its own."""


@dataclasses.dataclass
class Tally:
    """What a parser went through. `refused`: inputs that ended in an error of ours."""

    parser: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    findings: list[str] = dataclasses.field(default_factory=list)


class Trial:
    """One parser under trial: runs inputs, tells findings apart, writes them down. `out`: its own folder."""

    def __init__(self, door: Door, out: Path, slow_s: float = SLOW_S, before: Tally | None = None) -> None:
        self.door, self.out, self.slow_s = door, out, slow_s
        self.tally = before or Tally(door.name)
        self.began = time.process_time() - self.tally.seconds
        self.saved = time.monotonic()
        self.known = set(self.tally.findings)
        out.mkdir(parents=True, exist_ok=True)
        with (out / "current").open("w+b") as file:  # what is being tried, for whoever finds this process dead
            file.truncate(MOST_BYTES + 8)
            self.current = mmap.mmap(file.fileno(), MOST_BYTES + 8)

    def run(self, data: bytes) -> str:
        """One input. Returns what it came to: "" for accepted, "refused", or the mark of a finding."""
        self.current[:8] = len(data).to_bytes(8, "little")
        self.current[8 : 8 + len(data)] = data
        self.tally.inputs += 1
        started = time.process_time()
        mark = self.mark_of(data)
        self.tally.slowest_s = max(self.tally.slowest_s, time.process_time() - started)
        self.tally.refused += mark == "refused"
        if mark not in ("", "refused", *self.known):
            self.known.add(mark)
            self._write(mark, data)
        if time.monotonic() - self.saved > SAVED_EVERY_S:
            self.save()
        return mark

    def mark_of(self, data: bytes) -> str:
        """Run the parser and name what happened; equal faults have equal names."""
        try:
            with limited(self.slow_s):
                self.door.call(data)
        except self.door.allowed as error:
            return "refused" if str(error).strip() else f"{type(error).__name__} without a word"
        except TooSlow as error:
            return f"slow at {place(error)}"
        except Exception as error:
            return f"{type(error).__name__} at {place(error)}"
        return ""

    def _write(self, mark: str, data: bytes) -> None:
        """The smallest input of that mark that a short search finds, with its traceback."""
        small = data if mark.startswith("slow") else shrunk(data, lambda tried: self.mark_of(tried) == mark, SHRINK_S)
        name = hashlib.sha256(mark.encode()).hexdigest()[:12]
        (self.out / f"{name}.input").write_bytes(small)
        told = ""
        try:
            with limited(self.slow_s):
                self.door.call(small)
        except BaseException as error:
            told = "".join(traceback.format_exception(error, limit=-12, chain=False))[-4_000:]
        (self.out / f"{name}.txt").write_text(f"{self.door.name}: {mark}\n\n{told}", encoding="utf-8", errors="replace")
        self.tally.findings.append(mark)
        self.save()

    def save(self) -> None:
        """The tally so far, for whoever watches."""
        self.tally.seconds, self.saved = round(time.process_time() - self.began, 1), time.monotonic()
        _put(self.tally, self.out)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TooSlow after so much processor time. Regular expressions notice a signal too; other C code when it returns."""

    def stop(*_: object) -> None:
        raise TooSlow(f"more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def place(error: BaseException) -> str:
    """File and line of the last frame of ours; of the last frame at all where none is."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(ROOT) and "fuzz" not in Path(frame.filename).parts[-2:]
    ]
    frame = (own or list(frames))[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def shrunk(data: bytes, still: Callable[[bytes], bool], seconds: float) -> bytes:
    """A shorter input of which `still` holds, found by taking away ever smaller pieces."""
    ends, size = time.monotonic() + seconds, max(1, len(data) // 2)
    while size and time.monotonic() < ends:
        at, smaller = 0, False
        while at < len(data) and time.monotonic() < ends:
            tried = data[:at] + data[at + size :]
            if still(tried):
                data, smaller = tried, True
            else:
                at += size
        size = size if smaller and size == 1 else size // 2
    return data


# --- engines -----------------------------------------------------------------------------------------------------------


def by_mutation(trial: Trial, seed: int, seconds: float, most: int) -> None:
    """Seeds, then changed ones. An input that ended otherwise than any before it becomes a start of its own."""
    before = trial.tally.inputs  # of an earlier part
    resumed = f"/{before}" if before else ""
    rng = random.Random(f"{seed}/{trial.door.name}{resumed}")
    pool, seen = [raw[:MOST_BYTES] for raw in trial.door.seeds()], set[str]()
    for raw in pool:
        seen.add(trial.run(raw))
    first, ends = len(pool), time.process_time() + seconds
    while time.process_time() < ends and trial.tally.inputs - before < most and len(trial.known) < MOST_FINDINGS:
        data = mutated(rng, rng.choice(pool), pool, trial.door.shape)
        sight = trial.run(data)
        if sight not in seen or (sight == "" and rng.random() < 0.05):  # accepted ones reach furthest
            seen.add(sight)
            pool.append(data)
            if len(pool) > first + KEPT:
                pool.pop(rng.randrange(first, len(pool)))


def by_coverage(trial: Trial, seed: int, seconds: float, most: int) -> None:
    """libFuzzer through atheris: it keeps what reaches new lines of this project, and half of its changes are ours."""
    import atheris  # pyrefly: ignore[missing-import]

    corpus = trial.out / "corpus"
    corpus.mkdir(exist_ok=True)
    starts = [raw[:MOST_BYTES] for raw in trial.door.seeds()] or [b""]
    for number, raw in enumerate(starts):
        (corpus / f"seed{number}").write_bytes(raw)

    def change(data: bytes, most_bytes: int, number: int) -> bytes:
        rng = random.Random(number)
        ours = rng.random() < 0.5
        changed = mutated(rng, data, starts, trial.door.shape) if ours else atheris.Mutate(data, most_bytes)
        return changed[:most_bytes]

    options = [f"-max_total_time={max(1, int(seconds))}", f"-runs={most}", f"-max_len={MOST_BYTES}", f"-seed={seed + 1}", "-rss_limit_mb=0",
               "-timeout=0", "-print_final_stats=0", "-verbosity=0", str(corpus)]  # fmt: skip

    def take(data: bytes) -> None:
        trial.run(data)

    atheris.Setup([sys.argv[0], *options], take, custom_mutator=change)
    atheris.Fuzz()


def _put(tally: Tally, folder: Path) -> None:
    """Write the tally whole: a campaign that is killed while it writes goes on where it was."""
    new = folder / "tally.new"
    new.write_text(json.dumps(dataclasses.asdict(tally), indent=1), encoding="utf-8")
    new.replace(folder / "tally.json")


def _before(folder: Path) -> Tally | None:
    """The tally of an earlier part of the campaign, or None."""
    try:
        return Tally(**json.loads((folder / "tally.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _instrumented(engine: str) -> contextlib.AbstractContextManager[Any]:
    """For atheris: what is imported within counts the lines that it passes."""
    if engine != "atheris":
        return contextlib.nullcontext()
    import atheris  # pyrefly: ignore[missing-import]

    return atheris.instrument_imports(include=["twainbot", "twainbot_assets", "resources", "training"])


def child(name: str, given: argparse.Namespace) -> int:
    """One parser, in this process."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    door = next(door for door in doors() if door.name == name)
    with (
        _instrumented(given.engine),
        contextlib.suppress(Exception),
    ):  # imports are nobody's slowness, and come but once
        door.call(door.seeds()[0])
    trial = Trial(door, given.out / name, before=_before(given.out / name) if given.resume else None)
    engine = by_coverage if given.engine == "atheris" else by_mutation
    left_s, left = given.minutes * 60 - trial.tally.seconds, given.inputs - trial.tally.inputs
    if left_s > 0 and left > 0:
        engine(trial, given.seed, left_s, left)
    trial.save()
    return 0


# --- the parent --------------------------------------------------------------------------------------------------------


def watched(name: str, given: argparse.Namespace) -> Tally:
    """Run one parser in a child that is killed where it stands still, and take its tally."""
    folder: Path = given.out / name
    words = ["--child", name, "--minutes", str(given.minutes), "--inputs", str(given.inputs), "--seed", str(given.seed),
             "--engine", given.engine, "--out", str(given.out), *(["--resume"] if given.resume else [])]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    if not given.resume:
        (folder / "tally.json").unlink(missing_ok=True)
    with (folder / "output.txt").open("wb") as output:
        running = subprocess.Popen([sys.executable, "-m", "fuzz", *words], cwd=ROOT, stdout=output, stderr=output)
        fault = _wait(running, folder / "current", given.still)
    tally = _before(folder) or Tally(name)
    if fault:
        tally.findings.append(fault)
        (folder / "dead.input").write_bytes(_current(folder / "current"))
        _put(tally, folder)
    return tally


def _wait(running: subprocess.Popen[bytes], current: Path, still_s: float) -> str:
    """ "" where the child ended well; else how it did not."""
    last, since, cpu = b"", time.monotonic(), 0.0
    while running.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(1.0)
        now, used = _current(current), _processor_s(running.pid)
        if now != last:
            last, since, cpu = now, time.monotonic(), used
        elif used - cpu > still_s or time.monotonic() - since > 20 * still_s:
            running.kill()
            running.wait()
            return f"hangs: no new input in {still_s:.0f} s of processor time"
    return "" if running.returncode == 0 else f"died with exit code {running.returncode}"


def _processor_s(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _current(path: Path) -> bytes:
    raw = path.read_bytes() if path.is_file() else b""
    return raw[8 : 8 + int.from_bytes(raw[:8], "little")]


def report(tallies: Sequence[Tally]) -> list[str]:
    """A table, one parser a line."""
    lines = [f"{'parser':<20} {'inputs':>9} {'refused':>8} {'seconds':>8} {'slowest':>8}  findings"]
    for tally in tallies:
        share = f"{tally.refused / tally.inputs:.0%}" if tally.inputs else "-"
        found = "; ".join(tally.findings) or "none"
        lines.append(
            f"{tally.parser:<20} {tally.inputs:>9,} {share:>8} {tally.seconds:>8.0f} {tally.slowest_s:>7.2f}s  {found}"
        )
    total, faults = sum(tally.inputs for tally in tallies), sum(len(tally.findings) for tally in tallies)
    return [*lines, f"{len(tallies)} parsers, {total:,} inputs, {faults} findings."]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    names = [door.name for door in doors()]
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description="Fuzz every parser that reads bytes from outside."
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="of processor time a parser (default 1)")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="a parser at most (default 1,000,000)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PARSER", help=", ".join(names))
    parser.add_argument("--engine", choices=("mutation", "atheris"), default="mutation")
    parser.add_argument("--resume", action="store_true", help="count what an earlier campaign in that folder did")
    parser.add_argument("--seed", type=int, default=1835)
    parser.add_argument("--still", type=float, default=STILL_S, help=argparse.SUPPRESS)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "data" / "fuzz", help="folder of findings (default data/fuzz)"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    given.out = given.out.resolve()
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """0 where nothing was found, 1 where something was."""
    given = parse(argv)
    if given.child:
        return child(given.child, given)
    tallies: list[Tally] = []
    for name in given.only:
        tally = watched(name, given)
        tallies.append(tally)
        print(report([tally])[1], flush=True)
    print("\n".join(["", *report(tallies)]))
    found: Any = [dataclasses.asdict(tally) for tally in tallies]
    (given.out / "campaign.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return int(any(tally.findings for tally in tallies))
