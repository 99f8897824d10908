"""A word to whoever should know at once: one JSON object posted to the webhook that TWAINBOT_ALERT_URL names.

It never fails the run that it speaks of, and its address, which often holds a key, is in no log and no configuration.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

URL = "TWAINBOT_ALERT_URL"
_TIMEOUT_S = 5.0  # a webhook that hangs must not hold the GPU


def alert(title: str, text: str, facts: Mapping[str, Any], log: Callable[[str], None], url: str | None = None) -> bool:
    """Post `{"title", "text", "facts"}` and say whether somebody took it; without a URL it is only logged.

    facts: strings and numbers; a number that JSON does not know (nan) goes as text.
    """
    target = url if url is not None else os.environ.get(URL, "")
    if not target:
        log(f"Alert: {title}. Nobody was told, as {URL} is not set.")
        return False
    import httpx

    said = {"title": title, "text": text, "facts": {name: _plain(value) for name, value in facts.items()}}
    try:
        answer = httpx.post(target, json=said, timeout=_TIMEOUT_S)
        answer.raise_for_status()
    except Exception as error:  # whatever an address or a network can do; its text may hold the address
        log(f"Alert: {title}. It could not be delivered ({type(error).__name__}); look at {URL}.")
        return False
    log(f"Alert: {title}. Delivered.")
    return True


def _plain(value: Any) -> Any:
    """nan and infinity are no JSON."""
    odd = isinstance(value, float) and value - value != 0
    return str(value) if odd or not isinstance(value, (str, int, float, type(None))) else value
