"""What else a statement may have meant: a second look at those that the tool's result seems to deny.

Prose tells a result in ways that a first reading takes amiss: `the other thirty percent`, `fog, and no more sun than that`,
`Friday's rain`, a wind's figure behind a word of warmth. Each rule here names one such way. Rules see the whole reply, the
first reading (claims.py, fits.py) only a sentence and a sheet. A fault that says two opposite things of one sky is let
through by `_told_rightly`; that is its price.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from twainbot.evals import phrases
from twainbot.evals.facts import Sheet, figures
from twainbot.evals.fits import ERRORS, SKIPPED, SUPPORTED, Verdict, fit
from twainbot.evals.scope import Assertion
from twainbot.evals.sky import COVER, WET

_FIGURES = ("temperature", "chance", "wind", "humidity", "figure")
_SOFT = (
    "sun",
    "clouds",
    "wet",
    "dry",
    "clear",
    "calm",
    "breezy",
)  # words that also say other things than the sky's state
_MANY = 200  # statements; a longer text is no reply, and each rule looks at all of it for every one
_SAYING = 5  # words; fewer are a headline: "Heavy snow, and soon."
_ROW_GAP = 12  # characters: ", and then "
_ELSEWHERE = ("sun", "clouds", "wet", "dry")  # of these, the ones that any flat word for the sky explains
_VAGUE = ("sun", "clouds")  # fit nearly every sky, so that they vouch for nothing
_SAME = 1.0  # of any unit: a figure told a second way is told exactly, or rounded


@dataclass(frozen=True)
class Reading:
    """A statement, its verdict at first reading and the sheets that it was held to."""

    assertion: Assertion
    verdict: Verdict
    reason: str
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Reply:
    """What the rules may look at: the text, its sentences, all first readings, and every sheet."""

    text: str
    sentences: Sequence[tuple[int, int]]
    readings: Sequence[Reading]
    sheets: Sequence[Sheet]

    def sentence(self, a: Assertion) -> str:
        """The sentence that holds the statement."""
        low, high = next(((lo, hi) for lo, hi in self.sentences if lo <= a.start < hi), (0, len(self.text)))
        return self.text[low:high]

    def up_to(self, a: Assertion) -> str:
        """The sentence that holds the statement and the one before it."""
        index = next((i for i, (lo, hi) in enumerate(self.sentences) if lo <= a.start < hi), 0)
        return self.text[self.sentences[max(0, index - 1)][0] : self.sentences[index][1]]

    def before(self, a: Assertion) -> str:
        """What stands in its sentence before the statement."""
        low = next((lo for lo, hi in self.sentences if lo <= a.start < hi), 0)
        return self.text[low : a.start]

    def supported(self, kinds: Iterable[str], sheets: Sequence[Sheet]) -> list[Reading]:
        """Statements of these kinds about the same sheets that stand and are not negated."""
        named = set(kinds)
        return [
            one
            for one in self.readings
            if one.assertion.kind in named
            and one.verdict == SUPPORTED
            and not one.assertion.negated
            and not one.assertion.skip
            and any(sheet in sheets for sheet in one.sheets)
        ]


def reconsidered(reply: Reply) -> list[Reading]:
    """The readings, where an error that a rule explains takes the verdict and reason of that rule."""
    if len(reply.readings) > _MANY:
        return list(reply.readings)
    return [_second(one, reply) if one.verdict in ERRORS and one.sheets else one for one in reply.readings]


def _second(one: Reading, reply: Reply) -> Reading:
    for rule in _RULES:
        found = rule(one, reply)
        if found is not None:
            return Reading(one.assertion, *found, one.sheets)
    return one


def _another_figure(one: Reading, _: Reply) -> tuple[Verdict, str] | None:
    """A number without a unit, whose meaning was read off its surroundings, is some other figure of the tool's."""
    a = one.assertion
    if a.kind not in _FIGURES or not a.bare or (a.role and a.firm_role) or isinstance(a.value, tuple):
        return None
    if any(abs(a.value - figure) <= _SAME for sheet in one.sheets for figure in figures(sheet)):
        return SUPPORTED, "another figure of the tool's"
    return None


def _other_role(one: Reading, _: Reply) -> tuple[Verdict, str] | None:
    """`Six above at noon; eleven below when it goes out`: a role from another clause binds no number."""
    a = one.assertion
    if a.kind != "temperature" or a.role is None or a.firm_role or isinstance(a.value, tuple):
        return None
    found = [fit(Assertion(a.kind, a.text, a.start, a.end, a.value, a.unit), sheet) for sheet in one.sheets]
    return next((v for v in found if v[0] == SUPPORTED), None)


