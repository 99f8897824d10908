"""What a person sees while the graph is built: a live bar on a terminal, one line per stage when piped."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from twainbot_assets.freshness import Item
from twainbot_assets.runner import Fault

if TYPE_CHECKING:
    from rich.text import Text


class Quiet:
    """For pipes and logs: a line when a stage ends, and every fault."""

    def __init__(self) -> None:
        self.stage = ""
        self.counts: Counter[str] = Counter()
        self.seconds = 0.0

    def __enter__(self) -> Quiet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def started(self, items: Sequence[Item]) -> None:
        """Begin a run; a new stage closes the line of the last one."""
        stage = items[0].table.split("/")[0]
        if stage != self.stage:
            self.flush()
            self.stage = stage

    def event(self, message: str) -> None:
        """Details are for the live view only."""

    def finished(self, items: Sequence[Item], seconds: float, faults: Sequence[Fault]) -> None:
        """Count, and tell faults at once."""
        self.counts.update(item.table.split("/")[0] for item in items)
        self.seconds += seconds
        for fault in faults:
            print(f"FAILED {fault.item}: {fault.why}", file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Print what the stage did."""
        if self.counts:
            made = ", ".join(f"{stage} {count}" for stage, count in self.counts.items())
            print(f"{made} in {self.seconds:.0f} s", flush=True)
        self.counts.clear()
        self.seconds = 0.0


class Live:
    """For terminals: the running item with its latest message, and a line for each finished one.

    Names and messages are text, never rich's markup: a partition stands in brackets, and so does much that a model says.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(highlight=False)
        self.status = self.console.status("starting")
        self.current = ""

    def __enter__(self) -> Live:
        self.status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.status.stop()

    def started(self, items: Sequence[Item]) -> None:
        """Show what runs."""
        more = f" and {len(items) - 1} more" if len(items) > 1 else ""
        self.current = f"{items[0]}{more}"
        self.status.update(styled((self.current, "")))

    def event(self, message: str) -> None:
        """Show the latest message beside what runs."""
        first = next(iter(message.splitlines()), "")[:100]
        self.status.update(styled((f"{self.current}  ", ""), (first, "dim")))

    def finished(self, items: Sequence[Item], seconds: float, faults: Sequence[Fault]) -> None:
        """One line with the time it took."""
        del items  # `current` names them already
        mark = ("failed", "red") if faults else ("done", "green")
        self.console.print(styled(mark, (f" {self.current} ", ""), (f"{seconds:.1f} s", "dim")))
        for fault in faults:
            self.console.print(styled(("  ", ""), (str(fault.item), "red"), (f": {fault.why}", "")))


def styled(*parts: tuple[str, str]) -> Text:
    """Parts of a line, each with its style, shown letter by letter."""
    from rich.text import Text

    return Text.assemble(*parts)


def watcher() -> Live | Quiet:
    """The view that fits where the output goes."""
    return Live() if sys.stdout.isatty() else Quiet()
