"""Joke collections (CSV, JSON, JSON lines) to one row per joke, with a reason for each that is left out."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.normalize import fold, tidy
from twainbot.errors import UnreadableSource

MIN_LETTERS = 12  # "Dam." is a punchline, not a joke
MAX_CHARACTERS = 2000  # longer is a story; it belongs in a corpus of works
TEXT_COLUMNS = ("joke", "text", "body", "content")
SETUP_COLUMNS = ("setup", "question", "q")
PUNCHLINE_COLUMNS = ("punchline", "delivery", "answer", "a")
ID_COLUMNS = ("id", "joke_id", "jokeid")

_MARKUP = re.compile(r"</?(?:p|br|a|div|b|i|img|span)\b[^>]*>|https?://|www\.", re.IGNORECASE)
_GONE = re.compile(r"^\W*(?:deleted|removed|null|none|n/?a|nan)\W*$", re.IGNORECASE)


def parse_jokes(raw: bytes, name: str, mapping: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """A row per joke, in the file's order: id, text, extra (the other columns), reject_reason.

    `name` ends in .csv, .tsv, .json or .jsonl; `mapping` names columns ({"text": "Joke"} or {"setup": ..,
    "punchline": ..}, "id"), where they differ from the usual ones. Raises UnreadableSource where no joke can be found.
    """
    refuse_non_text(raw, f"The joke file {name}")
    records = list(_records(raw, name))
    if not any(reason is None for _, _, reason in records):
        raise UnreadableSource(f"The joke file {name} holds no readable record. Expected CSV, JSON or JSON lines.")
    seen: set[str] = set()
    return [_row(number, record, reason, mapping or {}, seen) for number, record, reason in records]


def _row(
    number: int, record: Mapping[str, Any], reason: str | None, mapping: Mapping[str, str], seen: set[str]
) -> dict[str, Any]:
    text = joke_text(record, mapping)
    reason = reason or reject_reason(text)
    key = fold(text)
    if reason is None and key in seen:
        reason = "duplicate_text"
    seen.add(key)
    identity = _cell(record, mapping.get("id"), ID_COLUMNS)
    used = set(mapping.values())
    plain = {k: v for k, v in record.items() if k not in used and k.lower() not in (*TEXT_COLUMNS, *ID_COLUMNS)}
    return {"id": identity or str(number), "text": text, "extra": plain, "reject_reason": reason}


def joke_text(record: Mapping[str, Any], mapping: Mapping[str, str]) -> str:
    """The joke in one string: its text column, or set-up and punchline with a line break between. "" without either."""
    setup = _cell(record, mapping.get("setup"), SETUP_COLUMNS)
    punchline = _cell(record, mapping.get("punchline"), PUNCHLINE_COLUMNS)
    if setup and punchline and "text" not in mapping:
        return tidy(f"{setup.strip()}\n{punchline.strip()}")
    return tidy(_cell(record, mapping.get("text"), TEXT_COLUMNS).strip())


def reject_reason(text: str) -> str | None:
    """Why a joke is left out: empty, removed, too_short, too_long, markup, mostly_symbols; None where it may stay."""
    letters = sum(map(str.isalpha, text))
    rules = (
        ("empty", not text),
        ("removed", bool(_GONE.match(text))),
        ("too_short", letters < MIN_LETTERS),
        ("too_long", len(text) > MAX_CHARACTERS),
        ("markup", bool(_MARKUP.search(text))),
        ("mostly_symbols", letters < 0.5 * len(text.replace(" ", ""))),
        ("undecodable", "�" in text),
    )
    return next((reason for reason, holds in rules if holds), None)


def _cell(record: Mapping[str, Any], named: str | None, usual: tuple[str, ...]) -> str:
    if named is not None:
        return str(record.get(named) or "")
    found = {key.lower(): value for key, value in record.items()}
    return next((str(found[column]) for column in usual if found.get(column) not in (None, "")), "")


def _records(raw: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any], str | None]]:
    """Number (from 1), columns and, for a line that does not parse, the reason."""
    text = decode(raw).text
    if name.lower().endswith((".csv", ".tsv")):
        yield from _csv_records(text, "\t" if name.lower().endswith(".tsv") else None)
    elif name.lower().endswith((".jsonl", ".ndjson")):
        yield from json_lines(text)
    else:
        yield from _json_records(text, name)


def _csv_records(text: str, delimiter: str | None) -> Iterator[tuple[int, Mapping[str, Any], str | None]]:
    first = text.split("\n", 1)[0]
    delimiter = delimiter or max(",;\t|", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    width = len(reader.fieldnames or ())
    for number, record in enumerate(reader, 1):
        ragged = None in record or sum(value is not None for value in record.values()) < width
        columns = {key: value for key, value in record.items() if key is not None}
        yield number, columns, f"malformed_row (line {reader.line_num})" if ragged else None


def json_lines(text: str) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    """Line number (from 1), object and None; for a line that is no JSON object an empty one and the reason."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            yield number, {}, f"malformed_json (line {number})"
            continue
        if isinstance(record, dict):
            yield number, record, None
        else:
            yield number, {}, f"not_an_object (line {number})"


def _json_records(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any], str | None]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnreadableSource(f"The joke file {name} is not JSON ({error}). Expected a list of objects.") from error
    if isinstance(found, dict):
        lists: list[list[Any]] = [value for value in found.values() if isinstance(value, list)]
        found = lists[0] if lists else []
    for number, record in enumerate(found, 1):
        if isinstance(record, str):
            yield number, {"text": record}, None
        else:
            known = isinstance(record, dict)
            yield number, record if known else {}, None if known else f"not_an_object (entry {number})"
