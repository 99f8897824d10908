"""Project Gutenberg through a mirror: a tree over http or file://, or a flat folder of `pg<number>[-<edition>].txt`.

Which works there are is the catalogue's business (twainbot/corpora/catalogue.py), cleaning them boilerplate.py's.
"""

from __future__ import annotations

import gzip
import io
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from resources.polite_client import Passing, PoliteClient
from resources.raw_store import UNAVAILABLE, RawStore, digest
from twainbot.errors import BadConfig, BadInput, SourceUnavailable, UnknownName, UnreadableSource

if TYPE_CHECKING:
    from twainbot.corpora.catalogue import CatalogueRow
    from twainbot.corpora.works import Sidecar

FLAT_NAME = re.compile(r"^pg(\d+)(-[\w.-]+)?$")
PG_LICENSE = "Project Gutenberg License"
MAIN_SITE = ("gutenberg.org", "www.gutenberg.org")
RECORD_DAYS = 30  # a work's rights seldom change, and each record is a request
MOST_UNZIPPED = 128 * 2**20  # the feed has 20 MB

Found = TypeVar("Found")
logger = logging.getLogger(__name__)


@dataclass
class MirrorSource:
    """Project Gutenberg through a mirror. Pinned works by number; on a flat folder also any book by a wanted author."""

    base: str
    store: RawStore
    works: tuple[int, ...] = ()
    authors: Mapping[str, str] = field(default_factory=dict)  # surname in the header's author line -> style
    client: PoliteClient | None = None  # None: one with the usual manners
    catalogue_url: str = ""  # pg_catalog.csv or its .gz; empty: pinned works only
    languages: tuple[str, ...] = ("en",)
    pinned_file: Path | None = None  # a catalogue beside the project's; all of its works are wanted
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.base = self.base.rstrip("/")
        if urlsplit(self.base).hostname in MAIN_SITE:
            raise BadConfig(f"{self.base} is no mirror: the main site bars robots. Name one, e.g. gutenberg.pglaf.org.")
        self.works = tuple(dict.fromkeys((*self.works, *(row.etext for row in self.brought))))

    @property
    def is_live(self) -> bool:
        """Whether the mirror or the catalogue feed is asked over the net."""
        return any(urlsplit(url).scheme in ("http", "https") for url in (self.base, self.catalogue_url))

    @cached_property
    def asking(self) -> PoliteClient:
        """Whom to ask over http."""
        return self.client or PoliteClient(self.store)

    @cached_property
    def local(self) -> Path | None:
        """The folder behind a file:// mirror, else None. Raises SourceUnavailable where it is no folder."""
        if urlsplit(self.base).scheme != "file":
            return None
        folder = url_path(self.base)
        if not folder.is_dir():
            raise SourceUnavailable(
                f"The mirror {self.base} is no folder. Set TWAINBOT_GUTENBERG_URL to one, or to a mirror."
            )
        return folder

    @cached_property
    def catalogue(self) -> dict[int, CatalogueRow]:
        """The works known by number: the pinned ones, and those that the catalogue feed adds."""
        from twainbot.corpora import catalogue

        return {row.etext: row for row in (*self.selected, *catalogue.pinned(), *self.brought)}

    @cached_property
    def brought(self) -> tuple[CatalogueRow, ...]:
        """The rows of the profile's own catalogue. Raises BadConfig where it is not there or an entry is wrong."""
        from twainbot.corpora import catalogue

        if self.pinned_file is None:
            return ()
        if not self.pinned_file.is_file():
            raise BadConfig(
                f"No catalogue at {self.pinned_file}. Write it in the form of twainbot/corpora/catalogue.yaml."
            )
        return tuple(catalogue.load_pinned(self.pinned_file.read_text(encoding="utf-8")))

    @cached_property
    def selected(self) -> tuple[CatalogueRow, ...]:
        """Works of wanted authors in the catalogue feed whose RDF record frees them, by number. Empty without a feed.

        A feed that does not answer adds nothing, and says so in `skipped`; pinned works do not hang on it.
        """
        from twainbot.corpora import catalogue

        if not self.catalogue_url:
            return ()
        try:
            listed = self._usable(self.catalogue_url, lambda raw: catalogue.read_pg_csv(unzipped(raw)))
        except BadInput as fault:
            self.skipped["catalogue"] = str(fault)
            return ()
        candidates = catalogue.by_authors(listed, self.authors, self.languages)
        pinned = {row.etext: row.rights for row in catalogue.pinned()}
        rights = {row.etext: pinned.get(row.etext) or self._recorded_rights(row) for row in candidates}
        return tuple(catalogue.select(candidates, self.authors, self.languages, rights))

    def _recorded_rights(self, row: CatalogueRow) -> str:
        """What the work's RDF record says of its rights; "unknown" where it cannot be read. Fetched once."""
        from twainbot.corpora.rdf import read_rdf

        url = f"{self.base}/cache/epub/{row.etext}/pg{row.etext}.rdf"
        try:
            found = self._usable(url, read_rdf, RECORD_DAYS).rights
        except BadInput as fault:
            self.skipped[row.unit] = f"its rights cannot be read: {fault}"
            return "unknown"
        if found != "public_domain_us":
            self.skipped[row.unit] = f"its catalogue record says {found}, not public domain in the USA"
        return found

    def _usable(self, url: str, read: Callable[[bytes], Found], days: float = 0.0) -> Found:
        """What a catalogue document says; as last read where its host is away or answers with something else.

        A catalogue that is away for an hour, or an error page with status 200, must not take its works' partitions away.
        `days`: how long a document that could be read is not asked for again.
        """
        known = self.store.remembered(url)
        if known is not None and time.time() - self.store.remembered_at(url) < days * 86_400:
            return read(self.store.get(known))
        try:
            raw = self._document(url)
            found = read(raw)
        except BadInput:
            if known is None:
                raise
            return read(self.store.get(known))
        self.store.remember(url, self.store.put(raw, url, PG_LICENSE).sha256)
        return found

    def _document(self, url: str) -> bytes:
        """The bytes of a catalogue document, over http or from a file."""
        if urlsplit(url).scheme != "file":
            return self.asking.read(url, PG_LICENSE)
        if not url_is_file(url):
            raise SourceUnavailable(f"{url} does not exist.")
        return url_path(url).read_bytes()

    @cached_property
    def flat(self) -> dict[str, Path]:
        """Unit key to file, for books that a file:// mirror keeps under their own key; other trees give none."""
        found: dict[str, Path] = {}
        for path in sorted(self.local.rglob("pg*.txt")) if self.local else []:
            if path.stem in found:
                self.skipped[str(path)] = f"{found[path.stem]} already holds {path.stem}"
            elif FLAT_NAME.match(path.stem):
                found[path.stem] = path
        return found

    def _wanted(self, key: str, path: Path) -> bool:
        """Pinned works, books of wanted authors, and files that cannot be read: these must fail where people see it."""
        from twainbot.corpora.boilerplate import strip_gutenberg

        row = self.catalogue.get(unit_number(key))
        try:
            author = strip_gutenberg(path.read_bytes()).author if row is None else row.author
        except UnreadableSource:
            return True
        if self.style_of(key, author):
            return True
        self.skipped[path.name] = (
            f"author {author!r} is not wanted by this profile" if author else "no author in its header"
        )
        return False

    def units(self) -> list[str]:
        """`pg<number>` and, on a flat folder, `pg<number>-<edition>`, sorted. Works that a flat folder lacks are skipped."""
        pinned = {f"pg{number}" for number in self.works} | {row.unit for row in self.selected}
        if not self.flat:
            return sorted(pinned)
        absent = {key for key in pinned - self.flat.keys() if not any(map(url_is_file, self.urls(key)))}
        self.skipped.update(dict.fromkeys(sorted(absent), f"not on the mirror {self.base}"))
        held = {key for key, path in self.flat.items() if self._wanted(key, path)}
        return sorted(held | (pinned - self.flat.keys() - absent))

    def style_of(self, unit: str, author: str) -> str:
        """Style by pinned row or by the author's surname; empty where this profile wants neither."""
        row = self.catalogue.get(unit_number(unit))
        name = row.author if row is not None else author
        by_author = next((style for surname, style in self.authors.items() if surname.lower() in name.lower()), "")
        pinned = row is not None and (by_author or unit_number(unit) in self.works)
        return row.style or by_author if row is not None and pinned else by_author

    def version(self, unit: str) -> str:
        """Over the bytes and the pinned row. A mirror that does not answer keeps the version that was last seen."""
        row = self.catalogue.get(unit_number(unit))
        try:
            raw = self.read(unit)[0]
        except SourceUnavailable as fault:
            self.skipped[unit] = str(fault)
            return UNAVAILABLE
        return digest(raw, repr(row).encode())

    def fetch(self, unit: str) -> tuple[bytes, Sidecar]:
        """The book's bytes, from the raw store where nothing changed or the mirror does not answer."""
        from twainbot.corpora.works import Sidecar

        raw, url = self.read(unit)
        row = self.catalogue.get(unit_number(unit))
        latest = self.store.latest(url)
        retrieved_at = self.store.describe(latest[0]).retrieved_at if latest else ""
        known = {"title": row.title, "author": row.author, "language": row.language} if row is not None else {}
        if row is not None and row.rights != "unknown":
            known |= {"rights": row.rights, "declarer": "catalogue"}
        style = self.style_of(unit, "") or self._style_by_header(unit, raw)
        named = {
            "filename": f"{unit}.txt",
            "url": url,
            "edition": unit,
            "retrieved_at": retrieved_at,
            "license": PG_LICENSE,
        }
        return raw, Sidecar.from_mapping({**named, **known, "style": style})

    def _style_by_header(self, unit: str, raw: bytes) -> str:
        from twainbot.corpora.boilerplate import strip_gutenberg

        return self.style_of(unit, strip_gutenberg(raw).author)

    def read(self, unit: str) -> tuple[bytes, str]:
        """Bytes and URL of a unit, tried at each place where mirrors keep it; else the stored copy that was last seen."""
        if unit in self.flat:
            url = self.flat[unit].as_uri()
            raw = self.flat[unit].read_bytes()
            self.store.put(raw, url, PG_LICENSE)
            return raw, url
        faults = []
        for url in self.known_first(unit):
            try:
                return self._read_one(url), url
            except Passing as fault:  # down, not gone: the next path may hold another edition
                faults.append(str(fault))
                break
            except SourceUnavailable as fault:
                faults.append(str(fault))
        for url in self.urls(unit):
            known = self.store.remembered(url)
            if known is not None:
                return self.store.get(known), url
        raise SourceUnavailable(f"No mirror path of {unit} answered: {' | '.join(faults)}")

    def _read_one(self, url: str) -> bytes:
        if self.local is None:
            found = self.asking.fetch(url, PG_LICENSE)
            raw = self.store.get(found.sha256)
            refuse_soft_404(raw, url)
            self.store.remember(url, found.sha256)
            return raw
        if not url_is_file(url):
            raise SourceUnavailable(f"{url} does not exist.")
        raw = url_path(url).read_bytes()
        self.store.put(raw, url, PG_LICENSE)
        return raw

    def known_first(self, unit: str) -> list[str]:
        """The places of `urls`, those that answered before in front: an old mirror is not asked for what it lacks."""
        return sorted(self.urls(unit), key=lambda url: self.store.remembered(url) is None)  # stable

    def urls(self, unit: str) -> list[str]:
        """Where a mirror may keep this unit, best first."""
        if unit in self.flat:
            return [self.flat[unit].as_uri()]
        number = str(unit_number(unit))
        tree = "/".join([*(number[:-1] or "0"), number])
        texts = (f"cache/epub/{number}/pg{number}.txt", *(f"{tree}/{number}{end}.txt" for end in ("-0", "-8", "")))
        pages = (f"cache/epub/{number}/pg{number}-images.html", f"{tree}/{number}-h/{number}-h.htm")
        return [f"{self.base}/{name}" for name in (*texts, f"pg{number}.txt", *pages)]


