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

# Licence wording, first match wins: name of the rule, rights, pattern. Order matters: a non-commercial or no-derivatives
# clause outweighs "CC BY".
LICENCE_RULES: tuple[tuple[str, str, str], ...] = (
    ("licence_is_unclear", "unknown", r"unclear|unknown|unspecified|research (?:use|purposes?) only|no ownership"),
    ("licence_reserves", "restricted",
     r"all rights reserved|proprietary|copyrighted|\bby-nc\b|non-?commercial|\bby(?:-\w+)?-nd\b|no ?deriv"),
    ("licence_waives", "cc0", r"\bcc-?0\b|creative commons zero|\bunlicense\b"),
    ("licence_is_pd_in_the_usa", "public_domain_us",
     r"project gutenberg licen[cs]e|public domain in the (?:usa?|united states)|\bpd-us\b(?!gov)"),
    ("licence_is_pd", "public_domain", r"public domain|us government work|pd-?usgov|\bpublicdomain\b"),
    ("licence_is_open", "open_license",
     r"\bcc[- ]by|creative commons attribution|\bmit\b|\bapache|\bbsd\b|\bisc\b|\bgfdl\b|open ?data|\bodc\b"),
    ("licence_by_permission", "permission", r"by permission|with permission|permission (?:of|from|granted)"),
)  # fmt: skip
_LICENCE_RULES = tuple((name, re.compile(pattern, re.IGNORECASE), rights) for name, rights, pattern in LICENCE_RULES)

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


def _licence_rule(licence: str) -> tuple[str, str]:
    """Name of the first rule that knows the licence, and its rights."""
    found = ((name, rights) for name, pattern, rights in _LICENCE_RULES if licence and pattern.search(licence))
    return next(found, ("licence_is_not_known", "unknown"))


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

    A header or licence that restricts wins over anything declared. Else a declaration in RIGHTS, the header, the
    licence and the source's default are asked in that order; the first that knows decides. Rights declared "unknown"
    are cleared by a header only: a licence tag by an uploader cannot free a text whose owner is not known. `declarer`:
    one of DECLARERS.
    """
    licence_rule, by_licence = _licence_rule(licence)
    if header == "restricted":
        return Ruling("restricted", "header", "header_restricts")
    if by_licence == "restricted":
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
