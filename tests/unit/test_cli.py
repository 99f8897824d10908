"""The command line's own words."""

from __future__ import annotations

import errno
import os

import pytest

from resources.home import Home
from twainbot_assets.cli import disk_trouble, missing_first, tell, warning_lines
from twainbot_assets.freshness import Item
from twainbot_assets.runner import Fault, Report

RIVER, SFT = Item("chunks/local", "river"), Item("splits/sft")


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


def test_what_was_asked_for_and_waits_for_something_that_was_not_built_ends_with_exit_code_1_and_the_repair(
    tmp_path, capsys
):
    waits = [Fault(RIVER, "waits for corpora/local [river], which has no good version"),
             Fault(Item("chunks/local", "tales"), "waits for corpora/local [tales], which has no good version"),
             Fault(SFT, "waits for splits/assignments, which has no good version")]  # fmt: skip
    assert tell(Report(skipped=waits), Home(tmp_path, "tiny"), []) == 1
    said = capsys.readouterr()
    assert "0 built, 3 skipped" in said.out
    assert "passed" not in said.out
    assert "`twainbot run --select '+chunks/local or +splits/sft'` builds both" in said.err
    assert "`twainbot run` builds both" in missing_first([Fault(Item(f"evals/{name}"), "waits") for name in "abcd"])


@pytest.mark.parametrize(
    ("report", "code", "verdict"),
    [
        (Report(made=[RIVER]), 0, "1 built, every blocking gate passed"),
        (Report(made=[RIVER], skipped=[Fault(SFT, "waits")]), 1, "1 built, 1 skipped"),
        (Report(faults=[Fault(RIVER, "refused")], skipped=[Fault(SFT, "waits")]), 1, "0 built, 1 failed, 1 skipped"),
    ],
)
def test_only_where_all_that_was_asked_for_is_there_a_run_ends_well(tmp_path, capsys, report, code, verdict):
    assert tell(report, Home(tmp_path, "tiny"), []) == code
    said = capsys.readouterr()
    assert verdict in said.out
    assert ("needs more than was selected" in said.err) == (code == 1 and not report.faults)


def test_a_place_that_may_not_be_used_is_told_in_a_sentence_and_any_other_fault_is_not():
    barred = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/srv/twainbot/run.lock")
    assert disk_trouble(barred) == (
        "/srv/twainbot/run.lock cannot be read or written: Permission denied. Make room or mend its permissions, "
        "then run again."
    )
    assert (disk_trouble(OSError(errno.ENOSPC, "No space left on device")) or "").startswith("Where the output goes")
    assert disk_trouble(BrokenPipeError(errno.EPIPE, "Broken pipe")) is None  # click's: a reader that has seen enough
    assert disk_trouble(ValueError()) is None
