"""The one door from raw bytes to WORK rows, whatever the source. Parsing is the sources' own modules' business.

A bad row inside a unit becomes a recorded reject: it keeps identity and reason, and its text is "".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from twainbot.corpora import boilerplate, book_html, bulletins, feeds, jokes, local, rights, transcripts
from twainbot.corpora.decoding import is_html
from twainbot.errors import BadUse, UnknownName, UnreadableSource
from twainbot.records import RIGHTS, STYLES, WORK, frame

STYLE_OF_SOURCE = {
    "gutenberg": "twain",
    "satire": "satire",
    "jokes": "joke",
    "weather": "weather_fact",
    "transcripts": "dialogue",
    "local": "twain",
}
WEATHER_LICENCE = "Public domain (US Government work)"
GUTENBERG_LICENCE = "Public domain in the USA"
SLUG_CHARACTERS = 60  # of a heading in a work id: enough to read, short enough for a file name
ITEM_CHARACTERS = 48  # of an aphorism's text as its title


@dataclass(frozen=True)
class Sidecar:
    """What is known of a unit besides its bytes. Empty strings mean: not said, so ask the source.

    `columns` names the columns of a joke file; `split` how a local document is cut; `overrides` replaces title,
    author, style, language, rights, license or url of single headings; `topics` names a topic by heading.
    """

    filename: str = ""
    title: str = ""
    author: str = ""
    style: str = ""
    language: str = ""
    rights: str = ""
    license: str = ""
    url: str = ""
    edition: str = ""
    retrieved_at: str = ""
    split: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, entry: Mapping[str, Any]) -> Sidecar:
        """A sidecar from a manifest entry or a JSON sidecar: known keys are taken, `path` names the file, others pass.

        Raises BadUse where style or rights are outside the closed vocabulary.
        """
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in entry.items() if key in known and value is not None}
        if "path" in entry and "filename" not in values:
            values["filename"] = PurePosixPath(str(entry["path"])).name
        sidecar = cls(**values)
        sidecar.check()
        return sidecar

    def check(self) -> None:
        """Raise BadUse where style or rights, the unit's or an override's, are outside the closed vocabulary."""
        for where, entry in (("the sidecar", self.__dict__), *self.overrides.items()):
            for key, allowed in (("style", STYLES), ("rights", RIGHTS)):
                value = entry.get(key)
                if value and value not in allowed:
                    raise BadUse(
                        f"{key.capitalize()} {value!r} of {where} is unknown. Use one of {', '.join(allowed)}."
                    )


@dataclass(frozen=True)
class _Item:
    """One work as its parser saw it; "" leaves the word to sidecar and source."""

    key: str
    text: str
    title: str = ""
    author: str = ""
    language: str = ""
    license: str = ""
    url: str = ""
    header_rights: str = "unknown"
    warnings: tuple[str, ...] = ()
    reject_reason: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)


def works_from_unit(source: str, unit: str, raw: bytes, sidecar: Sidecar | None = None) -> pl.DataFrame:
    """The WORK rows of one unit, in the file's order, rejects included.

    `source` is one of gutenberg, satire, jokes, weather, transcripts, local; `unit` its partition key ("pg245",
    "OKX-2026"). Deterministic. Raises UnreadableSource for a unit that yields nothing, UnknownName for a source that
    does not exist, BadUse for a contradictory sidecar.
    """
    if source not in _PARSERS:
        raise UnknownName(f"There is no source {source!r}. Known sources: {', '.join(sorted(_PARSERS))}.")
    sidecar = sidecar or Sidecar()
    sidecar.check()
    try:
        items = list(_PARSERS[source](unit, raw, sidecar))
    except UnreadableSource as error:
        raise UnreadableSource(f"Unit {unit!r} of source {source!r}: {error}") from error
    digest = hashlib.sha256(raw).hexdigest()
    rows = [_row(source, unit, item, sidecar, digest) for item in items]
    return frame(_without_duplicates(rows), WORK)


def _gutenberg(unit: str, raw: bytes, _sidecar: Sidecar) -> Iterable[_Item]:
    work = book_html.strip_gutenberg_html(raw) if is_html(raw) else boilerplate.strip_gutenberg(raw)
    number = re.match(r"(?:pg)?(\d+)", unit)
    differs = number is not None and work.etext is not None and int(number[1]) != work.etext
    # The number printed in a header is sometimes another book's; the unit key comes from the catalogue.
    notes = (f"header_prints_etext={work.etext}",) if differs else ()
    licence = "" if work.rights == "restricted" else GUTENBERG_LICENCE if work.rights == "public_domain_us" else ""
    return [
        _Item(
            key=unit,
            text=work.text,
            title=work.title,
            author=work.author,
            language=work.language,
            license=licence,
            header_rights=work.rights,
            warnings=(*work.warnings, *notes),
            extra={"encoding": work.encoding, "etext": int(number[1]) if number else work.etext},
        )
    ]


def _satire(unit: str, raw: bytes, _sidecar: Sidecar) -> Iterable[_Item]:
    for item in feeds.parse_feed(raw):
        day = item["published"][:10]
        yield _Item(
            key=f"{unit}/{'-'.join(part for part in (day, slug(item['title']) or slug(item['id'])) if part)}",
            text=item["text"],
            title=item["title"],
            author=item["author"],
            url=item["link"],
            reject_reason=item["reject_reason"],
            extra={
                "headline": item["title"],
                "lede": item["lede"],
                "body": item["body"],
                "published": item["published"],
                "tags": item["tags"],
                "publication": item["publication"],
            },
        )


def _jokes(unit: str, raw: bytes, sidecar: Sidecar) -> Iterable[_Item]:
    name = sidecar.filename or _guessed_name(unit, raw)
    for joke in jokes.parse_jokes(raw, name, sidecar.columns):
        yield _Item(
            key=f"{unit}/{slug(joke['id']) or joke['id']}",
            text=joke["text"],
            reject_reason=joke["reject_reason"],
            extra=joke["extra"],
        )


def _guessed_name(unit: str, raw: bytes) -> str:
    """A file name for a unit that came without one, by its first character."""
    first = raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    whole = first == b"[" or (first == b"{" and raw.rstrip().count(b"\n{") == 0 and b"\n" in raw.strip())
    return unit + (".json" if whole else ".jsonl" if first == b"{" else ".csv")


def _weather(unit: str, raw: bytes, _sidecar: Sidecar) -> Iterable[_Item]:
    texts = bulletins.split_products(raw)
    if not texts:
        raise UnreadableSource("The weather file holds no product. Expected text with WMO headings.")
    for number, text in enumerate(texts, 1):
        product = bulletins.parse_product(text)
        yield _Item(
            key=f"{unit}/{product.key or f'product-{number}'}",
            text=product.text,
            title=product.title or product.awips,
            author=f"National Weather Service {product.office}".strip(),
            license=WEATHER_LICENCE,
            warnings=() if product.issued_at else ("no_issue_time",),
            reject_reason=product.reject_reason,
            extra=_product_facts(product),
        )


def _product_facts(product: bulletins.Product) -> dict[str, Any]:
    segments = [
        {"ugc": list(s.ugc), "expires": s.expires, "vtec": list(s.vtec), "areas": s.areas, "cities": list(s.cities)}
        for s in product.segments
    ]
    return {
        "wmo": product.wmo,
        "office": product.office,
        "awips": product.awips,
        "product": product.kind,
        "issued_at": product.issued_at,
        "amendment": product.amendment,
        "sections": list(product.sections),
        "segments": segments,
        "facts": product.facts,
    }


def _transcripts(unit: str, raw: bytes, _sidecar: Sidecar) -> Iterable[_Item]:
    for talk in transcripts.parse_transcripts(raw):
        yield _Item(
            key=f"{unit}/{slug(talk['id']) or talk['id']}",
            text=talk["text"],
            title=talk["id"],
            reject_reason=talk["reject_reason"],
            extra={"conversation_id": talk["id"], "turns": talk["turns"], "style_tags": talk["style_tags"]},
        )


def _local(unit: str, raw: bytes, sidecar: Sidecar) -> Iterable[_Item]:
    suffix = PurePosixPath(sidecar.filename).suffix or ".txt"
    passages = local.parse_document(raw, suffix, sidecar.split, sidecar.topics)
    for number, passage in enumerate(passages, 1):
        heading = passage["title"]
        title = heading or (passage["text"][:ITEM_CHARACTERS].rstrip() if sidecar.split == "line" else "")
        yield _Item(
            key=f"{unit}/{slug(heading) or f'{number:04d}'}" if len(passages) > 1 or heading else unit,
            text=passage["text"],
            title=title,
            reject_reason=passage["reject_reason"],
            extra=passage["extra"],
            overrides=sidecar.overrides.get(heading, {}),
        )


_PARSERS: dict[str, Callable[[str, bytes, Sidecar], Iterable[_Item]]] = {
    "gutenberg": _gutenberg,
    "satire": _satire,
    "jokes": _jokes,
    "weather": _weather,
    "transcripts": _transcripts,
    "local": _local,
}


def slug(text: str) -> str:
    """Small letters, digits and hyphens, at most 60 characters: "The Ferryman's Ledger" is "the-ferrymans-ledger"."""
    plain = re.sub(r"['’]", "", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain)[:SLUG_CHARACTERS].strip("-")


def _row(source: str, unit: str, item: _Item, sidecar: Sidecar, digest: str) -> dict[str, Any]:
    said = {**{item.name: getattr(sidecar, item.name) for item in fields(sidecar)}, **item.overrides}
    own_title = item.title if source != "gutenberg" else ""
    licence = said["license"] or item.license
    return {
        "work_id": f"{source}/{item.key}",
        "source": source,
        "unit": unit,
        "title": item.overrides.get("title") or own_title or said["title"] or item.title or unit,
        "author": said["author"] or item.author,
        "style": said["style"] or STYLE_OF_SOURCE[source],
        "language": said["language"] or item.language or "en",
        "rights": rights.resolve(source, said["rights"], licence, item.header_rights),
        "license": licence or "unknown",
        "url": item.url or said["url"],
        "edition": said["edition"],
        "retrieved_at": said["retrieved_at"] or None,
        "raw_sha256": digest,
        "text": "" if item.reject_reason else item.text,
        "warnings": list(item.warnings),
        "reject_reason": item.reject_reason,
        "extra": json.dumps(item.extra, ensure_ascii=False, sort_keys=True, default=str),
    }


def _without_duplicates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first row of a work id stays; later ones become rejects under an id of their own, "<id>~2"."""
    seen: dict[str, int] = {}
    for row in rows:
        identity = row["work_id"]
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] > 1:
            reason = row["reject_reason"] or "duplicate_work_id"
            row.update(work_id=f"{identity}~{seen[identity]}", text="", reject_reason=reason)
    return rows
