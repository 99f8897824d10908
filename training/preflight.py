"""The gate before training: data and recipe that cannot teach anything are refused in one plain sentence.

Each check guards against a failure that otherwise ends in a green run and a useless adapter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from training.config import Stage
from training.rows import Loaded, TokenRow
from twainbot.errors import BadInput


@dataclass(frozen=True)
class Plan:
    """What a stage is about to do."""

    rows: int  # token rows or pairs before packing
    packed_rows: int
    tokens: int  # of one epoch
    trained_tokens: int  # of one epoch
    epoch_steps: int  # optimizer steps of one epoch
    steps: int  # optimizer steps in all
    too_long: int  # samples left out


class Counted(Protocol):
    """A row whose tokens can be counted."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def trained(self) -> int: ...


def plan(settings: Stage, loaded: Loaded, token_rows: Sequence[Counted], packed_rows: int) -> Plan:
    """Count rows, tokens and optimizer steps of a stage."""
    epoch_steps = math.ceil(packed_rows / settings.effective_batch)  # whatever goes at once
    steps = epoch_steps * settings.epochs
    return Plan(
        rows=len(loaded.rows),
        packed_rows=packed_rows,
        tokens=sum(len(row.ids) for row in token_rows),
        trained_tokens=sum(row.trained for row in token_rows),
        epoch_steps=epoch_steps,
        steps=steps if settings.max_steps is None else min(steps, settings.max_steps),
        too_long=len(loaded.too_long),
    )


def check(planned: Plan, settings: Stage, loaded: Loaded) -> None:
    """Raise BadInput where nothing would be learnt, or where more rows would be lost than the recipe allows."""
    if loaded.too_long_share > settings.truncation_limit:
        raise BadInput(
            f"{planned.too_long} of {planned.rows + planned.too_long} train samples are longer than "
            f"sequence_length={settings.sequence_length} tokens (first: {loaded.too_long[0]!r}), above "
            f"truncation_limit={settings.truncation_limit}. Raise sequence_length or shorten the samples."
        )
    if planned.trained_tokens == 0:
        raise BadInput(
            f"The {planned.rows} train rows hold no token to learn from: no assistant turn, or an empty split. "
            "Look at splits/ and at the template's generation markers."
        )
    if planned.steps < settings.minimum_steps:
        raise BadInput(
            f"{planned.packed_rows} packed rows at effective_batch={settings.effective_batch} over "
            f"{settings.epochs} epochs give {planned.steps} optimizer steps, and minimum_steps="
            f"{settings.minimum_steps}. Lower effective_batch, add epochs or data."
        )
    if settings.warmup_steps >= planned.steps:
        raise BadInput(
            f"warmup_steps={settings.warmup_steps} never ends within the {planned.steps} optimizer steps. Lower it."
        )


def check_end_of_turn(rows: Sequence[TokenRow], eos_id: int) -> None:
    """Raise BadInput where a row's loss never covers the end-of-turn token: such a model would not stop talking."""
    untrained = [number for number, row in enumerate(rows) if eos_id not in row.labels[1:]]
    if untrained:
        raise BadInput(
            f"{len(untrained)} of {len(rows)} rows never train the end-of-turn token {eos_id} (first: row "
            f"{untrained[0]}). The template must close assistant turns inside its generation markers."
        )


def check_validation(rows: Sequence[object]) -> None:
    """Raise BadInput where nothing is left to validate on after each epoch."""
    if not rows:
        raise BadInput(
            "The validation split has no usable row, and every epoch is judged on it. Rematerialize splits/ with more data."
        )
