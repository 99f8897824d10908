"""Train, validation and test: `assign` draws the split, `balance` says how even it came out, `leaks` proves it tight."""

from __future__ import annotations

from twainbot.splits.assign import assign, balance
from twainbot.splits.leakage import leaks

__all__ = ["assign", "balance", "leaks"]
