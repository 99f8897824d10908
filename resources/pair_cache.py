"""Pairs of texts that earlier runs verified, as content-addressed files. What they mean is twainbot/dedupe/chunk_pairs's.

    <cache>/dedupe/<scheme>-<content>.parquet

`scheme`: a hash over the settings and the code that found the pairs. `content`: a hash over the file's bytes, so that a
file that was cut short or changed is seen before it is parsed. What is not what its name says, or cannot be read, is
passed over: a run without a cache finds the same pairs, and only takes longer.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from resources.lake import replace_file
from twainbot.errors import BadInput

if TYPE_CHECKING:
    from twainbot.dedupe import DedupeSettings, Known
    from twainbot.dedupe.shingles import Hashes

KEPT = 4  # files, of 1.3 MB for 74,000 texts: the last runs of two profiles under two settings
Log = Callable[[str], object]


class PairCache:
    """The files of one scheme. `code`: the version of the code that finds pairs; `log` is told what is passed over."""

    def __init__(self, cache: Path, settings: DedupeSettings, code: str, log: Log) -> None:
        from twainbot.dedupe import known_scheme

        self._folder = cache / "dedupe"
        self._wanted = known_scheme(settings)
        self._scheme = _digest(f"{code}/{self._wanted}".encode())[:12]
        self._log = log

    def nearest(self, texts: Hashes) -> Known | None:
        """Of what is stored, that which knows most of these texts (twainbot.dedupe.text_names); None where none does."""
        found = [(known.shared(texts), known) for known in self._stored()]
        count, best = max(found, key=lambda pair: pair[0], default=(0, None))
        return best if count else None

    def _stored(self) -> Iterator[Known]:
        """All that can be read, the newest first."""
        others = 0
        for path in self._files():
            if not path.name.startswith(f"{self._scheme}-"):
                others += 1
                continue
            try:
                known = self._read(path)
            except BadInput as error:
                self._log(f"{path} is passed over: {error}")
            else:
                if known is not None:
                    yield known
        if others:
            self._log(f"{others} files of verified pairs are passed over: of other settings or other code.")

    def _read(self, path: Path) -> Known | None:
        import polars as pl

        from twainbot.dedupe import Known

        try:
            raw = path.read_bytes()
            if path.name != self._name(raw):
                raise BadInput("its content is not what its name says.")
            known = Known.of(pl.read_parquet(io.BytesIO(raw)))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise BadInput(f"it cannot be read ({error}).") from error
        if known is not None and known.scheme != self._wanted:
            raise BadInput(f"it holds pairs made as {known.scheme!r}.")
        return known

    def store(self, known: Known) -> None:
        """Write what a run established, whole or not at all, and drop all but the newest files.

        A disk that is full or may not be written costs the next run time, and this one a line in the log.
        """
        buffer = io.BytesIO()
        known.frame().write_parquet(buffer)
        raw = buffer.getvalue()
        try:
            replace_file(self._folder / self._name(raw), lambda path: path.write_bytes(raw))
            for path in self._files()[KEPT:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._log(
                f"Verified pairs could not be stored in {self._folder} ({error.strerror}); the next run starts anew."
            )

    def _name(self, raw: bytes) -> str:
        return f"{self._scheme}-{_digest(raw)[:32]}.parquet"

    def _files(self) -> list[Path]:
        """Newest first."""
        stamped = []
        for path in self._folder.glob("*-*.parquet"):
            try:
                stamped.append((path.stat().st_mtime_ns, path))
            except OSError:  # another run dropped it just now
                continue
        return [path for _, path in sorted(stamped, reverse=True)]


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
