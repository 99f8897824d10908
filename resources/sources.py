"""The doors to raw material: which units a source has, their versions, their bytes. Parsing is twainbot/corpora's.

A source of a profile opens one door or several: a folder (folder_source.py), a Gutenberg mirror (gutenberg.py), feeds
(satire_feeds.py), joke collections (joke_collections.py), the weather service (weather_service.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import dagster as dg

from resources.folder_source import FolderSource
from resources.gutenberg import MirrorSource
from resources.home import PROJECT, current
from resources.lake import replace_file
from resources.polite_client import DELAY_S, RECHECK_S, PoliteClient
from resources.raw_store import RawStore
from twainbot.errors import BadConfig, UnknownName

if TYPE_CHECKING:
    from twainbot.corpora.material import Part
    from twainbot.corpora.works import Sidecar

Material: TypeAlias = "bytes | tuple[Part, ...]"  # a unit of one document, or of several
NWS = "https://api.weather.gov"
ARCHIVE = "https://mesonet.agron.iastate.edu"


class UnitSource(Protocol):
    """What the graph asks of any source."""

    skipped: dict[str, str]  # file, work or page -> why it is no unit or no part of one

    @property
    def is_live(self) -> bool:
        """Whether looking at it asks somebody over the net."""
        ...

    def units(self) -> list[str]:
        """Unit keys, sorted."""
        ...

    def version(self, unit: str) -> str:
        """Changes exactly when the unit's bytes or what is known about them change."""
        ...

    def fetch(self, unit: str) -> tuple[Material, Sidecar]:
        """Raw documents and what is known about them."""
        ...


@dataclass
class Joined:
    """Several doors of one source. A unit key belongs to one door; two that claim it are refused."""

    source: str
    doors: Sequence[UnitSource]
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Whether any door is."""
        return any(door.is_live for door in self.doors)

    def units(self) -> list[str]:
        """The units of all doors, sorted."""
        return sorted(self._owners())

    def version(self, unit: str) -> str:
        """The version that the unit's door gives it."""
        door = self._ask(unit)
        found = door.version(unit)
        self.skipped.update(door.skipped)
        return found

    def fetch(self, unit: str) -> tuple[Material, Sidecar]:
        """What the unit's door gives."""
        door = self._ask(unit)
        found = door.fetch(unit)
        self.skipped.update(door.skipped)
        return found

    def _ask(self, unit: str) -> UnitSource:
        owners = self._owners()
        if unit not in owners:
            raise UnknownName(f"{self.source} has no unit {unit!r}. Units: {', '.join(sorted(owners)) or 'none'}.")
        return owners[unit]

    def _owners(self) -> dict[str, UnitSource]:
        found: dict[str, UnitSource] = {}
        for door in self.doors:
            for unit in door.units():
                if unit in found:
                    raise BadConfig(f"Two doors of {self.source} claim the unit {unit!r}. Rename a file or an entry.")
                found[unit] = door
            self.skipped.update(door.skipped)
        return found


def open_source(source: str, settings: Mapping[str, Any], store: RawStore) -> UnitSource | None:
    """The door that a profile's settings name, or None where the source is switched off."""
    doors = list(open_doors(source, settings, store))
    return doors[0] if len(doors) == 1 else Joined(source, doors) if doors else None


def open_doors(source: str, settings: Mapping[str, Any], store: RawStore) -> Iterator[UnitSource]:
    """Every door that the settings open."""
    if settings.get("mirror"):
        works, authors = tuple(settings.get("works") or ()), settings.get("authors") or {}
        catalogue = str(settings.get("catalogue") or "")
        client = client_of(settings, store, [settings["mirror"], catalogue])
        languages = tuple(settings.get("languages") or ("en",))
        pinned = Path(settings["pinned"]) if settings.get("pinned") else None
        yield MirrorSource(settings["mirror"], store, works, authors, client, catalogue, languages, pinned)
    if settings.get("folder"):
        folder = Path(settings["folder"]).expanduser()
        yield FolderSource(source, folder if folder.is_absolute() else PROJECT / folder, store)
    if settings.get("feeds"):
        from resources.satire_feeds import FeedSource

        feeds = {feed["name"]: feed for feed in settings["feeds"]}
        yield FeedSource(feeds, store, client_of(settings, store, [feed["url"] for feed in feeds.values()]))
    if settings.get("collections"):
        from resources.joke_collections import CollectionSource

        named = {entry["name"]: entry for entry in settings["collections"]}
        yield CollectionSource(named, store, client_of(settings, store, [entry["url"] for entry in named.values()]))
    if settings.get("offices"):
        from resources.weather_service import WHY_NO_ROBOTS, WeatherSource

        service = str(settings.get("service") or NWS).rstrip("/")
        archive = str(settings.get("archive") or ARCHIVE).rstrip("/")
        client = client_of(settings, store, [service, archive])
        client.exempt = {urlsplit(service).hostname or "": WHY_NO_ROBOTS}
        yield WeatherSource(settings["offices"], store, client, service, archive)


