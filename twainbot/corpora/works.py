"""The one door from raw bytes to WORK rows, whatever the source. Parsing is the sources' own modules' business.

A bad row inside a unit becomes a recorded reject: it keeps identity and reason, and its text is "".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from twainbot import personas
from twainbot.corpora import boilerplate, book_html, feeds, jokes, local, rights, transcripts, weather
from twainbot.corpora.decoding import is_html
from twainbot.corpora.material import Part, parts_of
from twainbot.corpora.repairs import TEXT_VERSION, repaired
from twainbot.errors import BadUse, UnknownName, UnreadableSource
from twainbot.records import RIGHTS, WORK, frame

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
OWN_LICENCE = ("feed", "json-ld", "head", "meta")  # a link inside a page's text may mean a picture or a quotation
MARK_CHARACTERS = 6  # of a hash of an item's id: two of a thousand items with one headline and day share it once in 30
ITEM_CHARACTERS = 48  # of an aphorism's text as its title


@dataclass(frozen=True)
class Sidecar:
    """What is known of a unit besides its bytes. Empty strings mean: not said, so ask the source.

    `declarer`: who says so of the rights, one of rights.DECLARERS. `columns` names the columns of a joke file; `split`
    how a local document is cut; `overrides` replaces title, author, style, language, rights, license or url of single
    headings; `topics` names a topic by heading.
    """

    filename: str = ""
    title: str = ""
    author: str = ""
    style: str = ""
    language: str = ""
    rights: str = ""
    declarer: str = "declared"
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
            for key, allowed in (("style", personas.styles()), ("rights", RIGHTS)):
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
    identity: str = ""  # what names it in every state of its source; "" where its key does
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
    part: int = 0  # which of the unit's parts its text came out of
    document: int = 0  # which of the unit's documents named it: a feed's state, though its text may be a page's


def works_from_unit(
    source: str, unit: str, raw: bytes | tuple[Part, ...], sidecar: Sidecar | None = None
) -> pl.DataFrame:
    """The WORK rows of one unit, in the order of its documents, rejects included.

    `source` is one of gutenberg, satire, jokes, weather, transcripts, local; `unit` its partition key ("pg245",
    "OKX-2026"); `raw` its one document or its parts. Deterministic. Raises UnreadableSource for a unit that yields
    nothing, UnknownName for a source that does not exist, BadUse for a contradictory sidecar.
    """
    if source not in STYLE_OF_SOURCE:
        raise UnknownName(f"There is no source {source!r}. Known sources: {', '.join(sorted(STYLE_OF_SOURCE))}.")
    sidecar = sidecar or Sidecar()
    sidecar.check()
    parts = parts_of(raw)
    try:
        items = _newest(list(_items(source, unit, parts, sidecar)))
    except UnreadableSource as error:
        raise UnreadableSource(f"Unit {unit!r} of source {source!r}: {error}") from error
    digests = [hashlib.sha256(part.raw).hexdigest() for part in parts]
    rows = [_row(source, unit, item, sidecar, parts[item.part], digests[item.part]) for item in items]
    return frame(_without_duplicates(rows), WORK)


def _items(source: str, unit: str, parts: Sequence[Part], sidecar: Sidecar) -> Iterator[_Item]:
    """The items of all parts. One bad part among good ones is a reject of its own; of bad ones only, the first is raised."""
    faults: list[UnreadableSource] = []
    pages = _pages(parts)
    documents = [(number, part) for number, part in enumerate(parts) if part.kind == "document"]
    for number, part in documents:
        known = replace(sidecar, url=part.url) if part.url else sidecar
        try:
            if source == "satire":
                yield from _satire(unit, number, parts, known, pages)
            else:
                yield from (
                    replace(item, part=number, document=number) for item in _PARSERS[source](unit, part.raw, known)
                )
        except UnreadableSource as error:
            faults.append(error)
            if len(faults) == len(documents):
                raise faults[0] from None
            yield _Item(key=f"{unit}/part-{number + 1}", text="", reject_reason=f"unreadable: {error}", part=number)


def _newest(items: list[_Item]) -> list[_Item]:
    """Without items that a later document gives again: a feed's states repeat what is still in it."""
    last = {item.identity or item.key: item.document for item in items}
    return [item for item in items if item.document == last[item.identity or item.key]]


