"""When two ways of writing a place or a day mean the same. Scoring calls is tool_calls.py's, judging replies grounding.py's.

`Hannibal` is `Hannibal, MO`; `Portland, OR` is not `Portland, ME`; `on Saturday` is `Saturday`; `July 4, 2026` is `2026-07-04`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from twainbot.evals.numerals import in_ascii

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
STATES = {
    "al": "alabama", "ak": "alaska", "az": "arizona", "ar": "arkansas", "ca": "california", "co": "colorado",
    "ct": "connecticut", "de": "delaware", "dc": "district of columbia", "fl": "florida", "ga": "georgia",
    "hi": "hawaii", "id": "idaho", "il": "illinois", "in": "indiana", "ia": "iowa", "ks": "kansas", "ky": "kentucky",
    "la": "louisiana", "me": "maine", "md": "maryland", "ma": "massachusetts", "mi": "michigan", "mn": "minnesota",
    "ms": "mississippi", "mo": "missouri", "mt": "montana", "ne": "nebraska", "nv": "nevada", "nh": "new hampshire",
    "nj": "new jersey", "nm": "new mexico", "ny": "new york", "nc": "north carolina", "nd": "north dakota",
    "oh": "ohio", "ok": "oklahoma", "or": "oregon", "pa": "pennsylvania", "ri": "rhode island",
    "sc": "south carolina", "sd": "south dakota", "tn": "tennessee", "tx": "texas", "ut": "utah", "vt": "vermont",
    "va": "virginia", "wa": "washington", "wv": "west virginia", "wi": "wisconsin", "wy": "wyoming",
}  # fmt: skip
STATE_NAMES = frozenset(STATES.values())
_COUNTRIES = {
    "usa": "united states", "us": "united states", "united states of america": "united states", "america": "united states",
    "uk": "united kingdom", "great britain": "united kingdom", "england": "united kingdom", "uae": "united arab emirates",
}  # fmt: skip
_TOWNS = {"new york city": "new york", "nyc": "new york", "la": "los angeles", "sf": "san francisco"}
_SHORT_TOWN_WORDS = {"st": "saint", "ft": "fort", "mt": "mount"}
_TRAILING_STATE = re.compile(r"^(?P<town>.+?)\s+(?P<state>[A-Z]{2})$")
_SAME_DAY = {"now": "today", "right now": "today", "currently": "today", "current": "today", "this evening": "tonight"}
_ISO = re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:t00:00(?::00)?z?)?$")
_US_NUMERIC = re.compile(r"^(\d{1,2})/(\d{1,2})/(\d{4})$")  # read as month/day, as the tool's American users write
_MONTH_FIRST = re.compile(r"^([a-z]{3,9})\s+(\d{1,2})(?:st|nd|rd|th)?(?:\s+(\d{4}))?$")
_DAY_FIRST = re.compile(r"^(\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?([a-z]{3,9})(?:\s+(\d{4}))?$")


_REMEMBERED = (
    1 << 14
)  # texts: a batch of dialogues names the same towns and days over and over, at 20 microseconds each


@dataclass(frozen=True)
class Place:
    """A town in plain lower case with what qualifies it (state, country); both spelled out."""

    town: str
    qualifiers: frozenset[str]

    def agrees(self, other: Place) -> bool:
        """Same town, and one side's qualifiers add nothing that contradicts the other's."""
        return self.town == other.town and (self.qualifiers <= other.qualifiers or other.qualifiers <= self.qualifiers)


@lru_cache(maxsize=_REMEMBERED)
def plain(text: str) -> str:
    """Lower case without accents, dots and doubled spaces; a hyphen is a hyphen, however it is coded."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", in_ascii(text)) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[.’']", "", bare.casefold()).split())


@lru_cache(maxsize=_REMEMBERED)
def read_place(text: str) -> Place:
    """`St. Louis, MO` becomes saint louis qualified by missouri. A trailing capital pair counts as a state."""
    trailing = _TRAILING_STATE.match(" ".join(text.split()))
    if trailing and trailing["state"].lower() in STATES:
        text = f"{trailing['town'].rstrip(',')}, {trailing['state']}"
    head, *rest = [part for part in (plain(part) for part in text.split(",")) if part] or [""]
    words = head.split()
    if words and words[0] in _SHORT_TOWN_WORDS:
        head = " ".join([_SHORT_TOWN_WORDS[words[0]], *words[1:]])
    qualifiers = frozenset(_COUNTRIES.get(STATES.get(part, part), STATES.get(part, part)) for part in rest)
    return Place(_TOWNS.get(head, head), qualifiers)


def same_place(first: str, second: str) -> bool:
    """Whether two ways of writing a place can mean the same town."""
    return read_place(first).agrees(read_place(second))


@lru_cache(maxsize=_REMEMBERED)
def day_key(text: str, today: date | None = None) -> str:
    """The canonical word of a day: an ISO date, a month and day, a weekday, `today`, `tonight`, or the plain words.

    With `today` given, a weekday means the next such day after it, as for the simulated tool (dialogues/weather.py), and
    `tomorrow` the day after, as ISO dates; `tonight` stays a word, since it names a part of the day.
    """
    words = re.sub(
        r"^(?:on|for|this coming|this|the)\s+(?!week\b|evening|morning|afternoon)", "", plain(text).replace(",", " ")
    )
    words = " ".join(words.split())
    words = _SAME_DAY.get(words, words)
    weekday = weekday_of(words)
    dated = read_date(words)
    if dated is not None:
        return dated
    if weekday is None:
        return _relative(words, today)
    if today is None:
        return WEEKDAYS[weekday]
    return after(today, (weekday - today.weekday() - 1) % 7 + 1).isoformat()


def same_day(first: str, second: str, today: date | None = None) -> bool:
    """Whether two ways of writing a day mean the same one."""
    a, b = day_key(first, today), day_key(second, today)
    return a == b or _month_and_day(a) == b or a == _month_and_day(b)


@lru_cache(maxsize=_REMEMBERED)
def calendar_date(text: str) -> date | None:
    """The date that is written with its year; None for `Saturday`, `July 4` or `tomorrow`."""
    written = read_date(" ".join(plain(text).replace(",", " ").split()))
    return date.fromisoformat(written) if written and _ISO.match(written) else None


def after(day: date, days: int) -> date:
    """So many days later, or earlier below 0; the calendar's last or first day where it would end before that.

    What others write is dated 9999 now and then, and no day follows that year's last.
    """
    return date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal()))


