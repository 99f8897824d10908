"""The words that tags rest on, and how they are found: a text is read once, each distinct word is looked at once ever.

A cue is a regular expression over lower-case text, matched as whole words. What a number of hits means is tags.py's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from twainbot.chunks.lookup import Integers, Table, WordPlaces, blocks, edges, laid_out

TONE_CUES = {
    "humorous": r"laugh\w*|jok(?:e|es|ed|ing)|funny|comic\w*|fun|grinn?\w*|chuckl\w*|whopper\w*|stretchers?|ridiculous\w*"
    r"|absurd\w*|fools?|foolish\w*|jackass\w*|humbug\w*|preposterous\w*|ludicrous\w*|blamed|reckon\w*",
    "satirical": r"congress\w*|senators?|statesm[ae]n|politicians?|patriot\w*|so-called|noble|distinguished|eminent"
    r"|hypocri\w*|officials?|spokes\w+|experts?|sources said|reportedly|announced|unveil\w*|civili[sz]ation",
    "ironic": r"of course|naturally|no doubt|doubtless|needless to say|virtue|virtuous|respectable|it is true that"
    r"|i suppose|as usual|to be sure|only exception|not the least",
    "reflective": r"remember\w*|memor(?:y|ies)|long ago|in those days|dream\w*|wonder(?:ed|ing)?|lonesome|lonely"
    r"|old times|youth|soul|by-?gone|boyhood",
    "instructive": r"ought|resolve\w*|precepts?|diligen\w*|industr(?:y|ious)|frugal\w*"
    r"|temperance|wise|advice|let (?:no|thy|all)|he that|they that|who would|lesson",
    "dramatic": r"blood\w*|murder\w*|kill(?:ed|ing)?|scream\w*|terror|terrible|horror|death|dead|fled"
    r"|shot|danger\w*|despair\w*",
    "factual": r"percent|degrees|forecast|issued|advisory|warning|mph|knots|temperature|highs|lows|according to"
    r"|in the year",
}
TOPIC_CUES = {
    "weather": r"weather|forecast\w*|rain(?:s|y|ed|ing|fall|storms?|water|bows?|makers?)?|snow\w*|storm(?:s|y|ed)?|thunder\w*"
    r"|lightning|winds?|windy|cloud\w*|sunn?y|sunshine|temperatures?|degrees|fog(?:s|gy)?|frost\w*|blizzards?|hail\w*|droughts?"
    r"|humid\w*|climates?|barometers?|thermometers?|showers?|almanack?s?|froze|frozen|freez\w*|thaw\w*|umbrellas?|cyclones?"
    r"|tornado\w*|hurricanes?|sleet|gusts?|breez\w+|gales?|overcast|dew|weather-?vanes?|rain ?gauges?|below zero",
    "river": r"rivers?|steamboat\w*|pilots?|rafts?|mississippi|boats?|ships?|sea|sail\w*|deck|captain|shore|wharf"
    r"|voyage|canoe|currents?|ferr(?:y|ies|yman|ymen)|channel|sandbar|upriver|floods?|crest|banks of",
    "travel": r"travel\w*|journey\w*|tourist\w*|pilgrim\w*|hotels?|guides?|railways?|railroads?|trains?|stage-?coach\w*"
    r"|passport|foreign\w*|paris|italy|rome|switzerland|heidelberg|cathedral|mountains?|passengers?|conductors?|porters?|baggage"
    r"|trunks?|tickets?|timetables?|depot|coach(?:es)?|inns?|innkeepers?|excursions?",
    "politics": r"congress\w*|senat\w+|presidents?|governors?|elections?|elected|vot(?:e|es|ed|ers?|ing)|government|politic\w*"
    r"|kings?|parliament|republic\w*|democra\w+|tax(?:es|ed)?|mayors?|laws?|legislat\w+|war|council\w*|aldermen|alderman"
    r"|committees?|court|judges?|jury|juries|jurors?|sheriffs?|ordinances?|resolutions?|petition\w*|justices?|lawyers?|attorneys?"
    r"|commissioners?|town meeting|lawsuits?|plaintiff|zoning|census",
    "religion": r"god|church\w*|bible|sunday-?school|prayers?|pray(?:s|ed|ing)?|preach\w*|sermon\w*|priests?|heaven|hell"
    r"|angels?|satan|devil|christian\w*|missionar\w+|ministers?|saints?|sins?|clergym[ae]n|deacons?|hymns?|sabbath|pews?",
    "money": r"money|dollars?|shillings|rich|riches|wealth\w*|debts?|debtors?|credit\w*|banks?|bankers?|gold|silver|stocks?"
    r"|salary|prices?|profits?|dividends?|share-?holders?|stock-?holders?|prospectus|ledgers?|invest\w*|purse|wages|mortgages?",
    "family": r"mothers?|fathers?|wife|wives|husbands?|child\w*|sons?|daughters?|brothers?|sisters?|aunts?|uncles?|marri\w+"
    r"|wedding|baby|home|family|families|brothers?-in-law|mothers?-in-law|relations|cousins?|grand(?:father|mother)s?|household\w*"
    r"|kitchen|parlou?rs?|nursery|pa|ma",
    "animals": r"dogs?|cats?|horses?|mules?|frogs?|birds?|cows?|pigs?|hogs?|donkeys?|fish\w*|lions?|fox\w*|wol(?:f|ves)"
    r"|jays?|ants?|chickens?|snakes?|camels?|bulls?|penguins?|hens?|goats?|burros?|bees?|mice|crickets?|toads?",
    "learning": r"school\w*|teachers?|books?|authors?|librar\w+|languages?|grammar|newspapers?|editors?|print(?:ed|er|ers|ing)"
    r"|scien\w+|philosoph\w+|experiment\w*|electric\w*|invent\w+|lectur\w+|professors?|pupils?|scholars?|spell(?:ing|ed)"
    r"|dictionar\w+|encyclop\w+|poems?|poets?|lyceum|textbooks?",
    "conduct": r"virtue\w*|vices?|industr(?:y|ious)|diligen\w*|frugal\w*|temperance|honest\w*|idle\w*|sloth|lazy"
    r"|pride|humility|wise|wisdom|fools?|habits?|reputation|duty|conscience|promises?|anger|tempers?|praise\w*|flatter\w*"
    r"|cheat\w*|forgiv\w*|waste\w*|advice|quarrel\w*|apolog\w+|opinions?",
}  # fmt: skip
_WEATHER = (
    r"weather\w*|forecast\w*|thunderstorms?|temperatures?|degrees (?:fahrenheit|celsius)|rain(?:s|y|fall|storms?|ed|ing)?"
    r"|rainmakers?|snow(?:s|y|fall|storms?|ed|ing)?|showers?|blizzards?|hail(?:s|ed|storms?|stones?)?|drizzl\w*|fog(?:gy)?"
    r"|frost\w*|humid\w*|barometers?|thermometers?|tornado\w*|hurricanes?|cyclones?|winds?|windy|breez\w+|cloud(?:s|y)|overcast|sunn?y|sunshine"
    r"|lightning|thunder\w*|precipitation|droughts?|heat ?wave|cold ?front|mph|highs|lows|storms?|sleet|gales?|gusts?|thaw\w*"
    r"|froze|frozen|freez\w*|below zero|climates?|dew|downpours?|cloudburst|flakes|almanack?s?"
)
_HUMOR = (
    r"laugh\w*|jok(?:e|es|ed|ing)|funny|ridiculous\w*|absurd\w*|preposterous\w*|fools?|jackass\w*|humbug\w*|blamed|consound\w*"
    r"|dad fetch|reckon\w*|stretchers?|whopper\w*|lied|liars?|swear\w*|swore|grinn?\w*|chuckl\w*|undertakers?|mothers?-in-law"
    r"|why did|what do you (?:call|get)|knock knock|walks? into a bar|so-called|nothing but|no worse than|the only|never once"
    r"|except (?:that|when|for)|on the whole|i (?:never|always) (?:saw|knew|could|did)|area (?:man|woman)|sources said"
)
# Words and spellings that one time had and the other has not; a text of today about old days may well read as period.
ERA_CUES = {
    "period": r"thou|thee|thy|thine|hath|doth|upon|whilst|betwixt|amongst|nought|to-day|to-morrow|to-night|shew\w*|connexion"
    r"|gaol|waggons?|almanacks?|receipt for|'tis|'twas|farthings?|shillings|halfpenny|steamboats?|stage-?coach(?:es)?|packet"
    r"|telegraph\w*|bonnets?|petticoats?|buggy|carriages?|parlou?rs?|gentlem[ae]n|presently|by and by|fetched|hitched"
    r"|blacksmith|livery stable|apothecar\w+|sanctum|esq|darkey|hearkens?|ere|yonder|quoth|methinks|publick|musick|chuse",
    "modern": r"phones?|apps?|online|internet|e-?mails?|web-?sites?|computers?|software|screens?|podcasts?|videos?|tv"
    r"|television|smart\w*phones?|laptops?|keyboards?|downloads?|data|notifications?|thermostats?|airports?|airplanes?|parking|garage"
    r"|satellites?|freeways?|highway|traffic|cell|texted|login|log in|self-checkout|camera footage|http\w*|gps|okay|teenagers?"
    r"|radar|models|dewpoints?|hours? ahead|celsius",
}
ERAS = tuple(ERA_CUES)

_GROUPS = {
    **{f"tone:{name}": cues for name, cues in TONE_CUES.items()},
    **{f"topic:{name}": cues for name, cues in TOPIC_CUES.items()},
    **{f"era:{name}": cues for name, cues in ERA_CUES.items()},
    "weather": _WEATHER,
    "humor": _HUMOR,
}
GROUPS = tuple(_GROUPS)
MOST_KEPT = 200_000  # distinct words remembered; then they are forgotten

_RUN = re.compile(r"\w+")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SENTENCE = re.compile(r"(?<![.!?…])[.!?…]++(?=[\"'”’)\]_*]*(?:\s|$))")
_FAMILIAR = re.compile("[\x00-\x7f\u2010-\u2027]*")  # no letters beyond ASCII
_VOWELS = re.compile(r"[aeiouyáéíóúàèäëïöü]+")


@dataclass(frozen=True)
class Found:
    """What one text holds. `words`, `sentences` and `syllables` are at least 1; `hits` by group, then by cue."""

    words: int
    sentences: int
    syllables: int
    hits: dict[str, Counter[str]]

    def count(self, group: str) -> int:
        """Hits of one group of cues."""
        return sum(self.hits[group].values()) if group in self.hits else 0


@dataclass(frozen=True)
class _Known:
    groups: tuple[str, ...]
    syllables: int


_known: dict[str, _Known] = {}


def read(text: str) -> Found:
    """All cues of a text, and the counts that readability needs."""
    text = _plain(text)
    hits: dict[str, Counter[str]] = {}
    syllables = 0
    for word, number in Counter(_RUN.findall(text)).items():
        known = _known.get(word) or _learned(word)
        syllables += known.syllables * number
        for group in known.groups:
            hits.setdefault(group, Counter())[word] += number
    for match in _PHRASE.finditer(text):
        for group in _phrase_groups(match[0]):
            hits.setdefault(group, Counter())[match[0]] += 1
    words = sum(1 for _ in _WORD.finditer(text))
    return Found(max(1, words), max(1, sum(1 for _ in _SENTENCE.finditer(text))), max(1, syllables), hits)


def _learned(word: str) -> _Known:
    if len(_known) >= MOST_KEPT:
        _known.clear()
    _known[word] = found = _Known(_groups_of(word), syllables_of(word))
    return found


def syllables_of(word: str) -> int:
    """Vowel groups of a lower-case word, a silent final e left out; at least one where it holds a letter."""
    vowels = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith(("le", "ee", "ie", "oe", "ye")) and vowels > 1
    return max(1 if any(map(str.isalpha, word)) else 0, vowels - silent)


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one text, the numbers of Found; `hits` by group only."""

    words: int
    sentences: int
    syllables: int
    hits: dict[str, int]

    def count(self, group: str) -> int:
        """Hits of one group of cues."""
        return self.hits[group]


