"""How fast requests may start: an even pace by requests and tokens per minute, and a pause where a service asks for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

MINUTE_S = 60.0


class Pace:
    """Start times for any number of threads. Bounds of None do not bind.

    Starts are spread evenly, so that no minute ever holds more than it may, bursts at the turn of a minute included.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._per_request = MINUTE_S / requests_per_minute if requests_per_minute else 0.0
        self._per_token = MINUTE_S / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._lock = Lock()

    def wait(self, tokens: int) -> None:
        """Return when a request of so many tokens may start."""
        with self._lock:
            start = max(self._clock(), self._next)
            self._next = start + max(self._per_request, tokens * self._per_token)
        delay = start - self._clock()
        if delay > 0:
            self._sleep(delay)

    def hold(self, seconds: float) -> None:
        """Let nothing start before so many seconds have passed."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)