def client_of(settings: Mapping[str, Any], store: RawStore, urls: Sequence[str]) -> PoliteClient:
    """A client with the source's manners. `urls`: those that the profile names; others come out of documents."""
    return PoliteClient(
        store,
        delay_s=float(settings.get("delay_s", DELAY_S)),
        recheck_s=float(settings.get("recheck_s", RECHECK_S)),
        private=bool(settings.get("private")),
        hosts=frozenset(settings.get("hosts") or ()),
        configured=tuple(urls),
    )


class Harvest(dg.ConfigurableResource[None]):
    """All sources of a profile. `settings`: per source, as the profile gives them; `raw`: the raw store's folder.

    Downloads are all profiles'; what an observation did not get is the profile's own, in <profile>/told beside them.
    """

    settings: dict[str, dict[str, Any]]
    raw: str

    def door(self, source: str) -> UnitSource | None:
        """A fresh door to one source, or None where the profile leaves it out."""
        return open_source(source, self.settings.get(source) or {}, RawStore(Path(self.raw)))

    def opened(self, source: str) -> UnitSource:
        """A fresh door to one source. Raises UnknownName on a source that is switched off."""
        door = self.door(source)
        if door is None:
            raise UnknownName(f"The source {source!r} is switched off in this profile, so it has no units.")
        return door

    def told(self, source: str) -> dict[str, str]:
        """What the last observation of the source did not get or take, and why; nothing of one that is switched off."""
        path = self._told_file(source)
        known = self.door(source) is not None and path.is_file()
        return dict(json.loads(path.read_text(encoding="utf-8"))) if known else {}

    def told_at(self, source: str) -> float:
        """When the profile last observed the source, in seconds since 1970; 0 where it never did."""
        path = self._told_file(source)
        return path.stat().st_mtime if path.is_file() else 0.0

    def tell(self, source: str, skipped: Mapping[str, str]) -> None:
        """Keep what an observation did not get or take, for the audit."""
        text = json.dumps(dict(sorted(skipped.items())), indent=1)
        replace_file(self._told_file(source), lambda file: file.write_text(text, encoding="utf-8"))

    def _told_file(self, source: str) -> Path:
        return Path(self.raw).parent / current().profile / "told" / f"{source}.json"

    def is_live(self, source: str) -> bool:
        """Whether looking at the source asks somebody over the net."""
        door = self.door(source)
        return door is not None and door.is_live

    def units(self, source: str) -> list[str]:
        """Unit keys that the profile wants: all, those named under `only`, at most `max_units`."""
        return self.looked_up(source)[0]

    def looked_up(self, source: str) -> tuple[list[str], dict[str, str]]:
        """The units that the profile wants, and what is not taken with the reason."""
        door, settings = self.door(source), self.settings.get(source) or {}
        if door is None:
            return [], {}
        found, only = door.units(), settings.get("only") or ()
        absent = sorted(set(only) - set(found))
        if absent:
            raise UnknownName(f"{source} has no units {absent}. Units: {', '.join(found)}.")
        named = {f"pg{number}" for number in settings.get("works") or ()}
        wanted = sorted((unit for unit in found if not only or unit in only), key=lambda unit: unit not in named)
        most = int(settings.get("max_units") or 99)  # works named by number come first, then those of the catalogue
        over = dict.fromkeys(wanted[most:], f"beyond max_units={most}")
        return sorted(wanted[:most]), {**door.skipped, **over}

    def fetch(self, source: str, unit: str) -> tuple[Material, Sidecar]:
        """Documents of one unit and what is known about them. Raises UnknownName on a source that is switched off."""
        return self.opened(source).fetch(unit)
