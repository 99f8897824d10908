"""What the cascade of lexicon and model misses, estimated from the chunks that the model scored though nothing was flagged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from twainbot.screening.decide import SAMPLE

Z = 1.96  # 95 % on both sides


@dataclass(frozen=True)
class MissRate:
    """Of `drawn` unflagged chunks, `missed` were toxic to the model; `low` to `high` is Wilson's interval of the share."""

    drawn: int
    missed: int
    low: float
    high: float

    def __str__(self) -> str:
        """One line for metadata."""
        if not self.drawn:
            return "not estimated: no unflagged chunk was scored"
        return f"{self.missed} of {self.drawn} unflagged chunks, 95 % interval {self.low:.4f} to {self.high:.4f}"


def miss_rate(rows: pl.DataFrame, threshold: float) -> MissRate:
    """How often the model finds toxicity of at least `threshold` where the lexicon found nothing; rows of records.SCREENED."""
    drawn = rows.filter(rows["scored_because"].eq_missing(SAMPLE) & rows["toxicity"].is_not_null())
    missed = drawn.filter(drawn["toxicity"] >= threshold).height
    return MissRate(drawn.height, missed, *wilson(missed, drawn.height))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; 0 to 1 where nothing was drawn."""
    if not n:
        return 0.0, 1.0
    share, spread = hits / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
