"""A speaker that says what a test tells it to, in small pieces, and remembers what it was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PIECE = 7  # characters: cuts words, tags and JSON anywhere


@dataclass
class ScriptedSpeaker:
    """`script`: given the messages, what to say next; it may raise. `seen`: (messages, tools, persona) of every turn asked."""

    script: Callable[[Sequence[Mapping[str, Any]]], str]
    seen: list[tuple[list[Mapping[str, Any]], Any, str | None]] = field(default_factory=list)

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        persona: str | None = None,
        max_new_tokens: int = 256,
        room: int = 1,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[str]:
        """The scripted text in pieces, until `stop` says so."""
        self.seen.append((list(messages), tools, persona))
        text = self.script(messages)
        for start in range(0, len(text), PIECE):
            if stop is not None and stop():
                return
            yield text[start : start + PIECE]


def says(*texts: str) -> ScriptedSpeaker:
    """A speaker that says these in turn, the last one again and again."""
    left = list(texts)
    return ScriptedSpeaker(lambda _messages: left.pop(0) if len(left) > 1 else left[0])
