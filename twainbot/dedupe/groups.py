"""Exact copies: rows of one text as a group, and pairs of texts as pairs of rows. Near copies are pairs.py's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twainbot.dedupe.flat import Numbers, offsets, spread
from twainbot.dedupe.verify import Verified

MAX_COPIES = 64  # of one text that are paired with all others; more are paired with the first copy only


@dataclass(frozen=True)
class Groups:
    """The rows of text i, ascending, are rows[starts[i]:starts[i + 1]]."""

    rows: Numbers
    starts: Numbers

    @classmethod
    def of(cls, text_of_row: Numbers, texts: int) -> Groups:
        """From the text number of each row, -1 where a row has none."""
        filled = np.flatnonzero(text_of_row >= 0)
        packed = np.sort((text_of_row[filled] << 32) | filled)  # a fifth of what a stable argsort takes
        return cls(packed & 0xFFFFFFFF, offsets(np.bincount(packed >> 32, minlength=texts)))

    @property
    def sizes(self) -> Numbers:
        """Rows of each text."""
        return np.diff(self.starts)

    def copies(self) -> tuple[Numbers, Numbers]:
        """Pairs of rows of one text: all among the first MAX_COPIES, the first with each of the rest."""
        place = spread(np.zeros(len(self.sizes), np.int64), self.sizes)  # of each row in its group
        size = np.repeat(self.sizes, self.sizes)
        firsts: list[Numbers] = []
        seconds: list[Numbers] = []
        for reach in range(1, min(MAX_COPIES, int(self.sizes.max(initial=0)))):
            at = np.flatnonzero(place + reach < np.minimum(size, MAX_COPIES))
            firsts.append(self.rows[at])
            seconds.append(self.rows[at + reach])
        rest = np.flatnonzero(place >= MAX_COPIES)
        firsts.append(self.rows[rest - place[rest]])
        seconds.append(self.rows[rest])
        return np.concatenate(firsts), np.concatenate(seconds)

    def expanded(self, pairs: Verified) -> Verified:
        """Pairs of texts as pairs of rows, with the copies of each text, sorted."""
        limited = np.minimum(self.sizes, MAX_COPIES)
        many = limited[pairs.first] * limited[pairs.second]
        which = np.repeat(np.arange(len(many)), many)
        place = spread(np.zeros(len(many), np.int64), many)
        one = self.rows[self.starts[pairs.first][which] + place // limited[pairs.second][which]]
        other = self.rows[self.starts[pairs.second][which] + place % limited[pairs.second][which]]
        first, second = self.copies()
        ones = np.ones(len(first))
        first = np.concatenate([first, np.minimum(one, other)])
        second = np.concatenate([second, np.maximum(one, other)])
        order = np.argsort((first << 32) | second, kind="stable")  # stable: merges runs that are sorted already
        jaccard = np.concatenate([ones, pairs.jaccard[which]])[order]
        containment = np.concatenate([ones, pairs.containment[which]])[order]
        return Verified(first[order], second[order], jaccard, containment)
