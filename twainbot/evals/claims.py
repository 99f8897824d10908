"""What a reply asserts about the weather: values, conditions, days and places with their spans. Judging is grounding.py's.

Which sentences assert nothing is scope.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from twainbot.evals import phrases
from twainbot.evals.numerals import Numeral, in_ascii, numerals
from twainbot.evals.places_dates import STATE_NAMES
from twainbot.evals.scope import Assertion, Sentence, Span, scoped, sentences
from twainbot.evals.sky import IDIOMS, LEXICON

_COMPASS = {
    "n": 0.0, "nne": 22.5, "ne": 45.0, "ene": 67.5, "e": 90.0, "ese": 112.5, "se": 135.0, "sse": 157.5,
    "s": 180.0, "ssw": 202.5, "sw": 225.0, "wsw": 247.5, "w": 270.0, "wnw": 292.5, "nw": 315.0, "nnw": 337.5,
}  # fmt: skip
_SMALLEST_BARE_WORD = 10  # "the low one" is no temperature; "a low of ten" is
_LARGEST_BARE = 150
_LEAST_FIGURE, _LARGEST_FIGURE = 13, 130  # up to twelve it may be of the clock
_ROUND = ("hundred", "a hundred", "thousand", "a thousand")
_CERTAINTY_REACH = 100  # characters
_WORDS_REACH = 240  # characters
_ANCHOR_REACH = 120  # a word of weather and five more
_PHRASE_REACH = 64  # the longest phrase that is looked for right before a number


def assertions(reply: str, known_places: Iterable[str] = ()) -> list[Assertion]:
    """Every weather statement in the order written. Days and places count only beside weather in their sentence.

    `known_places`: towns to look for by name; other places are found by their capitals and prepositions.
    """
    known = [in_ascii(place) for place in known_places if place]
    found: list[Assertion] = []
    for sentence in sentences(in_ascii(reply)):
        towns = standing(known, sentence.text)
        weather = [*_alerts(sentence), *_measures(sentence)]
        weather += _directions(sentence)
        taken = [(a.start - sentence.start, a.end - sentence.start) for a in weather]
        weather += _conditions(sentence, [*taken, *_town_spans(sentence, towns)])  # Thunder Bay states no thunder
        lone = all(a.kind == "figure" for a in weather)
        if not weather or (lone and not _speaks_of_weather(sentence, towns)):
            continue
        weather += [
            *_days(sentence, _town_spans(sentence, towns)),
            *_places(sentence, towns, [a.start - sentence.start for a in weather]),
        ]
        numbered = any(a.kind == "chance" for a in weather) or bool(phrases.IN_OR_TO_ONE.search(sentence.text))
        found += scoped([replace(a, numbered=numbered) for a in weather], sentence)
    return sorted((_as_written(a, reply) for a in found), key=lambda a: (a.start, a.end, a.kind))


def _as_written(a: Assertion, reply: str) -> Assertion:
    """The assertion in the reply's own characters: a place is named as the reply names it."""
    text = reply[a.start : a.end]
    return replace(a, text=text, value=text if a.kind == "place" else a.value) if text != a.text else a


def _speaks_of_weather(sentence: Sentence, towns: Sequence[str]) -> bool:
    """Whether a lone number may be of the weather: a day or a town of the tool's stands in its sentence."""
    return bool(phrases.DAY.search(sentence.text) or _town_spans(sentence, towns))


def standing(towns: Sequence[str], text: str) -> list[str]:
    """The towns whose letters stand in the text, in any case: each other one would cost a pattern of its own."""
    lower = text.lower()
    return [town for town in towns if town.lower() in lower]


def sentence_spans(reply: str) -> list[Span]:
    """Spans of the sentences, in order."""
    return [(s.start, s.start + len(s.text)) for s in sentences(in_ascii(reply))]


