"""What a model remembers of conversations so far: a next turn reads only what is new. Bounded; the oldest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.decoding import Memory

LEAST = 16  # tokens that are worth remembering


class Prefixes:
    """Memories by persona and tokens, up to so many bytes: an adapter changes what is remembered of the same words."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Memory] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, persona: str, ids: Sequence[int]) -> Memory | None:
        """The longest memory of what `ids` begin with, one token short of all: something must be left to read."""
        from training.decoding import common_start

        best, count = None, LEAST - 1
        for key in self._kept:
            if key[0] == persona:
                shared = len(common_start([key[1], ids[:-1]]))
                best, count = (key, shared) if shared > count else (best, count)
        if best is None:
            return None
        self._kept.move_to_end(best)
        return self._kept[best].first(count)

    def keep(self, persona: str, memory: Memory) -> None:
        """Remember; shorter memories that this one continues are dropped."""
        if len(memory.ids) < LEAST or memory.bytes > self.most_bytes:
            return
        covered = [
            key for key in self._kept if key[0] == persona and memory.ids[: len(key[1])] == key[1]
        ]  # fmt: skip
        for key in covered:
            self.bytes -= self._kept.pop(key).bytes
        while self.bytes + memory.bytes > self.most_bytes:
            self.bytes -= self._kept.popitem(last=False)[1].bytes
        self._kept[persona, memory.ids] = memory
        self.bytes += memory.bytes

    def forget(self) -> None:
        """Remember nothing of what was."""
        self._kept.clear()
        self.bytes = 0
