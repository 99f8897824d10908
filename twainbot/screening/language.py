"""Is a passage English? By the share of words that no English prose is without; which words, words.py says.

Enough to tell a French chapter from an English one. A work's own language is its source's statement.
"""

from __future__ import annotations

from twainbot.screening.words import Counts

ENGLISH, OTHER, UNCLEAR = "en", "other", "unclear"
MIN_WORDS = 50  # a shorter text may well be a list of names
# Of 6,523 windows of Twain, Franklin, Bierce and Dunne the share is 0.19 to 0.45 save for lists and foreign passages; French,
# German and Latin prose has 0.00 to 0.04.
MIN_SHARE = 0.12


def language_of(counts: Counts) -> list[str]:
    """`en`, `other`, or `unclear` for texts under MIN_WORDS, in order."""
    pairs = zip(counts.words.tolist(), counts.english.tolist(), strict=True)
    return [
        UNCLEAR if words < MIN_WORDS else ENGLISH if english >= MIN_SHARE * words else OTHER for words, english in pairs
    ]