def compass_degrees(direction: str) -> float | None:
    """Degrees clockwise from north for `SW`, `southwest` or `south-westerly`; None for anything else."""
    words = re.sub(r"erly$", "", re.sub(r"['’]", "", direction.strip().lower()))
    words = re.sub(r"^(nor|sou)(?!th)", r"\1th", words)
    code = re.sub(r"north|south|east|west", lambda m: m[0][0], words)
    return _COMPASS.get(re.sub(r"[- ]", "", code))


def _assertion(sentence: Sentence, start: int, end: int, kind: str, value: Any, **more: Any) -> Assertion:
    return Assertion(kind, sentence.text[start:end], sentence.start + start, sentence.start + end, value, **more)


# --- numbers ----------------------------------------------------------------------------------------------------------------


def _measures(sentence: Sentence) -> list[Assertion]:
    """Temperatures, chances, winds and humidities: what a number means is read off the words around it."""
    text = sentence.text
    found = [_assertion(sentence, *m.span(), "chance", 50.0, unit="%") for m in phrases.HALF_AND_HALF.finditer(text)]
    found += [_assertion(sentence, *m.span(), "chance", 0.0, unit="%") for m in phrases.NO_CHANCE.finditer(text)]
    for m in phrases.FREEZING.finditer(text):
        value = (32.0, 150.0) if m["side"].lower() == "above" else (-100.0, 32.0)
        found.append(_assertion(sentence, *m.span(), "temperature", value, unit="F", role=_role(text, *m.span())[0]))
    taken = [(a.start - sentence.start, a.end - sentence.start) for a in found]
    zeros = [m.span() for n in numerals(text) if (m := phrases.ZERO_SIDE.match(text, n.end))]
    numbers = [n for n in numerals(text) if not _inside(n.start, [*taken, *zeros])]
    position = 0
    while position < len(numbers):
        measure, used = _measure(sentence, numbers, position)
        if measure is not None:
            found.append(measure)
        position += used
    return _units_carried(found, text)


def _units_carried(found: Sequence[Assertion], text: str) -> list[Assertion]:
    """`30 degrees Celsius by day and 16 at night`: a bare temperature takes the unit written before it in its sentence."""
    carried: list[Assertion] = []
    unit, scales = None, bool(phrases.SECOND_SCALE.search(text))
    for a in sorted(found, key=lambda a: a.start):
        loose = a.unit is None and scales
        unit = a.unit or unit if a.kind == "temperature" else unit
        carried.append(replace(a, unit=unit, loose_unit=loose) if a.kind == "temperature" else a)
    return carried


def _measure(sentence: Sentence, numbers: Sequence[Numeral], i: int) -> tuple[Assertion | None, int]:
    """(the assertion made by number i and perhaps its successor, how many numbers it used)."""
    text, first = sentence.text, numbers[i]
    second = numbers[i + 1] if i + 1 < len(numbers) else None
    if second is not None:
        between = text[first.end : second.start]
        if (
            phrases.IN_SO_MANY.fullmatch(between)
            and 0 < second.value <= 100
            and (second.value == 100 or sentence.says(phrases.LIKELIHOOD))
        ):
            return _assertion(
                sentence, first.start, second.end, "chance", 100 * first.value / second.value, unit="%"
            ), 2
        unit_between = phrases.DEGREES.match(between) or phrases.PERCENT.match(between) or phrases.SPEED.match(between)
        join = between[unit_between.end() :] if unit_between else between
        if _joins(join, text, first.start):
            joined = _joined(sentence, first, second, first.end + unit_between.end() if unit_between else None)
            if joined is not None:
                return joined, 2
    return _single(sentence, first), 1


def _joins(join: str, text: str, end: int) -> bool:
    if not phrases.RANGE_JOIN.fullmatch(join):
        return False
    return join.strip().lower() not in ("and", "or") or bool(_before(phrases.BETWEEN, text, end))


