"""Personal data out of conversation logs: what is found, by which rule, and what stands in its place.

Decided, and pinned by the tables in tests/unit/test_personal.py:

* A placeholder names the kind (`[email]`, `[phone]`), never the person, so equal texts stay equal.
* Coordinates are rounded to 2 decimals (about a kilometre), not replaced: a tool call needs its numbers, and a forecast
  does not change within a kilometre. Degrees, minutes and seconds become `[coordinates]`.
* A five-digit ZIP code stays: in a weather log it is a place. Of ZIP+4 the last four go: they name a block of houses.
* Toll-free numbers are phone numbers; letters ("1-800-BLIZZARD") and "1-800" alone are not.
* Names go where the speaker gives them ("my name is", "I'm ... calling from"), and wherever they are said again.
  A later mention after in, at, near, for, around stays: a man named Paris may ask for the weather in Paris.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Counts: TypeAlias = dict[str, int]
Rule: TypeAlias = tuple[str, tuple[str, ...], re.Pattern[str], Callable[[re.Match[str]], str | None]]

DECIMALS = 2  # of a coordinate: 0.01 degrees is 1.1 km of latitude
MIN_NAME = 3  # letters; "Al" and "Jo" said again are too often other words


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}(?:@|\s?[\[(]at[\])]\s?)"
    r"[a-z0-9-]{1,63}(?:(?:\.|\s?[\[(]dot[\])]\s?)[a-z0-9-]{1,63}){0,4}(?:\.|\s?[\[(]dot[\])]\s?)[a-z]{2,24}(?![\w@])",
    re.IGNORECASE,
)
_LOGIN_PARAMETERS = (
    r"(?:api|access|auth|secret|client|session|refresh|id)[_-]?(?:key|token|secret|id)|apikey|appid|app_id|token|key|sig"
    r"|signature|x-amz-(?:signature|credential|security-token)|auth|password|passwd|pwd|secret|jwt|session"
)
_URL_LOGIN = re.compile(r"\b[a-z][a-z0-9+.-]{1,12}://[^\s/@:\[\]]{1,128}:[^\s/@\[\]]{1,128}@\S{1,2000}", re.IGNORECASE)
_URL_TOKEN = (
    re.compile(  # a glance ahead for the first sign of a parameter: most addresses have none, and are left at once
        r"\bhttps?://(?=[^\s\"'<>\[\]?&#;]{0,2000}+[?&#;])"
        rf"[^\s\"'<>\[\]]{{1,2000}}?[?&#;](?:{_LOGIN_PARAMETERS})=[^\s\"'<>\[\]]{{1,2000}}",
        re.IGNORECASE,
    )
)
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,24}PRIVATE KEY-----|\Z)"
    r"|(?<![\w-])(?:AKIA|ASIA)[0-9A-Z]{16}(?!\w)"
    r"|(?<![\w-])(?:gh[pousr]_\w{30,255}|github_pat_\w{30,255}|glpat-[\w-]{20,64}|xox[abprs]-[\w-]{10,250}"
    r"|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,64}|pypi-[\w-]{50,400})"
    r"|(?<![\w-])eyJ[\w-]{8,2000}\.[\w-]{8,4000}\.[\w-]{8,1000}",
    re.DOTALL,
)
_SK_KEY = re.compile(r"(?<![\w-])(?:sk|pk|rk)[-_](?=[\w-]{0,200}\d)[A-Za-z0-9_-]{16,250}")
_BEARER = re.compile(
    r"\b(Bearer|Authorization: ?Basic)\s+(?=[\w.~+/=-]{0,500}[\d=])[\w.~+/-]{12,500}={0,2}", re.IGNORECASE
)
_ASSIGNED = re.compile(
    r"\b((?:api|access|auth|secret)[ _-]?(?:key|token)|password|passwd|passphrase|client[ _-]?secret)"
    r"(\"?\s*(?:is\s*[:=]?|[:=])\s*[\"']?)(?=\S{0,200}[\d!#$%&*])([^\s\"',;\[\]]{6,200})",
    re.IGNORECASE,
)

_CARD = re.compile(  # in one run, in fours, or as 4-6-5
    r"(?<![\w.-])[3-6](?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{3}([ -])\d{6}\2\d{5})(?![\w-]|\.\d)"
)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])")
_SSN_TOLD = re.compile(
    r"\b((?:social security(?: number| no\.?)?|ssn)\b[^\d\n\[]{0,16})(?!000|666|9)\d{3}[ -]?\d\d[ -]?\d{4}(?![\w-])",
    re.IGNORECASE,
)

_AREA, _EXCHANGE = r"[2-9]\d\d", r"[2-9]\d\d"
_PHONE = re.compile(
    rf"(?<![\w.>/-])(?:(?:\+?1[ .-]?)?(?:\({_AREA}\)[ .-]?{_EXCHANGE}[ .-]\d{{4}}|{_AREA}([.-]){_EXCHANGE}\1\d{{4}})"
    rf"|(?<!\d\s){_AREA} {_EXCHANGE}[ -]\d{{4}}(?!\s\d))(?![\w-]|\.\d)(?:\s?(?:x|ext\.?)\s?\d{{1,6}})?"
)
# A digit at a time: groups of one to five digits can be cut in ten thousand ways, and all were tried on forty digits.
_PHONE_ABROAD = re.compile(r"(?<![\w+])\+[1-9](?:[ .-]?\(?\d\)?){7,14}(?![\w-]|\.\d)")
MAX_GROUPS = 7  # of digits in a number from abroad; more are a row of figures
_PHONE_TOLD = re.compile(
    r"\b((?:phone|telephone|tel|cell ?phone|cell number|my cell|mobile|fax|whatsapp|call me|text me|ring me|reach me|my number)"
    r"\b[^\d\n\[]{0,24}?)(?<![\d+.-])(\+?\(?\d[\d ().-]{5,17}\d)(?![\w-]|\.\d)",
    re.IGNORECASE,
)

_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
_VERSIONED = re.compile(
    r"(?:\bv|\bver\.?|version|versions|release|build|firmware|revision|rev\.?|section|sec\.?|chapter|clause|§)"
    r"\s*+[:#=]?\s*+$",
    re.IGNORECASE,
)

_ADDRESS = re.compile(
    r"(?<![\w.:/$-])\d{1,5}[a-z]? ((?:[nsew]\.?|north|south|east|west) )?"
    r"([a-z][a-z'’]*\.?|\d{1,3}(?:st|nd|rd|th))((?: [a-z][a-z'’]*\.?){0,2}) "
    r"(street|str|st|avenue|ave|av|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|way|terrace|ter|circle|cir"
    r"|highway|hwy|parkway|pkwy|square|sq|trail|trl|alley|pike)\b(?:\.(?= [a-z0-9#]|,|$))?"
    r"((?:,? (?:apt|apartment|unit|suite|ste|no)\b\.? ?#? ?[a-z0-9-]{1,6}|,? # ?[a-z0-9-]{1,6})(?![\w-]))?",
    re.IGNORECASE,
)
_NO_STREET = _words(
    """a about above across after ago all along am and another are as at away be before below between block blocks but by
    celsius centimeters cm cst cdt day days degree degrees down drive drivers edt est f fahrenheit fast feet foot for ft
    from gusts hour hours hr hrs if in inch inches into is it kilometers km knots kt kts kph left lights long m meters
    mdt mi mile miles min mins minute minutes mm month months more mph mst near new of off on or out over pdt people
    percent pm portland pst second seconds since snow so square than that the then there this through to toward under
    until up via was we week weeks when while will wind winds with year years yards"""
)
_SAINT = re.compile(
    r"\.? (?:Louis|Paul|Charles|Joseph|Clair|Cloud|Augustine|Petersburg|George|Albans|Peters|Marys|Johns|Croix|Thomas)\b",
    re.IGNORECASE,
)
_LETTER, _CAPITAL = r"[\w'\u2019-]", r"[A-Z\u00c0-\u00de]"
_NO_UNIT = r"(?! ?(?:\u00b0|%|[.,:]\d|(?:grad|prozent|uhr|cm|mm|km|m|kn|km/h|hpa|meter|minuten|stunden|tage)\b))"
_ADDRESS_GERMAN = re.compile(  # the number behind the street, whose kind is part of its name or stands beside it
    rf"(?<![\w-])(?:{_CAPITAL}{_LETTER}{{2,40}}(?:stra\u00dfe|strasse|str\.|gasse|allee|platz|weg|damm|ufer|chaussee)"
    rf"|{_CAPITAL}{_LETTER}{{2,40}} (?:Stra\u00dfe|Strasse|Str\.|Allee)) \d{{1,4}}(?: ?[a-z]\b)?(?![\w-]){_NO_UNIT}",
    re.IGNORECASE,
)
_PARTICLE = r"(?:(?:de la|de l['\u2019]|d['\u2019]|du|des|de) ?)"
_ADDRESS_FRENCH = re.compile(  # the number before the street, whose kind comes first
    rf"(?<![\w.:/$-])\d{{1,4}}(?: ?(?:bis|ter|quater))?,? "
    rf"(?:(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Bb]d|[Qq]uai|[Ii]mpasse) {_PARTICLE}?"
    rf"|(?:[Pp]lace|[Cc]hemin|[Rr]oute|[Cc]ours|[Aa]ll\u00e9e) {_PARTICLE})"
    rf"{_CAPITAL}{_LETTER}{{1,30}}(?:[ -](?:(?:de|du|des|la|le) )?{_CAPITAL}{_LETTER}{{1,30}}){{0,3}}(?!\w)"
)
_PLAIN_SUFFIXES = _words("street str st avenue ave road rd boulevard blvd lane ln")  # without capitals too
_PO_BOX = re.compile(r"\b(?:p\.?\s?o\.?|post office)\s?box\s+#?\d{1,6}\b", re.IGNORECASE)
_ZIP4 = re.compile(r"(\b(?:[A-Z]{2},?|[Zz][Ii][Pp](?: [Cc]ode)?:?|[Pp]ostal code:?)\s)(\d{5})-\d{4}(?![\w-])")

_FINE = r"[-+]?\d{1,3}\.\d{3,15}"
_PAIR = re.compile(rf"(?<![\w.])({_FINE})(\s{{0,2}}°?\s{{0,2}}[NS]?\s{{0,2}}[,;/ ]\s{{0,2}})({_FINE})(?![\w.]*\d)")
_DEGREES = re.compile(rf"(?<![\w.])({_FINE})(?=\s*(?:°\s*[NSEW]\b|[NSEW]\b(?!\.)))")
_LETTERED = re.compile(  # the letter of the hemisphere first
    r"(?<![\w.])([NS] ?)(\d{1,2}\.\d{3,15})(\u00b0?[,;/ ]\s{0,2})([EW] ?)(\d{1,3}\.\d{3,15})(?![\w.]*\d)",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    rf"\b((?:lat|lon|lng|long|latitude|longitude)\b[\"']?\s{{0,4}}(?:is|[:=])?\s{{0,4}}[\"']?)({_FINE})(?![\w.]*\d)",
    re.IGNORECASE,
)
_DMS = re.compile(r"\d{1,3}\s?°\s?\d{1,2}\s?['’′]\s?\d{1,2}(?:\.\d+)?\s?(?:[\"”″]|['’′]{2})\s?[NSEW]\b", re.IGNORECASE)

_WORD = r"[^\W\d_][\w'’-]*"
_PROPER = r"[A-Z][\w'’-]*(?: +(?:[A-Z]\.|[A-Z][\w'’-]*)){0,2}"
_SMALL_PAIR = r"[a-z][\w'’-]*(?: +[a-z][\w'’-]*(?= *(?:[.,!?;\n]|$)))?"
_INTRODUCED = re.compile(
    r"\b(?:[Mm][Yy] (?:full |first |last )?[Nn][Aa][Mm][Ee](?: [Ii][Ss]|['’][Ss]|:)|[Tt]he name['’]s)"
    rf" +({_PROPER}|{_SMALL_PAIR}|{_WORD})"
)
_CALLING = re.compile(
    rf"\b(?:[Ii](?:['’]m| am)|[Tt]his is) +({_PROPER}(?=,? +(?:calling|writing|texting|phoning|speaking)\b)"
    r"|[a-z][\w'’-]*(?: +[a-z][\w'’-]*)?(?= +(?:calling|writing) from\b))"
)
_NO_NAME = _words(
    """a about also an and being calling currently gonna here in irrelevant just missing my none not now of on only
    private secret spelled still that the then too unimportant unknown what your"""
)
_OTHER_WORDS = _words(  # are said again as themselves: months, days, and what the sky does
    """january february march april may june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday spring summer autumn fall winter sunny rain rainy snow storm stormy cloudy windy clear
    fog frost north south east west the and will"""
)

_KINDS_BY_KEY = {
    "email": re.compile(r"(?:^|_)e?mail(?:_?address)?$"),
    "phone": re.compile(r"(?:^|_)(?:phone|telephone|mobile|cellphone|fax)(?:_?number)?$"),
    "ssn": re.compile(r"^(?:ssn|social_security(?:_number)?)$"),
    "card": re.compile(r"^(?:credit_?card|card_?number)(?:_?number)?$"),
    "secret": re.compile(r"^(?:password|passwd|api_?key|apikey|appid|access_?token|auth_?token|authorization|client_?secret)$"),
    "name": re.compile(r"^(?:(?:full|first|last|user|customer|caller)_?name|surname)$"),
    "ip": re.compile(r"^(?:ip|ip_?address|client_?ip|remote_?addr)$"),
    "address": re.compile(r"^(?:street|street_?address|home_?address|mailing_?address)$"),
}  # fmt: skip
_POSITION = re.compile(r"^(?:lat|lon|lng|long|latitude|longitude|coords?|coordinates|latlng|latlon|lat_lon|position)$")


def scrub(text: str, names: Iterable[str] = (), *, introductions: bool = True) -> tuple[str, Counts]:
    """The text without personal data, and how many finds of each kind went: {"email": 1, "coordinates": 2}.

    `names`: of people, introduced elsewhere in the conversation. `introductions` False leaves "my name is ..." alone: a
    bot's own name is nobody's secret. scrub(scrub(x)[0]) changes nothing and counts nothing.
    """
    known = dict.fromkeys([*names, *(introduced_names(text) if introductions else ())])
    counts: Counter[str] = Counter()
    rules = [*_RULES, *([_mentions(known)] if known else [])]
    while True:  # until nothing is found: one placeholder may set free what stood beside it
        before = text
        for kind, needles, pattern, replacement in rules:
            # A pattern waits for its sign: all of them cost about 1 s a megabyte of bulletins, the worst page there is.
            if any(needle in text for needle in needles):
                text = _applied(text, kind, pattern, replacement, counts)
        if introductions:
            text = _without_introductions(text, counts)
        if text == before:
            return text, dict(sorted(counts.items()))


def scrub_json(value: Any, names: Iterable[str] = ()) -> tuple[Any, Counts]:
    """A JSON value of the same shape without personal data. Numbers stay, but for coordinates and named secrets.

    A key such as "phone", "password" or "first_name" condemns its value, whatever it looks like. Names said elsewhere
    are left alone here, since a place may bear one, and a call without its place is no call.
    """
    counts: Counter[str] = Counter()
    return _scrubbed(value, "", tuple(names), counts), dict(sorted(counts.items()))


def scrub_result(content: str) -> tuple[str, Counts]:
    """A tool's answer: valid JSON stays valid JSON, byte for byte where nothing was found; any other text is scrubbed."""
    try:
        value = json.loads(content)
        clean, counts = scrub_json(value)
        if not counts:
            return content, counts
        compact = '": ' not in content
        separators = (",", ":") if compact else (", ", ": ")
        return json.dumps(clean, ensure_ascii=False, separators=separators, allow_nan=False), counts
    except (ValueError, RecursionError):
        return scrub(content, introductions=False)


