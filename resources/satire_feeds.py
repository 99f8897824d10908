"""Feeds of satire, with the pages of their articles where a profile wants them. Reading either is twainbot/corpora's.

A host that reserves its pages from model builders is not read: its robots.txt says so in a way that a machine can read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from resources.gathering import Gathering
from resources.polite_client import PoliteClient, Reserved, user_agent
from resources.raw_store import UNAVAILABLE, RawStore, digest
from twainbot.errors import SourceUnavailable, TwainBotError, UnknownName, UnreadableSource

if TYPE_CHECKING:
    from twainbot.corpora.material import Part
    from twainbot.corpora.works import Sidecar

RESERVED_PAGE = b"<html><head><title>reserved</title></head><body></body></html>"  # stands for a page that is not read
OFF = "switched off in this profile"


@dataclass
class FeedSource:
    """One feed a unit. `feeds`: name to its settings, as profile.Feed describes them; `client`: whom to ask."""

    feeds: Mapping[str, Mapping[str, Any]]
    store: RawStore
    client: PoliteClient
    skipped: dict[str, str] = field(default_factory=dict)
    is_live: bool = True

    def __post_init__(self) -> None:
        self.client.heed_reservations = True

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
            return held.version(known) if held.held() else UNAVAILABLE

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
        gathered = Gathering(self.store, "satire", unit)
        found = self.client.fetch(url, str(settings.get("license") or ""))
        rows = parse_feed(self.store.get(found.sha256), url)
        gathered.add(found, url, state=state_of(rows))
        if settings.get("articles") and not settings.get("headline_only"):
            links = dict.fromkeys(row["link"] for row in rows if row["link"])
            for link in list(links)[: int(settings.get("max_articles") or 40)]:
                self._add_page(gathered, link, settings)
        gathered.keep()
        self.skipped.update(gathered.why_not())
        return gathered

    def _add_page(self, gathered: Gathering, link: str, settings: Mapping[str, Any]) -> None:
        """Fetch an article once. A page that cannot be had is told, and its item keeps what the feed says."""
        if gathered.has(link):
            return
        if not self.client.related(link, settings["url"]):
            gathered.refuse(
                link, f"it leads to another host than {settings['url']}, whose rights the profile does not know"
            )
            return
        try:
            self._fetch_page(gathered, link, settings)
        except Reserved as fault:  # the item's text in the feed is reserved with its page
            empty = self.store.put(RESERVED_PAGE, f"{link}#reserved", robots=str(fault))
            gathered.add(replace(empty, headers={"x-robots-tag": "noai"}), link, "page")
        except TwainBotError as fault:  # BadUse among them: no browser where one is needed
            gathered.refuse(link, str(fault))

    def _fetch_page(self, gathered: Gathering, link: str, settings: Mapping[str, Any]) -> None:
        license = str(settings.get("license") or "")  # noqa: A001
        found = self.client.fetch(link, license)
        if settings.get("render") and self._is_script_built(found.sha256, link):
            with self.client.turn(link):
                page = self._rendered(link)
            gathered.add(self.store.put(page, link, license, found.headers, found.robots), link, "rendered")
        gathered.add(found, link, "page")

    def _is_script_built(self, sha256: str, link: str) -> bool:
        from twainbot.corpora.articles import read_article

        return read_article(self.store.get(sha256), link).reject_reason == "script_built"

    def _rendered(self, link: str) -> bytes:
        from resources.browser import rendered

        return rendered(link, allowed_hosts=frozenset({urlsplit(link).hostname or ""}), user_agent=user_agent())


def state_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a reader sees of a feed. A build date or a counter that moves with every answer is no new state."""
    return digest(json.dumps(rows, sort_keys=True, default=str).encode("utf-8", "replace"))