def _joined(sentence: Sentence, first: Numeral, second: Numeral, unit_end: int | None) -> Assertion | None:
    """A range: both ends take the unit written after either."""
    low, high = sorted([_stretch(sentence.text, first), _stretch(sentence.text, second)])
    if unit_end is not None and first.value > second.value:
        return None  # "sixteen miles an hour to eight" compares
    tail = _meaning(sentence, second, first.start)
    if tail is None and unit_end is not None:
        tail = _meaning(sentence, first, first.start)
    if tail is None:
        return None
    kind, unit, end = tail
    ends = (min(low[0], high[0]), max(low[1], high[1]))
    role = (
        _role(sentence.text, first.start, end)[0]
        if kind == "temperature" and not _before(phrases.BETWEEN, sentence.text, first.start)
        else None
    )
    return _assertion(sentence, first.start, max(end, second.end), kind, ends, unit=unit, role=role)


def _single(sentence: Sentence, number: Numeral) -> Assertion | None:
    meaning = _meaning(sentence, number, number.start)
    if meaning is None:
        return None
    kind, unit, end = meaning
    low, high = _stretch(sentence.text, number)
    side = phrases.ZERO_SIDE.match(sentence.text, number.end) if kind == "temperature" else None
    if side is not None and side["below"]:
        low, high, end = -low, -high, max(end, side.end())
    if kind == "chance" and phrases.OF_STAYING_DRY.match(sentence.text[end : end + _ANCHOR_REACH]):
        low, high = 100 - high, 100 - low  # "a 70 percent chance of staying dry" is a chance of rain of 30
    start = _decade_start(sentence.text, number)
    role, firm = _role(sentence.text, start, end) if kind == "temperature" else (None, True)
    value = low if low == high else (low, high)
    bare = end == number.end
    return _assertion(sentence, start, end, kind, value, unit=unit, role=role, bare=bare, firm_role=firm)


def _meaning(sentence: Sentence, number: Numeral, left_end: int) -> tuple[str, str | None, int] | None:
    """(kind, unit, end of the unit) of a number, or None where it counts something else."""
    text = sentence.text
    if _is_difference(text, number.end, left_end):
        return None
    if m := phrases.SPEED.match(text, number.end):
        return "wind", {"mph": "mph", "kph": "kph", "kn": "kn", "ms": "m/s"}[m.lastgroup or "mph"], m.end()
    if m := phrases.PERCENT.match(text, number.end):
        return ("humidity" if _about_humidity(sentence, number) else "chance"), "%", m.end()
    if number.is_decade:
        return (
            ("temperature", None, number.end) if abs(number.value) <= 110 and _decade_is_weather(text, number) else None
        )
    if m := phrases.DEGREES.match(text, number.end):
        if phrases.OTHER_QUANTITY.match(text, number.end):
            return None
        letter = (m["sign"] or m["word"] or m["bare"] or m["name"] or "").upper()[:1]
        return "temperature", letter or None, m.end()
    if m := phrases.ZERO_SIDE.match(text, number.end):
        return "temperature", (m["unit"] or "").upper()[:1] or None, m.end()
    return _bare_meaning(text, number, left_end)


def _is_difference(text: str, end: int, left_end: int) -> bool:
    """Whether the number says by how much one reading differs from another."""
    if phrases.DIFFERENCE_AFTER.match(text, end) or _before(phrases.DIFFERENCE_BEFORE, text, left_end):
        return True
    if _before(phrases.PUT_ON, text, left_end):
        return True
    return bool(phrases.FROM_ELSEWHEN.match(text, end) and _before(phrases.MOVES_BY, text, left_end))


def _bare_meaning(text: str, number: Numeral, left_end: int) -> tuple[str, str | None, int] | None:
    if phrases.OTHER_QUANTITY.match(text, number.end) or (number.in_words and number.value < _SMALLEST_BARE_WORD):
        return None
    if number.in_words and phrases.PART_OF_A_NAME.match(text, number.start):
        return None
    if abs(number.value) > _LARGEST_BARE or text[max(0, left_end - 1) : left_end] in ("$", "#"):
        return None
    if phrases.AT_THE_TOP.match(text, number.end):
        return "temperature", None, number.end
    anchor = _before(phrases.ANCHOR, text, left_end, _ANCHOR_REACH)
    if anchor is None:
        return _unanchored(text, number, left_end)
    kind = anchor.lastgroup or "temperature"
    if kind == "wind" and (m := phrases.KILOMETERS.match(text, number.end)):
        return kind, "kph", m.end()
    return kind, "%" if kind in ("chance", "humidity") else None, number.end


