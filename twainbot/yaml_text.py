"""YAML from outside, read so that no text can hurt: nothing is constructed but plain values, and the price is bounded.

libyaml's composer calls itself once a level and takes the process with it at about 40,000 (8 MB of stack); aliases of
aliases hold a billion values in a page. Both are refused, as an error that every reader of YAML handles anyway; aliases of
a usual size are read.
"""

from __future__ import annotations

from typing import Any

import yaml

DEEPEST = 100  # levels; the deepest file of this project has 7
MOST = 100_000  # values, with those that aliases repeat
PLAIN = 10_000  # characters that cannot nest deep enough to matter, which saves a second reading


class Hostile(yaml.YAMLError):
    """A text that is YAML and is not read."""


def read(text: str) -> Any:
    """The value of a text. Raises yaml.YAMLError for what is no YAML, nests too deeply or repeats itself by aliases."""
    if len(text) > PLAIN or "*" in text:
        _survey(text)
    try:
        return yaml.load(text, yaml.CSafeLoader)  # a tenth of the pure parser's time
    except (RecursionError, ValueError, OverflowError) as error:  # 2026-13-45 is a date to YAML and none to Python
        raise Hostile(f"a value cannot be read ({error})") from error


def _survey(text: str) -> None:
    """Walk the events, which costs no stack, and refuse what composing them would. An alias counts as what it repeats."""
    sizes: dict[str, int] = {}  # values below each anchor whose end was seen
    open_ones: list[tuple[str | None, int]] = [
        (None, 0)
    ]  # anchor and values so far of each collection around this event
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_ones.append((event.anchor, 1))
            if len(open_ones) - 1 > DEEPEST:
                raise Hostile(f"it nests more than {DEEPEST} levels deep (line {line})")
            continue
        anchor, size = _ended(event, open_ones, sizes, line)
        if anchor is not None:
            sizes[anchor] = size
        around, before = open_ones.pop()
        open_ones.append((around, before + size))
        if before + size > MOST:
            raise Hostile(f"its aliases repeat more than {MOST:,} values (line {line}); write them out")


def _ended(
    event: yaml.Event, open_ones: list[tuple[str | None, int]], sizes: dict[str, int], line: int
) -> tuple[str | None, int]:
    """Anchor and number of values of what ends with this event."""
    if isinstance(event, yaml.CollectionEndEvent):
        return open_ones.pop()
    if isinstance(event, yaml.ScalarEvent):
        return event.anchor, 1
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in sizes:
            raise Hostile(f"the alias *{event.anchor} (line {line}) stands for nothing that has ended before it")
        return None, sizes[event.anchor]
    return None, 0
