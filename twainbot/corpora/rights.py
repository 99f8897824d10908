"""Whose text it is: evidence from source, licence and header, mapped to one of records.RIGHTS. No text is read here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from twainbot.records import RIGHTS, TRAINABLE_RIGHTS

# A copyrighted work says so in its header; the words around it changed with the years.
_RESTRICTED = re.compile(
    r"this\s+is\s+a[\s*_]+copyrighted[\s*_]+project\s+gutenberg"
    r"|small\s+print!?\W*for\s+copyright\s+protected"
    r"|of\s+th(?:e|is)\s+copyrighted\s+project\s+gutenberg"
    r"|posted\s+with\s+(?:the\s+)?permission\s+of\s+the\s+copyright\s+holder"
    r"|copyright(?:ed)?\W+read\s+the\s+copyright\s+notice\s+inside",
    re.IGNORECASE,
)
# Sister projects free their books under other countries' law, which says nothing about the USA.
_ABROAD = re.compile(
    r"project\s+gutenberg\s+(?:of\s+)?(?:australia|canada|europe)|gutenberg\.net\.au|gutenberg\.ca", re.IGNORECASE
)
_GUTENBERG = re.compile(
    r"project\s+gutenberg|gutenberg\s+e-?(?:text|book)|public\s+domain\s+e-?(?:text|book)s|e-?(?:text|book)\s*#",
    re.IGNORECASE,
)

# Only a whole licence frees, word for word: name of the rule, rights, the names and addresses by which it is known.
# Blanks and hyphens count alike. A fragment frees nothing: "mit" is a German word, "by" an English one.
_VERSION = r"(?: v?\d(?:\.\d)?)?(?: (?:international|unported|generic|universal))?"
_DEED = r"(?:/(?:[a-z]{2}|legalcode(?:\.[a-z]{2,4})?|deed(?:\.[a-z]{2,4})?))*/?"
_CC_ADDRESS = r"(?:https?://)?(?:www\.)?creativecommons\.org"
FREEING: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("licence_waives", "cc0", (
        rf"cc ?0{_VERSION}(?: public domain dedication)?", rf"creative commons zero{_VERSION}", r"(?:the )?unlicense",
        rf"{_CC_ADDRESS}/publicdomain/zero/1\.0{_DEED}", r"https?://unlicense\.org/?",
    )),
    ("licence_is_pd_in_the_usa", "public_domain_us", (
        r"public domain in the (?:usa?|u\.s\.(?:a\.)?|united states(?: of america)?)", r"pd us",
    )),
    ("licence_is_pd", "public_domain", (
        r"public ?domain(?: mark(?: 1\.0)?)?", r"(?:public domain )?\(?us government(?: works?)?\)?", r"pd ?usgov",
        r"cc pdm 1\.0", rf"{_CC_ADDRESS}/publicdomain/mark/1\.0{_DEED}",
    )),
    ("licence_is_open", "open_license", (
        rf"cc by(?: sa)?{_VERSION}",
        rf"creative commons attribution(?: share ?alike)?{_VERSION}(?: public)?(?: licen[cs]e)?",
        rf"{_CC_ADDRESS}/licenses/by(?:-sa)?/\d\.\d{_DEED}",
        r"(?:the )?(?:mit|isc)(?: licen[cs]e)?", r"https?://opensource\.org/licenses?/mit/?",
        r"(?:the )?apache(?: software)?(?: licen[cs]e)?(?:,? version)? v?2(?:\.0)?",
        r"https?://(?:www\.)?apache\.org/licenses/license-2\.0(?:\.html|\.txt)?",
        r"(?:the )?bsd [23] clause(?: licen[cs]e)?",
        r"(?:gfdl|gnu free documentation licen[cs]e)(?:,? version)?(?: v?1\.[123])?(?: (?:only|or later))?",
        r"odc by(?: 1\.0)?", r"odbl(?: 1\.0)?", r"pddl(?: 1\.0)?",
        r"open data commons(?: [a-z ]{1,40})? licen[cs]e(?: v?1\.0)?",
    )),
)  # fmt: skip
_FREEING = tuple((name, rights, re.compile("|".join(known), re.IGNORECASE)) for name, rights, known in FREEING)
# Beside a licence this frees and forbids nothing. Every book carries it, and we ourselves write it into the sidecars.
_NEUTRAL = re.compile(r"(?:the )?project gutenberg licen[cs]e(?: \(in the file\))?", re.IGNORECASE)
_PARTS = re.compile(r"\s*;\s*|\s+(?:and|or|/)\s+", re.IGNORECASE)
MAX_LICENCE = 400  # characters; the name of a licence is short, and a page of terms frees nothing

# Any word of these restricts, wherever it stands, in the languages whose papers we meet.
_RESERVES = re.compile(
    r"reserved|vorbehalten|r\u00e9serv\u00e9|reservad[oa]s|riservat[ie]|voorbehouden|proprietary|copyrighted"
    r"|\bnc\b|non[\s_-]*commercial|nicht[\s-]*kommerziell|non[\s-]*commerciale|commercial use (?:is )?(?:not|prohibited)"
    r"|\bnd\b|no[\s_-]*deriv|\bonly\b|\bnur\b|\bexcept|\bexclud|\bprohibited|\bforbidden|\bverboten|\binterdit"
    r"|\bnot\b.{0,40}\bpublic[\s-]*domain|\b(?:may|must|do|can) ?not\b|\bwithout\b.{0,40}\bpermission"
    r"|no (?:re-?use|permission)",
    re.IGNORECASE | re.DOTALL,
)
# Says whose a text is and no more: a licence or a declaration beside it stands, alone it means that nothing was granted.
_NOTICE = re.compile(r"(?<!no )copyright|\u00a9|^\s*\(c\)", re.IGNORECASE)
_UNCLEAR = re.compile(r"unclear|unknown|unspecified|research (?:use|purposes?)|no ownership", re.IGNORECASE)

# What a source grants where neither sidecar nor header says more.
SOURCE_DEFAULTS: dict[str, str] = {
    "gutenberg": "unknown",  # the header or the catalogue must say it
    "weather": "public_domain",  # works of the US Government, 17 USC 105
    "satire": "unknown",  # newspapers reserve their rights
    "jokes": "unknown",  # single jokes have unknown authors
    "transcripts": "unknown",
    "local": "unknown",
}


def rights_of_header(header: str) -> str:
    """Rights by a Gutenberg header: "restricted", "public_domain_us", or "unknown" without any trace of one."""
    if _RESTRICTED.search(header):
        return "restricted"
    if _ABROAD.search(header) or not _GUTENBERG.search(header):
        return "unknown"
    return "public_domain_us"


def rights_of_licence(licence: str) -> str:
    """Rights by a licence's name or wording ("CC0-1.0", "MIT", "CC BY-NC 4.0"); "unknown" where no rule knows it."""
    return _licence_rule(licence)[1]


