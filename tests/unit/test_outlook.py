"""What n items can show, against figures worked out by hand or published."""

from __future__ import annotations

import pytest

from resources.suites import planned
from twainbot.evals import outlook, verdicts

SAMPLE = {"answers": 28, "dialogues": 52, "wanted": 40, "unwanted": 24, "calls": 64, "problems": 4}


def of(gate: str, **counts: int) -> outlook.Outlook:
    """The outlook of one gate."""
    return next(each for each in outlook.outlooks(counts) if each.gate == gate)


@pytest.mark.parametrize(
    ("gate", "needed"),
    # 0.95^59 < 0.05 <= 0.95^58; 0.8^14 < 0.05 <= 0.8^13; 0.9^29 < 0.05 <= 0.9^28; 2 / 2^6 < 0.05 <= 2 / 2^5
    [
        ("weather_errors", 59),
        ("no_call", 14),
        ("wanted_calls", 14),
        ("result_used", 29),
        ("style", 50),
        ("tool_calls", 6),
    ],
)
def test_the_smallest_sample_that_can_pass_is_the_bounds_own(gate: str, needed: int) -> None:
    assert outlook.smallest(gate) == needed


def test_power_is_the_chance_of_few_enough_errors() -> None:
    # 64 replies pass with no error only (1 of 93 is the next); 0.99^64 = 0.526
    assert of("weather_errors", answers=64).power == pytest.approx(0.99**64)


def test_power_at_300_replies_is_as_published() -> None:
    # a true 1 % passes 8 of 300 almost always
    assert of("weather_errors", answers=300).power > 0.99


def test_a_sample_too_small_is_said_to_be_out_of_reach() -> None:
    found = of("weather_errors", answers=58)
    assert (found.power, found.needed) == (0.0, 59)
    assert "weather_errors cannot pass on 58 items: 59 are needed." in outlook.out_of_reach({"answers": 58})


def test_more_rows_make_a_gain_easier_to_show() -> None:
    few, many = (of("tool_calls", calls=n).power for n in (12, 48))
    assert 0 < few < many <= 1


def test_every_gate_has_the_role_that_verdicts_give_it() -> None:
    found = outlook.outlooks(SAMPLE)
    assert [each.role for each in found] == sorted(verdicts.role(each.gate) for each in found)


def test_the_plan_counts_what_the_suites_hold() -> None:
    counts = planned(None, None, None, 0)
    assert counts["calls"] == counts["wanted"] + counts["unwanted"]
    assert counts["answers"] < counts["dialogues"]
    assert counts["wanted"] > 0 < counts["unwanted"]
