"""The doors to raw material: which units a source has, their versions, their bytes. Parsing is twainbot/corpora's.

A source is a folder (one file a unit, with a manifest for rights) or a Gutenberg mirror (`https://` tree, `file://` tree or
a flat folder of `pg<number>[-<edition>].txt`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import dagster as dg
import yaml

from resources.home import PROJECT
from resources.polite_client import DELAY_S, Passing, PoliteClient
from resources.raw_store import RawStore
from twainbot.errors import BadConfig, SourceUnavailable, UnknownName, UnreadableSource

if TYPE_CHECKING:
    from twainbot.corpora.catalogue import CatalogueRow
    from twainbot.corpora.works import Sidecar

MANIFEST = "manifest.yaml"
FLAT_NAME = re.compile(r"^pg(\d+)(-[\w.-]+)?$")
PG_LICENSE = "Project Gutenberg License"
MAIN_SITE = ("gutenberg.org", "www.gutenberg.org")


class UnitSource(Protocol):
    """What the graph asks of any source."""

    skipped: dict[str, str]  # file or work -> why it is no unit

    def units(self) -> list[str]:
        """Unit keys, sorted."""
        ...

    def version(self, unit: str) -> str:
        """Changes exactly when the unit's bytes or what is known about them change."""
        ...

    def fetch(self, unit: str) -> tuple[bytes, Sidecar]:
        """Raw bytes and what is known about them."""
        ...


def digest(*parts: bytes) -> str:
    """16 hex digits over the parts, in order."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(hashlib.sha256(part).digest())
    return hasher.hexdigest()[:16]


@dataclass
class FolderSource:
    """One file a unit, keyed by its stem. Rights come from `<file>.yaml`, or a `manifest.yaml` in the folder or above it."""

    source: str
    folder: Path
    store: RawStore
    skipped: dict[str, str] = field(default_factory=dict)

    @cached_property
    def files(self) -> dict[str, Path]:
        """Unit key to file. Raises BadConfig where two files claim one key."""
        found: dict[str, Path] = {}
        if not self.folder.is_dir():
            return found
        for path in sorted(self.folder.iterdir()):
            if path.name.startswith(".") or path.suffix in (".yaml", ".yml"):
                continue
            if not path.is_file():
                self.skipped[path.name] = "a folder; a unit is one file"
                continue
            if path.stem in found:
                raise BadConfig(f"{path} and {found[path.stem]} both claim the unit {path.stem!r}. Rename one of them.")
            found[path.stem] = path
        return found

    @cached_property
    def manifest(self) -> dict[str, dict[str, Any]]:
        """Manifest entries by file name; an entry's `path` is relative to the manifest."""
        for place in (self.folder, self.folder.parent):
            path = place / MANIFEST
            if path.is_file():
                entries = read_yaml(path).get("files") or []
                if not all(isinstance(entry, dict) and entry.get("path") for entry in entries):
                    raise BadConfig(f"Every entry under `files:` in {path} must be a mapping with a `path`.")
                listed = {(place / entry["path"]).resolve(): entry for entry in entries}
                return {
                    file.name: dict(listed[file.resolve()]) for file in self.files.values() if file.resolve() in listed
                }
        return {}

    def units(self) -> list[str]:
        """Unit keys, sorted."""
        return sorted(self.files)

    def known(self, unit: str) -> dict[str, Any]:
        """What a person wrote about this unit: its sidecar, else its manifest entry, else nothing (rights unknown)."""
        path = self._path(unit)
        sidecar = path.with_name(f"{path.name}.yaml")
        return read_yaml(sidecar) if sidecar.is_file() else self.manifest.get(path.name, {})

    def version(self, unit: str) -> str:
        """Over the file's bytes and what is known about it."""
        known = json.dumps(self.known(unit), sort_keys=True, default=str).encode()
        return digest(self._path(unit).read_bytes(), known)

    def fetch(self, unit: str) -> tuple[bytes, Sidecar]:
        """The file's bytes, also kept in the raw store."""
        from twainbot.corpora.works import Sidecar

        path, known = self._path(unit), self.known(unit)
        raw = path.read_bytes()
        where = path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.as_uri()
        stored = self.store.put(raw, where, str(known.get("license", "")))
        named = {"filename": path.name, "url": where, "edition": path.stem, "retrieved_at": stored.retrieved_at}
        return raw, Sidecar.from_mapping({**named, **as_text(known)})

    def _path(self, unit: str) -> Path:
        try:
            return self.files[unit]
        except KeyError:
            known = ", ".join(self.units()) or "none"
            raise UnknownName(f"{self.source} has no unit {unit!r} in {self.folder}. Units: {known}.") from None


