"""Rows put together into lines for the model: no attention between rows, and what rows have in common computed once.

A line says by its position ids alone who sees whom. A row begins where they do not go up by one. One that begins at 0
stands alone. One that begins at p > 0 is a branch: it goes on from the first p tokens of the last row that began at 0,
and so shares them. Dialogues under one system prompt and the same tools are such branches; the two replies of a
preference pair too. Attention (attention.py) keeps to that exactly; tests hold it to 1e-5 of every row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from training.render import IGNORED
from training.rows import TokenRow
from twainbot.errors import BadInput

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
        families.setdefault(_stem(row) or (-number,), []).append(row)
    return [
        Part(row, len(stem) - 1 if later else 0)
        for stem, rows in families.items()
        for later, row in enumerate(rows)
    ]  # fmt: skip


def _stem(row: TokenRow) -> tuple[int, ...]:
    return tuple(row.ids[: row.stem]) if row.stem > 1 else ()


@dataclass
class _Line:
    rows: Packed
    free: int
    stems: set[tuple[int, ...]]


def pack(rows: Sequence[TokenRow], length: int) -> list[Packed]:
    """Rows put together into lines of at most `length` tokens, what they share counted once.

    Each row, in the order given, goes where its stem stands already, and there where it leaves least room. Rows are not
    sorted by size first: that would fill whole lines with short rows of one kind, and make their losses jump. Hand them
    over shuffled. Raises BadInput for a row that is longer than a line.
    """
    lines: list[_Line] = []
    for row in rows:
        stem, size = _stem(row), len(row.ids)
        if size > length:
            raise BadInput(f"A row of {size} tokens does not fit into {length}. Raise sequence_length.")
        branch = size - len(stem) + 1
        costs = [(line, branch if stem and stem in line.stems else size) for line in lines[-_OPEN_LINES:]]
        fitting = [
            (stem not in line.stems, line.free - cost, n) for n, (line, cost) in enumerate(costs) if line.free >= cost
        ]
        if fitting:
            line, cost = costs[min(fitting)[2]]
            line.rows.append(row)
            line.free -= cost
            line.stems.add(stem)
        else:
            lines.append(_Line([row], length - size, {stem}))
    return [line.rows for line in lines]


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
