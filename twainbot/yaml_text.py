"""YAML from outside, read so that no text can hurt: nothing is constructed but plain values, and the price is bounded.

libyaml's composer calls itself once a level and takes the process with it at about 40,000 (8 MB of stack); aliases of
aliases hold a billion values in a page. Both are refused, as an error that every reader of YAML handles anyway.
"""

from __future__ import annotations

from typing import Any

import yaml

DEEPEST = 100  # levels; the deepest file of this project has 7
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
    """Walk the events, which costs no stack, and refuse what composing them would."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = event.start_mark.line + 1 if event.start_mark else 1
        if depth > DEEPEST:
            raise Hostile(f"it nests more than {DEEPEST} levels deep (line {line})")
        if isinstance(event, yaml.AliasEvent):
            raise Hostile(f"it has the alias *{event.anchor} (line {line}); write the value out")
