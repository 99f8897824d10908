"""What a text says by its words: profanity, abuse, threats, period terms, sensitive topics, personal data.

The words are data, in lexicon.yaml. This is a lexicon and no toxicity model: it misses what it does not list. What its
findings lead to is decided in decide.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any, TypeAlias

import polars as pl
import yaml

from twainbot.chunks.cues import alternatives
from twainbot.screening.words import Marked

WEIGHED = ("profanity", "abuse", "threat")
TOPIC, PERSONAL, PERIOD = "topic:", "personal_data:", "period_term:"
EVERYTHING = -1
CONTEXT, MOST_SHOWN = 60, 12  # characters on either side of a term; terms shown of one text
_Hits: TypeAlias = Mapping[str, list[tuple[re.Match[str], float]]]
_NEVER = r"(?!)"
_FAMILIAR = re.compile("[\x00-\x7fÀ-ÖØ-öø-ÿ\u2010-\u2027]*")
_GROUP = re.compile(r"(?<!\\)\((?:\?:)?((?:\\.|[^()\\])*)\)")
_RUN = re.compile(r"\w+")
_PHRASE = re.compile(r"[ '-]|\[[^\]]*\*")  # a space, hyphen, apostrophe or star: more than one run


@dataclass(frozen=True)
class Findings:
    """What the lexicon found. `weights` sums the hits of each weighed category; `flags` names all but topics, sorted.

    `evidence`: the period terms by category and term, how often each stands there, and its first surroundings.
    Flags: profanity, abuse, threat, period_term:<category>, personal_data:<kind>.
    """

    weights: Mapping[str, float]
    flags: tuple[str, ...]
    topics: tuple[str, ...]
    evidence: tuple[str, ...] = ()


NOTHING = Findings({}, (), ())


def find(text: str) -> Findings:
    """Everything that the lexicon knows in one text."""
    return find_marked(text, EVERYTHING)


def find_marked(text: str, marks: int) -> Findings:
    """What the lexicon knows of the flags in these bits, for a text whose words have no other (see `marks_of`)."""
    if not marks:
        return NOTHING
    lexicon = _lexicon()
    sure, asked = _sure_and_asked(marks)
    if not asked:
        return _findings(sure, {})
    plain = _plain(text)
    return _findings(sure, {flag: found for flag in asked if (found := lexicon.hits(flag, plain))})


def find_near(text: str, marks: int, marked: Sequence[Marked]) -> Findings:
    """The same as `find_marked`, searching only the stretches of the text around its marked words, as WordCounter cuts them.

    Period terms are shown with what surrounds them, so where there are any they are looked for in the whole text.
    """
    if not marks:
        return NOTHING
    lexicon = _lexicon()
    sure, asked = _sure_and_asked(marks)
    hits: dict[str, list[tuple[re.Match[str], float]]] = {}
    for flag in asked:
        bit = lexicon.bits[flag]
        near = [hit for part in marked if part.marks & bit for hit in lexicon.hits(flag, part.words)]
        if near:
            hits[flag] = lexicon.hits(flag, _plain(text)) if flag.startswith(PERIOD) else near
    return _findings(sure, hits)


@lru_cache(maxsize=1 << 12)
def _sure_and_asked(marks: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The flags that these bits make certain, and the others that have to be searched for."""
    bits = _lexicon().bits
    certain = marks >> len(bits) if marks > 0 else 0
    sure = tuple(flag for flag, bit in bits.items() if certain & bit)
    return sure, tuple(flag for flag, bit in bits.items() if marks & bit and flag not in sure)


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").lower().split())  # a phrase may run over a line's end


def _findings(sure: Collection[str], hits: _Hits) -> Findings:
    weights = {kind: sum(weight for _, weight in hits[kind]) for kind in WEIGHED if kind in hits}
    topics = sorted(flag.removeprefix(TOPIC) for flag in {*hits, *sure} if flag.startswith(TOPIC))
    shown = [
        line
        for flag in sorted(hits)
        if flag.startswith(PERIOD)
        for line in _shown(flag, [match for match, _ in hits[flag]])
    ]
    flags = sorted(flag for flag in hits if not flag.startswith(TOPIC))
    return Findings(weights, tuple(flags), tuple(topics), tuple(shown[:MOST_SHOWN]))


def marks_of(word: str) -> int:
    """Bits of the flags that could have a match around this lower-case word, by place in the lexicon's order.

    The same bits stand once more, above those, for topics that the word alone makes certain: they need no search.
    A match begins where a run of letters and digits does, save for personal data.
    """
    lexicon = _lexicon()
    runs = ((0, len(word)),) if word.isalpha() else tuple(match.span() for match in _RUN.finditer(word))

    def single(pattern: re.Pattern[str]) -> bool:
        return any(pattern.fullmatch(word, *run) for run in runs)

    def begun(pattern: re.Pattern[str]) -> bool:
        return any(pattern.match(word, start) for start, _ in runs)

    personal = not word.isalpha() and bool(lexicon.anywhere.search(word))
    if not (personal or single(lexicon.any_single) or begun(lexicon.any_stem)):
        return 0
    found = _marks(
        lexicon,
        lambda flag: (
            personal if flag.startswith(PERSONAL) else single(lexicon.singles[flag]) or begun(lexicon.stems[flag])
        ),
    )
    if not word.isalpha():
        return found
    return found | _marks(lexicon, lambda flag: flag.startswith(TOPIC) and single(lexicon.singles[flag])) << len(
        lexicon.flags
    )


