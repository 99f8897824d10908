"""Chat logs without JSON: tables (CSV, TSV) and plain "User: ... / Bot: ..." pages, to records with messages.

What separates two conversations: an id column, a line of marks or "Session 12", or half an hour of silence. A blank line
does not: replies have paragraphs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from twainbot.errors import UnreadableSource

SILENCE_S = 1800  # after this long a chat is a new one, where nothing else tells them apart
MIN_SPEAKERS = 2  # lines with a known speaker, before a text counts as a log

_ID = ("conversation_id", "conversation", "session_id", "session", "chat_id", "dialog_id", "dialogue_id", "thread_id")
_ROLE = ("role", "speaker", "sender", "from", "author", "who", "participant")
_TEXT = ("text", "message", "content", "utterance", "body", "msg", "value")
_TIME = ("timestamp", "time", "datetime", "date", "created_at", "sent_at")
_USER = ("user", "question", "prompt", "input", "query", "request", "user_message", "user_input", "customer")
_BOT = ("bot", "answer", "response", "reply", "output", "assistant", "bot_message", "bot_response", "completion")

_USERS = {"user", "usr", "human", "customer", "client", "visitor", "guest", "caller", "you", "me", "q", "question"}
_BOTS = {"assistant", "agent", "ai", "a", "answer", "gpt", "model"}

_DATED = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"
_AMERICAN = r"\d{1,2}/\d{1,2}/\d{2,4},? \d{1,2}:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?"
_LINE = re.compile(
    rf"^[ \t]*(?:(?P<open>[\[(])?(?P<stamp>{_DATED}|{_AMERICAN}|{_CLOCK})[\])]?[ \t]*(?:[-–|][ \t]*)?)?"
    r"[<*\[]{0,3}(?P<label>[A-Za-z][A-Za-z _.-]{0,30}?)[>*\]]{0,3}[ \t]*"
    rf"(?:[\[(](?P<later>{_DATED}|{_AMERICAN}|{_CLOCK})[\])][ \t]*)?:[*]{{0,2}}(?:[ \t]+|$)(?P<words>.*)$"
)
_SESSION = re.compile(r"(?:session|conversation|chat|dialog|dialogue)\b[ #:]*([\w-]{0,40})", re.IGNORECASE)
_AMERICAN_FORMS = ("%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M", "%m/%d/%y %I:%M %p", "%m/%d/%y %H:%M")

Record = tuple[int, dict[str, Any], str | None]  # line, record with messages, reason why it is none


def is_table(text: str, name: str = "") -> bool:
    """Whether a text is a table of talk: by its name, or by a header that names speaker and words, or both sides."""
    return name.lower().endswith((".csv", ".tsv")) or _form(_header(text, _delimiter(text))) != ""


def is_log(text: str) -> bool:
    """Whether at least two lines begin with a speaker that is known."""
    found = (match for match in map(_LINE.match, text.split("\n")) if match and _role(match["label"]))
    return sum(1 for _ in zip(found, range(MIN_SPEAKERS), strict=False)) == MIN_SPEAKERS


def table_records(text: str) -> Iterator[Record]:
    """A record per conversation of a table, in the order of first rows.

    Raises UnreadableSource where no columns of talk are found, or where the table itself is broken.
    """
    delimiter = _delimiter(text)
    form = _form(_header(text, delimiter))
    if not form:
        raise UnreadableSource(
            f"The table has the columns {_header(text, delimiter)[:12]}. Expected a speaker and a text column "
            f"({', '.join(_ROLE[:3])}; {', '.join(_TEXT[:3])}), or one for each side (user, bot)."
        )
    groups: dict[str, list[tuple[int, dict[str, str], str | None]]] = {}
    for line, row, reason in _rows(text, delimiter):
        groups.setdefault(_group(row, form, line), []).append((line, row, reason))
    for rows in groups.values():
        for part in _by_silence(rows) if form == "speaker" else [rows]:
            yield _of_rows(part, form)


def log_records(text: str) -> Iterator[Record]:
    """A record per conversation of a plain log, in order."""
    talk = _Page(1, "")
    for number, line in enumerate(text.split("\n"), 1):
        mark = _separator(line)
        match = _LINE.match(line)
        role = _role(match["label"]) if match else ""
        stamp = _moment((match["stamp"] or match["later"] or "") if match else "")
        if mark is not None or (role and talk.is_over(stamp)):
            if talk.messages:
                yield talk.record()
            talk = _Page(number, mark or "")
        if match and role:
            talk.speak(role, match["words"], stamp)
        elif match and match["stamp"] and (match["open"] or _moment(match["stamp"])):
            talk.reason = talk.reason or f"unknown_role (line {number})"
        elif mark is None and (line.strip() or talk.messages):
            talk.go_on(line)
    if talk.messages:
        yield talk.record()


class _Page:
    """One conversation of a log while its lines are read."""

    def __init__(self, line: int, identity: str) -> None:
        self.line, self.identity = line, identity
        self.messages: list[dict[str, Any]] = []
        self.reason: str | None = None
        self.last: datetime | None = None
        self.lost = 0

    def is_over(self, stamp: datetime | None) -> bool:
        return bool(self.last and stamp and (stamp - self.last).total_seconds() > SILENCE_S)

    def speak(self, role: str, words: str, stamp: datetime | None) -> None:
        _said(self.messages, role, words)
        self.last = stamp or self.last

    def go_on(self, line: str) -> None:
        if self.messages:
            self.messages[-1]["content"] += f"\n{line}"
        else:
            self.lost += 1  # a title above the first speaker

    def record(self) -> Record:
        found: dict[str, Any] = {"messages": self.messages}
        found |= {"conversation_id": self.identity} if self.identity else {}
        found |= {"lines_before_first_speaker": self.lost} if self.lost else {}
        return self.line, found, self.reason


def _said(messages: list[dict[str, Any]], role: str, words: str) -> None:
    """Add words; what one side sends in several lines is one turn."""
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += f"\n{words}"
    else:
        messages.append({"role": role, "content": words})


def _separator(line: str) -> str | None:
    """The id that a dividing line names, "" where it names none; None for a line that divides nothing."""
    bare = line.strip().strip("-=*#_ \t")
    if not bare:
        return "" if len(line.strip()) >= 3 else None
    match = _SESSION.fullmatch(bare)
    return match[1] if match else None


def _role(label: str) -> str:
    name = label.strip().lower()
    if name in _USERS:
        return "user"
    if name in _BOTS or name.endswith("bot"):
        return "assistant"
    return name if name in ("system", "tool") else ""


def _moment(stamp: str) -> datetime | None:
    """A dated stamp as a time, taken for UTC where it names no zone; a bare clock is none."""
    plain = stamp.strip().replace(",", ".") if re.match(r"\d{4}-", stamp.strip()) else stamp.strip().replace(",", "")
    try:
        found = datetime.fromisoformat(plain)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        pass
    spaced = re.sub(r"(?<=\d)(?=[AaPp][Mm]$)", " ", re.sub(r"(:\d\d):\d\d", r"\1", plain))
    for form in _AMERICAN_FORMS:
        try:
            return datetime.strptime(spaced, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _delimiter(text: str) -> str:
    first = text.lstrip("\n").split("\n", 1)[0]
    return max(",\t;|", key=first.count)


def _header(text: str, delimiter: str) -> list[str]:
    first = text.lstrip("\n").split("\n", 1)[0][:2000]
    cells: list[str] = []
    try:
        cells += next(csv.reader([first], delimiter=delimiter), ())
    except csv.Error:
        return []
    return [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in cells]


def _form(header: Sequence[str]) -> str:
    """speaker: a row per utterance; exchange: a row per question and answer; "" for another table."""
    if _column(header, _ROLE) and _column(header, _TEXT):
        return "speaker"
    return "exchange" if _column(header, _USER) and _column(header, _BOT) else ""


def _column(header: Sequence[str], names: Sequence[str]) -> str:
    return next((name for name in names if name in header), "")


def _cell(row: Mapping[str, str], names: Sequence[str]) -> str:
    return row.get(_column(list(row), names), "")


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, dict[str, str], str | None]]:
    """Line, cells by column, and the reason where a row has too few or too many cells."""
    reader = csv.reader(io.StringIO(text.lstrip("\n"), newline=""), delimiter=delimiter)
    header = _header(text, delimiter)
    try:
        next(reader)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                reason = None if len(cells) == len(header) else f"malformed_row (line {reader.line_num})"
                yield reader.line_num, dict(zip(header, cells, strict=False)), reason
    except csv.Error as error:
        raise UnreadableSource(
            f"The table breaks off at line {reader.line_num}: {error}. Export it again as CSV."
        ) from error


def _group(row: Mapping[str, str], form: str, line: int) -> str:
    """What holds rows together: the id; without one all rows of a page, or each exchange for itself."""
    identity = _cell(row, _ID).strip()
    return identity or ("" if form == "speaker" else f"line {line}")


def _by_silence(rows: list[Any]) -> Iterator[list[Any]]:
    """Rows in the order of time, cut at long silences where no id column holds them together."""
    times = [_moment(_cell(row, _TIME)) for _, row, _ in rows]
    known = [time for time in times if time is not None]
    if len(known) < len(rows):
        yield rows
        return
    pairs = list(zip(known, rows, strict=True))
    newest_first = all(a >= b for a, b in pairwise(known)) and known[0] > known[-1]
    pairs = pairs[::-1] if newest_first else sorted(pairs, key=lambda pair: pair[0])
    part: list[Any] = [pairs[0][1]]
    for (before, _), (now, row) in pairwise(pairs):
        if (now - before).total_seconds() > SILENCE_S and not _cell(row[1], _ID).strip():
            yield part.copy()
            part.clear()
        part.append(row)
    yield part


def _of_rows(rows: Sequence[tuple[int, dict[str, str], str | None]], form: str) -> Record:
    messages: list[dict[str, Any]] = []
    reason = None
    for line, row, fault in rows:
        reason = reason or fault
        if form == "exchange":
            _said(messages, "user", _cell(row, _USER))
            _said(messages, "assistant", _cell(row, _BOT))
            continue
        role = _role(_cell(row, _ROLE))
        if role in ("", "tool"):
            reason = reason or f"unknown_role (line {line})"
        _said(messages, role, _cell(row, _TEXT))
    identity = _cell(rows[0][1], _ID).strip()
    return rows[0][0], {"messages": messages, **({"conversation_id": identity} if identity else {})}, reason