def weekday_of(word: str) -> int | None:
    """0 for Monday to 6 for Sunday, from the name or its first three or four letters; None for any other word."""
    bare = plain(word)
    if not 3 <= len(bare) <= 9:
        return None
    found = [i for i, name in enumerate(WEEKDAYS) if name == bare or (name.startswith(bare) and len(bare) <= 5)]
    return found[0] if found else None


def month_of(word: str) -> int | None:
    """1 for January to 12 for December, from the name or its first three or four letters."""
    bare = plain(word)
    found = [i + 1 for i, name in enumerate(MONTHS) if name == bare or (len(bare) in (3, 4) and name.startswith(bare))]
    return found[0] if found else None


def read_date(words: str) -> str | None:
    """`2026-07-04`, or `07-04` where the year is not written; None where the words are no calendar date."""
    if match := _ISO.match(words):
        return _iso(int(match[1]), int(match[2]), int(match[3]))
    if match := _US_NUMERIC.match(words):
        return _iso(int(match[3]), int(match[1]), int(match[2]))
    if match := _MONTH_FIRST.match(words):
        month, day, year = match[1], match[2], match[3]
    elif match := _DAY_FIRST.match(words):
        day, month, year = match[1], match[2], match[3]
    else:
        return None
    number = month_of(month)
    if number is None:
        return None
    return _iso(int(year), number, int(day)) if year else f"{number:02d}-{int(day):02d}"


def _iso(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _relative(words: str, today: date | None) -> str:
    days = {"today": 0, "tomorrow": 1, "day after tomorrow": 2}
    if today is not None and words in days:
        return after(today, days[words]).isoformat()
    return words


def _month_and_day(key: str) -> str:
    return key[5:] if _ISO.match(key) else key
