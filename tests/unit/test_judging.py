"""The judge: which dialogues it is given, what it is asked, which of its answers count."""

from __future__ import annotations

import json

import polars as pl
import pytest

from tests.unit.test_rewriting import draft, drafts
from twainbot.dialogues import judging
from twainbot.dialogues.asking import Answer
from twainbot.records import FEEDBACK

SOUND = {"rationale": "the knees  are funny", "style": 4, "humor": 3, "factuality": 5}


def test_a_judges_rating_names_rater_prompt_and_rationale():
    row, reason = judging.rating(draft(), Answer(json.dumps(SOUND)), "m9")
    assert reason == ""
    assert row == {
        "conversation_id": "b000/tool_calls/0000", "style": 4, "humor": 3, "factuality": 5, "rater": judging.rater("m9"),
        "rationale": "the knees are funny",
    }  # fmt: skip
    assert judging.rater("m9").startswith("judge:m9/judge@1:")


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"style": 6}, "drift: style is '6'"), ({"humor": "4"}, "drift: humor is str"), ({"factuality": True}, "drift"),
     ({"rationale": " "}, "empty: no rationale"), ({"style": 0}, "drift")],
)  # fmt: skip
def test_a_rating_off_the_scale_or_unexplained_is_none(change, reason):
    row, why = judging.rating(draft(), Answer(json.dumps({**SOUND, **change})), "m9")
    assert row == {}
    assert why.startswith(reason)


def test_the_judge_sees_the_dialogue_with_nothing_marked():
    request = judging.judge_request(draft())
    assert "rewrite" not in request.messages[1][1].split("Dialogue:\n")[1]
    assert "71" in request.messages[1][1]
    assert set(request.schema["required"]) == {"rationale", "style", "humor", "factuality"}


def test_a_sample_is_the_same_whatever_order_and_a_further_row_moves_no_other():
    few = judging.sample(drafts(20), 5, 1835)
    assert few.height == 5
    assert (
        judging.sample(drafts(20).reverse(), 5, 1835)["conversation_id"].to_list() == few["conversation_id"].to_list()
    )
    more = judging.sample(drafts(21), 5, 1835)["conversation_id"].to_list()
    assert len(set(more) & set(few["conversation_id"].to_list())) >= 4
    assert judging.sample(drafts(20), 5, 7)["conversation_id"].to_list() != few["conversation_id"].to_list()
    assert judging.sample(drafts(3), 5, 1835).height == 3


def test_unusable_answers_are_told_by_id_and_the_others_are_ratings():
    answers = [Answer(json.dumps(SOUND)), Answer("I cannot rate this."), Answer(json.dumps(SOUND))]
    rows, unusable = judging.judged(drafts(3), lambda _: answers, "m9")
    assert rows.columns == list(FEEDBACK)
    assert rows["conversation_id"].to_list() == ["b000/tool_calls/0000", "b000/tool_calls/0002"]
    assert unusable == {"b000/tool_calls/0001": "refusal: I cannot rate this."}
    assert isinstance(rows, pl.DataFrame)