@dataclass
class MirrorSource:
    """Project Gutenberg through a mirror. Pinned works by number; on a flat folder also any book by a wanted author."""

    base: str
    store: RawStore
    works: tuple[int, ...] = ()
    authors: Mapping[str, str] = field(default_factory=dict)  # surname in the header's author line -> style
    delay_s: float = DELAY_S
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.base = self.base.rstrip("/")
        if urlsplit(self.base).hostname in MAIN_SITE:
            raise BadConfig(f"{self.base} is no mirror: the main site bars robots. Name one, e.g. gutenberg.pglaf.org.")
        self.client = PoliteClient(self.store, delay_s=self.delay_s)

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
        """The pinned works by number."""
        from twainbot.corpora import catalogue

        return {row.etext: row for row in catalogue.pinned()}

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
        pinned = {f"pg{number}" for number in self.works}
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
        return row.style if row is not None and (by_author or unit_number(unit) in self.works) else by_author

    def version(self, unit: str) -> str:
        """Over the bytes and the pinned row. A mirror that does not answer keeps the version that was last seen."""
        row = self.catalogue.get(unit_number(unit))
        try:
            raw = self.read(unit)[0]
        except SourceUnavailable as fault:
            return f"unavailable-{digest(str(fault).encode())}"
        return digest(raw, repr(row).encode())

    def fetch(self, unit: str) -> tuple[bytes, Sidecar]:
        """The book's bytes, from the raw store where nothing changed or the mirror does not answer."""
        from twainbot.corpora.works import Sidecar

        raw, url = self.read(unit)
        row = self.catalogue.get(unit_number(unit))
        latest = self.store.latest(url)
        retrieved_at = self.store.describe(latest[0]).retrieved_at if latest else ""
        known = {"title": row.title, "author": row.author, "language": row.language} if row is not None else {}
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
        for url in self.urls(unit):
            try:
                return self._read_one(url), url
            except Passing as fault:  # down, not gone: the next path may hold another edition
                faults.append(str(fault))
                break
            except SourceUnavailable as fault:
                faults.append(str(fault))
        for url in self.urls(unit):
            known = self.store.latest(url)
            if known is not None:
                return self.store.get(known[0]), url
        raise SourceUnavailable(f"No mirror path of {unit} answered: {' | '.join(faults)}")

    def _read_one(self, url: str) -> bytes:
        if self.local is None:
            return self.store.get(self.client.fetch(url, PG_LICENSE).sha256)
        if not url_is_file(url):
            raise SourceUnavailable(f"{url} does not exist.")
        raw = url_path(url).read_bytes()
        self.store.put(raw, url, PG_LICENSE)
        return raw

    def urls(self, unit: str) -> list[str]:
        """Where a mirror may keep this unit, best first."""
        if unit in self.flat:
            return [self.flat[unit].as_uri()]
        number = str(unit_number(unit))
        tree = "/".join([*(number[:-1] or "0"), number])
        names = (f"cache/epub/{number}/pg{number}.txt", *(f"{tree}/{number}{end}.txt" for end in ("-0", "-8", "")))
        return [f"{self.base}/{name}" for name in (*names, f"pg{number}.txt")]


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


def as_text(known: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries with numbers and dates as text: YAML reads the title `1601` as a number, `2026-01-02` as a date."""
    return {name: str(value) if isinstance(value, int | float | date) else value for name, value in known.items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises BadConfig with the file's name on anything else."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not readable YAML: {error}") from error
    if not isinstance(found, dict):
        raise BadConfig(f"{path} must hold a mapping.")
    return found


def open_source(source: str, settings: Mapping[str, Any], store: RawStore) -> UnitSource | None:
    """The door that a profile's settings name, or None where the source is switched off."""
    if settings.get("mirror"):
        works, authors = tuple(settings.get("works") or ()), settings.get("authors") or {}
        return MirrorSource(settings["mirror"], store, works, authors, float(settings.get("delay_s", DELAY_S)))
    if settings.get("folder"):
        folder = Path(settings["folder"]).expanduser()
        return FolderSource(source, folder if folder.is_absolute() else PROJECT / folder, store)
    return None


class Harvest(dg.ConfigurableResource[None]):
    """All sources of a profile. `settings`: per source, as the profile gives them; `raw`: the raw store's folder."""

    settings: dict[str, dict[str, Any]]
    raw: str

    def door(self, source: str) -> UnitSource | None:
        """A fresh door to one source, or None where the profile leaves it out."""
        return open_source(source, self.settings.get(source) or {}, RawStore(Path(self.raw)))

    def units(self, source: str) -> list[str]:
        """Unit keys that the profile wants: all, those named under `only`, at most `max_units`."""
        door, settings = self.door(source), self.settings.get(source) or {}
        if door is None:
            return []
        found, only = door.units(), settings.get("only") or ()
        absent = sorted(set(only) - set(found))
        if absent:
            raise UnknownName(f"{source} has no units {absent}. Units: {', '.join(found)}.")
        return [unit for unit in found if not only or unit in only][: int(settings.get("max_units") or 99)]

    def fetch(self, source: str, unit: str) -> tuple[bytes, Sidecar]:
        """Bytes of one unit and what is known about them. Raises UnknownName on a source that is switched off."""
        door = self.door(source)
        if door is None:
            raise UnknownName(f"The source {source!r} is switched off in this profile, so it has no unit {unit!r}.")
        return door.fetch(unit)
