"""Whose text it is: evidence from source, licence and header, mapped to one of records.RIGHTS. No text is read here."""

from __future__ import annotations

import re

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

# Licence wording, first match wins. Order matters: a non-commercial or no-derivatives clause outweighs "CC BY".
LICENCE_RULES: tuple[tuple[str, str], ...] = (
    (r"unclear|unknown|unspecified|research (?:use|purposes?) only|no ownership", "unknown"),
    (r"all rights reserved|proprietary|copyrighted|\bby-nc\b|non-?commercial|\bby(?:-\w+)?-nd\b|no ?deriv", "restricted"),
    (r"\bcc-?0\b|creative commons zero|\bunlicense\b", "cc0"),
    (r"project gutenberg licen[cs]e|public domain in the (?:usa?|united states)|\bpd-us\b(?!gov)", "public_domain_us"),
    (r"public domain|us government work|pd-?usgov|\bpublicdomain\b", "public_domain"),
    (r"\bcc[- ]by|creative commons attribution|\bmit\b|\bapache|\bbsd\b|\bisc\b|\bgfdl\b|open ?data|\bodc\b", "open_license"),
    (r"by permission|with permission|permission (?:of|from|granted)", "permission"),
)  # fmt: skip
_LICENCE_RULES = tuple((re.compile(pattern, re.IGNORECASE), rights) for pattern, rights in LICENCE_RULES)

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
    return next((rights for pattern, rights in _LICENCE_RULES if pattern.search(licence)), "unknown")


def resolve(source: str, declared: str = "", licence: str = "", header: str = "unknown") -> str:
    """One of RIGHTS from all the evidence, the strictest first.

    A header or licence that restricts wins over anything declared. Else a declaration in RIGHTS, the header, the
    licence and the source's default are asked in that order; the first that knows decides. Rights declared "unknown"
    are cleared by a header only: a licence tag by an uploader cannot free a text whose owner is not known.
    """
    by_licence = rights_of_licence(licence) if licence else "unknown"
    if "restricted" in (header, by_licence):
        return "restricted"
    doubted = declared == "unknown"
    evidence = (declared, header) if doubted else (declared, header, by_licence, SOURCE_DEFAULTS.get(source, "unknown"))
    return next((found for found in evidence if found in RIGHTS and found != "unknown"), "unknown")


def trainable(rights: str) -> bool:
    """True where a work of these rights may reach `splits/`. Unknown and restricted ones may not."""
    return rights in TRAINABLE_RIGHTS