def _unanchored(text: str, number: Numeral, left_end: int) -> tuple[str, str | None, int] | None:
    """A number that counts nothing: a temperature after `it will be`, a figure of unknown meaning where it stands alone."""
    if not phrases.COUNTS_NOTHING.match(text, number.end):
        return None
    if _before(phrases.VERB_ANCHOR, text, left_end):
        return "temperature", None, number.end
    lone = (
        _LEAST_FIGURE <= abs(number.value) <= _LARGEST_FIGURE and text[number.start : number.end].lower() not in _ROUND
    )
    if lone and _before(phrases.STANDS_ALONE, text, left_end) and not _before(phrases.OF_THE_CLOCK, text, left_end):
        return "figure", None, number.end
    return None


def _about_humidity(sentence: Sentence, number: Numeral) -> bool:
    """Whether a percentage is of humidity: the nearer of `humidity` and `chance` in its clause decides."""
    low, high = sentence.clause_span(number.start, number.end)
    humid = [abs(at - number.start) for at in sentence.places_of(phrases.HUMIDITY, low, high)]
    chance = [abs(at - number.start) for at in sentence.places_of(phrases.LIKELIHOOD, low, high)]
    return bool(humid) and min(humid) < min(chance, default=len(sentence.text))


def _stretch(text: str, number: Numeral) -> Span | tuple[float, float]:
    """What a number covers: itself, or the part of a decade that `low`, `mid` or `upper` names."""
    if not number.is_decade:
        return number.value, number.value
    if number.value == 10 and text[number.start : number.end].lower() == "teens":
        return 13.0, 19.0
    part = _before(phrases.DECADE_PART, text, number.start)
    if part is None:
        return number.value, number.value + 9
    low, high = phrases.DECADE_PARTS[part["part"].lower()]
    if part["to"]:
        high = phrases.DECADE_PARTS[part["to"].lower()][1]
    return number.value + low, number.value + high


def _decade_start(text: str, number: Numeral) -> int:
    part = _before(phrases.DECADE_PART, text, number.start) if number.is_decade else None
    return part.start() if part else number.start


def _decade_is_weather(text: str, number: Numeral) -> bool:
    """`the eighteen seventies` and `a man in his sixties` are no temperatures."""
    return _before(phrases.NO_DECADE_LEFT, text, number.start) is None


def _role(text: str, start: int, end: int) -> tuple[str | None, bool]:
    """(high or low, whether it is firm): the keyword that touches the number, else the nearest before it that is free.

    A keyword of another clause is not firm: `six at noon; eleven below when it goes out`.
    """
    text, start, end = _nearby(text, start, end)
    before = _before(phrases.ROLE_BEFORE, text, start)
    after = phrases.ROLE_AFTER.match(text[end:])
    nearest = list(phrases.ROLE.finditer(text[:start]))
    match = before or after or (nearest[-1] if nearest else None)
    if match is None or (match not in (before, after) and _taken(match, text[match.end() : start])):
        return None, True
    named = bool(phrases.ROLE_NOUN.fullmatch(match[0]))
    firm = match in (before, after) or (named and not phrases.SEPARATOR.search(text[match.end() : start]))
    return ("high" if match["high"] else "low"), firm


def _before(pattern: re.Pattern[str], text: str, end: int, reach: int = _PHRASE_REACH) -> re.Match[str] | None:
    """A match of a pattern that ends in `$`, right before `end`, where it begins at most `reach` characters earlier."""
    return pattern.search(text, max(0, end - reach), end)


