"""What was told already: a cooldown for each kind and subject, kept in the Dagster instance that all processes share.

A happening is told once, whoever sees it (a step, a sensor, the command line). Another one of the same kind and subject
within the cooldown is held back and counted, and the next message says how many were. A state that lasts, as a spent
budget does, is seen at every look: held back, it is neither remembered nor counted, and told when the cooldown is over.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources import alerts
from resources.alerts import Message, Outcome

if TYPE_CHECKING:
    import dagster as dg

COOLDOWN_S = 3600.0
SHOWN = 8  # happenings in one message; the rest are counted
_REMEMBERED = 50  # happenings of one kind and subject; a cursor that is set back finds no more than its last day
_CLOCK_S = 60.0  # a last message further in the future than this was stamped by a clock that has been set back


@dataclass(frozen=True)
class Happening:
    """Something to be told. `what`: a title; `said`: what happened; `occurrence`: what makes it this one and no other."""

    subject: str
    what: str
    said: str
    repair: str = ""
    run_id: str = ""
    occurrence: str = ""


@dataclass
class Memory:
    """Of one kind and subject: when it was last told (seconds since 1970), how many were held back since, and which."""

    at: float = 0.0
    held: int = 0
    occurrences: list[str] = field(default_factory=list)


def recall(instance: dg.DagsterInstance, kind: str, subject: str) -> Memory:
    """What was told; nothing where it cannot be read: rather twice than never."""
    key = _key(kind, subject)
    try:
        return Memory(**json.loads(instance.run_storage.get_cursor_values({key}).get(key, "{}")))
    except Exception:  # a store that is locked, or a value of another version
        return Memory()


def remember(instance: dg.DagsterInstance, kind: str, subject: str, memory: Memory) -> None:
    """Keep it, if the store lets us."""
    memory.occurrences = memory.occurrences[-_REMEMBERED:]
    try:
        instance.run_storage.set_cursor_values({_key(kind, subject): json.dumps(asdict(memory))})
    except Exception:  # an alert is no reason to fail
        return


def told(instance: dg.DagsterInstance, kind: str, subject: str, occurrence: str) -> None:
    """Remember a happening that somebody else told, as a step does at once."""
    memory = recall(instance, kind, subject)
    remember(instance, kind, subject, Memory(time.time(), memory.held, [*memory.occurrences, occurrence]))


def _key(kind: str, subject: str) -> str:
    return f"twainbot/alert/{hashlib.sha256(f'{kind}|{subject}'.encode()).hexdigest()[:32]}"


class Teller:
    """Tells happenings of one kind, several in one message, minding the cooldown.

    `prefix`: begins every title; `lasting`: whether these are states, which are seen again as long as they last.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        kind: str,
        log: Callable[[str], None],
        prefix: str = "TwainBot",
        cooldown_s: float = COOLDOWN_S,
        lasting: bool = False,
        send: Callable[[Message], list[Outcome]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.instance = instance
        self.kind = kind
        self.log = log
        self.prefix = prefix
        self.cooldown_s = cooldown_s
        self.lasting = lasting
        self.send = send or alerts.deliver
        self.clock = clock

    def tell(self, happenings: Sequence[Happening]) -> bool:
        """Whether these are dealt with: told, told before, or held back. False where nobody took the message: try again."""
        now = self.clock()
        fresh, known = list[Happening](), dict[str, Memory]()
        for one in happenings:
            memory = known.setdefault(one.subject, recall(self.instance, self.kind, one.subject))
            if not one.occurrence or one.occurrence not in memory.occurrences:
                fresh.append(one)
        due = [one for one in fresh if self.is_due(known[one.subject], now)]
        taken = self.sent(due, known) if due else True
        if taken:
            self.note(fresh, due, known, now)
        return taken

    def is_due(self, memory: Memory, now: float) -> bool:
        """Whether the cooldown is over."""
        return now - memory.at >= self.cooldown_s or memory.at > now + _CLOCK_S

    def sent(self, due: Sequence[Happening], known: dict[str, Memory]) -> bool:
        """Send one message about all that is due. Where nobody is to be told, that is said in the log, and all is done."""
        message = self.message(due, known)
        outcomes = self.send(message)
        if not outcomes:
            self.log(f"{message.title}: nobody was told, for {alerts.URLS} is not set.")
            return True
        self.log(f"{message.title}. {alerts.verdict_on(outcomes)}")
        return any(outcome.took for outcome in outcomes)

    def note(self, fresh: Sequence[Happening], due: Sequence[Happening], known: dict[str, Memory], now: float) -> None:
        """Begin the cooldown of what was told, and count what was held back: no state, for the next look sees it again."""
        noted = due if self.lasting else fresh
        for subject in dict.fromkeys(one.subject for one in noted):
            memory, mine = known[subject], [one for one in noted if one.subject == subject]
            memory.occurrences += [one.occurrence for one in mine if one.occurrence]
            if any(one in due for one in mine):
                memory.at, memory.held = now, 0
            else:
                memory.held += len(mine)
                self.log(f"{self.kind}: {subject} was told at {stamp(memory.at)}; {memory.held} held back since.")
            remember(self.instance, self.kind, subject, memory)

    def message(self, due: Sequence[Happening], known: dict[str, Memory]) -> Message:
        """One message; of several happenings a list, each with its run."""
        facts = {"kind": self.kind, "subject": ", ".join(dict.fromkeys(one.subject for one in due)), "count": len(due)}
        if len(due) == 1:
            (one,) = due
            said = one.said + self.held_back(known[one.subject])
            return Message(f"{self.prefix}: {one.what}", said, one.repair, one.run_id, facts)
        runs = list(dict.fromkeys(one.run_id for one in due if one.run_id))
        lines = [self.line(one, known[one.subject], several=len(runs) > 1) for one in due[:SHOWN]]
        more = [f"And {len(due) - SHOWN} more: see the runs in the UI."] if len(due) > SHOWN else []
        repairs = list(dict.fromkeys(one.repair for one in due[:SHOWN] if one.repair))
        link = runs[0] if len(runs) == 1 else ""
        title = f"{self.prefix}: {self.kind}: {due[0].what} and {len(due) - 1} more"
        return Message(title, "\n".join([*lines, *more]), " ".join(repairs), link, facts)

    def line(self, one: Happening, memory: Memory, several: bool) -> str:
        """One happening of several, short enough that all have room."""
        link = f" {alerts.run_page(one.run_id)}" if several and one.run_id else ""
        return f"- {one.what}: {alerts.shortened(one.said, 120)}{self.held_back(memory)}{link}"

    def held_back(self, memory: Memory) -> str:
        """How many like it were not told, and since when."""
        return f" ({memory.held} more like it since {stamp(memory.at)} were held back.)" if memory.held else ""


def stamp(moment: float) -> str:
    """Seconds since 1970 as a time that people read."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
