"""What a language model's service can answer but words: which faults pass, which end the run, and what of them may be told.

Both SDKs raise the same family of exceptions. Their own retries are switched off: they bypass our pace and budget, and they
differ (told to come back in 3,000 s, OpenAI's gives up and Anthropic's sleeps for 3,000 s; neither ends a body that drips in).
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from twainbot.errors import BadConfig, BadInput, SourceUnavailable, TwainBotError

BAD_REQUEST, BARRED, UNKNOWN = (400, 413, 422), (401, 403), 404
MAX_WAIT_S = 300.0  # a service that asks for more has no room for us today
HIDDEN = "[secret]"
SAID_CHARACTERS = 200


class TryLater(SourceUnavailable):
    """A fault that may pass: 429, 5xx, a broken connection, an answer that is no answer. `retry_after`: seconds, or None."""

    def __init__(self, text: str, retry_after: float | None = None, *, billed: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.billed = billed  # the service may have done the work all the same


class NotTaken(BadInput):
    """The service refuses this one request, and would again."""


class NotThere(BadConfig):
    """404: the service knows no such model, job or page."""


class Secrets:
    """Takes the secrets out of whatever is told: an endpoint may echo a header in its error page."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = sorted((secret for secret in secrets if len(secret) > 3), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text without any secret."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def fault_of(error: Exception, where: str, clean: Callable[[str], str]) -> TwainBotError:
    """Our fault for an SDK's exception, in one sentence; `clean` takes the secrets out."""
    status = getattr(error, "status_code", None)
    said = clean(" ".join(str(getattr(error, "message", "") or error).split()))[:SAID_CHARACTERS]
    told = (
        f"{where} answered {status}: {said}" if status else f"{where} gave no answer ({type(error).__name__}: {said})"
    )
    if status in BARRED:
        return BadConfig(f"{told}. Check TWAINBOT_LLM_API_KEY, and that it may use this model.")
    if status == UNKNOWN:
        return NotThere(f"{told}. Check TWAINBOT_LLM_URL and the model's name.")
    if status in BAD_REQUEST:
        return NotTaken(f"{told}.")
    if getattr(error, "code", None) == "insufficient_quota":  # a 429 that no waiting helps
        return SourceUnavailable(
            f"{told}. The account has no credit left: answers so far are kept; top it up, run again."
        )
    wait = retry_after(getattr(error, "response", None))
    if wait is not None and wait > MAX_WAIT_S:
        return SourceUnavailable(
            f"{told}. It asks for {wait:.0f} s of patience: run again then, answers so far are kept."
        )
    return TryLater(f"{told}.", wait, billed="Timeout" in type(error).__name__)


def retry_after(response: Any, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that an answer's Retry-After asks for, given as seconds or as a date; None where it has none."""
    said = (getattr(response, "headers", None) or {}).get("retry-after")
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        moment = email.utils.parsedate_tz(said)
        return max(0.0, email.utils.mktime_tz(moment) - now()) if moment else None


def another_try(error: Exception) -> float | bool:
    """For stamina: False to give up, True for its own jittered backoff, or the seconds that the service asked for."""
    if not isinstance(error, TryLater):
        return False
    return error.retry_after or True


def with_deadline(client: Callable[..., Any], seconds: float) -> Any:
    """An SDK's HTTP client whose answers must be there after so many seconds.

    The libraries' own timeouts bound each silence, so a body that drips in byte by byte never meets them.
    """
    import httpx2

    class Timed(httpx2.SyncByteStream):
        def __init__(self, stream: Any, until: float) -> None:
            self._stream, self._until = stream, until

        @override
        def __iter__(self) -> Any:
            for part in self._stream:
                if time.monotonic() > self._until:
                    raise httpx2.ReadTimeout(f"the answer was not whole after {seconds:g} s")
                yield part

        @override
        def close(self) -> None:
            self._stream.close()

    def start(request: Any) -> None:
        request.extensions["until"] = time.monotonic() + seconds

    def watch(response: Any) -> None:
        response.stream = Timed(response.stream, response.request.extensions["until"])

    return client(timeout=seconds, event_hooks={"request": [start], "response": [watch]})