def _difference(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`eight degrees to make up its mind in`: what lies between two readings of the tool's."""
    a = one.assertion
    if (
        a.kind not in ("temperature", "figure", "chance", "wind")
        or (a.role and a.firm_role)
        or isinstance(a.value, tuple)
    ):
        return None
    if a.value < 1 or not phrases.OF_A_DIFFERENCE.search(reply.sentence(a)):
        return None
    for readings in (
        [t for s in reply.sheets for t in (*s.highs, *s.lows, *s.temperatures)],
        [chance for s in reply.sheets for chance in s.chances],
        [end for s in reply.sheets for wind in s.winds for end in wind],
    ):
        if lies_between(a.value, readings, one.sheets[0].unit):
            return SUPPORTED, "the difference of two figures"
    return None


def lies_between(value: float, readings: Iterable[float], unit: str) -> bool:
    """Whether two of the readings are so far apart. Each is sought its partner: an hourly forecast has hundreds."""
    told = sorted(readings)
    scales = (1.0, 9 / 5) if unit == "C" else (1.0,)
    for low, high in [((value - 0.6) * scale, (value + 0.6) * scale) for scale in scales]:
        # a reading's partner stands behind it, or each would lie no degree from itself
        partners = (
            (max(number, bisect_right(told, reading + low)), reading + high) for number, reading in enumerate(told, 1)
        )
        if any(at < len(told) and told[at] < most for at, most in partners):
            return True
    return False


def _the_rest_of_the_odds(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`the other thirty percent`, `forty chances that it misses you`: the odds of the opposite."""
    a = one.assertion
    if a.kind != "chance" or isinstance(a.value, tuple) or not phrases.OF_THE_REST.search(reply.up_to(a)):
        return None
    if any(abs(100 - a.value - chance) <= _SAME for sheet in one.sheets for chance in sheet.chances):
        return SUPPORTED, "the odds of the opposite"
    return None


def _percent_of_something_else(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`55 percent likely and 100 percent characteristic`: a second percentage that speaks of no weather."""
    a = one.assertion
    if a.kind != "chance" or not phrases.PERCENT_OF_MANNERS.match(reply.text, a.end):
        return None
    return (SKIPPED, "a percentage of something else") if reply.supported(("chance",), one.sheets) else None


def _humidity(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`seventy-seven in the hundred, humidity`."""
    a = one.assertion
    if a.kind != "chance" or isinstance(a.value, tuple) or not phrases.DAMP.search(reply.sentence(a)):
        return None
    if any(abs(a.value - humidity) <= _SAME for sheet in one.sheets for humidity in sheet.humidities):
        return SUPPORTED, "the humidity"
    return None


def _other_day_or_place(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`After Friday's rain`, `no thunder till you get back to Miami`: said of another sheet, which the clause names."""
    a = one.assertion
    if a.kind != "condition" or len(reply.sheets) < 2:
        return None
    others = [sheet for sheet in reply.sheets if sheet not in one.sheets and _beside(sheet, a, reply)]
    said = Assertion(a.kind, a.text, a.start, a.end, a.value, hedge=a.hedge, numbered=a.numbered)
    if any(fit(said, sheet)[0] == SUPPORTED for sheet in others):
        return SUPPORTED, "said of another day or place"
    return None


def _beside(sheet: Sheet, a: Assertion, reply: Reply) -> bool:
    """Whether the day or town of the sheet owns the statement (`Friday's rain`, `the rain is Friday's`)."""
    towns = {other.place.split(",")[0] for other in reply.sheets if other.place}
    names = [*sheet.days, *([sheet.place.split(",")[0]] if sheet.place and len(towns) > 1 else [])]
    named = "|".join(re.escape(name) for name in names if name[:1].isalpha())
    if not named:
        return False
    before = reply.text[max(0, a.start - 40) : a.start]
    after = reply.text[a.end : a.end + 60]
    owned = re.search(rf"\b(?:{named})['’]s (?:\w+ )?$", before, re.IGNORECASE)
    belongs = re.match(
        rf"\s+(?:\w+ )?(?:(?:is|are|was|were) (?:{named})['’]s|belongs? to (?:{named}))\b", after, re.IGNORECASE
    )
    return bool(owned or belongs)


def _told_rightly(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`It isn't rain; it's fog`: what is denied or only brushed asserts nothing where the tool's own word stands beside it."""
    a = one.assertion
    if a.kind != "condition" or not (a.negated or a.value in _SOFT) or _plainly_denied(a, reply):
        return None
    family = _family(str(a.value))
    told = [r.assertion for r in reply.supported(("condition",), one.sheets) if r.assertion.value not in _VAGUE]
    alike = any(_family(str(b.value)) == family for b in told)
    flatly = (a.negated or a.value in _ELSEWHERE) and any(b.hedge is None for b in told)
    if alike or flatly:
        return SKIPPED, "the reply tells the sky rightly elsewhere"
    return None


def _bounded(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`no thunder till Miami`, `the thunder goes with it`: an end or a beginning, where the tool has that weather somewhere."""
    a = one.assertion
    if a.kind != "condition":
        return None
    after = reply.text[a.end : a.end + 40]
    left = not a.negated and len(reply.sheets) > 1 and phrases.LEFT_BEHIND.search(reply.before(a))
    if not (phrases.DEPARTS.match(after) or phrases.UNTIL.match(after) or left):
        return None
    said = Assertion(a.kind, a.text, a.start, a.end, a.value, hedge="possible")
    return (SKIPPED, "said of its end") if any(fit(said, sheet)[0] == SUPPORTED for sheet in reply.sheets) else None


def _no_denial(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`not enough snow to bury anybody`, `taking it for snow`: neither says that there is none, nor that there is some."""
    a = one.assertion
    if a.kind != "condition":
        return None
    before = reply.before(a)
    if a.negated and phrases.OF_A_DEGREE.search(before):
        return SKIPPED, "denied by degree"
    return (SKIPPED, "a comparison") if not a.negated and phrases.TAKEN_FOR.search(before) else None


def _a_saying(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`Fair weather makes no sailors.` Nothing in the sentence is of this day or town, and another tells the forecast."""
    a = one.assertion
    low, high = next(((lo, hi) for lo, hi in reply.sentences if lo <= a.start < hi), (0, len(reply.text)))
    beside = [r.assertion for r in reply.readings if low <= r.assertion.start < high and r.assertion != a]
    if a.kind != "condition" or any(b.kind != "condition" for b in beside):
        return None
    text = reply.sentence(a)
    if len(text.split()) < _SAYING or phrases.ANCHORED.search(text) or phrases.DAY.search(text):
        return None
    told = [
        r for r in reply.readings if not low <= r.assertion.start < high and r.assertion.kind not in ("place", "day")
    ]
    return (SKIPPED, "a saying") if any(r.verdict == SUPPORTED and not r.assertion.skip for r in told) else None


def _in_a_series(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`Fifty-six, sixty, sixty-nine`: figures in a row are told of the days or towns in turn."""
    a = one.assertion
    if (
        a.kind not in ("figure", "temperature")
        or not a.bare
        or a.role
        or isinstance(a.value, tuple)
        or len(reply.sheets) < 2
    ):
        return None
    row = [other.assertion for other in reply.readings if other.assertion.kind in ("figure", "temperature", "chance")]
    beside = any(0 <= max(a.start - b.end, b.start - a.end) <= _ROW_GAP for b in row if b != a)
    if beside and any(fit(a, sheet)[0] == SUPPORTED for sheet in reply.sheets):
        return SUPPORTED, "one of a row of figures"
    return None


def _plainly_denied(a: Assertion, reply: Reply) -> bool:
    """`no chance of rain`, `not a drop`: flat denials of rain count, whatever else is said of the sky."""
    if a.value not in ("rain", "wet") or not a.negated:
        return False
    return not phrases.DENIED_FOR_CONTRAST.search(reply.text[max(0, a.start - 30) : a.start])


def _family(name: str) -> str:
    return "cover" if name in COVER else "wet" if name in (*WET, "wet", "dry") else name


def _asked_about(one: Reading, reply: Reply) -> tuple[Verdict, str] | None:
    """`I asked about snow and got no answer`, `as for the odds of rain, the field is blank`: a subject, no statement."""
    a = one.assertion
    if a.kind not in ("condition", "alert", "wind_direction"):
        return None
    unknown = all(not sheet.chances for sheet in one.sheets) if a.kind == "condition" else True
    if unknown and phrases.LEFT_OUT.search(reply.sentence(a)):
        return SKIPPED, "named as left out"
    return None


_RULES: tuple[Callable[[Reading, Reply], tuple[Verdict, str] | None], ...] = (
    _another_figure,
    _other_role,
    _difference,
    _the_rest_of_the_odds,
    _percent_of_something_else,
    _humidity,
    _other_day_or_place,
    _bounded,
    _no_denial,
    _a_saying,
    _in_a_series,
    _told_rightly,
    _asked_about,
)
