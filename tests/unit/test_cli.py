"""The command line's own words."""

from __future__ import annotations

from twainbot_assets.cli import warning_lines
from twainbot_assets.freshness import Item
from twainbot_assets.runner import Fault


def test_a_warning_that_many_partitions_share_is_told_once_with_their_number():
    why = "toxicity_model_ran: not run: {} of {} chunks were not scored."
    warnings = [
        Fault(Item("screened/jokes", "trades"), why.format(35, 35)),
        Fault(Item("corpora/local", "canaries"), "rights_are_known: 1 works of unknown rights will be rejected"),
        Fault(Item("screened/local", "river"), why.format(6, 6)),
        Fault(Item("screened/local", "travel"), why.format(7, 7)),
    ]
    assert warning_lines(warnings) == [
        f"warning screened/jokes [trades]: {why.format(35, 35)} (and 2 more of screened)",
        "warning corpora/local [canaries]: rights_are_known: 1 works of unknown rights will be rejected",
    ]
    assert warning_lines([]) == []
