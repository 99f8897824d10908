"""Feeds of satire, with the pages of their articles where a profile wants them. Reading either is twainbot/corpora's.

A host that reserves its pages from model builders is not read: its robots.txt says so in a way that a machine can read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from resources.gathering import RENDERED, Gathering
from resources.polite_client import PoliteClient, user_agent
from resources.raw_store import UNAVAILABLE, RawStore, digest
from resources.robots import Barred
from twainbot.errors import BadInput, SourceUnavailable, UnknownName, UnreadableSource

if TYPE_CHECKING:
    from twainbot.corpora.material import Part
    from twainbot.corpora.works import Sidecar

MOST_SNAPSHOTS = 400  # feed states and pages of a unit: a feed that is read daily keeps a year
OFF = "switched off in this profile"


@dataclass
class FeedSource:
    """One feed a unit. `feeds`: name to its settings, as profile.Feed describes them; `client`: whom to ask."""

    feeds: Mapping[str, Mapping[str, Any]]
    store: RawStore
    client: PoliteClient
    skipped: dict[str, str] = field(default_factory=dict)
    is_live: bool = True

    def units(self) -> list[str]:
        """Names of the feeds that are switched on, sorted."""
        off = {name: OFF for name, feed in self.feeds.items() if not feed.get("enabled", True)}
        self.skipped.update(off)
        return sorted(set(self.feeds) - set(off))

    def version(self, unit: str) -> str:
        """Over all that the feed ever gave and its settings; a feed that does not answer keeps its last version."""
        known = json.dumps(self._settings(unit), sort_keys=True, default=str).encode()
        try:
            return self._gathered(unit).version(known)
        except UnreadableSource as fault:
            return digest(str(fault).encode(), known)  # stale, so that the unit fails where people see it
        except SourceUnavailable as fault:
            self.skipped[unit] = str(fault)
            held = Gathering(self.store, "satire", unit)
            return held.version(known) if held.seen else UNAVAILABLE

    def fetch(self, unit: str) -> tuple[tuple[Part, ...], Sidecar]:
        """The feed's states and pages, oldest first, and what the profile says of them. Raises SourceUnavailable."""
        from twainbot.corpora.works import Sidecar

        settings = self._settings(unit)
        gathered = self._gathered(unit)
        named = {"url": settings["url"], "edition": unit, "style": settings.get("style") or "satire"}
        said = {name: settings[name] for name in ("license", "rights", "language") if settings.get(name)}
        if settings.get("headline_only"):
            said = {
                **said,
                "rights": "restricted",
                "split": "headline",
            }  # somebody else's text: shown, never trained on
        return gathered.parts(), Sidecar.from_mapping({**named, **said})

    def _settings(self, unit: str) -> Mapping[str, Any]:
        try:
            return self.feeds[unit]
        except KeyError:
            raise UnknownName(f"satire has no feed {unit!r}. Feeds: {', '.join(sorted(self.feeds))}.") from None

    def _gathered(self, unit: str) -> Gathering:
        """What was gathered, brought up to date. Raises UnreadableSource for a feed that is none, and keeps nothing of it."""
        from twainbot.corpora.feeds import parse_feed

        settings = self._settings(unit)
        url = str(settings["url"])
        self._refuse_reserved(url)
        gathered = Gathering(self.store, "satire", unit, MOST_SNAPSHOTS)
        found = self.client.fetch(url, str(settings.get("license") or ""))
        rows = parse_feed(self.store.get(found.sha256))
        gathered.add(found, url)
        if settings.get("articles") and not settings.get("headline_only"):
            links = dict.fromkeys(row["link"] for row in rows if row["link"])
            for link in list(links)[: int(settings.get("max_articles") or 40)]:
                self._add_page(gathered, link, settings)
        gathered.keep()
        return gathered

    def _refuse_reserved(self, url: str) -> None:
        agents = self.client.rules(url).reserved_for(url)
        if agents:
            raise Barred(
                f"robots.txt of {urlsplit(url).hostname} reserves {url} from {', '.join(agents[:3])} and so from us. "
                "Take the feed out of the profile, or get the publisher's permission."
            )

    def _add_page(self, gathered: Gathering, link: str, settings: Mapping[str, Any]) -> None:
        """Fetch an article once. A page that cannot be had is told, and its item keeps what the feed says."""
        if gathered.has(link) or gathered.has(link + RENDERED):
            return
        try:
            self._refuse_reserved(link)
            found = self.client.fetch(link, str(settings.get("license") or ""))
            gathered.add(found, link)
            if settings.get("render") and self._is_script_built(found.sha256, link):
                self._add_rendered(gathered, link, str(settings.get("license") or ""))
        except BadInput as fault:
            self.skipped[link] = str(fault)

    def _is_script_built(self, sha256: str, link: str) -> bool:
        from twainbot.corpora.articles import read_article

        return read_article(self.store.get(sha256), link).reject_reason == "script_built"

    def _add_rendered(self, gathered: Gathering, link: str, license: str) -> None:  # noqa: A002
        from resources.browser import rendered

        host = urlsplit(link).hostname or ""
        page = rendered(link, allowed_hosts=frozenset({host}), user_agent=user_agent())
        gathered.add(self.store.put(page, link + RENDERED, license, robots="allowed"), link + RENDERED)
