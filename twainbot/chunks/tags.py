"""Rule-based tags of a passage: tone, topic, satire, weather relevance, humour density. Closed vocabularies, English.

Rules and not a model: each tag can be traced to the cues that gave it, and the same text gets the same tags anywhere.
Whether a passage is fit to train on is screening's business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

TAGGER_VERSION = "rules-1"  # goes into each chunk's provenance; raise it when a cue changes

_TONE_CUES = {
    "humorous": r"laugh\w*|jok(?:e|es|ed|ing)|funny|comic\w*|fun|grinn?\w*|chuckl\w*|whopper\w*|stretchers?|ridiculous\w*"
    r"|absurd\w*|fools?|foolish\w*|jackass\w*|humbug\w*|preposterous\w*|ludicrous\w*|blamed|reckon\w*",
    "satirical": r"congress\w*|senators?|statesm[ae]n|politicians?|patriot\w*|so-called|noble|distinguished|eminent"
    r"|hypocri\w*|officials?|spokes\w+|experts?|committee|sources said|reportedly|announced|unveil\w*|civili[sz]ation",
    "ironic": r"of course|naturally|no doubt|doubtless|needless to say|virtue|virtuous|respectable|it is true that"
    r"|i suppose|as usual|to be sure|only exception|not the least",
    "reflective": r"remember\w*|memor(?:y|ies)|long ago|in those days|dream\w*|wonder(?:ed|ing)?|lonesome|lonely"
    r"|old times|youth|soul|by-?gone|boyhood",
    "instructive": r"ought|resolve\w*|precepts?|diligen\w*|industr(?:y|ious)|frugal\w*"
    r"|temperance|wise|advice|let (?:no|thy|all)|he that|they that|who would|lesson",
    "dramatic": r"blood\w*|murder\w*|kill(?:ed|ing)?|scream\w*|terror|terrible|horror|death|dead|storm\w*|fire|fled"
    r"|shot|cried|danger\w*|despair\w*",
    "factual": r"percent|degrees|forecast|issued|advisory|warning|mph|knots|inches|feet|miles|near|temperature"
    r"|highs?|lows?|according to|in the year|report\w*",
}
_TOPIC_CUES = {
    "weather": r"weather|forecast\w*|rain\w*|snow\w*|storm\w*|thunder\w*|lightning|wind\w*|cloud\w*|sunn?y|sunshine"
    r"|temperature\w*|degrees|fog\w*|frost|blizzard|hail|drought|humid\w*|climate|barometer|thermometer|showers?",
    "river": r"river\w*|steamboat\w*|pilots?|rafts?|mississippi|boats?|ships?|sea|sail\w*|deck|captain|shore|wharf"
    r"|voyage|canoe|tow|current",
    "travel": r"travel\w*|journey\w*|tourist\w*|pilgrim\w*|hotels?|guides?|railway|railroad|train|stage-?coach"
    r"|passport|foreign\w*|paris|italy|rome|switzerland|heidelberg|cathedral|mountain\w*",
    "politics": r"congress\w*|senat\w+|president|governor|election\w*|vote\w*|voters?|government|party|politic\w*"
    r"|king\w*|parliament|republic\w*|democra\w+|tax(?:es|ed)?|mayor|law|legislat\w+|war",
    "religion": r"god|church\w*|bible|sunday-?school|prayer\w*|pray\w*|preach\w*|sermon\w*|priest\w*|heaven|hell"
    r"|angels?|satan|devil|christian\w*|missionar\w+|minister|saint\w*|sin",
    "money": r"money|dollars?|cents|pounds|shillings|rich|riches|wealth\w*|debt\w*|credit\w*|bank\w*|gold|silver|stocks?"
    r"|salary|trade|buy|bought|sell|sold|business|price",
    "family": r"mother|father|wife|husband|child\w*|sons?|daughters?|brothers?|sisters?|aunt|uncle|marri\w+|wedding"
    r"|baby|home|family",
    "animals": r"dogs?|cats?|horses?|mules?|frogs?|birds?|cows?|pigs?|hogs?|donkeys?|fish\w*|lions?|fox\w*|wol(?:f|ves)"
    r"|jays?|ants?|chickens?|snakes?|camels?|bull|penguins?",
    "learning": r"school\w*|teacher\w*|books?|read(?:ing)?|write|writing|wrote|author\w*|librar\w+|languages?|grammar"
    r"|words?|newspapers?|editor\w*|print\w*|science|philosoph\w+|experiment\w*|electric\w*|invent\w+",
    "conduct": r"virtue\w*|vice|industr(?:y|ious)|diligen\w*|frugal\w*|temperance|honest\w*|idle\w*|sloth|lazy"
    r"|pride|humility|wise|wisdom|fools?|habits?|resolution|reputation|duty|conscience",
}  # fmt: skip

TONES = (*_TONE_CUES, "neutral")
TOPICS = (*_TOPIC_CUES, "general")
STYLE_TONES = {
    "weather_fact": "factual",
    "joke": "humorous",
    "satire": "satirical",
}  # a style's cues count before any word
STYLE_WEIGHT = 2.0  # hits per 100 words that the style itself is worth
MIN_RATE = 0.5  # hits per 100 words; below it no tone or topic is claimed: two hits in a passage of 400 words

_STRONG_WEATHER = (
    r"weather|forecast\w*|thunderstorms?|temperatures?|degrees (?:fahrenheit|celsius)|rain(?:s|y|fall|storms?|ed|ing)?"
    r"|snow(?:s|y|fall|storms?|ed|ing)?|showers?|blizzards?|hail(?:storm)?|drizzl\w*|fog(?:gy)?|frost\w*|humid\w*"
    r"|barometers?|thermometers?|tornado\w*|hurricanes?|cyclones?|winds?|windy|breez\w+|cloud(?:s|y)|overcast|sunn?y|sunshine"
    r"|lightning|thunder\w*|precipitation|drought|heat ?wave|cold ?front|mph|highs?|lows?"
)
WEATHER_SCALE = 4.0  # hits per 100 words at which relevance reaches 1 - 1/e = 0.63; a bulletin has 10 and more
_HUMOR = (
    r"laugh\w*|jok(?:e|es|ed|ing)|funny|ridiculous\w*|absurd\w*|preposterous\w*|fools?|jackass\w*|humbug\w*|blamed|consound\w*"
    r"|dad fetch|reckon\w*|stretchers?|whopper\w*|lied|liars?|swear\w*|swore|grinn?\w*|chuckl\w*|undertakers?|mothers?-in-law"
    r"|why did|what do you (?:call|get)|knock knock|walks? into a bar|so-called|nothing but|no worse than|the only|never once"
    r"|except (?:that|when|for)|on the whole|i (?:never|always) (?:saw|knew|could|did)|area (?:man|woman)|sources said"
)


def _compiled(cues: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{cues})\b")  # on lower-case text: half the time of ignoring case


_TONE_PATTERNS = {name: _compiled(cues) for name, cues in _TONE_CUES.items()}
_TOPIC_PATTERNS = {name: _compiled(cues) for name, cues in _TOPIC_CUES.items()}
_WEATHER_PATTERN = _compiled(_STRONG_WEATHER)
_HUMOR_PATTERN = _compiled(_HUMOR)
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def tag(text: str, style: str) -> dict[str, Any]:
    """The tag columns of records.CHUNK for one passage: tone, topic, is_satire, weather_relevance, humor_density."""
    text = text.lower()
    words = max(1, len(_WORD.findall(text)))
    tones = _rates(text, words, _TONE_PATTERNS)
    if style in STYLE_TONES:
        tones[STYLE_TONES[style]] += STYLE_WEIGHT
    return {
        "tone": _winner(tones, "neutral"),
        "topic": _winner(_rates(text, words, _TOPIC_PATTERNS), "general"),
        "is_satire": style == "satire",
        "weather_relevance": weather_relevance(text),
        "humor_density": round(_rate(text, words, _HUMOR_PATTERN), 4),
    }


def weather_relevance(text: str) -> float:
    """How much of the text is about weather, 0..1: `1 - exp(-hits per 100 words / WEATHER_SCALE)`, to 4 places."""
    text = text.lower()
    words = max(1, len(_WORD.findall(text)))
    return round(1 - math.exp(-_rate(text, words, _WEATHER_PATTERN) / WEATHER_SCALE), 4)


def _rates(text: str, words: int, patterns: Mapping[str, re.Pattern[str]]) -> dict[str, float]:
    return {name: _rate(text, words, pattern) for name, pattern in patterns.items()}


def _rate(text: str, words: int, pattern: re.Pattern[str]) -> float:
    return 100 * sum(1 for _ in pattern.finditer(text)) / words


def _winner(rates: Mapping[str, float], otherwise: str) -> str:
    """The name with the highest rate, the first of equals; `otherwise` where none reaches MIN_RATE."""
    best = max(rates, key=lambda name: rates[name])
    return best if rates[best] >= MIN_RATE else otherwise
