"""A process beside the campaign that reads lake and event log for it, and orders backfills: it alone imports polars.

Spawned, asked over a pipe, one question at a time.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.chaos.truth import State
from twainbot_assets.freshness import Item

Edition = dict[Item, State]


@dataclass
class Asked:
    """The witness as the campaign sees it: each method of Answers, called there."""

    pipe: Connection
    process: multiprocessing.process.BaseProcess

    def __call__(self, question: str, *words: Any) -> Any:
        """The answer. Raises RuntimeError where there was none."""
        self.pipe.send((question, words))
        good, answer = self.pipe.recv()
        if not good:
            raise RuntimeError(f"{question}: {answer}")
        return answer

    def leave(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(10)


def called(lake: Path) -> Asked:
    """A witness of this lake, and of the instance that the environment names."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_listen, args=(theirs, str(lake)), daemon=True)
    process.start()
    theirs.close()
    return Asked(ours, process)


def _listen(pipe: Connection, lake: str) -> None:
    answers = Answers(Path(lake))
    while True:
        try:
            question, words = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, getattr(answers, question)(*words)))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))


class Answers:
    """What can be asked."""

    def __init__(self, lake: Path) -> None:
        import dagster as dg

        from benchmarks.chaos.truth import Witness

        self.instance = dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
        self.witness = Witness(lake, self.instance)

    def states(self) -> Edition:
        """Recorded version and rows of every item."""
        return self.witness.states()

    def stamps(self) -> dict[str, tuple[int, int, int]]:
        """Inode, time and size of every committed file."""
        return self.witness.stamps()

    def runs(self) -> list[str]:
        """All runs."""
        return [run.run_id for run in self.instance.get_runs()]

    def events(self, run_ids: Sequence[str]) -> int:
        """How many materializations these runs recorded."""
        return self.witness.events(run_ids)

    def torn(self, editions: Sequence[Edition]) -> list[str]:
        """What is not whole."""
        from benchmarks.chaos.truth import torn

        return torn(self.witness, editions)

    def lost(self, before: Edition, published: Sequence[str]) -> list[str]:
        """What was committed and is gone."""
        from benchmarks.chaos.truth import lost

        return lost(self.witness, before, published)

    def late_events(self, run_ids: Sequence[str]) -> list[str]:
        """What runs recorded after their end."""
        from benchmarks.chaos.truth import late_events

        return late_events(self.instance, run_ids)

    def order_backfill(self) -> str:
        """Order one; its id."""
        from benchmarks.chaos.victims import order_backfill

        return order_backfill(self.instance)

    def backfill(self, name: str) -> str:
        """Its status."""
        found = self.instance.get_backfill(name)
        return found.status.value if found else "gone"

    def made_by(self, name: str) -> dict[tuple[str, str | None], int]:
        """How often a backfill made each asset and partition."""
        from benchmarks.chaos.victims import made_by

        return made_by(self.instance, name)