def refuse_soft_404(raw: bytes, url: str) -> None:
    """Raise SourceUnavailable for a page with status 200 where a book's text was asked for: the next place may have it."""
    from twainbot.corpora.decoding import refuse_non_text

    if url.endswith(".txt"):
        try:
            refuse_non_text(raw, url)
        except UnreadableSource as fault:
            raise SourceUnavailable(str(fault)) from fault


def unzipped(raw: bytes) -> bytes:
    """A feed's bytes, out of gzip where it is zipped; at most MOST_UNZIPPED. Raises UnreadableSource."""
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        with gzip.open(io.BytesIO(raw)) as file:
            content = file.read(MOST_UNZIPPED + 1)
    except (OSError, EOFError) as error:
        raise UnreadableSource(f"The catalogue feed is damaged ({error}). Fetch it again.") from error
    if len(content) > MOST_UNZIPPED:
        raise UnreadableSource(f"The catalogue feed unfolds to more than {MOST_UNZIPPED} bytes. It is no catalogue.")
    return content


def unit_number(unit: str) -> int:
    """The etext number in a unit key. Raises UnknownName where it holds none."""
    match = FLAT_NAME.match(unit)
    if match is None:
        raise UnknownName(f"{unit!r} is no Gutenberg unit. Units read 'pg245' or 'pg76-hfinn12'.")
    return int(match[1])


def url_path(url: str) -> Path:
    """The path that a file:// URL names."""
    return Path(unquote(urlsplit(url).path))


def url_is_file(url: str) -> bool:
    """Whether a file:// URL names a file that is there."""
    return url_path(url).is_file()