def reserves(claim: str) -> bool:
    """Whether a licence or a copyright line keeps something back: non-commercial, no derivatives, all rights reserved.

    A bare "Copyright 2026 The Gazette" does not: it names an owner, and an owner may have freed the text elsewhere.
    """
    return _licence_rule(claim)[0] == "licence_reserves"


def notices(claim: str) -> bool:
    """Whether a copyright line names an owner and says no more."""
    return _licence_rule(claim)[0] == "licence_is_a_notice"


def _licence_rule(licence: str) -> tuple[str, str]:
    """Name of the rule that knows the licence, and its rights. "permission" is none of them: it has to be declared."""
    freed = _freed(licence)
    if freed:
        return freed
    if _RESERVES.search(licence):
        return "licence_reserves", "restricted"
    if _UNCLEAR.search(licence):
        return "licence_is_unclear", "unknown"
    return ("licence_is_a_notice", "restricted") if _NOTICE.search(licence) else ("licence_is_not_known", "unknown")


def _freed(licence: str) -> tuple[str, str] | None:
    """The rule of a licence all of whose parts are known to free; of several parts the one that asks the most."""
    parts = [part.strip(" .,") for part in _PARTS.split(licence)] if len(licence) <= MAX_LICENCE else []
    found = [_freeing_rule(part) for part in parts if part and not _NEUTRAL.fullmatch(part)]
    if not found or None in found:
        return None
    order = {name: at for at, (name, _, _) in enumerate(_FREEING)}
    return max((rule for rule in found if rule), key=lambda rule: order[rule[0]])


