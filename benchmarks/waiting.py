"""Tests and the fault campaign wait for what happens, with a generous limit, and never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether the condition comes true before so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
