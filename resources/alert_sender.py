"""The process that delivers one message: `python -m resources.alert_sender`, JSON in and out. Who is told what, alerts.py says.

Every receiver has a thread and `each_s` seconds. Whoever has not answered by then is given up, and the process ends.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

_STATUS = re.compile(r"error\s*[=:]\s*(\d{3})\b")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere arrives there as a GET, without its message."""

    @override
    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        """Follow nothing: the redirect itself becomes an error with its status."""


class _Heard(logging.Handler):
    """Keeps the HTTP status that apprise only logs. Its lines hold addresses and go nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.status: dict[int, str] = {}

    @override
    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found and found[1] != "999":  # apprise's own number for no connection
            self.status[threading.get_ident()] = found[1]


def send(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Deliver to all receivers at once; the outcomes in their order."""
    targets: Sequence[Mapping[str, Any]] = asked["to"]
    each_s = float(asked["each_s"])
    found = [
        {"receiver": f"{number}", "took": False, "why": f"no answer in {each_s:g} s"} for number in range(1, len(targets) + 1)
    ]  # fmt: skip
    services = [None if target["plain"] else service_of(target["address"]) for target in targets]

    def deliver(place: int) -> None:
        target, service = targets[place], services[place]
        name = f"{place + 1} {'webhook' if target['plain'] else getattr(service, 'service_name', 'unknown')}"
        found[place]["receiver"] = name
        try:
            why = post(target["address"], asked["said"], each_s) if target["plain"] else notify(service, asked)
        except Exception as error:  # whatever an address or a network can do; its text may hold the address
            why = type(error).__name__
        found[place] = {"receiver": name, "took": not why, "why": why}

    threads = [threading.Thread(target=deliver, args=(place,), daemon=True) for place in range(len(targets))]
    end = time.monotonic() + each_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [dict(outcome) for outcome in found]


def post(address: str, said: Mapping[str, Any], each_s: float) -> str:
    """POST the plain object; empty, or why it was not taken."""
    if urlsplit(address).scheme not in ("http", "https"):
        return "its address is no http:// or https:// URL"
    data = json.dumps(said).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json", "User-Agent": "twainbot"})  # noqa: S310
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=each_s):
            return ""
    except urllib.error.HTTPError as error:
        return f"it answered with HTTP {error.code}"
    except OSError as error:
        reason = getattr(error, "reason", error)
        return f"it could not be reached ({type(reason).__name__})"


def service_of(address: str) -> Any:
    """Apprise's service for a URL; None where it knows none, or is not installed."""
    heard = logging.getLogger("apprise")
    heard.propagate = False
    if not heard.handlers:
        heard.addHandler(logging.NullHandler())
    try:
        import apprise
    except ImportError:
        return "not installed"
    asset = apprise.AppriseAsset(app_id="TwainBot", async_mode=False, http_redirects=False, plugin_paths=[])
    return apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)


def notify(service: Any, asked: Mapping[str, Any]) -> str:
    """Send through apprise as plain text; empty, or why it was not taken."""
    if service is None:
        return "apprise does not know this URL; see https://github.com/caronc/apprise/wiki"
    if isinstance(service, str):
        return "apprise is not installed: pip install apprise"
    heard, statuses = _Heard(), list[str]()
    logging.getLogger("apprise").addHandler(heard)
    inner = service.send

    def send_and_note(**arguments: Any) -> bool:
        took = bool(inner(**arguments))  # in a thread of apprise's own, which is the one that it logs from
        statuses.append(heard.status.pop(threading.get_ident(), ""))
        return took

    service.send = send_and_note
    from apprise import Apprise, NotifyFormat

    sender = Apprise(asset=service.asset)  # which turns plain text into what the service shows
    sender.add(service)
    if sender.notify(title=asked["title"], body=asked["body"], body_format=NotifyFormat.TEXT):
        return ""
    status = next(filter(None, statuses), "")
    return f"it answered with HTTP {status}" if status else "it could not be reached, or refused"


def main() -> None:
    """Read, deliver, answer, and end without waiting for whoever hangs."""
    said = json.dumps(send(json.load(sys.stdin)))
    sys.stdout.write(said)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
