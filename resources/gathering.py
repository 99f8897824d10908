"""What a live source has given over time: feeds and services forget, a partition must not.

`<raw>/gathered/<source>/<unit>.json` lists documents by URL and hash, oldest first; the bytes lie in the raw store.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from urllib.parse import quote

from resources.lake import replace_file
from resources.raw_store import RawFile, RawStore, digest
from twainbot.corpora.material import Part
from twainbot.errors import BadInput

RENDERED = "#rendered"  # behind the URL of a page as a browser built it; works.py looks for it
RESERVING = ("x-robots-tag", "tdm-reservation")  # headers that say how a page may be used
MOST = 2000  # documents of a unit; beyond it the oldest are let go


@dataclass(frozen=True)
class Seen:
    """One document that a source gave."""

    url: str
    sha256: str
    retrieved_at: str
    headers: str = ""  # lines


class Gathering:
    """The documents of one unit so far. Add, then `keep`: a kill between the two loses nothing that cannot be had again."""

    def __init__(self, store: RawStore, source: str, unit: str, most: int = MOST) -> None:
        self.store = store
        self.most = most
        self.path = store.root / "gathered" / source / f"{quote(unit, safe='')}.json"
        self.seen: list[Seen] = self._read()

    def _read(self) -> list[Seen]:
        if not self.path.is_file():
            return []
        try:
            return [Seen(**entry) for entry in json.loads(self.path.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"{self.path} is damaged ({error}). Delete it; what the source still has comes back."
            ) from error

    def has(self, url: str) -> bool:
        """Whether a document of this URL was gathered, whose bytes are still there."""
        return any(entry.url == url and self.store.path(entry.sha256).is_file() for entry in self.seen)

    def add(self, found: RawFile, url: str) -> None:
        """Remember a document; the same bytes under the same URL are remembered once."""
        headers = "\n".join(f"{name}: {found.headers[name]}" for name in RESERVING if name in found.headers)
        entry = Seen(url, found.sha256, found.retrieved_at, headers)
        if not any((known.url, known.sha256) == (url, found.sha256) for known in self.seen):
            self.seen.append(entry)

    def keep(self) -> None:
        """Write the list."""
        self.seen = self.seen[-self.most :]
        text = json.dumps([asdict(entry) for entry in self.seen], indent=0)
        if not self.path.is_file() or self.path.read_text(encoding="utf-8") != text:
            replace_file(self.path, lambda file: file.write_text(text, encoding="utf-8"))

    def parts(self) -> tuple[Part, ...]:
        """The documents' bytes, oldest first. Raises BadInput where the raw store has lost one."""
        return tuple(
            Part(self.store.get(entry.sha256), entry.url, entry.retrieved_at, entry.headers) for entry in self.seen
        )

    def version(self, known: bytes = b"") -> str:
        """Changes exactly when a document is added or leaves, or what is known of the unit changes."""
        return digest(*(f"{entry.url} {entry.sha256}".encode() for entry in self.seen), known)
