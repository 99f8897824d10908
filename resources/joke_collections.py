"""Joke collections by URL: one file a unit, with its licence and the names of its columns. Reading is twainbot/corpora's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from resources.polite_client import PoliteClient
from resources.raw_store import UNAVAILABLE, RawFile, RawStore, digest
from twainbot.errors import SourceUnavailable, UnknownName

if TYPE_CHECKING:
    from twainbot.corpora.works import Sidecar

OFF = "switched off in this profile"


@dataclass
class CollectionSource:
    """One collection a unit. `collections`: name to its settings, as profile.Collection describes them."""

    collections: Mapping[str, Mapping[str, Any]]
    store: RawStore
    client: PoliteClient
    skipped: dict[str, str] = field(default_factory=dict)
    is_live: bool = True

    def units(self) -> list[str]:
        """Names of the collections that are switched on, sorted."""
        off = {name: OFF for name, entry in self.collections.items() if not entry.get("enabled", True)}
        self.skipped.update(off)
        return sorted(set(self.collections) - set(off))

    def version(self, unit: str) -> str:
        """Over the bytes and the settings; a host that does not answer keeps the version that was last seen."""
        known = json.dumps(self._settings(unit), sort_keys=True, default=str).encode()
        try:
            return digest(self.store.get(self._file(unit).sha256), known)
        except SourceUnavailable as fault:
            self.skipped[unit] = str(fault)
            return UNAVAILABLE

    def fetch(self, unit: str) -> tuple[bytes, Sidecar]:
        """The file's bytes, and what the profile says of them. Raises SourceUnavailable where it was never fetched."""
        from twainbot.corpora.works import Sidecar

        settings, found = self._settings(unit), self._file(unit)
        named = {
            "filename": settings.get("filename") or PurePosixPath(urlsplit(settings["url"]).path).name or unit,
            "url": settings["url"], "edition": unit, "retrieved_at": found.retrieved_at,
        }  # fmt: skip
        words = ("license", "rights", "columns", "title", "style", "language")
        said = {name: settings[name] for name in words if settings.get(name)}
        return self.store.get(found.sha256), Sidecar.from_mapping({**named, **said})

    def _settings(self, unit: str) -> Mapping[str, Any]:
        try:
            return self.collections[unit]
        except KeyError:
            known = ", ".join(sorted(self.collections)) or "none"
            raise UnknownName(f"jokes has no collection {unit!r}. Collections: {known}.") from None

    def _file(self, unit: str) -> RawFile:
        """The collection's file now, or as it was last seen where its host does not answer."""
        settings = self._settings(unit)
        url = settings["url"]
        try:
            found = self.client.fetch(url, str(settings.get("license") or ""))
        except SourceUnavailable:
            known = self.store.remembered(url)
            if known is None:
                raise
            return self.store.describe(known)
        if self.store.get(found.sha256).lstrip()[:1] != b"<":  # an error page with status 200
            self.store.remember(url, found.sha256)
        return found
