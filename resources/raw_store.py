"""Downloads kept by content: bytes once per sha256, with a sidecar of URL, time, headers and licence. No parsing here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from resources.lake import replace_file
from twainbot.errors import BadInput

UNAVAILABLE = "unavailable"  # the version of a unit that never answered: always the same, so that it stays stale once


def digest(*parts: bytes) -> str:
    """16 hex digits over the parts, in order."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(hashlib.sha256(part).digest())
    return hasher.hexdigest()[:16]


@dataclass(frozen=True)
class RawFile:
    """What is known about stored bytes. `retrieved_at`: when these bytes were first seen, ISO 8601 in UTC."""

    sha256: str
    url: str
    retrieved_at: str
    size: int
    license: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    robots: str = ""  # "allowed", or why robots.txt was not applied; empty for files of this machine


class RawStore:
    """`<root>/<2 hex>/<sha256>` holds bytes, `<sha256>.json` beside it the sidecar, `<root>/urls/` the last answer per URL."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self,
        content: bytes,
        url: str,
        license: str = "",  # noqa: A002
        headers: Mapping[str, str] | None = None,
        robots: str = "",
    ) -> RawFile:
        """Store bytes under their hash and remember them as the URL's latest. Known bytes keep their first sidecar."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.path(sha256)
        sidecar = path.with_suffix(".json")
        if not (path.exists() and sidecar.exists()):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            found = RawFile(sha256, url, now, len(content), license, dict(headers or {}), robots)
            replace_file(path, lambda file: file.write_bytes(content))
            replace_file(sidecar, lambda file: file.write_text(json.dumps(asdict(found), indent=1)))
        else:
            path.touch()  # `twainbot clean` leaves alone for an hour what may be about to be named
        latest = {"url": url, "sha256": sha256, "headers": dict(headers or {})}
        replace_file(self._latest(url), lambda file: file.write_text(json.dumps(latest, indent=1)))
        return self.describe(sha256)

    def get(self, sha256: str) -> bytes:
        """The bytes, checked against their name. Raises BadInput where they are missing or damaged."""
        try:
            content = self.path(sha256).read_bytes()
        except OSError as error:
            raise BadInput(
                f"The raw store has no {sha256[:12]} ({error}). Observe the source again to fetch it."
            ) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BadInput(f"{self.path(sha256)} is damaged. Delete it and observe the source again.")
        return content

    def describe(self, sha256: str) -> RawFile:
        """The sidecar of stored bytes."""
        return RawFile(**json.loads(self.path(sha256).with_suffix(".json").read_text()))

    def latest(self, url: str) -> tuple[str, dict[str, str]] | None:
        """Hash and headers of the URL's last answer, or None where it was never fetched or its bytes are gone."""
        path = self._latest(url)
        if not path.exists():
            return None
        found = json.loads(path.read_text())
        return (found["sha256"], found["headers"]) if self.path(found["sha256"]).exists() else None

    def remember(self, url: str, sha256: str) -> None:
        """Mark bytes as the last of the URL that could be used: `latest` may be an error page with status 200."""
        replace_file(self._good(url), lambda file: file.write_text(json.dumps({"url": url, "sha256": sha256})))

    def remembered(self, url: str) -> str | None:
        """Hash of the last bytes of the URL that could be used, or None."""
        path = self._good(url)
        if not path.exists():
            return None
        found = str(json.loads(path.read_text())["sha256"])
        return found if self.path(found).exists() else None

    def remembered_at(self, url: str) -> float:
        """When `remember` was last called for the URL, in seconds since 1970; 0 where it never was."""
        path = self._good(url)
        return path.stat().st_mtime if path.exists() else 0.0

    def _good(self, url: str) -> Path:
        return self.root / "good" / f"{hashlib.sha256(url.encode()).hexdigest()}.json"

    def path(self, sha256: str) -> Path:
        """Where bytes of this hash lie."""
        return self.root / sha256[:2] / sha256

    def _latest(self, url: str) -> Path:
        return self.root / "urls" / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
