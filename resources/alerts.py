"""A word to whoever should know at once: to every apprise URL in TWAINBOT_ALERT_URLS, and as JSON to TWAINBOT_ALERT_URL.

A process of its own delivers (alert_sender.py), with a deadline: a receiver that hangs, a library that logs the address that
it posts to and an exception that quotes it all end there. Nothing of it fails the run that is spoken of, and the addresses,
which hold keys, are in no log, event or metadata.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resources.home import PROJECT

URL, URLS, UI = "TWAINBOT_ALERT_URL", "TWAINBOT_ALERT_URLS", "TWAINBOT_UI_URL"
DEFAULT_UI = "http://127.0.0.1:3000"
EACH_S = 8.0  # for one receiver's answer
DEADLINE_S = (
    40.0  # of one delivery with the start of its process, 3 s and much more on a busy machine; a sensor's tick has 60
)
LONGEST = 1500  # characters of a body; Discord refuses 2000 and more
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|ALERT_URL|CREDENTIAL")
_SHORTEST_SECRET = 8  # characters: a shorter value, such as `true`, would blot out ordinary words


@dataclass(frozen=True)
class Receiver:
    """Where a message goes. `plain`: the JSON object of TWAINBOT_ALERT_URL, not apprise. Its address is a secret."""

    address: str = field(repr=False)
    plain: bool = False


@dataclass(frozen=True)
class Message:
    """What is said: a title, what happened, how it is mended, and the run's page. `facts`: for programs that read it."""

    title: str
    happened: str
    repair: str = ""
    run_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> str:
        """Everything below the title, as plain text."""
        link = f"Run: {run_page(self.run_id)}" if self.run_id else ""
        said = shortened(self.happened, LONGEST - len(self.repair) - len(link))
        return "\n\n".join(filter(None, (said, self.repair, link)))


@dataclass(frozen=True)
class Outcome:
    """What became of a message at one receiver. `receiver`: its number and the service's name, never its address."""

    receiver: str
    took: bool
    why: str = ""


def run_page(run_id: str) -> str:
    """The address of a run's page in the UI."""
    return f"{(os.environ.get(UI) or DEFAULT_UI).rstrip('/')}/runs/{run_id}"


def receivers() -> list[Receiver]:
    """Those that the environment names: apprise URLs first, then the plain webhook."""
    listed = [Receiver(address) for address in addresses(os.environ.get(URLS, ""))]
    return [*listed, *([Receiver(os.environ[URL], plain=True)] if os.environ.get(URL) else [])]


def addresses(text: str) -> list[str]:
    """Apprise URLs, parted by white space, or by a comma before the next scheme: inside a URL a comma lists recipients."""
    parted = re.split(r"\s*,\s*(?=[A-Za-z][\w+.-]*://)|\s+", text.strip())
    return [address for address in (part.strip(",") for part in parted) if address]


def deliver(message: Message, to: Sequence[Receiver] | None = None) -> list[Outcome]:
    """Send to each receiver, all at once, and say who took it. Never raises."""
    targets = receivers() if to is None else list(to)
    if not targets:
        return []
    asked = {
        "title": harmless(" ".join(message.title.split())),  # a mail's subject is one line
        "body": harmless(message.body()),
        "said": _json_of(message),
        "each_s": EACH_S,
        "to": [{"address": target.address, "plain": target.plain} for target in targets],
    }
    command = [sys.executable, "-W", "ignore", "-m", "resources.alert_sender"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=DEADLINE_S, cwd=PROJECT, check=False
        )  # fmt: skip
        return [Outcome(**found) for found in json.loads(done.stdout)]
    except Exception as error:  # its text holds the input, and so the addresses
        kind = "no answer in time" if isinstance(error, subprocess.TimeoutExpired) else "the sender failed"
        return [Outcome(f"{number}", took=False, why=kind) for number in range(1, len(targets) + 1)]


def _json_of(message: Message) -> dict[str, Any]:
    """The object that the plain webhook gets."""
    more = {"repair": message.repair, "run": run_page(message.run_id) if message.run_id else ""}
    facts = {**message.facts, **{name: value for name, value in more.items() if value}}
    said = {name: _plain(value) for name, value in facts.items()}
    return {"title": masked(message.title), "text": masked(message.happened), "facts": said}


def alert(title: str, text: str, facts: Mapping[str, Any], log: Callable[[str], None], url: str | None = None) -> bool:
    """Tell every receiver, or with `url` that webhook alone, and say whether somebody took it; without any it is only logged.

    facts: strings and numbers; a number that JSON does not know (nan) goes as text.
    """
    targets = receivers() if url is None else [Receiver(url, plain=True)]
    if not targets:
        log(f"Alert: {title}. Nobody was told: {URLS} is not set, {URL} is not set.")
        return False
    outcomes = deliver(Message(title, text, facts=facts), targets)
    log(f"Alert: {title}. {verdict_on(outcomes)}")
    return any(outcome.took for outcome in outcomes)


def verdict_on(outcomes: Sequence[Outcome]) -> str:
    """Who took a message, in a sentence."""
    lost = [f"receiver {outcome.receiver}: {outcome.why}" for outcome in outcomes if not outcome.took]
    if not lost:
        return "Delivered."
    told = "It could not be delivered" if len(lost) == len(outcomes) else "Delivered, but not to all"
    return f"{told} ({'; '.join(lost)}); look at {URLS} and {URL}, and try `twainbot alert-test`."


def harmless(text: str) -> str:
    """Text that calls nobody in a chat, whatever a corpus or an error put into it, with the environment's secrets masked."""
    return re.sub(r"@(?=\w)|<(?=[!@#])", lambda found: found[0] + "\u200b", masked(text))


def masked(text: str) -> str:
    """Values of variables that are named like secrets, replaced."""
    named = {value for name, value in os.environ.items() if _SECRET.search(name)}
    secret = {value for value in named | {one.address for one in receivers()} if len(value) >= _SHORTEST_SECRET}
    for value in sorted(secret, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def shortened(text: str, limit: int) -> str:
    """At most so many characters, with a mark where some are left out."""
    return text if len(text) <= limit else text[: max(limit - 2, 0)].rstrip() + " …"


def _plain(value: Any) -> Any:
    """nan and infinity are no JSON."""
    odd = isinstance(value, float) and value - value != 0
    kept = str(value) if odd or not isinstance(value, (str, int, float, type(None))) else value
    return masked(kept) if isinstance(kept, str) else kept
