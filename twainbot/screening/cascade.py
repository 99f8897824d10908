"""What the cascade of lexicon and model misses, estimated from the chunks that the model scored though nothing was flagged."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from twainbot.evals.statistics import wilson
from twainbot.screening.decide import SAMPLE


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
    share = wilson(missed, drawn.height)
    return MissRate(drawn.height, missed, share.low, share.high)
