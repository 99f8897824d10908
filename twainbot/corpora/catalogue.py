"""Which Gutenberg works exist and which of them the project takes: the feed's CSV, and our pinned list in catalogue.yaml.

RDF records, which alone state rights, are read in rdf.py.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from twainbot.corpora.decoding import decode
from twainbot.errors import BadConfig, UnreadableSource
from twainbot.personas import styles
from twainbot.records import RIGHTS

CSV_COLUMNS = ("Text#", "Type", "Issued", "Title", "Language", "Authors", "Subjects", "LoCC", "Bookshelves")
_ROLE = re.compile(r"\s*\[([^\[\]]*)\]\s*$")
_YEARS = re.compile(r",\s*(?:active\s+)?(?:-?\d{1,4}\??(?:\s*BCE)?)?-?(?:\d{1,4}\??(?:\s*BCE)?)?\s*$")
_FULL_NAME = re.compile(r"\s*\([^()]*\)")


@dataclass(frozen=True)
class CatalogueRow:
    """One work of the catalogue. `author` reads "Mark Twain"; `style` is "" where no persona wants the work.

    `creators` holds (name, role) as the record lists them, the role "" for an author; `issued` is an ISO date; `files`
    the addresses of the work's forms. All three are empty where the source does not give them.
    """

    etext: int
    title: str
    author: str
    style: str
    language: str
    rights: str
    url: str = ""
    kind: str = "Text"
    issued: str = ""
    creators: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The partition key, "pg245"."""
        return f"pg{self.etext}"


def pinned() -> list[CatalogueRow]:
    """The works that ship with the project, in the order of their numbers."""
    return load_pinned(resources.files("twainbot.corpora").joinpath("catalogue.yaml").read_text(encoding="utf-8"))


@cache
def _styles_of_authors() -> dict[str, str]:
    return {row.author: row.style for row in pinned()}


def style_of(author: str) -> str:
    """The style of an author's pinned works; empty for an author of none."""
    return _styles_of_authors().get(author, "")


def load_pinned(yaml_text: str) -> list[CatalogueRow]:
    """Rows of a pinned catalogue, sorted by number. Raises BadConfig naming the entry that is wrong or doubled."""
    import yaml

    from twainbot.yaml_text import read

    try:
        found = read(yaml_text)
    except yaml.YAMLError as error:
        raise BadConfig(f"The pinned catalogue is not YAML: {error}. Correct the file.") from error
    entries = found.get("works") if isinstance(found, dict) else None
    if not isinstance(entries, list) or not entries:
        raise BadConfig(
            "The pinned catalogue has no list under 'works'. Write one mapping per work: etext, title, author, style."
        )
    rows = [_pinned_row(entry) for entry in entries]
    numbers = [row.etext for row in rows]
    doubled = sorted({number for number in numbers if numbers.count(number) > 1})
    if doubled:
        raise BadConfig(f"The pinned catalogue lists the numbers {doubled} more than once. Keep one entry of each.")
    return sorted(rows, key=lambda row: row.etext)


def _pinned_row(entry: Any) -> CatalogueRow:
    try:
        values: dict[str, Any] = {"language": "en", "rights": "public_domain_us", **entry}
        row = CatalogueRow(**values)
    except TypeError as error:
        raise BadConfig(
            f"Catalogue entry {entry!r} does not fit: {error}. Give etext, title, author and style."
        ) from error
    faults = {
        "etext": not isinstance(row.etext, int) or row.etext < 1,
        "title": not row.title,
        "author": not row.author,
        "style": row.style not in styles(),
        "rights": row.rights not in RIGHTS,
    }
    wrong = [name for name, holds in faults.items() if holds]
    if wrong:
        raise BadConfig(
            f"Catalogue entry {row.etext!r} ({row.title!r}) has no valid {', '.join(wrong)}. Correct the file."
        )
    return row


