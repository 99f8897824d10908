"""Joke collections (CSV, JSON, JSON lines) to one row per joke, with a reason for each that is left out.

Files are taken apart here; what makes a joke fit, and what is mended in its text, stands in joke_quality.py.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.joke_quality import Joke, kind, mend, part_reason, quality_reason, reject_reason, split_riddle
from twainbot.corpora.normalize import fold, tidy
from twainbot.errors import UnreadableSource

__all__ = ["joke_text", "json_lines", "parse_jokes", "reject_reason"]

TEXT_COLUMNS = ("joke", "text", "body", "content")
TITLE_COLUMNS = ("title",)
BODY_COLUMNS = ("body", "selftext")
SETUP_COLUMNS = ("setup", "question", "q")
PUNCHLINE_COLUMNS = ("punchline", "delivery", "answer", "a")
ID_COLUMNS = ("id", "joke_id", "jokeid")
FLAGS = ("nsfw", "over_18", "racist", "sexist", "explicit")  # what a collection itself marks as unfit
MAX_RECORD_LINES = 100  # of a CSV record: past it a quote was never closed; 2,000 characters are some 40 lines

_Record = tuple[str, Mapping[str, Any], str | None]


def parse_jokes(raw: bytes, name: str, mapping: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """A row per joke, in the file's order: id, text, setup, punchline, kind, extra (other columns), mended, reject_reason.

    `name` ends in .csv, .tsv, .json or .jsonl; `mapping` names columns where they differ from the usual ones: "text"
    ({"text": "Joke"}), "setup" and "punchline", or "title" and "body", which are joined; "id"; any further key ("category",
    "rating") names a column that is kept under that key. kind: "qa", "one_liner" or "story". mended: counts of what was
    put right ("html_entities=2"). Raises UnreadableSource where no joke can be found.
    """
    refuse_non_text(raw, f"The joke file {name}")
    records = list(_records(raw, name))
    if not any(reason is None for _, _, reason in records):
        raise UnreadableSource(f"The joke file {name} holds no readable record. Expected CSV, JSON or JSON lines.")
    columns = dict(mapping or {})
    _refuse_foreign_columns([record for _, record, reason in records if reason is None], name, columns)
    seen: set[str] = set()
    taken: dict[str, int] = {}
    return [_row(place, record, reason, columns, seen, taken) for place, record, reason in records]


def _row(
    place: str,
    record: Mapping[str, Any],
    reason: str | None,
    mapping: Mapping[str, str],
    seen: set[str],
    taken: dict[str, int],
) -> dict[str, Any]:
    joke, mended = _joke(record, mapping)
    reason = reason or _reason(record, joke, seen)
    if reason is None:
        seen.add(_key(joke.text))
    return {
        "id": _identity(_cell(record, mapping.get("id"), ID_COLUMNS) or place, taken),
        "text": joke.text,
        "setup": joke.setup,
        "punchline": joke.punchline,
        "kind": kind(joke),
        "extra": _others(record, mapping),
        "mended": mended,
        "reject_reason": reason,
    }


def _reason(record: Mapping[str, Any], joke: Joke, seen: set[str]) -> str | None:
    """A copy of a joke that was kept is a duplicate, however loudly it repeats it."""
    reason = reject_reason(joke.text) or part_reason(joke)
    if reason is None and _key(joke.text) in seen:
        return "duplicate_text"
    return reason or _flagged(record) or quality_reason(joke.text)


def _key(text: str) -> str:
    """What two typings of one joke share: its words, whatever case and punctuation."""
    return " ".join(re.findall(r"\w+", fold(text).replace("'", "")))


def _flagged(record: Mapping[str, Any]) -> str | None:
    marks = record.get("flags")
    marked = {**record, **marks} if isinstance(marks, dict) else record
    return next((f"flagged_{name}" for name in FLAGS if marked.get(name) in (True, 1, "true", "True", "1")), None)


def _identity(identity: str, taken: dict[str, int]) -> str:
    """The id, with a number behind it where an earlier joke has the same: two jokes stay two works."""
    taken[identity] = taken.get(identity, 0) + 1
    return identity if taken[identity] == 1 else f"{identity}~{taken[identity]}"


def _joke(record: Mapping[str, Any], mapping: Mapping[str, str]) -> tuple[Joke, list[str]]:
    """The joke, mended, and what was mended. One text that is a riddle with its answer is told apart."""
    setup, punchline, text = _parts(record, mapping)
    counts: dict[str, int] = {}
    setup, punchline, text = (mend(part, counts) for part in (setup, punchline, text))
    notes = [f"{name}={count}" for name, count in sorted(counts.items())]
    if not (setup or punchline):
        return split_riddle(text), notes
    if setup and fold(punchline).startswith(fold(setup)):  # reddit: the body says the title again
        return Joke(punchline), notes
    return Joke(tidy(f"{setup}\n{punchline}".strip()), setup, punchline), notes


def _parts(record: Mapping[str, Any], mapping: Mapping[str, str]) -> tuple[str, str, str]:
    """Set-up, punchline and whole text: either the first two, or the last."""
    text = _cell(record, mapping.get("text"), TEXT_COLUMNS).strip()
    if "text" in mapping:
        return "", "", text
    for first, second, usual in (
        ("setup", "punchline", (SETUP_COLUMNS, PUNCHLINE_COLUMNS)),
        ("title", "body", (TITLE_COLUMNS, BODY_COLUMNS)),
    ):
        named = first in mapping or second in mapping
        parts = (
            _cell(record, mapping.get(first), usual[0]).strip(),
            _cell(record, mapping.get(second), usual[1]).strip(),
        )
        if named or all(parts) or (first == "setup" and any(parts) and not text):
            return *parts, ""
    return "", "", text


def joke_text(record: Mapping[str, Any], mapping: Mapping[str, str]) -> str:
    """The joke in one string: its text column, or set-up and punchline with a line break between. "" without either."""
    return _joke(record, mapping)[0].text


def _others(record: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The columns that are no part of the joke; those that the mapping names stand under its own names."""
    parts = ("id", "text", "setup", "punchline", "title", "body")
    used = {*mapping.values()}
    usual = (*TEXT_COLUMNS, *TITLE_COLUMNS, *BODY_COLUMNS, *SETUP_COLUMNS, *PUNCHLINE_COLUMNS, *ID_COLUMNS)
    plain = {key: value for key, value in record.items() if key not in used and key.lower() not in usual}
    named = {key: record[column] for key, column in mapping.items() if key not in parts and column in record}
    return {**plain, **named, **({"rating": _number(named["rating"])} if "rating" in named else {})}