def introduced_names(text: str) -> tuple[str, ...]:
    """Names that a speaker gives as their own, as written, with each part of a longer one: ("Ada Quill", "Ada", "Quill")."""
    found: list[str] = []
    for pattern in (_INTRODUCED, _CALLING):
        for match in pattern.finditer(text):
            name = _name_in(match[1])
            found += [name, *name.split()] if name else []
    return tuple(dict.fromkeys(found))


def _name_in(words: str) -> str:
    """The name at the head of some words; "" where the first is an everyday word ("my name is not ...")."""
    first, *others = words.split()
    if first.lower() in _NO_NAME:
        return ""
    return first if others and words.isupper() else words  # in a shouted line every word looks like a name


def _without_introductions(text: str, counts: Counter[str]) -> str:
    def named(match: re.Match[str]) -> str | None:
        name = _name_in(match[1])
        if not name:
            return None
        at = match.start(1) - match.start()
        return f"{match[0][:at]}[name]{match[0][at + len(name) :]}"

    for pattern in (_INTRODUCED, _CALLING):
        text = _applied(text, "name", pattern, named, counts)
    return text


def _mentions(names: Iterable[str]) -> Rule:
    """The rule that finds given names said again, capitalised, longest first."""
    said = {name[0].upper() + name[1:] for name in names if len(name) >= MIN_NAME and name.lower() not in _OTHER_WORDS}
    listed = "|".join(re.escape(name) for name in sorted(said, key=lambda name: (-len(name), name)))
    pattern = rf"(?<!\bin )(?<!\bat )(?<!\bnear )(?<!\bfor )(?<!\baround )(?<![\w\[])(?:{listed})(?!\w)"
    return "name", tuple(said), re.compile(pattern if said else r"(?!)"), lambda _match: "[name]"


