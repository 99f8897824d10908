"""Is a passage English? By the share of words that no English prose is without; which words, words.py says.

Enough to tell a French chapter from an English one. A work's own language is its source's statement.
"""

from __future__ import annotations

from twainbot.screening.words import Counts

ENGLISH, OTHER, UNCLEAR = "en", "other", "unclear"
MIN_WORDS = 50  # a shorter text may well be a list of names
# Of 6,523 windows of 16 books (Twain, Franklin, Bierce, Dunne) the middle share is 0.35 and 99 % have over 0.14; the 44 below
# are French passages, tables and lists of names. Short samples of French, German and Dutch prose have 0.00, 0.00 and 0.05.
MIN_SHARE = 0.12


def language_of(counts: Counts) -> list[str]:
    """`en`, `other`, or `unclear` for texts under MIN_WORDS, in order."""
    pairs = zip(counts.words.tolist(), counts.english.tolist(), strict=True)
    return [
        UNCLEAR if words < MIN_WORDS else ENGLISH if english >= MIN_SHARE * words else OTHER for words, english in pairs
    ]
