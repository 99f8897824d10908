"""The labelled replies are as they were committed, and the recorded rates are those of the judge that ships."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from benchmarks import judge as benchmark
from twainbot.evals.grounding import VALIDATION, Validation, corrected
from twainbot.evals.statistics import clopper_pearson


@pytest.mark.parametrize("name", ["development", "heldout", "second_heldout"])
def test_the_sets_are_those_whose_hash_was_committed_before_they_were_scored(name: str) -> None:
    hashes = yaml.safe_load((benchmark.FOLDER / "hashes.yaml").read_text("utf-8"))
    for file in (f"{name}.jsonl", f"{name}_contexts.yaml"):
        assert hashlib.sha256((benchmark.FOLDER / file).read_bytes()).hexdigest() == hashes[file]


def test_the_recorded_rates_are_those_of_the_judge_that_ships() -> None:
    # a judge that has changed needs a new held-out set: this one has been read
    found = benchmark.judged("second_heldout")
    faithful, faulty = [one for one in found if not one.faulty], [one for one in found if one.faulty]
    assert Validation(
        sum(one.flagged for one in faithful), len(faithful), sum(one.flagged for one in faulty), len(faulty)
    ) == VALIDATION  # fmt: skip
    assert len(faithful) >= 300
    assert len(faulty) >= 150


def test_the_documented_rates_are_the_recorded_ones() -> None:
    page = (benchmark.FOLDER.parents[2] / "docs" / "evaluation.md").read_text("utf-8")
    for name, k, n in (
        ("false positives", VALIDATION.false_positives, VALIDATION.faithful),
        ("recall", VALIDATION.caught, VALIDATION.faulty),
    ):
        ends = clopper_pearson(k, n)
        assert f"| {name} | {k} of {n}, {k / n:.1%} ({ends.low:.1%} to {ends.high:.1%})" in page


def test_no_reply_stands_in_two_sets() -> None:
    replies = [row["reply"] for name in benchmark.SETS for row in benchmark.labelled(name)]
    assert len(replies) == len(set(replies))


def test_a_rate_no_higher_than_the_judges_own_false_positives_corrects_to_nothing() -> None:
    found = corrected(VALIDATION.false_positives, VALIDATION.faithful)
    assert found is not None
    assert found[0] == 0.0
    assert found[1].high > 0


def test_the_correction_takes_false_positives_off_and_missed_faults_on() -> None:
    found = corrected(50, 100, Validation(10, 100, 90, 100))
    assert found is not None
    assert found[0] == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))
    assert found[1].low < found[0] < found[1].high
    assert corrected(0, 0) is None