class CueReader:
    """Reads many texts at once: the same numbers as `read` gives, in a third of its time.

    Words are learned with their marks and looked up by their bytes; phrases are searched for by polars' engine.
    """

    def __init__(self) -> None:
        """Nothing is known at first; what is learned of a word serves all texts after."""
        self._forget()

    def _forget(self) -> None:
        self._places = WordPlaces()
        self._facts = Table(4)  # words by _WORD, sentences, syllables, which combination of hits
        self._runs: dict[str, _Known] = {}
        self._combinations: dict[tuple[str, ...], int] = {(): 0}

    def totals(self, texts: Sequence[str]) -> list[Totals]:
        """The totals of all texts, in order."""
        return [
            Totals(max(1, words), max(1, sentences), max(1, syllables), dict(zip(GROUPS, hits, strict=True)))
            for _, block in blocks(texts)
            for words, sentences, syllables, *hits in self._block(block).tolist()
        ]

    def _block(self, texts: Sequence[str]) -> Integers:
        """(texts, 3 + groups): words, sentences, syllables, hits."""
        if len(self._places) > MOST_KEPT:
            self._forget()
        data, begins = laid_out(texts)
        starts, stops = edges(data)
        places = self._places.find(data, starts, stops, self._learn)
        words, sentences, syllables, kind = (column[places] for column in self._facts.columns)
        firsts = np.searchsorted(starts, begins)
        owner = np.repeat(np.arange(len(texts)), np.diff(np.append(firsts, len(starts))))
        found = np.zeros((len(texts), 3 + len(GROUPS)), np.int64)
        filled = np.unique(owner)
        if len(filled):
            for place, column in enumerate((words, sentences, syllables)):
                found[filled, place] = np.add.reduceat(column, firsts[filled])
        found[:, 3:] = self._hits(owner, kind, len(texts))
        for text, listed in enumerate(_phrases(texts)):
            for phrase in listed:
                found[text, [3 + GROUPS.index(group) for group in _phrase_groups(phrase)]] += 1
        return found

    def _hits(self, owner: Integers, kind: Integers, texts: int) -> Integers:
        """(texts, groups): hits of single words, from how often each combination stands in a text."""
        width = len(self._combinations)
        hitting = np.flatnonzero(kind)
        counts = np.bincount(owner[hitting] * width + kind[hitting], minlength=texts * width).reshape(texts, width)
        meaning = np.array([[listed.count(group) for group in GROUPS] for listed in self._combinations], np.int64)
        return counts @ meaning

    def _learn(self, raw: Sequence[bytes]) -> None:
        words = _plain(b"\n".join(raw).decode("utf-8", "surrogatepass")).split("\n")
        runs = [[word] if word.isalnum() else _RUN.findall(word) for word in words]
        self._learn_runs(
            [run for run in dict.fromkeys(run for listed in runs for run in listed) if run not in self._runs]
        )
        known = [[self._runs[run] for run in listed] for listed in runs]
        groups = [tuple(group for one in listed for group in one.groups) for listed in known]
        self._facts.append(
            [
                len(listed) if len(listed) < 2 else len(_WORD.findall(word))
                for word, listed in zip(words, runs, strict=True)
            ],
            [0 if word.isalnum() else len(_SENTENCE.findall(word)) for word in words],
            [sum(one.syllables for one in listed) for listed in known],
            [self._combinations.setdefault(listed, len(self._combinations)) for listed in groups],
        )

    def _learn_runs(self, runs: Sequence[str]) -> None:
        cues = set(_with_cues(runs))
        for run in runs:
            groups = _groups_of(run) if run in cues else ()
            self._runs[run] = _Known(groups, syllables_of(run))