def read_pg_csv(raw: bytes) -> list[CatalogueRow]:
    """Text works of Project Gutenberg's pg_catalog.csv, in its order. Sounds, images and data sets are left out.

    The CSV does not state rights, so they are "unknown": the RDF record or the book's header must say.
    Raises UnreadableSource where the columns are not the feed's.
    """
    reader = csv.DictReader(io.StringIO(decode(raw).text, newline=""))
    missing = [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UnreadableSource(
            f"The Gutenberg catalogue lacks the columns {missing}. Fetch /cache/epub/feeds/pg_catalog.csv."
        )
    try:
        return [_csv_row(record) for record in reader if record["Type"] == "Text" and _is_number(record["Text#"])]
    except csv.Error as error:  # a field beyond the reader's bound: a quotation mark that never closes
        raise UnreadableSource(
            f"Line {reader.line_num} of the Gutenberg catalogue is no CSV ({error}). Fetch it again."
        ) from error


def _is_number(text: str | None) -> bool:
    """Plain digits, few enough for a number of a book: "²" is a digit to str.isdigit, and none to int."""
    return bool(text) and text.isascii() and text.isdigit() and len(text) < 10


def _csv_row(record: dict[str, str]) -> CatalogueRow:
    author = first_author(record["Authors"] or "")
    return CatalogueRow(
        etext=int(record["Text#"]),
        title=" ".join((record["Title"] or "").split()),
        author=author,
        style=style_of(author),
        language=(record["Language"] or "").split(";")[0].strip(),
        rights="unknown",
        issued=(record["Issued"] or "").strip(),
        creators=people(record["Authors"] or ""),
    )


def select(
    rows: Iterable[CatalogueRow],
    authors: Mapping[str, str],
    languages: Collection[str] = ("en",),
    rights: Mapping[int, str] | None = None,
) -> list[CatalogueRow]:
    """Texts by the given authors in the given languages that are free in the USA, sorted by number, each once.

    `authors` maps a family name or a full name to the persona's style ("Twain" to "twain"). `rights` holds what RDF
    records say, by number; the strictest word counts, and a work that nobody calls public domain is never selected.
    """
    known = rights or {}
    return [
        replace(row, rights="public_domain_us")
        for row in by_authors(rows, authors, languages)
        if _is_free(row.rights, known.get(row.etext))
    ]


def by_authors(
    rows: Iterable[CatalogueRow], authors: Mapping[str, str], languages: Collection[str] = ("en",)
) -> list[CatalogueRow]:
    """Texts by the given authors in the given languages with their style, whatever their rights; sorted by number."""
    wanted = {name.casefold(): style for name, style in authors.items()}
    found: dict[int, CatalogueRow] = {}
    for row in rows:
        style = wanted.get(row.author.casefold()) or wanted.get(row.author.rpartition(" ")[2].casefold())
        if style and row.kind == "Text" and row.language in languages:
            found.setdefault(row.etext, replace(row, style=style))
    return [found[number] for number in sorted(found)]


def _is_free(*claims: str | None) -> bool:
    """True where one claim says public domain in the USA and the others say so or nothing."""
    return {claim for claim in claims if claim and claim != "unknown"} == {"public_domain_us"}


def first_author(authors: str) -> str:
    """The first person without a role, name in reading order: "Twain, Mark, 1835-1910; ..." is "Mark Twain"."""
    return first_writer(people(authors))


def first_writer(creators: tuple[tuple[str, str], ...]) -> str:
    """The name of the first creator without a role, else of the first one, "" without any."""
    return next((name for name, role in creators if not role), creators[0][0] if creators else "")


def people(authors: str) -> tuple[tuple[str, str], ...]:
    """(name, role) of each person: "Aesop; Townsend, George [Translator]" has "Aesop" and ("George Townsend", "Translator")."""
    listed = [" ".join(person.split()) for person in authors.split(";") if person.strip()]
    roles = [_ROLE.search(person) for person in listed]
    return tuple(
        (reading_order(_ROLE.sub("", person)), role[1] if role else "")
        for person, role in zip(listed, roles, strict=True)
    )


def reading_order(name: str) -> str:
    """ "Twain, Mark, 1835-1910" is "Mark Twain"; a full name in brackets goes."""
    plain = _YEARS.sub("", _FULL_NAME.sub("", name)).strip()
    last, comma, first = plain.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else plain