def _gutenberg(unit: str, raw: bytes, _sidecar: Sidecar) -> Iterable[_Item]:
    work = book_html.strip_gutenberg_html(raw) if is_html(raw) else boilerplate.strip_gutenberg(raw)
    number = re.match(r"(?:pg)?(\d{1,9})(?!\d)", unit)
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


def _pages(parts: Sequence[Part]) -> dict[str, int]:
    """Which parts are pages of a feed's items, by their address; what a browser built stands in for what was fetched."""
    ordered = sorted(
        range(len(parts)), key=lambda number: parts[number].kind == "rendered"
    )  # stable: rendered ones last
    return {parts[number].url: number for number in ordered if parts[number].kind != "document"}


def _satire(
    unit: str, number: int, parts: Sequence[Part], sidecar: Sidecar, numbers: Mapping[str, int]
) -> Iterable[_Item]:
    pages = {url: feeds.Page(url, parts[at].raw, parts[at].headers) for url, at in numbers.items()}
    for row in feeds.read_unit(parts[number].raw, sidecar.url, pages, parts[number].headers):
        licence, own = _own_word(row)
        restricted = rights.resolve("satire", sidecar.rights, sidecar.license or licence, own) == "restricted"
        item = feeds.headline_only([row])[0] if restricted else row
        yield _Item(
            key=f"{unit}/{_item_name(item)}",
            identity=item["identity"],
            text=item["text"],
            title=item["title"],
            author=item["author"],
            language=item["language"],
            license=licence,
            url=item["link"],
            header_rights=own,
            reject_reason=item["reject_reason"],
            extra=_item_facts(item),
            part=numbers.get(item["link"], number) if item["body_from"] == "page" else number,
            document=number,
        )


def _item_name(item: Mapping[str, Any]) -> str:
    """Day, headline and a mark of the id: two items named "Corrections" stay two, whatever later states bring."""
    mark = hashlib.sha256(item["identity"].encode("utf-8", "replace")).hexdigest()[:MARK_CHARACTERS]
    return "-".join(part for part in (item["published"][:10], slug(item["title"]), mark) if part)


def _own_word(row: Mapping[str, Any]) -> tuple[str, str]:
    """An item's own licence, and "restricted" where anything that it, its page or its feed says reserves it, else "unknown".

    Whatever reserves counts in any place and outweighs the profile. What frees has to stand where a text's own licence
    stands. A bare "Copyright 2026 The Gazette" names an owner only: the profile's word or a licence beside it outweighs it.
    """
    reserved = bool(row.get("reserved_by")) or any(map(rights.reserves, row["claims"]))
    licence = row["license"] if row["license_found_in"] in OWN_LICENCE else ""
    return licence or next(filter(rights.notices, row["claims"]), ""), "restricted" if reserved else "unknown"


def _item_facts(item: Mapping[str, Any]) -> dict[str, Any]:
    """What a feed and its pages say of an item besides its text; what they do not say is left out."""
    always = ("lede", "body", "published", "tags", "publication")
    said = ("headline_only", "body_from", "license", "license_found_in", "copyright", "claims", "satire_evidence")
    facts = {name: item[name] for name in (*said, "reserved_by", "page_reject_reason") if item.get(name)}
    return {"headline": item["title"], **{name: item[name] for name in always}, **facts}


def _jokes(unit: str, raw: bytes, sidecar: Sidecar) -> Iterable[_Item]:
    name = sidecar.filename or _guessed_name(unit, raw)
    for joke in jokes.parse_jokes(raw, name, sidecar.columns):
        parts = {name: joke[name] for name in ("setup", "punchline") if joke[name] and not joke["reject_reason"]}
        yield _Item(
            key=f"{unit}/{slug(joke['id']) or joke['id']}",
            text=joke["text"],
            warnings=tuple(joke["mended"]),
            reject_reason=joke["reject_reason"],
            extra={**joke["extra"], **parts, "kind": joke["kind"]},
        )