def _with_cues(runs: Sequence[str]) -> list[str]:
    """Of these words, all that are a cue and perhaps others: asking each by all patterns costs ten times as much."""
    plain = pl.Series([run for run in runs if run.isascii()], dtype=pl.String)
    return plain.filter(plain.str.contains(_ANY_SINGLE)).to_list() + [run for run in runs if not run.isascii()]


def _phrases(texts: Sequence[str]) -> list[list[str]]:
    """The phrases of each text. What else is a letter, polars' engine sees otherwise: such texts go the slow way."""
    plain = list(map(_plain, texts))
    familiar = [text.isascii() or bool(_FAMILIAR.fullmatch(text)) for text in plain]
    quick = pl.Series([text for text, known in zip(plain, familiar, strict=True) if known], dtype=pl.String)
    found = iter(quick.str.extract_all(_ANY_PHRASE).to_list())
    return [
        next(found) if known else [match[0] for match in _PHRASE.finditer(text)]
        for text, known in zip(plain, familiar, strict=True)
    ]


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


@lru_cache(maxsize=1 << 14)
def _phrase_groups(phrase: str) -> tuple[str, ...]:
    return tuple(group for group, pattern in _PHRASES.items() if pattern.fullmatch(phrase))


def _groups_of(word: str) -> tuple[str, ...]:
    return tuple(group for group, pattern in _SINGLES.items() if pattern.fullmatch(word))


def alternatives(cues: str) -> list[str]:
    """The cues of a pattern, split at the bars outside parentheses."""
    found, depth = [""], 0
    for letter in cues:
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found


def _compiled(*, single: bool) -> dict[str, re.Pattern[str]]:
    """By group, the cues of one word, or those that hold a space, a hyphen or an apostrophe."""
    chosen = {
        group: [cue for cue in alternatives(cues) if single != any(mark in cue for mark in " -'")]
        for group, cues in _GROUPS.items()
    }
    return {group: re.compile("|".join(cues)) for group, cues in chosen.items() if cues}


_SINGLES, _PHRASES = _compiled(single=True), _compiled(single=False)
_ALL_PHRASES = "|".join(sorted({pattern.pattern for pattern in _PHRASES.values()}))
_PHRASE = re.compile(rf"(?<!\w)(?:{_ALL_PHRASES})(?!\w)")
# The same for polars' engine. Word boundaries of ASCII alone: those of Unicode cost twice the time.
_ANY_PHRASE = rf"(?-u:\b{{start-half}})(?:{_ALL_PHRASES})(?-u:\b{{end-half}})"
_ANY_SINGLE = rf"^(?:{'|'.join(pattern.pattern for pattern in _SINGLES.values())})$"
