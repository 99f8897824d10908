"""Programming problems: forms of the file, where a completion ends, and the verdict over paired answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources import suites
from twainbot.errors import BadConfig, BadInput
from twainbot.evals import coding, measure
from twainbot.evals.coding import Answer
from twainbot.evals.verdicts import TextLoss

OWN = {
    "task_id": "own/1",
    "prompt": 'def doubled(n):\n    """Twice n."""\n',
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "doubled",
}
ASSERTED = {
    "task_id": 7,
    "text": "Count the rainy days.",
    "code": "import math\ndef wet(day):\n    return day > 0\ndef rainy(days):\n    return sum(map(wet, days))",
    "test_list": ["assert rainy([0, 3, 1]) == 2", "assert rainy([]) == 0"],
}


@pytest.mark.parametrize(
    ("completion", "kept"),
    [
        ("    return 1\n", "    return 1\n"),
        ("    return 1\n\n\ndef other():\n    pass\n", "    return 1\n\n\n"),
        ("    if a:\n        return 1\n    return 2\nprint(f(1))\n", "    if a:\n        return 1\n    return 2\n"),
        ("    return 1\n# Example\n", "    return 1\n"),
        ("    return 1\n```\nThat is all.", "    return 1\n"),
        ("    # a note\n    return 1\n", "    # a note\n    return 1\n"),
        ("", ""),
    ],
)
def test_a_completion_ends_with_the_body_of_its_function(completion, kept):
    assert coding.body(completion) == kept


@given(st.text(alphabet="ab \n#def`", max_size=60), st.text(alphabet="ab \n#def`", max_size=60))
def test_what_follows_the_end_of_a_body_changes_nothing(written, more):
    if coding.ended(written):
        assert coding.body(written + more) == coding.body(written)
    assert written.startswith(coding.body(written))


def test_problems_come_in_two_forms():
    first, second = coding.problems([json.dumps(OWN), "", json.dumps(ASSERTED)], "mine.jsonl")
    assert first.entry_point == "doubled"
    assert second.entry_point == "rainy"  # of the two functions, the one that is asked for
    assert second.prompt.startswith("def rainy(days):\n")
    assert "assert rainy([0, 3, 1]) == 2" in second.prompt
    assert second.task_id == "7"


@pytest.mark.parametrize(
    "asserted",
    [
        "assert rainy(wet(1)) == 2",
        "assert 2 == rainy([0, 3, 1])",
        "assert not rainy ([])",
        "assert set(rainy([1])) == {1}",
    ],
)
def test_the_function_asked_for_is_the_one_that_a_test_calls_first(asserted):
    one = coding.problem({**ASSERTED, "test_list": [asserted]}, "mine.jsonl")
    assert one.entry_point == "rainy"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", r"mine.jsonl, line 2: not JSON"),
        ("[]", r"mine.jsonl, line 2: a problem is an object, not list"),
        (json.dumps({**OWN, "test": " "}), r"mine.jsonl, line 2: test is missing"),
        (json.dumps({**ASSERTED, "code": "x = 1"}), r"line 2: no function of code is called in test_list"),
        (json.dumps({**ASSERTED, "test_list": []}), r"line 2: no function of code is called in test_list"),
        (json.dumps(OWN), r"mine.jsonl: task_id 'own/1' stands twice"),
    ],
)
def test_a_bad_problem_is_named_by_file_line_and_field(line, sentence):
    with pytest.raises(BadInput, match=sentence):
        coding.problems([json.dumps(OWN), line], "mine.jsonl")


@pytest.mark.slow
def test_a_file_of_the_users_adds_problems_and_keeps_them_out_of_training(tmp_path, monkeypatch):
    before = len(suites.problems())
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(OWN), encoding="utf-8")
    monkeypatch.setenv("TWAINBOT_CODING_PROBLEMS", str(path))
    assert len(suites.problems()) == before + 1
    assert suites.eval_texts()["problems/own/1"] == OWN["prompt"]


def test_a_text_with_a_line_separator_in_it_is_one_problem(tmp_path, monkeypatch):
    path = tmp_path / "mine.jsonl"
    prompt = OWN["prompt"].replace("Twice n.", "Twice\u2028n.")
    path.write_text(json.dumps({**OWN, "prompt": prompt}, ensure_ascii=False) + "\r\n", encoding="utf-8")
    monkeypatch.setenv("TWAINBOT_CODING_PROBLEMS", str(path))
    assert [one.prompt for one in suites.more_problems()] == [prompt]


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TWAINBOT_CODING_PROBLEMS", str(tmp_path / "absent.jsonl"))
    with pytest.raises(BadConfig, match=r"absent.jsonl, which cannot be read"):
        suites.problems()


LOSSES = [TextLoss(f"p{n}", 10.0, 10.0, 20) for n in range(12)]


def answers(base, adapter):
    return [
        Answer(f"p{n}", *("passed" if ok else "wrong" for ok in pair))
        for n, pair in enumerate(zip(base, adapter, strict=True))
    ]


def verdict(rows, name="coding"):
    found = rows.filter((rows["kind"] == "verdict") & (rows["name"] == name))
    return measure.verdict_of(found["payload"][0])


@pytest.mark.parametrize(
    ("base", "adapter", "state"),
    [
        ([True] * 100 + [False] * 64, [True] * 100 + [False] * 64, "pass"),
        ([True] * 100 + [False] * 64, [False] * 40 + [True] * 60 + [False] * 64, "fail"),
        ([True] * 4 + [False] * 4, [True] * 4 + [False] * 4, "inconclusive"),  # eight problems cannot show five points
        ([False] * 8, [False] * 8, "not_measurable"),
    ],
)
def test_both_arms_are_paired_by_problem(base, adapter, state):
    rows = measure.coding(LOSSES, answers(base, adapter), "Sandbox: proved.")
    found = verdict(rows)
    assert (found.state, found.n) == (state, len(base))
    assert found.why.endswith("Sandbox: proved.")
    rates = rows.filter(rows["name"] == "pass_at_1").sort("arm", descending=True)
    assert rates["value"].to_list() == [sum(base) / len(base), sum(adapter) / len(adapter)]
    assert rates.filter(rates["low"] <= rates["value"]).height == 2
    assert rows.filter(rows["name"] == "coding_answer").height == len(base)


def test_what_did_not_run_says_why_and_leaves_the_loss_to_decide():
    rows = measure.coding(LOSSES, (), "No model-written code was run. The sandbox does not start here.")
    found = verdict(rows)
    assert (found.state, found.n) == ("not_run", 0)
    assert found.why == "No model-written code was run. The sandbox does not start here."
    assert verdict(rows, "code_loss").state == "pass"
    assert rows.filter(rows["name"] == "pass_at_1").is_empty()


def test_only_passed_programs_count_as_solved():
    given = [
        Answer(f"p{n}", state, state) for n, state in enumerate(["passed", "wrong", "exited", "timed_out", "garbled"])
    ]
    rates = measure.coding(LOSSES, given, "").filter(measure.pl.col("name") == "pass_at_1")
    assert set(rates["value"].to_list()) == {1 / 5}
