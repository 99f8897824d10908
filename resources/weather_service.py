"""api.weather.gov and the archive of its bulletins: an office and a year a unit. Reading them is twainbot/corpora's.

The service forgets bulletins after a week, so a unit is all that was ever gathered for it. The archive gives past years.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

from resources.gathering import Gathering
from resources.polite_client import Passing, PoliteClient, Refused
from resources.raw_store import UNAVAILABLE, RawStore, digest
from twainbot.errors import BadInput, SourceUnavailable, UnknownName, UnreadableSource

if TYPE_CHECKING:
    from twainbot.corpora.material import Part
    from twainbot.corpora.works import Sidecar

LICENSE = "Public domain (US Government work)"
WHY_NO_ROBOTS = "documented public API; its robots.txt is addressed to crawlers"
PRODUCTS = ("AFD", "ZFP", "HWO")
JSON = {"Accept": "application/geo+json"}
PRODUCT_JSON = {"Accept": "application/ld+json"}
HEADING = re.compile(rb"^[A-Z]{4}\d{2} [A-Z]{4} \d{6}\b", re.MULTILINE)  # WMO: what, where from, when
Document: TypeAlias = "tuple[str, Mapping[str, str], bool]"  # URL, headers, whether it never changes


@dataclass
class WeatherSource:
    """One office and year a unit, `OKX-2026`. `offices`: call sign to its settings, as profile.Office describes them."""

    offices: Mapping[str, Mapping[str, Any]]
    store: RawStore
    client: PoliteClient
    service: str
    archive: str
    today: datetime = field(default_factory=lambda: datetime.now(UTC))
    skipped: dict[str, str] = field(default_factory=dict)
    is_live: bool = True

    def units(self) -> list[str]:
        """The current year of each office, the years that the profile names, and years gathered before; sorted."""
        held = {path.stem for path in (self.store.root / "gathered" / "weather").glob("*.json")}
        wanted = {f"{office}-{year}" for office, settings in self.offices.items()
                  for year in (self.today.year, *settings.get("years", ()))}  # fmt: skip
        return sorted(wanted | {unit for unit in held if unit.rpartition("-")[0] in self.offices})

    def version(self, unit: str) -> str:
        """Over all documents gathered for the unit; a service that does not answer keeps the last version."""
        try:
            return self._gathered(unit).version()
        except SourceUnavailable as fault:
            self.skipped[unit] = str(fault)
            return UNAVAILABLE

    def fetch(self, unit: str) -> tuple[tuple[Part, ...], Sidecar]:
        """The unit's documents, oldest first. Raises SourceUnavailable where none was ever had."""
        from twainbot.corpora.works import Sidecar

        gathered = self._gathered(unit)
        named = {"url": self.service, "edition": unit, "license": LICENSE, "rights": "public_domain"}
        return gathered.parts(), Sidecar.from_mapping(named)

    def _gathered(self, unit: str) -> Gathering:
        """What was gathered, brought up to date. A document that cannot be had is told and tried again next time."""
        office, _, year = unit.rpartition("-")
        if office not in self.offices or not year.isdecimal():
            known = ", ".join(self.units()) or "none"
            raise UnknownName(f"weather has no unit {unit!r}. Units read OFFICE-YEAR: {known}.")
        gathered = Gathering(self.store, "weather", unit)
        settings = self.offices[office]
        faults: list[str] = []
        for document in self._wanted(office, int(year), settings, faults):
            self._add(gathered, document, faults)
        gathered.keep()
        faults = list(dict.fromkeys([*faults, *gathered.why_not().values()]))
        self.skipped.update({f"{unit} ({number})": why for number, why in enumerate(faults, 1)})
        if not gathered.held():
            raise SourceUnavailable(f"{unit} has no document: {' | '.join(faults) or 'the office issued none'}")
        return gathered

    def _wanted(self, office: str, year: int, settings: Mapping[str, Any], faults: list[str]) -> Iterator[Document]:
        """What to ask for now. A year that the profile does not name is past: it is what was gathered, and nothing more."""
        if year == self.today.year:
            return self._now(office, settings, faults)
        return self._past(office, year, settings) if year in settings.get("years", ()) else iter(())

    def _add(self, gathered: Gathering, document: Document, faults: list[str]) -> None:
        """Fetch a document unless it never changes and was had before."""
        url, headers, final = document
        if final and gathered.has(url):
            return
        try:
            found = self.client.fetch(url, LICENSE, headers)
            state = read_state(self.store.get(found.sha256), url)
            gathered.add(found, url, state="" if final else state)
        except UnreadableSource as fault:
            gathered.refuse(url, str(fault))
            faults.append(str(fault))
        except BadInput as fault:
            faults.append(told(fault))

    def _now(self, office: str, settings: Mapping[str, Any], faults: list[str]) -> Iterator[Document]:
        """This year's bulletins, forecasts and alerts. A list that cannot be had is told, and the others are asked."""
        for kind in settings.get("products") or PRODUCTS:
            address = f"{self.service}/products/types/{quote(kind)}/locations/{quote(office)}"
            for entry in self._this_year(self._listed(address, PRODUCT_JSON, faults))[
                : int(settings.get("max_products") or 10)
            ]:
                yield f"{self.service}/products/{quote(str(entry['id']))}", PRODUCT_JSON, True
        for point in settings.get("points") or ():
            found = self._listed(f"{self.service}/points/{quote(point, safe=',')}", JSON, faults).get("properties")
            for name in ("forecast", "forecastHourly") if settings.get("hourly") else ("forecast",):
                address = found.get(name) if isinstance(found, dict) else None
                if isinstance(address, str):
                    yield self._at_service(address), JSON, False
        if settings.get("alerts_area"):
            yield f"{self.service}/alerts/active?{urlencode({'area': settings['alerts_area']})}", JSON, False

    def _listed(self, url: str, headers: Mapping[str, str], faults: list[str]) -> Mapping[str, Any]:
        """A list of the service, empty where it cannot be had: then the fault is told."""
        try:
            return self._json(url, headers)
        except BadInput as fault:
            faults.append(told(fault))
            return {}

    def _this_year(self, listed: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        graph = listed.get("@graph")
        entries = [entry for entry in (graph if isinstance(graph, list) else []) if isinstance(entry, dict)]
        year = str(self.today.year)
        return [entry for entry in entries if entry.get("id") and str(entry.get("issuanceTime", ""))[:4] == year]

    def _past(self, office: str, year: int, settings: Mapping[str, Any]) -> Iterator[Document]:
        """A past year's bulletins, one text file per product from the archive; such a file is final."""
        for kind in settings.get("products") or PRODUCTS:
            asked = {"pil": f"{kind}{office}", "fmt": "text", "sdate": f"{year}-01-01", "edate": f"{year + 1}-01-01",
                     "limit": int(settings.get("max_archived") or 200)}  # fmt: skip
            yield f"{self.archive}/cgi-bin/afos/retrieve.py?{urlencode(asked)}", {}, True

    def _json(self, url: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            found = json.loads(self.client.read(url, LICENSE, headers))
        except (ValueError, RecursionError) as error:
            raise SourceUnavailable(f"{url} is not JSON ({error}). Try again later.") from error
        return found if isinstance(found, dict) else {}

    def _at_service(self, url: str) -> str:
        return at_service(self.service, url)


def at_service(service: str, url: str) -> str:
    """The same path at the configured service, which may be a mirror or a test server."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return service + "/" + quote(url)  # no address at all: the service will say so
    return service + parts.path + (f"?{parts.query}" if parts.query else "")


def read_state(raw: bytes, url: str) -> str:
    """What a reader sees of a document: keys, texts and facts, without the time at which it was generated.

    Raises UnreadableSource for what only looks like a document, such as an error page with status 200 or the archive's
    "could not find": it must not be gathered.
    """
    from twainbot.corpora.weather import weather_items

    if not is_document(raw):
        raise UnreadableSource(
            f"{url} holds no document but {raw[:60]!r}. Check office and product, or try again later."
        )
    try:
        seen = [(item.text, item.facts, item.reject_reason) for item in weather_items(raw, url)]
    except UnreadableSource:  # a document with nothing to read in it: a table, a test message, no alert
        return digest(raw)
    return digest(json.dumps(seen, sort_keys=True, default=str).encode("utf-8", "replace"))


def is_document(raw: bytes) -> bool:
    """Whether the bytes have the form of one of the service's documents, or a bulletin's heading."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return bool(HEADING.search(raw))
    return isinstance(found, dict) and bool({"productText", "features", "properties", "@graph"} & found.keys())


def told(fault: Exception) -> str:
    """A fault with the service's own reason, where its answer gives one."""
    from twainbot.corpora.nws import read_problem

    if isinstance(fault, Passing | Refused) and fault.body:
        problem = read_problem(fault.status or 0, {}, fault.body)
        return f"{fault} The service says: {problem.kind}. {problem.detail}".strip()
    return str(fault)
