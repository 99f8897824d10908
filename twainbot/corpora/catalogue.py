"""Which Gutenberg works exist and which of them the project takes: the feed's CSV, and our pinned list in catalogue.yaml."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from twainbot.corpora.decoding import decode
from twainbot.errors import BadConfig, UnreadableSource
from twainbot.records import RIGHTS, STYLES

CSV_COLUMNS = ("Text#", "Type", "Issued", "Title", "Language", "Authors", "Subjects", "LoCC", "Bookshelves")
STYLE_OF_AUTHOR = {
    "Mark Twain": "twain",
    "Benjamin Franklin": "franklin",
    "Ambrose Bierce": "satire",
    "Finley Peter Dunne": "satire",
}
_ROLE = re.compile(r"\s*\[([^\]]*)\]\s*$")
_YEARS = re.compile(r",\s*(?:active\s+)?(?:-?\d{1,4}\??(?:\s*BCE)?)?-?(?:\d{1,4}\??(?:\s*BCE)?)?\s*$")
_FULL_NAME = re.compile(r"\s*\([^)]*\)")


@dataclass(frozen=True)
class CatalogueRow:
    """One work of the catalogue. `author` reads "Mark Twain"; `style` is "" where no persona wants the work."""

    etext: int
    title: str
    author: str
    style: str
    language: str
    rights: str
    url: str = ""

    @property
    def unit(self) -> str:
        """The partition key, "pg245"."""
        return f"pg{self.etext}"


def pinned() -> list[CatalogueRow]:
    """The works that ship with the project, in the order of their numbers."""
    return load_pinned(resources.files("twainbot.corpora").joinpath("catalogue.yaml").read_text(encoding="utf-8"))


def load_pinned(yaml_text: str) -> list[CatalogueRow]:
    """Rows of a pinned catalogue, sorted by number. Raises BadConfig naming the entry that is wrong or doubled."""
    import yaml

    found = yaml.safe_load(yaml_text)
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
        "style": row.style not in STYLES,
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
    return [_csv_row(record) for record in reader if record["Type"] == "Text" and (record["Text#"] or "").isdigit()]


def _csv_row(record: dict[str, str]) -> CatalogueRow:
    author = first_author(record["Authors"] or "")
    return CatalogueRow(
        etext=int(record["Text#"]),
        title=" ".join((record["Title"] or "").split()),
        author=author,
        style=STYLE_OF_AUTHOR.get(author, ""),
        language=(record["Language"] or "").split(";")[0].strip(),
        rights="unknown",
    )


def first_author(authors: str) -> str:
    """The first person without a role, name in reading order: "Twain, Mark, 1835-1910; ..." is "Mark Twain"."""
    people = [person.strip() for person in authors.split(";") if person.strip()]
    writers = [person for person in people if not _ROLE.search(person)] or [_ROLE.sub("", person) for person in people]
    if not writers:
        return ""
    name = _YEARS.sub("", _FULL_NAME.sub("", writers[0])).strip()
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else name