def _nearby(text: str, start: int, end: int) -> tuple[str, int, int]:
    """The stretch around a number in which its words are looked for: a text of nothing but numbers must not cost its square."""
    low = max(0, start - _WORDS_REACH)
    return text[low : end + _WORDS_REACH], start - low, end - low


def _taken(role: re.Match[str], between: str) -> bool:
    """`84 by afternoon and 58 by the time I sleep`: a role between two numbers is the first one's; `highs` serves several."""
    if role[0].lower() in ("highs", "lows"):
        return False
    before = list(numerals(role.string[: role.start()]))
    if before and not phrases.PARTS.search(role.string, before[-1].end, role.start()):
        return True
    return any(True for _ in numerals(between))


# --- words ------------------------------------------------------------------------------------------------------------------


def _alerts(sentence: Sentence) -> list[Assertion]:
    found = []
    for m in phrases.ALERT.finditer(sentence.text):
        hazard, negated = (m["hazard"] or "").lower(), _negated(sentence, *m.span())
        kind = re.sub(r"(?:es|s)$", "", m["type"].lower()).replace("advisori", "advisory")
        if hazard or (negated and kind != "watch"):
            found.append(_assertion(sentence, *m.span(), "alert", f"{hazard} {kind}".strip(), negated=negated))
    return found


def _directions(sentence: Sentence) -> list[Assertion]:
    found = []
    for m in phrases.DIRECTION.finditer(sentence.text):
        degrees = compass_degrees(m["word"] or m["code"])
        if degrees is None or not sentence.says(phrases.WIND, *sentence.clause_span(*m.span())):
            continue
        after = re.match(r"\s+([A-Z][a-z]+)", sentence.text[m.end() :])
        if after and f"{m[0]} {after[1]}".lower() in STATE_NAMES:
            continue
        if m["code"] or m["word"][0].islower() or not sentence.text[: m.start()].strip():
            found.append(_assertion(sentence, *m.span(), "wind_direction", degrees, unit="degrees"))
    return found


def _conditions(sentence: Sentence, taken: Sequence[Span]) -> list[Assertion]:
    used = [*taken, *(m.span() for m in IDIOMS.finditer(sentence.text))]
    found = []
    for name, pattern in LEXICON:
        for m in pattern.finditer(sentence.text):
            if _inside(m.start(), used):
                continue
            used.append(m.span())
            negated = _negated(sentence, *m.span()) or bool(phrases.NEGATOR.match(m[0]))
            found.append(
                _assertion(sentence, *m.span(), "condition", name, negated=negated, hedge=_hedge(sentence, m.span()))
            )
    return found


def _town_spans(sentence: Sentence, towns: Sequence[str]) -> list[Span]:
    """Where known towns are named as such: `Thunder Bay`, and not the thunder over a bay."""
    return [m.span() for town in towns for m in re.finditer(rf"\b{re.escape(town)}\b", sentence.text)]


def _negated(sentence: Sentence, start: int, end: int) -> bool:
    """Negation inside the clause, or carried over a comma by a list: `no rain, snow or wind`."""
    low, high = sentence.clause_span(start, end)
    if phrases.FOR_ALL_THE.search(sentence.text[low:start]):
        return False  # "you can't see your hand for fog"
    if phrases.NEGATOR.search(sentence.text[low:start]) or phrases.NEGATED_AFTER.match(sentence.text[end:high]):
        return True
    if low == 0 or sentence.text[:low].rstrip()[-1:] != "," or not phrases.LIST_GOES_ON.match(sentence.text[low:]):
        return False
    earlier_low, earlier_high = sentence.clause_span(max(0, low - 2), max(1, low - 1))
    earlier = sentence.text[earlier_low:earlier_high]
    return len(earlier.split()) > 1 and bool(phrases.NEGATOR.search(earlier))  # a lone "No," only answers the question