def _freeing_rule(part: str) -> tuple[str, str] | None:
    words = part if "//" in part else " ".join(re.split(r"[\s_-]+", part))
    return next(((name, rights) for name, rights, pattern in _FREEING if pattern.fullmatch(words)), None)


@dataclass(frozen=True)
class Ruling:
    """Rights with where they come from. `claim`: who says so; `rule`: why that decides; both are words of closed sets."""

    rights: str  # one of records.RIGHTS
    claim: str  # header | licence | declared | catalogue | source | none
    rule: str


DECLARERS = {  # who declares rights outside the text -> the rule by which that counts
    "declared": "declared_by_whoever_listed_it",
    "catalogue": "catalogue_record_frees",
}


def ruling(
    source: str, declared: str = "", licence: str = "", header: str = "unknown", declarer: str = "declared"
) -> Ruling:
    """Rights from all the evidence, the strictest first.

    A header or licence that restricts wins over anything declared; a bare copyright notice does not, for whoever
    declares a text free may well be its owner. Else a declaration in RIGHTS, the header, the licence and the source's
    default are asked in that order; the first that knows decides. Rights declared "unknown"
    are cleared by a header only: a licence tag by an uploader cannot free a text whose owner is not known. `declarer`:
    one of DECLARERS.
    """
    licence_rule, by_licence = _licence_rule(licence)
    if header == "restricted":
        return Ruling("restricted", "header", "header_restricts")
    if licence_rule == "licence_reserves":
        return Ruling("restricted", "licence", licence_rule)
    by_source = SOURCE_DEFAULTS.get(source, "unknown")
    evidence = [
        Ruling(declared, declarer, DECLARERS[declarer]),
        Ruling(header, "header", "header_frees"),
        *([] if declared == "unknown" else [Ruling(by_licence, "licence", licence_rule)]),
        *([] if declared == "unknown" else [Ruling(by_source, "source", "works_of_this_source_are_free")]),
    ]
    known = (found for found in evidence if found.rights in RIGHTS and found.rights != "unknown")
    doubted = Ruling("unknown", "declared" if declared == "unknown" else "none", "nobody_knows")
    return next(known, Ruling("unknown", "licence", licence_rule) if licence_rule == "licence_is_unclear" else doubted)


def resolve(source: str, declared: str = "", licence: str = "", header: str = "unknown") -> str:
    """The rights of `ruling` alone."""
    return ruling(source, declared, licence, header).rights


# What each kind of rights allows: to train on the text, to release the text itself, to show an excerpt with its source.
USES: dict[str, dict[str, str]] = {
    "public_domain": {"train": "yes", "release_text": "yes", "excerpt": "yes"},
    "public_domain_us": {"train": "yes", "release_text": "in the USA", "excerpt": "yes"},
    "cc0": {"train": "yes", "release_text": "yes", "excerpt": "yes"},
    "open_license": {"train": "yes", "release_text": "with its notice", "excerpt": "with its notice"},
    "permission": {"train": "yes", "release_text": "no", "excerpt": "no"},
    "restricted": {"train": "no", "release_text": "no", "excerpt": "headline and link"},
    "unknown": {"train": "no", "release_text": "no", "excerpt": "no"},
}


def trainable(rights: str) -> bool:
    """True where a work of these rights may reach `splits/`. Unknown and restricted ones may not."""
    return rights in TRAINABLE_RIGHTS