def _guessed_name(unit: str, raw: bytes) -> str:
    """A file name for a unit that came without one, by its beginning: JSON lines are told by a first line that is whole."""
    text = raw.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] not in (b"[", b"{"):
        return unit + (".tsv" if b"\t" in text.split(b"\n", 1)[0] else ".csv")
    try:
        first = json.loads(text.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        first = None
    lists = isinstance(first, dict) and any(isinstance(value, list) and value for value in first.values())
    alone = b"\n" not in text.strip() and lists
    lines = text[:1] == b"{" and not alone and (first is not None or b"\n{" in text)
    return unit + (".jsonl" if lines else ".json")


def _weather(unit: str, raw: bytes, sidecar: Sidecar) -> Iterable[_Item]:
    for item in weather.weather_items(raw, sidecar.url):
        yield _Item(
            key=f"{unit}/{item.key}",
            text=item.text,
            title=item.title,
            author=item.author,
            language=item.language,
            license=WEATHER_LICENCE,
            warnings=item.warnings,
            reject_reason=item.reject_reason,
            extra={"issued_at": item.issued_at, **item.extra, "facts": list(item.facts)},
        )


def _transcripts(unit: str, raw: bytes, sidecar: Sidecar) -> Iterable[_Item]:
    for talk in transcripts.parse_transcripts(raw, sidecar.filename):
        yield _Item(
            key=f"{unit}/{slug(talk['id']) or talk['id']}",
            text=talk["text"],
            title=talk["id"],
            reject_reason=talk["reject_reason"],
            extra={
                "conversation_id": talk["id"],
                "turns": talk["turns"],
                "style_tags": talk["style_tags"],
                "format": talk["format"],
                "removed": talk["removed"],
                "left_out": talk["left_out"],
            },
        )


def _local(unit: str, raw: bytes, sidecar: Sidecar) -> Iterable[_Item]:
    suffix = PurePosixPath(sidecar.filename).suffix or ".txt"
    passages = local.parse_document(raw, suffix, sidecar.split, sidecar.topics)
    for number, passage in enumerate(passages, 1):
        heading = passage["title"]
        title = heading or (passage["text"][:ITEM_CHARACTERS].rstrip() if sidecar.split == "line" else "")
        if suffix.lower() in (".epub", ".pdf") and len(passages) == 1:
            title = sidecar.title or title  # what a file says of itself yields to the sidecar
        yield _Item(
            key=f"{unit}/{slug(heading) or f'{number:04d}'}" if len(passages) > 1 or heading else unit,
            text=passage["text"],
            title=title,
            author=passage["author"],
            language=passage["language"],
            warnings=tuple(passage["warnings"]),
            reject_reason=passage["reject_reason"],
            extra=passage["extra"],
            overrides=sidecar.overrides.get(heading, {}),
        )


_PARSERS: dict[str, Callable[[str, bytes, Sidecar], Iterable[_Item]]] = {
    "gutenberg": _gutenberg,
    "jokes": _jokes,
    "weather": _weather,
    "transcripts": _transcripts,
    "local": _local,
}


def slug(text: str) -> str:
    """Small letters, digits and hyphens, at most 60 characters: "The Ferryman's Ledger" is "the-ferrymans-ledger"."""
    plain = re.sub(r"['’]", "", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain)[:SLUG_CHARACTERS].strip("-")


def _row(source: str, unit: str, item: _Item, sidecar: Sidecar, part: Part, digest: str) -> dict[str, Any]:
    said = {**{item.name: getattr(sidecar, item.name) for item in fields(sidecar)}, **item.overrides}
    own_title = item.title if source != "gutenberg" else ""
    licence = said["license"] or item.license
    stored = repaired("" if item.reject_reason else item.text)
    decided = rights.ruling(source, said["rights"], licence, item.header_rights, sidecar.declarer)
    return {
        "work_id": f"{source}/{item.key}",
        "source": source,
        "unit": unit,
        "title": item.overrides.get("title") or own_title or said["title"] or item.title or unit,
        "author": said["author"] or item.author,
        "style": said["style"] or personas.house_style(STYLE_OF_SOURCE[source]),
        "language": said["language"] or item.language or "en",
        "rights": decided.rights,
        "license": licence or "unknown",
        "rights_claim": decided.claim,
        "rights_rule": decided.rule,
        "url": item.url or part.url or said["url"],
        "edition": said["edition"],
        "retrieved_at": part.retrieved_at or said["retrieved_at"] or None,
        "raw_sha256": digest,
        "text": stored.text,
        "normaliser_version": TEXT_VERSION,
        "repairs": stored.as_json(),
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
            row.update(work_id=f"{identity}~{seen[identity]}", text="", repairs="{}", reject_reason=reason)
    return rows