def _applied(
    text: str,
    kind: str,
    pattern: re.Pattern[str],
    replacement: Callable[[re.Match[str]], str | None],
    counts: Counter[str],
) -> str:
    def put(match: re.Match[str]) -> str:
        new = replacement(match)
        if new is None or new == match[0]:
            return match[0]
        counts[kind] += 1
        return new

    return pattern.sub(put, text)


def _placed(placeholder: str) -> Callable[[re.Match[str]], str]:
    return lambda _match: placeholder


def _kept_head(placeholder: str) -> Callable[[re.Match[str]], str]:
    return lambda match: f"{match[1]}{placeholder}"


def _bearer(match: re.Match[str]) -> str:
    return f"{match[1]} [secret]"


def _assigned(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}[secret]"


def _card(match: re.Match[str]) -> str | None:
    """Luhn's sum, the right length, and no row of numbers around it: LAT...LON lists are groups of four digits too."""
    digits = [int(sign) for sign in match[0] if sign.isdigit()]
    before = match.string[max(0, match.start() - 12) : match.start()].rstrip()
    after = match.string[match.end() : match.end() + 12].lstrip()
    in_row = " " in match[0] and (before[-1:].isdigit() or before.endswith(("LON", "LOC")) or after[:1].isdigit())
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    valid = 13 <= len(digits) <= 19 and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
    return "[card]" if valid and not in_row else None


