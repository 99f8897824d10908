"""Fixtures that every test folder shares. Builders and fakes live in builders.py and fakes.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent


# No test is timed: a busy machine would fail it. What an example costs is seen by --durations.
# `make check` looks at a quarter of the examples that `make test` looks at; a test may ask for a number of its own.
EXAMPLES = int(os.environ.get("TWAINBOT_EXAMPLES", "25"))
settings.register_profile("untimed", max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sources; the test skips, saying so, where it is absent."""
    folder = Path(os.environ.get("TWAINBOT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real sources at {folder}: set TWAINBOT_SHARED_DATA")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever runs the graph or a process of its own is slow: `make check` leaves it out."""
    for item in items:
        if {"graph", "e2e"} & set(Path(item.path).parts):
            item.add_marker(pytest.mark.slow)
