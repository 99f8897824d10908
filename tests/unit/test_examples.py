"""A property test's own number of examples, in `make test` and in `make check`."""

from __future__ import annotations

import pytest

from tests import examples


@pytest.mark.parametrize(
    ("share", "named", "looked_at"),
    [(100, 400, 400), (100, 4, 4), (25, 400, 100), (25, 60, 15), (25, 5, 2), (25, 1, 1), (1000, 60, 600)],
)
def test_a_named_number_follows_the_share_and_never_falls_to_none(share, named, looked_at, monkeypatch):
    monkeypatch.setattr(examples, "EXAMPLES", share)
    assert examples.examples(named) == looked_at
