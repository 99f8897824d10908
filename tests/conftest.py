"""Fixtures that every test folder shares. Builders and fakes live in builders.py and fakes.py."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.examples import EXAMPLES

ROOT = Path(__file__).resolve().parent.parent

# Two workers train on two cores at once, and torch's threads wait for each other in a loop: 80 tokens/s for each with so
# short a one, 43 by default (docs/decisions/0010). Alone the default is twice as fast.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


# No test is timed: a busy machine would fail it. What an example costs is seen by --durations.
# `make check` looks at 15 % of the examples that `make test` looks at; a test asks for a number of its own through
# `examples`, so that the share holds for it too.
settings.register_profile("untimed", max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


ZIP = r"[PK\x03\x04\x14"  # as a test's name: it holds the second at which it was made, and two workers' names would differ
SLOW_FIXTURES = {"stacked", "tracked", "watched"}  # of one module each; ten seconds


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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded here stays: looking through it for garbage doubles the time of reading tests, and of running them.

    Measured beside torch, Transformers and Dagster: 0.9 s against 0.4 s for the assertions of 2,300 lines of tests, 1.1 s
    against 0.4 s for the syntax trees of half the pure package.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever runs the graph, trains stage after stage or builds a tracking store is slow: `make check` leaves it out."""
    for item in items:
        if ZIP in item.nodeid:
            raise pytest.UsageError(
                f"{item.nodeid.partition('[')[0]}: name its parameters by ids=, one is a zip made just now."
            )
        if {"graph", "e2e"} & set(Path(item.path).parts) or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
