"""Known-good and known-bad systems through the whole evaluation stage: each fails on the gate it should, and on no other."""

from __future__ import annotations

import pytest

from tests import known_systems as known


def _cases() -> list[object]:
    """The oracle, and the bad systems; only the first is looked at by `make check`."""
    return [
        pytest.param(system, id=system.name, marks=[pytest.mark.slow] * bool(system.fails)) for system in known.SYSTEMS
    ]


@pytest.mark.parametrize("system", _cases())
def test_a_system_fails_on_the_gates_that_it_should_and_no_others(system: known.System) -> None:
    states = known.states(system)
    assert {gate for gate, state in states.items() if state == "fail"} == set(system.fails)
    assert set(states) == set(known.GATES)


def test_the_oracle_passes_every_gate() -> None:
    assert set(known.states(known.SYSTEMS[0]).values()) == {"pass"}


def test_no_bad_system_is_without_the_gate_that_it_must_fail() -> None:
    assert known.SYSTEMS[0].name == "oracle"
    assert all(system.fails for system in known.SYSTEMS[1:])


@pytest.mark.slow
def test_the_page_shows_what_is_computed() -> None:
    assert known.PAGE.read_text(encoding="utf-8") == known.page()