def _abroad(match: re.Match[str]) -> str | None:
    return "[phone]" if len(re.findall(r"\d+", match[0])) <= MAX_GROUPS else None


def _phone_told(match: re.Match[str]) -> str | None:
    digits = sum(sign.isdigit() for sign in match[2])
    dated = re.fullmatch(r"(?:19|20)\d\d-\d\d-\d\d.*", match[2])
    return f"{match[1]}[phone]" if 7 <= digits <= 15 and not dated else None


def _ip(match: re.Match[str]) -> str | None:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return None
    if address.version == 6:
        groups = [group for group in match[0].split(":") if group]
        return "[ip]" if len(groups) >= 2 and re.search(r"\d", match[0]) else None
    before = match.string[max(0, match.start() - 24) : match.start()]
    return None if _VERSIONED.search(before) else "[ip]"


def _street(match: re.Match[str]) -> str | None:
    """Refuses what only looks like a street: "20 minutes drive", "3 miles down the road", "5 PM Elm Street"."""
    name = f"{match[2]}{match[3]}".lower().replace(".", "").split()
    if any(word in _NO_STREET for word in name):
        return None
    suffix = match[4]
    if suffix.lower() == "st" and _SAINT.match(match.string, match.end(4)):
        return None
    proper = suffix[0].isupper() and match[2][0].isupper()
    return "[address]" if suffix.lower() in _PLAIN_SUFFIXES or proper or match[5] else None


