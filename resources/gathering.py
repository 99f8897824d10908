"""What a live source has given over time: feeds and services forget, a partition must not.

`<raw>/gathered/<source>/<unit>.json` lists documents by URL and hash, oldest first; the bytes lie in the raw store. A
document that never changes (a bulletin, a page) is listed once and kept; of one that does (a feed, a forecast), each
state that differs in what a parser sees of it, the newest MOST_STATES.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from resources.lake import replace_file
from resources.raw_store import RawFile, RawStore, digest
from resources.robots import file_name
from twainbot.corpora.material import Part
from twainbot.errors import BadInput

MOST_STATES = 1000  # of one URL; a daily paper's feed keeps three years
RESERVING = ("x-robots-tag", "tdm-reservation")  # headers that say how a page may be used
LEFT_ALONE = timedelta(days=1)  # a document that could not be had is not asked for again so soon

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """One document. `kind`: one of material.KINDS; `state`: what a parser saw of it, "" where it never changes.

    `refused`: why it could not be had; such an entry has no bytes and counts for nothing but patience.
    """

    url: str
    sha256: str
    retrieved_at: str
    headers: str = ""  # lines
    kind: str = "document"
    state: str = ""
    refused: str = ""


class Gathering:
    """The documents of one unit so far. Add, then `keep`: a kill between the two loses nothing that cannot be had again."""

    def __init__(self, store: RawStore, source: str, unit: str, most: int = MOST_STATES) -> None:
        self.store = store
        self.most = most
        self.path = store.root / "gathered" / source / f"{file_name(unit)}.json"
        self.seen: list[Seen] = self._read()
        self.known = set(self.seen)

    def _read(self) -> list[Seen]:
        if not self.path.is_file():
            return []
        try:
            return [Seen(**entry) for entry in json.loads(self.path.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"{self.path} is damaged ({error}). Delete it; what the source still has comes back."
            ) from error

    def held(self) -> list[Seen]:
        """The documents whose bytes are there. Bytes that were deleted leave the unit, and its version says so."""
        return [entry for entry in self.seen if not entry.refused and self.store.path(entry.sha256).is_file()]

    def has(self, url: str) -> bool:
        """Whether a document of this URL was gathered, or was refused less than a day ago."""
        lately = (datetime.now(UTC) - LEFT_ALONE).isoformat()
        refused = any(entry.url == url and entry.refused and entry.retrieved_at > lately for entry in self.seen)
        return refused or any(entry.url == url for entry in self.held())

    def why_not(self) -> dict[str, str]:
        """Documents that could not be had, with the reason."""
        return {entry.url: entry.refused for entry in self.seen if entry.refused}

    def add(self, found: RawFile, url: str, kind: str = "document", state: str = "") -> None:
        """Remember a document, unless the last one of its URL is the same: the same state, or the same bytes."""
        headers = "\n".join(f"{name}: {found.headers[name]}" for name in RESERVING if name in found.headers)
        entry = Seen(url, found.sha256, found.retrieved_at, headers, kind, state)
        self.seen = [known for known in self.seen if not (known.url == url and known.refused)]
        last = next((known for known in reversed(self.held()) if known.url == url and known.kind == kind), None)
        same = last is not None and (last.state or last.sha256, last.headers) == (state or found.sha256, headers)
        if not same:
            self.seen.append(entry)

    def refuse(self, url: str, why: str) -> None:
        """Remember that a document could not be had, so that it is left alone for a day."""
        self.seen = [known for known in self.seen if not (known.url == url and known.refused)]
        self.seen.append(Seen(url, "", datetime.now(UTC).isoformat(timespec="seconds"), refused=why))

    def keep(self) -> None:
        """Write the list, with what another process has added meanwhile."""
        with self._locked():
            mine = set(self.seen)
            theirs = [entry for entry in self._read() if entry not in self.known and entry not in mine]
            self.seen = list(self._bounded([*theirs, *self.seen]))
            self.known = set(self.seen)
            text = json.dumps([asdict(entry) for entry in self.seen], indent=0)
            if not self.path.is_file() or self.path.read_text(encoding="utf-8") != text:
                replace_file(self.path, lambda file: file.write_text(text, encoding="utf-8"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _bounded(self, seen: list[Seen]) -> Iterator[Seen]:
        """Without the oldest states of a URL that has too many; what never changes stays."""
        left = Counter(entry.url for entry in seen if entry.state)
        for entry in seen:
            if entry.state and left[entry.url] > self.most:
                left[entry.url] -= 1
                logger.warning("%s: the state of %s of %s is let go", self.path.stem, entry.url, entry.retrieved_at)
            else:
                yield entry

    def parts(self) -> tuple[Part, ...]:
        """The documents' bytes, oldest first."""
        return tuple(
            Part(self.store.get(entry.sha256), entry.url, entry.retrieved_at, entry.headers, entry.kind)
            for entry in self.held()
        )

    def version(self, known: bytes = b"") -> str:
        """Changes exactly when a document is added or leaves, or what is known of the unit changes."""
        told = (f"{entry.kind} {entry.url} {entry.sha256} {entry.headers}" for entry in self.held())
        return digest(*(line.encode() for line in told), known)
