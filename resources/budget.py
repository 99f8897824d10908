"""A budget in tokens and money that holds over runs, processes and kills: a ledger file beside the cached answers.

Before a call its worst price is reserved, after it the true one is settled. A call that was on its way when its run was
killed stays reserved and counts: the service bills it whether anybody reads the answer or not.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO

from twainbot.errors import BudgetExceeded

MILLION = 1_000_000


@dataclass(frozen=True)
class Spend:
    """Tokens read and written, and what they cost in US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Both directions together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, self.usd + other.usd
        )

    def __sub__(self, other: Spend) -> Spend:
        return self + Spend(-other.input_tokens, -other.output_tokens, -other.usd)

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens and ${self.usd:,.4f}"


NOTHING = Spend()


@dataclass
class Budget:
    """What may be spent under one ledger, ever. `usd`, `tokens`: None where that side is unbounded.

    `price_in`, `price_out`: US dollars for a million tokens read and written.
    """

    ledger: Path
    usd: float | None = None
    tokens: int | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    _entries: dict[str, Spend] = field(default_factory=dict)
    _total: Spend = NOTHING
    _read_to: int = 0
    _lock: Lock = field(default_factory=Lock)

    def price(self, input_tokens: int, output_tokens: int) -> Spend:
        """So many tokens with their price."""
        usd = (input_tokens * self.price_in + output_tokens * self.price_out) / MILLION
        return Spend(input_tokens, output_tokens, usd)

    def spent(self) -> Spend:
        """Everything settled, and everything reserved that nobody settled."""
        with self._open() as file:
            return self._sum(file)

    def check(self, forecast: Spend, calls: int) -> None:
        """Raise BudgetExceeded, before anything is asked, where the forecast does not fit what is left."""
        spent = self.spent()
        if not self._fits(spent + forecast):
            raise BudgetExceeded(
                f"{calls} calls are forecast to take {forecast}, but of the budget of {self.whole} already {spent} are "
                f"spent. Nothing was asked. {self._repair(spent + forecast)}"
            )

    def reserve(self, call: str, worst: Spend) -> None:
        """Set the worst price of a call aside. Raises BudgetExceeded where it does not fit."""
        with self._open() as file:
            spent = self._sum(file)
            if not self._fits(spent + worst):
                raise BudgetExceeded(
                    f"The budget of {self.whole} is spent: {spent} so far, and the next call may take {worst}. Answers so "
                    f"far are kept and will not be paid for again. {self._repair(spent + worst)}"
                )
            self._append(file, call, worst)

    def settle(self, call: str, true: Spend = NOTHING) -> None:
        """Put the true price in the reservation's place; nothing where the call was not answered, hence not billed."""
        with self._open() as file:
            self._append(file, call, true)

    def _fits(self, total: Spend) -> bool:
        return (self.usd is None or total.usd <= self.usd) and (self.tokens is None or total.tokens <= self.tokens)

    @property
    def whole(self) -> str:
        """What may be spent, as people read it."""
        sides = [f"{self.tokens:,} tokens"] if self.tokens is not None else []
        return " and ".join([*sides, *([f"${self.usd:,.2f}"] if self.usd is not None else [])]) or "no bound"

    def _repair(self, needed: Spend) -> str:
        return f"At least {needed} in all are needed: raise budget_usd or budget_tokens in the profile, or write less."

    @contextmanager
    def _open(self) -> Iterator[IO[str]]:
        """The ledger, locked against other threads and processes."""
        self.ledger.parent.mkdir(parents=True, exist_ok=True)
        with self._lock, self.ledger.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _sum(self, file: IO[str]) -> Spend:
        file.seek(self._read_to)
        for line in file.read().splitlines():
            self._learn(line)
        self._read_to = file.tell()
        return self._total

    def _learn(self, line: str) -> None:
        try:
            entry = json.loads(line)
            call, spend = entry["call"], Spend(entry["input_tokens"], entry["output_tokens"], float(entry["usd"]))
        except (ValueError, LookupError, TypeError):
            return  # torn by a kill: nothing was asked yet, or the reservation before it still counts
        self._total = self._total - self._entries.get(call, NOTHING) + spend
        self._entries[call] = spend

    def _append(self, file: IO[str], call: str, spend: Spend) -> None:
        entry = {
            "call": call,
            "input_tokens": spend.input_tokens,
            "output_tokens": spend.output_tokens,
            "usd": spend.usd,
        }
        file.seek(0, os.SEEK_END)
        file.write(f"\n{json.dumps(entry)}")  # the newline first: a torn line never swallows the next
        file.flush()