def _rounded(number: str) -> str:
    sign = "+" if number.startswith("+") else ""
    return f"{sign}{round(float(number), DECIMALS):.{DECIMALS}f}"


def _pair(match: re.Match[str]) -> str | None:
    """Two fine decimals in range. Without a sign or a degree mark they need 4 decimals each: pressures have 3 at most."""
    first, second = match[1], match[3]
    told = "-" in (first[0], second[0]) or "°" in match[2] or re.search("[NS]", match[2])
    decimals = min(len(first.partition(".")[2]), len(second.partition(".")[2]))
    if abs(float(first)) > 180 or abs(float(second)) > 180 or (decimals < 4 and not told):
        return None
    return f"{_rounded(first)}{match[2]}{_rounded(second)}"


_DIGITS = tuple("0123456789")
_SECRET_SIGNS = ("PRIVATE KEY", "AKIA", "ASIA", "gh", "glpat-", "xox", "AIza", "hf_", "pypi-", "eyJ")
_RULES: tuple[Rule, ...] = (
    ("url", ("://",), _URL_LOGIN, _placed("[url]")),
    ("url", ("://",), _URL_TOKEN, _placed("[url]")),
    ("secret", _SECRET_SIGNS, _SECRETS, _placed("[secret]")),
    ("secret", ("k-", "k_"), _SK_KEY, _placed("[secret]")),
    ("secret", _DIGITS, _BEARER, _bearer),
    ("secret", ("ey", "EY", "oken", "OKEN", "ass", "ASS", "ecret", "ECRET"), _ASSIGNED, _assigned),
    ("email", ("@", "at]", "at)", "AT]", "AT)"), _EMAIL, _placed("[email]")),
    ("coordinates", ("°",), _DMS, _placed("[coordinates]")),
    ("coordinates", (".",), _PAIR, _pair),
    (
        "coordinates",
        (".",),
        _LETTERED,
        lambda found: f"{found[1]}{_rounded(found[2])}{found[3]}{found[4]}{_rounded(found[5])}",
    ),
    ("coordinates", (".",), _DEGREES, lambda match: _rounded(match[1])),
    ("coordinates", (".",), _LABELLED, lambda match: f"{match[1]}{_rounded(match[2])}"),
    ("card", _DIGITS, _CARD, _card),
    ("ssn", ("-",), _SSN, _placed("[ssn]")),
    ("ssn", _DIGITS, _SSN_TOLD, _kept_head("[ssn]")),
    ("ip", (".",), _IPV4, _ip),
    ("ip", (":",), _IPV6, _ip),
    ("phone", _DIGITS, _PHONE, _placed("[phone]")),
    ("phone", ("+",), _PHONE_ABROAD, _abroad),
    ("phone", _DIGITS, _PHONE_TOLD, _phone_told),
    ("address", _DIGITS, _PO_BOX, _placed("[address]")),
    ("address", _DIGITS, _ADDRESS, _street),
    ("address", _DIGITS, _ADDRESS_GERMAN, _placed("[address]")),
    ("address", _DIGITS, _ADDRESS_FRENCH, _placed("[address]")),
    ("zip", ("-",), _ZIP4, lambda match: f"{match[1]}{match[2]}"),
)


