"""Rows put together into lines for the model: no attention between rows, and what rows have in common computed once.

A line says by its position ids alone who sees whom. A row begins where they do not go up by one. One that begins at 0
stands alone. One that begins at p > 0 is a branch: it goes on from the first p tokens of the last row that began at 0,
and so shares them. Dialogues under one system prompt and the same tools are such branches; the two replies of a
preference pair too. Attention (attention.py) keeps to that exactly; tests hold it to 1e-5 of every row alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from training.render import IGNORED
from training.rows import TokenRow

Packed: TypeAlias = list[TokenRow]  # rows that share a line
Batch: TypeAlias = dict[str, Tensor]
_OPEN_LINES = 256  # that a row may still join: looking through all of them would take quadratic time


@dataclass(frozen=True)
class Part:
    """What is computed of a row: all of it, or what follows its stem, told by the stem's last token once more."""

    row: TokenRow
    skipped: int  # leading tokens that stand in the line already

    @property
    def ids(self) -> list[int]:
        """Its tokens in the line."""
        return self.row.ids[self.skipped :]

    @property
    def labels(self) -> list[int]:
        """Theirs: the first one follows another row's last token, which must not learn to predict it."""
        return [IGNORED, *self.row.labels[self.skipped + 1 :]]


def parts(line: Sequence[TokenRow]) -> list[Part]:
    """The line's rows in the order in which it holds them: those of one stem together, which only the first one has."""
    families: dict[tuple[int, ...], list[TokenRow]] = {}
    for number, row in enumerate(line):
        families.setdefault(_stem(row) or (-number - 1,), []).append(row)
    return [
        Part(row, len(stem) - 1 if later else 0)
        for stem, rows in families.items()
        for later, row in enumerate(rows)
    ]  # fmt: skip


def _stem(row: TokenRow) -> tuple[int, ...]:
    return tuple(row.ids[: row.stem]) if row.stem > 1 else ()


def pack(rows: Sequence[TokenRow], length: int) -> list[Packed]:
    """Rows put together into lines of at most `length` tokens, what they share counted once; a longer row has its own.

    Rows of one stem fill lines of their own, each, in the order given, where it leaves least room; then lines that are
    not full join others in the same way. Rows are not sorted by size first: that would fill whole lines with short rows
    of one kind, and make their losses jump. Hand them over shuffled.
    """
    families: dict[tuple[int, ...], list[TokenRow]] = {}
    for number, row in enumerate(rows):
        families.setdefault(_stem(row) or (-number - 1,), []).append(row)
    units: list[tuple[Packed, int]] = []
    for stem, members in families.items():
        shared = max(0, len(stem) - 1) if len(members) > 1 else 0
        own = [([row], len(row.ids) - shared) for row in members]
        units += [(unit, size + shared) for unit, size in _best_fit(own, length - shared)]
    return [line for line, _ in _best_fit(units, length)]


def _best_fit(units: Iterable[tuple[Packed, int]], length: int) -> list[tuple[Packed, int]]:
    """Units of rows put together, each where it leaves least room of the lines opened last; with what a line holds."""
    lines: list[tuple[Packed, int]] = []
    for rows, size in units:
        begin = max(0, len(lines) - _OPEN_LINES)
        fitting = [
            (length - held - size, place)
            for place, (_, held) in enumerate(lines[begin:], begin)
            if held + size <= length
        ]
        if fitting:
            place = min(fitting)[1]
            line, held = lines[place]
            lines[place] = ([*line, *rows], held + size)
        else:
            lines.append((rows, size))
    return lines


def computed(lines: Sequence[Packed]) -> int:
    """Tokens that the model reads for the lines: those of their rows, less what branches share."""
    return sum(len(part.ids) for line in lines for part in parts(line))


def collate(lines: Sequence[Packed], pad_id: int) -> Batch:
    """Lines as tensors `input_ids`, `labels`, `position_ids`, all (B, T) with T the longest line; no attention mask.

    Padding is a row of its own without labels. The first token of a part has no label: nothing before it is its own.
    """
    held = [parts(line) for line in lines]
    width = max(sum(len(part.ids) for part in line) for line in held)
    batch: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "position_ids": []}
    for line in held:
        short = width - sum(len(part.ids) for part in line)
        batch["input_ids"].append([token for part in line for token in part.ids] + [pad_id] * short)
        batch["labels"].append([label for part in line for label in part.labels] + [IGNORED] * short)
        places = [place for part in line for place in range(part.skipped, len(part.row.ids))]
        batch["position_ids"].append([*places, *range(short)])
    return {name: torch.tensor(values) for name, values in batch.items()}
