"""Rule-based tags of a passage: tone, topic, satire, weather relevance, humour density, readability, era. English.

Rules and not a model: each tag can be traced to the cues that gave it (`explain`), and the same text gets the same tags
anywhere. What cues there are is cues.py's; how far the tags agree with a reader's labels, agreement.py's. Whether a
passage is fit to train on is screening's business.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from twainbot.chunks.cues import ERAS, TONE_CUES, TOPIC_CUES, CueReader, Found, Totals, read

TAGGER_VERSION = "rules-2"  # goes into each chunk's row and provenance; raise it when a cue changes

TONES = (*TONE_CUES, "neutral")
TOPICS = (*TOPIC_CUES, "general")
UNDATED = "undated"
STYLE_TONES = {
    "weather_fact": "factual",
    "joke": "humorous",
    "satire": "satirical",
}  # a style's cues count before any word
STYLE_WEIGHT = 3.0  # hits per 100 words that the style itself is worth
MIN_RATE = 0.5  # hits per 100 words; below it no tone or topic is claimed: two hits in a passage of 400 words
# In a line of 20 words one chance word would be 5 per 100 and outweigh the style: shorter texts count as this long.
SHORTEST = 50
WEATHER_SCALE = 4.0  # hits per 100 words at which relevance reaches 1 - 1/e = 0.63; a bulletin has 10 and more
ERA_MARGIN = 2  # one era's cues must be this many times the other's; with one cue in a passage nothing is claimed
MIN_ERA_CUES = 2


class Tagger(Protocol):
    """Gives one passage its attributes. `version` names the tagger with everything that its answers depend on."""

    @property
    def version(self) -> str:
        """Name and version, such as `rules-2`."""
        ...

    def tag(self, text: str, style: str) -> dict[str, Any]:
        """Columns of records.CHUNK; a model-based tagger gives columns of its own name beside them."""
        ...

    def explain(self, text: str, style: str) -> dict[str, Any]:
        """What the answer rests on, by attribute."""
        ...


class RuleTagger:
    """The tagger of this module behind the interface that others share."""

    version = TAGGER_VERSION

    def tag(self, text: str, style: str) -> dict[str, Any]:
        """See `tag`."""
        return tag(text, style)

    def explain(self, text: str, style: str) -> dict[str, Any]:
        """See `explain`."""
        return explain(text, style)


def tag(text: str, style: str) -> dict[str, Any]:
    """The tag columns of records.CHUNK for one passage."""
    return _tags(read(text), style)


def tags_of(texts: Sequence[str], styles: Sequence[str], reader: CueReader) -> list[dict[str, Any]]:
    """`tag` of many passages, in order."""
    return [_tags(found, style) for found, style in zip(reader.totals(texts), styles, strict=True)]


def _tags(found: Found | Totals, style: str) -> dict[str, Any]:
    return {
        "tone": _winner(_tones(found, style), "neutral"),
        "topic": _winner(_rates(found, "topic", TOPIC_CUES), "general"),
        "is_satire": style == "satire",
        "weather_relevance": _relevance(found),
        "humor_density": round(100 * found.count("humor") / found.words, 4),
        "readability": reading_grade(found),
        "era": _era(found),
        "tagger": TAGGER_VERSION,
    }


def explain(text: str, style: str) -> dict[str, Any]:
    """The cues behind each tag: for each attribute its value and the hits, as {cue: number}, that speak for it."""
    found, tags = read(text), tag(text, style)
    return {
        "tagger": TAGGER_VERSION,
        "tone": {
            "value": tags["tone"],
            "style": STYLE_TONES.get(style),
            "cues": _hits(found, f"tone:{tags['tone']}"),
        },
        "topic": {"value": tags["topic"], "cues": _hits(found, f"topic:{tags['topic']}")},
        "is_satire": {"value": tags["is_satire"], "style": style},
        "weather_relevance": {"value": tags["weather_relevance"], "cues": _hits(found, "weather")},
        "humor_density": {"value": tags["humor_density"], "cues": _hits(found, "humor")},
        "readability": {
            "value": tags["readability"],
            "formula": "Flesch-Kincaid grade",
            "words": found.words,
            "sentences": found.sentences,
            "syllables": found.syllables,
        },
        "era": {"value": tags["era"], "cues": {name: _hits(found, f"era:{name}") for name in ERAS}},
    }


def weather_relevance(text: str) -> float:
    """How much of the text is about weather, 0..1: `1 - exp(-hits per 100 words / WEATHER_SCALE)`, to 4 places."""
    return _relevance(read(text))


def reading_grade(found: Found | Totals) -> float:
    """Flesch-Kincaid grade (Kincaid et al. 1975): years of American school, from about -3 for "Go." upward."""
    return round(0.39 * found.words / found.sentences + 11.8 * found.syllables / found.words - 15.59, 2)


def _relevance(found: Found | Totals) -> float:
    return round(1 - math.exp(-100 * found.count("weather") / found.words / WEATHER_SCALE), 4)


def _tones(found: Found | Totals, style: str) -> dict[str, float]:
    tones = _rates(found, "tone", TONE_CUES)
    if style in STYLE_TONES:
        tones[STYLE_TONES[style]] += STYLE_WEIGHT
    return tones


def _rates(found: Found | Totals, attribute: str, names: Mapping[str, str]) -> dict[str, float]:
    words = max(SHORTEST, found.words)
    return {name: 100 * found.count(f"{attribute}:{name}") / words for name in names}


def _winner(rates: Mapping[str, float], otherwise: str) -> str:
    """The name with the highest rate, the first of equals; `otherwise` where none reaches MIN_RATE."""
    best = max(rates, key=lambda name: rates[name])
    return best if rates[best] >= MIN_RATE else otherwise


def _era(found: Found | Totals) -> str:
    counts = {name: found.count(f"era:{name}") for name in ERAS}
    best = max(counts, key=lambda name: counts[name])
    rest = sum(counts.values()) - counts[best]
    return best if counts[best] >= max(MIN_ERA_CUES, ERA_MARGIN * rest) else UNDATED


def _hits(found: Found, group: str) -> dict[str, int]:
    return dict(Counter(found.hits.get(group, {})).most_common())