def candidates(words: Sequence[str]) -> list[str]:
    """Of lower-case words, all that may have marks, and few others: asking one by one costs 4 µs a word, this 0.1.

    Only for words of familiar characters, since the two engines of regular expressions differ in what else is a letter.
    """
    odd = [word for word in words if not word.isascii() and not _FAMILIAR.fullmatch(word)]
    left = set(odd)
    plain = pl.Series([word for word in words if word not in left] if odd else words, dtype=pl.String)
    return plain.filter(plain.str.contains(_lexicon().quick)).to_list() + odd


def reach() -> int:
    """Words on either side of a marked one that a match may take in: no cue holds more spaces than that.

    A cue repeats no space, see lexicon.yaml.
    """
    return _lexicon().reach


def _marks(lexicon: _Lexicon, holds: Callable[[str], object]) -> int:
    return sum(1 << place for place, flag in enumerate(lexicon.flags) if holds(flag))


def _shown(flag: str, found: list[re.Match[str]]) -> Iterator[str]:
    """Each distinct term once, with what stands around it, so that a person can judge without opening the book."""
    first = {match[0]: match for match in reversed(found)}
    for term, match in sorted(first.items()):
        times = sum(other[0] == term for other in found)
        around = match.string[max(0, match.start() - CONTEXT) : match.end() + CONTEXT]
        yield f"{flag}: {term} ({times}): … {around} …"


@dataclass(frozen=True)
class _Lexicon:
    """`patterns`: by flag, what to search for with the weight of a hit. `singles`, `stems`: what a word must match first."""

    patterns: Mapping[str, list[tuple[re.Pattern[str], float]]]
    singles: Mapping[str, re.Pattern[str]]
    stems: Mapping[str, re.Pattern[str]]
    any_single: re.Pattern[str]
    any_stem: re.Pattern[str]
    anywhere: re.Pattern[str]
    reach: int

    @cached_property
    def flags(self) -> tuple[str, ...]:
        return tuple(self.patterns)

    @cached_property
    def bits(self) -> dict[str, int]:
        return {flag: 1 << place for place, flag in enumerate(self.flags)}

    @cached_property
    def quick(self) -> str:
        """What a word with marks holds, for polars' engine, which knows no `(?!)`: a beginning, or personal data."""
        begins = [found.pattern for found in (*self.singles.values(), *self.stems.values()) if found.pattern != _NEVER]
        return rf"\b(?:{'|'.join(begins)})|{self.anywhere.pattern}"

    def hits(self, flag: str, plain: str) -> list[tuple[re.Match[str], float]]:
        return [(match, weight) for pattern, weight in self.patterns[flag] for match in pattern.finditer(plain)]


@cache
def _lexicon() -> _Lexicon:
    data: dict[str, Any] = yaml.safe_load(files("twainbot.screening").joinpath("lexicon.yaml").read_text("utf-8"))
    cues: dict[str, list[tuple[str, float]]] = {
        **{kind: [(entry["pattern"], entry["weight"]) for entry in data[kind]] for kind in WEIGHED},
        **{f"{PERIOD}{name}": [("|".join(terms), 1.0)] for name, terms in data["period_term"].items()},
        **{f"{TOPIC}{name}": [(pattern, 1.0)] for name, pattern in data["sensitive_topic"].items()},
    }
    personal = {f"{PERSONAL}{name}": re.compile(pattern) for name, pattern in data["personal_data"].items()}
    searched = [*(pattern for listed in cues.values() for pattern, _ in listed), *data["personal_data"].values()]
    singles = {flag: _singles(listed) for flag, listed in cues.items()} | dict.fromkeys(personal, _NEVER)
    stems = {flag: data["stems"].get(flag, _NEVER) for flag in singles}
    return _Lexicon(
        patterns={
            **{flag: [(_words(pattern), weight) for pattern, weight in listed] for flag, listed in cues.items()},
            **{flag: [(pattern, 1.0)] for flag, pattern in personal.items()},
        },
        singles={flag: re.compile(pattern) for flag, pattern in singles.items()},
        stems={flag: re.compile(pattern) for flag, pattern in stems.items()},
        any_single=re.compile("|".join(singles.values())),
        any_stem=re.compile("|".join(stems.values())),
        anywhere=re.compile(data["anywhere"]),
        reach=max(map(_spaces, searched)),
    )


def _singles(listed: Sequence[tuple[str, float]]) -> str:
    """Of these patterns, the alternatives that match one run of letters and digits."""
    found = [cue for pattern, _ in listed for cue in alternatives(pattern) if not _PHRASE.search(cue)]
    return "|".join(found) or _NEVER


def _spaces(pattern: str) -> int:
    """The most spaces that a match may hold: of the alternatives the highest, groups within it counted the same way."""
    most = 0
    for cue in alternatives(pattern):
        while group := _GROUP.search(cue):  # an innermost one
            cue = f"{cue[: group.start()]}{' ' * _spaces(group[1])}{cue[group.end() :]}"
        most = max(most, cue.count(" "))
    return most


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")
