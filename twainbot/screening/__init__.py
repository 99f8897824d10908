"""Which chunks may train: rights, lexicon, quality rules and a toxicity score, joined into one decision with reasons.

Nothing is dropped here: every chunk gets a row. The toxicity model itself is a door and lives in resources/.
"""

from __future__ import annotations

from twainbot.screening.decide import NotScored, ScreeningSettings, ToxicityScorer, screen

__all__ = ["NotScored", "ScreeningSettings", "ToxicityScorer", "screen"]
