"""Foreign text inside Markdown, so that it shows as the words that it is: no picture is fetched, no link made, no block broken.

Dagster's UI, the Hub and every forge render Markdown, and a picture in it is a request that tells a stranger who reads.
"""

from __future__ import annotations

import re

# The colon of an address and the dot of "www." too: GitHub's Markdown makes links of bare ones.
_MARKS = re.compile(r"([\\`*_\[\]<>#|~&]|(?<=\w):(?=//)|(?<=\bwww)\.)")
_FENCES = re.compile(r"`{3,}")


def plain(text: str) -> str:
    """Words on one line that Markdown shows as they are."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """A code span on one line. Backticks become apostrophes: a span that ends early would let the rest loose."""
    return f"`{' '.join(text.split()).replace('`', chr(39)) or ' '}`"


def fenced(text: str, kind: str = "text") -> str:
    """A block of code with a fence longer than any in the text."""
    fence = "`" * max(3, *(len(run) + 1 for run in _FENCES.findall(text)), 3)
    return f"{fence}{kind}\n{text}\n{fence}"
