"""Hishel's cache over the raw store: RFC 9111 is the library's, the bytes lie where all raw bytes lie.

Only the polite client imports this module, for the reason that network.py gives.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from hishel import BaseStorage, Entry, Headers, Request, Response
from typing_extensions import override

from resources.lake import replace_file
from resources.raw_store import RawStore
from twainbot.errors import BadInput

OK = 200
KEPT = (
    "etag",
    "last-modified",
    "content-type",
    "x-robots-tag",
    "tdm-reservation",
)  # of an answer's headers, in the raw store's sidecar


class RawCache(BaseStorage):
    """One answer per URL: `<raw>/http/<key>.json` holds its headers and the hash of its bytes in the raw store."""

    def __init__(self, store: RawStore, license: str = "", robots: str = "") -> None:  # noqa: A002
        super().__init__()
        self.store = store
        self.license = license
        self.robots = robots

    @override
    def create_entry(
        self, request: Request, response: Response, key: str, *, ttl: float | None = None, tti: float | None = None
    ) -> Entry:
        entry = Entry(uuid.UUID(key[:32]), request, response)  # the key's own digits, so that an id names its file
        if response.status_code == OK:  # a kept 404 or 429 would outlast its cause
            response.stream = self._saved(entry, cast("Iterator[bytes]", response.stream), key)
        return entry

    def _saved(self, entry: Entry, stream: Iterator[bytes], key: str) -> Iterator[bytes]:
        parts = []
        for part in stream:
            parts.append(part)
            yield part
        headers = flat(entry.response.headers)
        kept = {name: headers[name] for name in KEPT if name in headers}
        found = self.store.put(b"".join(parts), entry.request.url, self.license, kept, self.robots)
        known = {
            "url": entry.request.url,
            "status": entry.response.status_code,
            "request": flat(entry.request.headers),
            "headers": headers,
            "sha256": found.sha256,
        }
        replace_file(self._path(key), lambda file: file.write_text(json.dumps(known)))

    @override
    def get_entries(self, key: str) -> list[Entry]:
        known = self._read(self._path(key))
        if known is None:
            return []
        try:
            content = self.store.get(known["sha256"])
        except BadInput:
            return []  # deleted or damaged: ask for the whole again
        request = Request("GET", known["url"], Headers(known["request"]))
        response = Response(known["status"], Headers(known["headers"]), iter([content]))
        return [Entry(uuid.UUID(key[:32]), request, response)]

    @override
    def update_headers(self, id: uuid.UUID, headers: Headers) -> None:
        for path in self._paths(id):
            known = self._read(path)
            if known is not None:
                text = json.dumps({**known, "headers": flat(headers)})
                replace_file(path, lambda file, text=text: file.write_text(text))

    @override
    def remove_entry(self, id: uuid.UUID) -> None:
        for path in self._paths(id):
            path.unlink(missing_ok=True)

    def _paths(self, id: uuid.UUID) -> list[Path]:  # noqa: A002
        return list(self.folder.glob(f"{id.hex}*.json"))

    @property
    def folder(self) -> Path:
        """Where the answers' headers lie."""
        return self.store.root / "http"

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None


def flat(headers: Headers) -> dict[str, str]:
    """Headers as a plain mapping, several of one name joined by commas."""
    return {name.lower(): ", ".join(headers.get_list(name) or [headers[name]]) for name in headers}
