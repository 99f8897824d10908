"""What a text says by its words: profanity, abuse, threats, period terms, sensitive topics, personal data.

The words are data, in lexicon.yaml. This is a lexicon and no toxicity model: it misses what it does not list. What its
findings lead to is decided in decide.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import yaml

from twainbot.chunks.cues import alternatives

WEIGHED = ("profanity", "abuse", "threat")
TOPIC, PERSONAL = "topic:", "personal_data:"
EVERYTHING = -1
CONTEXT, MOST_SHOWN = 60, 12  # characters on either side of a term; terms shown of one text
_NEVER = r"(?!)"
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
    certain = marks >> len(lexicon.flags) if marks > 0 else 0
    sure = {flag for place, flag in enumerate(lexicon.flags) if certain & 1 << place}
    asked = [flag for place, flag in enumerate(lexicon.flags) if marks & 1 << place and flag not in sure]
    hits: dict[str, list[tuple[re.Match[str], float]]] = {}
    if asked:
        plain = " ".join(text.replace("’", "'").lower().split())  # a phrase may run over a line's end
        hits = {flag: found for flag in asked if (found := lexicon.hits(flag, plain))}
    weights = {kind: sum(weight for _, weight in hits[kind]) for kind in WEIGHED if kind in hits}
    topics = sorted(flag.removeprefix(TOPIC) for flag in {*hits, *sure} if flag.startswith(TOPIC))
    shown = [
        line
        for flag in sorted(hits)
        if flag.startswith("period_term")
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

    @cached_property
    def flags(self) -> tuple[str, ...]:
        return tuple(self.patterns)

    def hits(self, flag: str, plain: str) -> list[tuple[re.Match[str], float]]:
        return [(match, weight) for pattern, weight in self.patterns[flag] for match in pattern.finditer(plain)]


@cache
def _lexicon() -> _Lexicon:
    data: dict[str, Any] = yaml.safe_load(files("twainbot.screening").joinpath("lexicon.yaml").read_text("utf-8"))
    cues: dict[str, list[tuple[str, float]]] = {
        **{kind: [(entry["pattern"], entry["weight"]) for entry in data[kind]] for kind in WEIGHED},
        **{f"period_term:{name}": [("|".join(terms), 1.0)] for name, terms in data["period_term"].items()},
        **{f"{TOPIC}{name}": [(pattern, 1.0)] for name, pattern in data["sensitive_topic"].items()},
    }
    personal = {f"{PERSONAL}{name}": re.compile(pattern) for name, pattern in data["personal_data"].items()}
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
    )


def _singles(listed: Sequence[tuple[str, float]]) -> str:
    """Of these patterns, the alternatives that match one run of letters and digits."""
    found = [cue for pattern, _ in listed for cue in alternatives(pattern) if not _PHRASE.search(cue)]
    return "|".join(found) or _NEVER


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")