def _hedge(sentence: Sentence, span: Span) -> str | None:
    clause = sentence.clause_span(*span)
    if sentence.says(phrases.UNLIKELY, *clause):
        return "unlikely"
    if phrases.CERTAIN.search(sentence.text[max(0, span[0] - _CERTAINTY_REACH) : span[1] + _CERTAINTY_REACH]):
        return "certain"
    labelled = phrases.LABELLED_PERCENT.match(sentence.text[span[1] :])
    return "possible" if labelled or sentence.says(phrases.POSSIBLE, *clause) else None


def _days(sentence: Sentence, towns: Sequence[Span]) -> list[Assertion]:
    """Days, but none of a town's name: `Cape May 4 mph of wind`."""
    return [
        _assertion(sentence, *m.span(), "day", m[0].lower())
        for m in phrases.DAY.finditer(sentence.text)
        if not phrases.ANY_DAY.search(sentence.text[: m.start()]) and not _inside(m.start(), towns)
    ]


def _places(sentence: Sentence, towns: Sequence[str], weather: Sequence[int]) -> list[Assertion]:
    found: list[Assertion] = []
    for town in sorted(set(towns), key=lambda name: (-len(name), name)):
        pattern = re.compile(rf"\b(?i:{re.escape(town)})\b{phrases.REGION}?")
        for m in pattern.finditer(sentence.text):
            if not _inside(m.start(), [(a.start - sentence.start, a.end - sentence.start) for a in found]):
                found.append(_assertion(sentence, *m.span(), "place", m[0]))
    known = [(a.start - sentence.start, a.end - sentence.start) for a in found]
    for m in phrases.PLACE.finditer(sentence.text):
        group = m.lastgroup or "after"
        start, end = m.span(group)
        if m[group].split()[0].rstrip(".,'") in phrases.NO_PLACE or _inside(start, known) or _counts(m[group]):
            continue
        if group == "after" and phrases.SAID_ELSEWHERE.search(sentence.text[: m.start()]):
            continue
        if group == "after" and (known or not _weather_beside(sentence.text, m.span(), weather)):
            continue  # beside the tool's own town, or apart from the weather: "will arrive in Nebraska"
        if group == "subject" and (phrases.WITH_ARTICLE.search(sentence.text[:start]) or _is_sky(m[group])):
            continue  # "the Methodists will", "the Winter Storm Warning has", "Drizzle will keep you company"
        if phrases.DEMONYM.match(m[group]) and re.match(r"\s+[a-z]", sentence.text[end:]):
            continue  # "in American money"
        found.append(_assertion(sentence, start, end, "place", m[group]))
    return found or _lone_opening(sentence, weather)


def _counts(name: str) -> bool:
    """`Twelve Celsius` begins with a number and is no town."""
    first = next(numerals(name), None)
    return first is not None and first.start == 0


def _weather_beside(text: str, span: Span, weather: Sequence[int]) -> bool:
    """Whether weather stands in the same part of the sentence, between colons, semicolons and dashes."""
    cuts = [m.start() for m in phrases.ANECDOTE_ENDS.finditer(text)] + [m.start() for m in re.finditer(r":\s", text)]
    low = max((cut for cut in cuts if cut <= span[0]), default=0)
    high = min((cut for cut in cuts if cut >= span[1]), default=len(text))
    return any(low <= start < high for start in weather)


def _lone_opening(sentence: Sentence, weather: Sequence[int]) -> list[Assertion]:
    """`Helena gets thunderstorms`: one capitalised word that opens the sentence, where weather follows its verb."""
    m = phrases.LONE_OPENING.match(sentence.text)
    if m is None or m["town"] in phrases.NO_PLACE:
        return []
    if _is_sky(m["town"]):
        return []
    if not any(m.end() <= start <= m.end() + phrases.LONE_OPENING_REACH for start in weather):
        return []
    return [_assertion(sentence, *m.span("town"), "place", m["town"])]


def _is_sky(word: str) -> bool:
    """`Drizzle` opens a sentence with a capital and is no town."""
    return any(pattern.match(word) for _, pattern in LEXICON)


def _inside(position: int, spans: Sequence[Span]) -> bool:
    return any(low <= position < high for low, high in spans)
