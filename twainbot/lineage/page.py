"""The lineage page: one HTML file with its data, style and script inside, which asks nobody for anything.

All words stand in one JSON block and reach the page as text nodes only; the page's own policy lets no other script run.
What is joined to what is links.py's. Equal links give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib import resources
from typing import Any

from twainbot.lineage.links import LEVELS, Links

# What would end or confuse the block: tags and comments, and two line ends of JavaScript that JSON lets stand.
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render(links: Links, title: str) -> str:
    """The whole page. `title`: whose lineage it is, as text."""
    script, style = part("page.js"), part("page.css")
    policy = f"default-src 'none'; script-src '{fingerprint(script)}'; style-src '{fingerprint(style)}'; img-src data:"
    filled = {
        "title": html.escape(title),
        "policy": policy,
        "style": style,
        "script": script,
        "data": embedded(contents(links, title)),
    }
    page = part("page.html")
    before, *rest = page.split("{{")  # one pass: what is filled in is never read for places again
    return before + "".join(filled[name] + after for name, _, after in (piece.partition("}}") for piece in rest))


def contents(links: Links, title: str) -> dict[str, Any]:
    """What the script reads."""
    return {
        "title": title,
        "levels": list(LEVELS),
        "totals": dict(links.totals),
        "shown": dict(links.shown),
        "share": round(links.share, 6),
        "moved": len(links.moved),
        "lost": len(links.lost),
        "nodes": links.nodes,
    }


def embedded(value: Any) -> str:
    """A value as JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in UNSAFE.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate becomes its own JSON escape


def fingerprint(source: str) -> str:
    """The name by which a content policy lets exactly this script or style in."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def part(name: str) -> str:
    """A file of the page."""
    return resources.files("twainbot.lineage").joinpath(name).read_text(encoding="utf-8")