def _number(value: Any) -> Any:
    """A rating as a number where it is one ("4.5"), else as it stands."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _cell(record: Mapping[str, Any], named: str | None, usual: Sequence[str]) -> str:
    if named is not None:
        value = record.get(named)
        return "" if value is None else str(value)
    found = {key.lower(): value for key, value in record.items() if value not in (None, "")}
    return next((str(found[column]) for column in usual if column in found), "")


def _refuse_foreign_columns(records: Sequence[Mapping[str, Any]], name: str, mapping: Mapping[str, str]) -> None:
    """Raise UnreadableSource where no record has a column that holds a joke, naming those that there are."""
    known = {key for record in records[:1000] for key in record}
    missing = sorted(column for column in mapping.values() if column not in known)
    usual = (*TEXT_COLUMNS, *SETUP_COLUMNS, *PUNCHLINE_COLUMNS)
    parts = ("text", "setup", "punchline", "title", "body")
    named = [mapping[part] for part in parts if part in mapping]
    if any(column in known for column in named) or (not named and any(key.lower() in usual for key in known)):
        return
    asked = f"the mapped columns {', '.join(missing)}" if named else f"one of {', '.join(usual)}"
    raise UnreadableSource(
        f"The joke file {name} has the columns {', '.join(sorted(map(str, known))[:12]) or 'none'}, expected {asked}. "
        "Name its own under `columns:`, as in `text: Joke`."
    )


def _records(raw: bytes, name: str) -> Iterator[_Record]:
    """Place ("7" for the seventh record), columns and, for what does not parse, the reason."""
    text = decode(raw).text
    if name.lower().endswith((".csv", ".tsv")):
        yield from _csv_records(text, "\t" if name.lower().endswith(".tsv") else None)
    elif name.lower().endswith((".jsonl", ".ndjson")):
        yield from (
            (str(number) if reason is None else f"line-{number}", row, reason)
            for number, row, reason in json_lines(text)
        )
    else:
        yield from _json_records(text, name)


def _csv_records(text: str, delimiter: str | None) -> Iterator[_Record]:
    delimiter = delimiter or max(",;\t|", key=text.split("\n", 1)[0].count)
    rows = _csv_rows(text, delimiter)
    header = next(rows, None)
    if header is None or header[2] is not None:
        return
    for number, (line, cells, reason) in enumerate(rows, 1):
        found = reason or (None if len(cells) == len(header[1]) else f"malformed_row (line {line})")
        yield (str(number) if found is None else f"line-{line}"), dict(zip(header[1], cells, strict=False)), found


def _csv_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str], str | None]]:
    """Last line's number (from 1), cells, reason. A quote that is never closed costs its own line, not the file's rest.

    Work is bounded: a record is tried over at most 100 lines. Strict, since csv else joins two rows at a stray quote; a
    tab-separated line whose quotes do not fit is taken as it stands, for many such files know no quoting.
    """
    lines = list(io.StringIO(text, newline=""))
    at = 0
    while at < len(lines):
        reader = csv.reader(lines[at : at + MAX_RECORD_LINES], delimiter=delimiter, strict=True)
        cells, reason, used = list[str](), None, 1
        try:
            cells = next(reader)
            used = reader.line_num
        except csv.Error as error:
            if delimiter == "\t" and len(lines[at]) < csv.field_size_limit():
                cells = lines[at].rstrip("\r\n").split(delimiter)
            else:
                name = "malformed_row" if "field limit" in str(error) else "unbalanced_quote"
                reason = f"{name} (line {at + 1})"
        at += used
        if cells or reason:
            yield at, cells, reason


def json_lines(text: str) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    """Line number (from 1), object and None; for a line that is no JSON object an empty one and the reason."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = _loads(line)
        except (ValueError, RecursionError):
            yield number, {}, f"malformed_json (line {number})"
            continue
        if isinstance(record, dict):
            yield number, record, None
        else:
            yield number, {}, f"not_an_object (line {number})"


