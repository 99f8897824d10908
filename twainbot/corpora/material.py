"""What a door hands to a parser: the documents of one unit. A book is one part; a feed with its articles is many."""

from __future__ import annotations

from dataclasses import dataclass

# A document is parsed by itself. A page belongs to an item of a feed; what a browser built of it outweighs what was fetched.
KINDS = ("document", "page", "rendered")


@dataclass(frozen=True)
class Part:
    """One document as it was received. `url`: where from; `retrieved_at`: ISO 8601 in UTC, "" for a file of ours.

    `headers`: lines of its answer that say how it may be used ("X-Robots-Tag: noai"). `kind`: one of KINDS.
    """

    raw: bytes
    url: str = ""
    retrieved_at: str = ""
    headers: str = ""
    kind: str = "document"


def parts_of(raw: bytes | tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts of a unit; bytes alone are one part of which nothing more is known."""
    return (Part(raw),) if isinstance(raw, bytes) else raw