def _scrubbed(value: Any, key: str, names: tuple[str, ...], counts: Counter[str]) -> Any:
    if isinstance(value, Mapping):
        clean: dict[str, Any] = {}
        for name, item in value.items():
            new = plain = _text(str(name), (), counts)
            while new in clean:  # two addresses as keys stay two entries
                new = f"{plain}~{len(clean) + 1}"
            clean[new] = _scrubbed(item, str(name), names, counts)
        return clean
    if isinstance(value, list):
        return [_scrubbed(item, key, names, counts) for item in value]
    named = _snake(key)
    condemned = next((kind for kind, pattern in _KINDS_BY_KEY.items() if pattern.search(named)), None)
    if condemned and value not in (None, "", f"[{condemned}]") and not isinstance(value, bool):
        counts[condemned] += 1
        return f"[{condemned}]"
    if _POSITION.search(named):
        return _coarse(value, names, counts)
    return _text(value, names, counts) if isinstance(value, str) else value


def _coarse(value: Any, names: tuple[str, ...], counts: Counter[str]) -> Any:
    """A coordinate with at most 2 decimals, whether a number or a number as text; anything else as any text."""
    if isinstance(value, float) and round(value, DECIMALS) != value:
        counts["coordinates"] += 1
        return round(value, DECIMALS)
    if isinstance(value, str) and re.fullmatch(_FINE, value.strip()):
        counts["coordinates"] += 1
        return _rounded(value.strip())
    return _text(value, names, counts) if isinstance(value, str) else value


def _text(value: str, names: tuple[str, ...], counts: Counter[str]) -> str:
    clean, found = scrub(value, names)
    counts.update(found)
    return clean


def _snake(key: str) -> str:
    """A key in small letters and underscores: "firstName" and "First-Name" are "first_name"."""
    return re.sub(r"[\s.-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)).lower()