def _loads(text: str) -> Any:
    """JSON without what no table can store: halves of surrogate pairs become U+FFFD, NaN and Infinity null."""
    return json.loads(
        text,
        parse_constant=lambda _: None,
        object_pairs_hook=lambda pairs: {_sound(key): _sound(value) for key, value in pairs},
    )


def _sound(value: Any) -> Any:
    if isinstance(value, list):
        return [_sound(item) for item in value]
    return re.sub("[\ud800-\udfff]", "�", value) if isinstance(value, str) else value


def _json_records(text: str, name: str) -> Iterator[_Record]:
    try:
        found = _loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableSource(f"The joke file {name} is not JSON ({error}). Expected a list of objects.") from error
    for number, record in enumerate(_listed(found), 1):
        if isinstance(record, str):
            yield str(number), {"text": _sound(record)}, None
        elif isinstance(record, dict):
            yield str(number), record, None
        else:
            yield f"entry-{number}", {}, f"not_an_object (entry {number})"


def _listed(found: Any) -> list[Any]:
    """The jokes of a file: its list, the longest list inside its object, or its one object."""
    if isinstance(found, list):
        return found
    if not isinstance(found, dict):
        return []
    lists = [value for value in found.values() if isinstance(value, list)]
    return max(lists, key=len) if lists else [found] if found else []
