"""What a host's robots.txt says of a URL. The rules' language is protego's; when to ask, and what silence means, is here.

RFC 9309: an answer 4xx means no rules, 5xx or none at all means keep out; an answer holds for a day.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from resources.lake import replace_file
from twainbot.errors import SourceUnavailable

if TYPE_CHECKING:
    from protego import Protego

AGENT = "TwainBot"  # the name that robots.txt may use for us
DAY_S = 86_400.0
MAX_PAIRS = 500_000  # of an agent and a rule: a second and 100 MB; the longest lists in use make some thousands
_NAMES_AGENT = re.compile(r"user.?agent", re.IGNORECASE)
MAX_BYTES = 500 * 2**10  # RFC 9309 asks for at least 500 KiB; what follows is not read
MAX_NAME = 120  # characters of a file's name
MAX_DELAY_S = 60.0  # of a Crawl-delay; more would be a refusal in other words
# Agents that collect text for language models. A host that bars any of them from a page reserves that page.
MODEL_AGENTS = (
    "GPTBot", "ClaudeBot", "Claude-Web", "anthropic-ai", "CCBot", "Google-Extended", "Applebot-Extended", "Bytespider",
    "PerplexityBot", "Meta-ExternalAgent", "cohere-ai", "Diffbot", "Amazonbot",
)  # fmt: skip


class Barred(SourceUnavailable):
    """robots.txt keeps us out of a URL."""


@dataclass(frozen=True)
class Rules:
    """A host's robots.txt. `text`: empty where the host has none. `status`: how it answered."""

    host: str
    text: str
    status: int

    def allows(self, url: str, agent: str = AGENT) -> bool:
        """Whether the agent may fetch the URL."""
        return not self.text or bool(self._read.can_fetch(url, agent))

    def reserved_for(self, url: str) -> list[str]:
        """The model builders' agents that are barred from the URL though another agent may read it."""
        return [agent for agent in MODEL_AGENTS if not self.allows(url, agent)] if self.allows(url) else []

    def delay_s(self) -> float:
        """The pause that the host asks for between two requests; 0 where it asks for none."""
        asked = self._read.crawl_delay(AGENT) if self.text else None
        return min(float(asked or 0.0), MAX_DELAY_S)

    @cached_property
    def _read(self) -> Protego:
        """The text as protego reads it. One that is made to take minutes bars us from the whole host."""
        from protego import Protego

        return Protego.parse(self.text if pairs(self.text) <= MAX_PAIRS else "User-agent: *\nDisallow: /")


class Robots:
    """The rules of all hosts, kept for a day in `<raw>/robots`. `ask` fetches a robots.txt: its status and its bytes."""

    def __init__(self, folder: Path, ask: Callable[[str], tuple[int, bytes]]) -> None:
        self.folder = folder
        self.ask = ask

    def rules(self, url: str) -> Rules:
        """The rules of the URL's host. Raises SourceUnavailable where they cannot be read: then nothing may be fetched."""
        scheme, netloc = urlsplit(url)[:2]
        path = self.folder / f"{file_name(f'{scheme}_{netloc}')}.json"
        known = _kept(path)
        if known is not None:
            return Rules(netloc, known["text"], known["status"])
        address = f"{scheme}://{netloc}/robots.txt"
        try:
            status, content = self.ask(address)
        except SourceUnavailable as fault:
            fault.args = (f"{address} cannot be read, so nothing is fetched from there: {fault}",)
            raise
        text = content[:MAX_BYTES].decode("utf-8-sig", "replace") if status == 200 else ""
        kept = {"url": address, "status": status, "text": text, "read_at": time.time()}
        replace_file(path, lambda file: file.write_text(json.dumps(kept, indent=1)))
        return Rules(netloc, text, status)


def pairs(text: str) -> int:
    """How many pairs a robots.txt makes, at most: of each line of a group and the agents that the group names before it."""
    total = agents = 0
    in_rules = False
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        if _NAMES_AGENT.match(line):
            agents, in_rules = 1 if in_rules else agents + 1, False
        else:
            in_rules = in_rules or ":" in line
        total += agents
    return total


def file_name(text: str) -> str:
    """The text as a name for a file: readable where that is short enough, else its hash."""
    name = quote(text, safe="")
    return name if len(name) <= MAX_NAME else hashlib.sha256(text.encode()).hexdigest()


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        age = time.time() - float(known["read_at"])
    except (OSError, ValueError, KeyError):
        return None
    return known if 0 <= age < DAY_S else None
