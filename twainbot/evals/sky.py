"""Words for the state of the sky and what they are compatible with. Finding them in a reply is claims.py's.

Cloud cover is a scale from 0 (no cloud) to 1 (no gap). A word names a stretch of it; a claim fits a fact where the two
stretches overlap: `mostly sunny` fits `sunny` and `partly cloudy`, `sunny` does not fit `partly cloudy`.
"""

from __future__ import annotations

import re

# name -> stretch of cloud cover
COVER = {
    "clear": (0.0, 0.2),
    "mostly_clear": (0.1, 0.45),
    "partly": (0.25, 0.75),
    "mostly_cloudy": (0.55, 0.95),
    "cloudy": (0.8, 1.0),
    "sunshine": (0.0, 0.45),
    "sun": (0.0, 0.75),  # "some sun": anything that leaves a gap
    "clouds": (0.25, 1.0),  # "a few clouds": anything with cloud in it
}
WET = ("rain", "storm", "snow", "sleet", "hail")
_SUN_AND_CLOUDS = "(?:sun|clouds?)(?:shine)? and (?:sun|clouds?)(?:shine)?"
_AFTER_CLEAR = (
    r"sk(?:y|ies)|day|night|weather|conditions|(?:and|as|all|at|on|over|with)\b|today|tonight|tomorrow|"
    r"in (?:(?-i:[A-Z])|the (?:morning|afternoon|evening|night))"  # no "clear in the piece, white in the heap"
)
_BOUNDED = [
    # order matters: the first pattern to claim a stretch of text keeps it
    ("storm", "thunder[- ]?(?:storms?|showers?|clouds?)|thunder(?:ing|y)?|lightning|storm(?:s|y)?"),
    ("sleet", "freezing (?:rain|drizzle)|sleet(?:ing|y)?|ice storms?|wintry mix"),
    ("hail", "hail(?:stones?|ing)?"),
    ("rain", "(?:nary|not|never|hardly|scarcely|without) (?:a|one)(?: single| blessed)? drop(?! of)"),
    ("snow", "snow(?:s|y|ing|fall|storms?|flakes?| showers?)?|flurries|blizzards?"),
    (
        "rain",
        "rain(?:s|y|ing|fall|storms?|drops?)?|showers?|showery|drizzl(?:e|es|y|ing)|downpours?|precipitation|sprinkles?",
    ),
    ("fog", "fog(?:gy|s)?|mist(?:y)?|haz[ey]"),
    ("partly", f"part(?:ly|ially)[- ](?:cloudy|sunny|clear)|(?:mix|mixture) of {_SUN_AND_CLOUDS}|{_SUN_AND_CLOUDS}"),
    ("partly", "(?:broken|scattered|passing|intermittent) clouds"),
    ("mostly_clear", "(?:mostly|mainly) (?:sunny|clear|fair)"),
    ("mostly_cloudy", "(?:mostly|mainly) (?:cloudy|overcast)|considerable cloud(?:iness)?"),
    ("cloudy", "cloudy|overcast|gr[ae]y sk(?:y|ies)|leaden sk(?:y|ies)|(?:a )?lid of cloud"),
    ("clear", rf"clear(?:ing)?(?=\s+(?:{_AFTER_CLEAR})|\s*(?:[.,;!]|$))"),
    ("clear", r"sunny|cloudless|blue sk(?:y|ies)|bright sun(?:shine)?"),
    ("clear", r"fair(?=\s+(?:weather|sk(?:y|ies)|day|and\b)|\s*(?:[.,;!]|$))"),
    ("sunshine", "(?<!some )(?<!little )(?<!bit of )sunshine"),
    (
        "sunshine",
        r"sun (?:shines?|shining|will (?:shine|be out)|is (?:out|up and)|beats? down|blaz\w+)|full sun|sun full on",
    ),
    ("sun", "sun(?:shine|light)?"),
    ("clouds", "clouds?"),
    ("windy", "windy|blustery|gusty|gale[- ]force|gales?"),
    ("breezy", "breezy"),
    ("calm", "dead calm"),
    ("calm", r"calm(?=\s+(?:wind|air|day)s?|\s*(?:[.,;!]|$))|windless"),
    ("dry", "dry as (?:a bone|dust)|bone[- ]dry|dry"),
    ("wet", "wet|soggy|soaking"),
]
LEXICON = [(name, re.compile(rf"\b(?:{pattern})(?![\w'’-]*\w)", re.IGNORECASE)) for name, pattern in _BOUNDED]

# Turns of speech that use these words and say nothing about weather
_FOUL, _FAIR = "rain|wet|snow|foul|storm", "shine|sun(?:shine)?|dry|fair|clear"
IDIOMS = re.compile(
    r"never rains but it pours|"
    rf"(?:{_FOUL})(?: or |, | from )(?:{_FAIR})\b|(?:{_FAIR})(?: or | from )(?:{_FOUL})\b|"
    r"sunny (?:disposition|side|temper\w*|smile)|rain or shine|right as rain|rain ?check|under the weather|"
    r"(?:place|day|moment|spot|best) in the sun|under the sun|under a cloud|"
    r"storm(?:s|ed|ing)? (?:of|off|out|in a)\b|storm (?:drains?|cellars?|doors?|windows?)|"
    r"in a fog|snow job|make (?:it )?clear|clear (?:that|enough|to me|of|out|up)\b|"
    r"fair (?:enough|game|warning|price|deal|share|play)|(?:is|was|only|seems) fair\b|silver lining|"
    r"dry (?:wit|humou?r|remark|goods|land|eye|throat|county|clothes|socks)|wet (?:blanket|your|my|his|"
    r"behind|you|him|us|them|a)\b|"
    r"(?:socks?|feet|foot|boots?|shoes?|shirt|hat|coat|hair|neck|skin|powder) (?:wet|dry)|dry (?:cellar|"
    r"cow|town|voice|sermon|dock)|"
    r"calm (?:down|yourself|as)|thunder and damnation|steal(?:s|ing)? (?:my|his|her|the|your) thunder|"
    r"weather (?:the|a|this) storm|perfect storm|brainstorm\w*|"
    r"cloud (?:my|his|your|the) (?:judg\w+|mind)|keep (?:you )?dry|stay dry",
    re.IGNORECASE,
)


def covers(words: frozenset[str]) -> list[tuple[float, float]]:
    """The stretches of cloud cover that a set of condition names allows; rain and snow need cloud, at least half."""
    stretches = [COVER[word] for word in sorted(words) if word in COVER]
    if not stretches and words.intersection(WET):
        return [(0.5, 1.0)]
    return stretches


def overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two stretches of cloud cover share a point."""
    return a[0] <= b[1] and b[0] <= a[1]
