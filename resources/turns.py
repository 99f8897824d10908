"""A turn that is being spoken: its text in whole characters, where it stops, and how it reaches whoever asked.

Who speaks it is speaker.py's.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STOP, LENGTH, CANCELLED = "stop", "length", "cancelled"  # how a turn ends: by itself, at its limit, by its listener

Sink = Callable[["str | Exception | None"], None]  # takes each piece of text, then None, or an error in its place


class Written:
    """Tokens as text, piece by piece: no half characters, and nothing that may turn out to begin a stop text."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        from tokenizers.decoders import DecodeStream

        self.tokenizer = tokenizer
        self.stop = tuple(filter(None, stop))
        self.stopped = False  # whether a stop text was written; it and what follows are left out
        self.ids: list[int] = []
        self._stream = DecodeStream(skip_special_tokens=True)
        self._text = ""  # all that is decoded
        self._told = 0  # characters of it that were given out

    def add(self, token: int) -> str:
        """What may be told now that this token is written; often nothing."""
        self.ids.append(token)
        self._text += self._stream.step(self.tokenizer, token) or ""
        return self._tell(held=True)

    def rest(self) -> str:
        """What is left to tell when nothing more will be written. Bytes that are no character become U+FFFD."""
        if not self.stopped:
            whole: str = self.tokenizer.decode(self.ids, skip_special_tokens=True)
            self._text = whole if whole.startswith(self._text[: self._told]) else self._text
        return self._tell(held=False)

    def _tell(self, *, held: bool) -> str:
        if self.stopped:
            return ""
        longest = max(map(len, self.stop), default=0)
        since = max(0, self._told - longest)
        found = [place for text in self.stop if (place := self._text.find(text, since)) >= 0]
        end = min(found) if found else len(self._text) - (self._maybe(longest) if held else 0)
        told, self._told, self.stopped = self._text[self._told : end], max(end, self._told), bool(found)
        return told

    def _maybe(self, longest: int) -> int:
        """How many characters at the end may begin a stop text."""
        sizes = range(min(longest - 1, len(self._text)), 0, -1)
        return next((size for size in sizes if any(text.startswith(self._text[-size:]) for text in self.stop)), 0)


@dataclass
class Progress:
    """How far a turn is. The speaker writes it, the listener reads it; `cancelled` alone is the listener's to set."""

    persona: str  # who speaks
    prompt_tokens: int
    tell: Sink
    known_tokens: int = 0  # of the prompt, remembered from before
    new_tokens: int = 0  # written so far, the end of turn included
    finish: str | None = None  # STOP, LENGTH or CANCELLED when it is over
    cancelled: bool = False


class Turn(Iterator[str]):
    """The pieces of one assistant turn as they are written. Closing it, or dropping it, ends its decoding."""

    def __init__(
        self, persona: str, prompt_tokens: int, sink: Sink | None = None, enough: Callable[[], bool] | None = None
    ) -> None:
        """enough: asked between two pieces whether the listener needs no more."""
        self._enough = enough or (lambda: False)
        self._pieces: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()
        self.progress = Progress(persona, prompt_tokens, sink or self._pieces.put)

    @property
    def persona(self) -> str:
        """Who speaks."""
        return self.progress.persona

    @property
    def finish(self) -> str | None:
        """How it ended; None before that."""
        return self.progress.finish

    @override
    def __next__(self) -> str:
        if self.progress.cancelled or self._enough():
            self.close()
            raise StopIteration
        piece = self._pieces.get()
        if piece is None or isinstance(piece, Exception):
            self._pieces.put(None)  # whoever asks again is told again that it is over
            if piece is not None:
                raise piece
            raise StopIteration
        return piece

    def close(self) -> None:
        """Ask for no more of it: its place is free at the next step."""
        self.progress.cancelled = True

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
