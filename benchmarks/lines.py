"""Rows of a benchmark's report: what was measured, the bar it is held to, and the Markdown table of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_WORDS = {None: "", True: "pass", False: "**fail**"}


@dataclass(frozen=True)
class Line:
    """One row of the report. `holds`: None for a figure without a bar."""

    what: str
    value: str
    bar: str = ""
    holds: bool | None = None


def as_table(lines: Iterable[Line]) -> str:
    """The lines as a Markdown table."""
    rows = [f"| {line.what} | {line.value} | {line.bar} | {_WORDS[line.holds]} |" for line in lines]
    return "\n".join(["| what | measured | bar | |", "|---|---|---|---|", *rows]) + "\n"
