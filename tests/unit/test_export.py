"""What is to be split, and the tables that training reads: nothing refused gets in, and what belongs together is tied."""

from __future__ import annotations

import json

import polars as pl

from tests import builders as make
from twainbot.dialogues.rows import turn
from twainbot.dialogues.tools import TOOLS
from twainbot.records import ASSIGNMENT, DAPT_ROW, PREFERENCE_ROW, SFT_ROW, frame
from twainbot.splits.assign import assign
from twainbot.splits.export import dapt_rows, preference_rows, samples, sft_rows
from twainbot.splits.groups import group_labels
from twainbot.splits.leakage import leaks

NO_TALK, NO_PAIRS = make.judged_dialogues().clear(), make.preferences().clear()


def origin(*parents: str) -> str:
    return json.dumps({"generator": "grammar", "parents": list(parents)})


def assignments(**splits: str) -> pl.DataFrame:
    rows = (
        {"sample_id": name, "kind": "x", "group_id": name, "cluster_id": None, "split": split, "stratum": "x"}
        for name, split in splits.items()
    )
    return frame(rows, ASSIGNMENT)


def test_prose_is_one_sample_a_passage_by_style_and_transcripts_are_not_read_as_prose():
    passages = make.passages(make.passage("t/1", style="twain"), make.passage("log/1", style="dialogue"))
    [row] = samples(passages, NO_TALK, NO_PAIRS).to_dicts()
    assert (row["kind"], row["stratum"], row["work_id"], row["seed_id"]) == ("passage", "passage/twain", "t/1", None)
    assert row["sample_id"] == row["cluster_id"] == passages["chunk_id"][0]


def test_only_kept_dialogues_are_samples():
    talk = make.judged_dialogues(
        make.judged_dialogue("d1"),
        make.judged_dialogue("d2", decision="review"),
        make.judged_dialogue("d3", decision="reject"),
    )
    found = samples(make.passages().clear(), talk, NO_PAIRS)
    assert found.select("sample_id", "kind", "stratum").rows() == [("d1", "dialogue", "dialogue/tool_calls")]


def test_a_retelling_hangs_with_the_passage_that_it_retells():
    passage = make.passage("t/1", cluster_id="t/0:0-9")
    talk = make.judged_dialogue("d1", kind="style_transfer", origin=origin("gone:0-9", passage["chunk_id"]))
    prose, spoken = samples(make.passages(passage), make.judged_dialogues(talk), NO_PAIRS).to_dicts()
    assert (spoken["cluster_id"], spoken["work_id"]) == (prose["cluster_id"], prose["work_id"]) == ("t/0:0-9", "t/1")
    assert group_labels(samples(make.passages(passage), make.judged_dialogues(talk), NO_PAIRS)) == [0, 0]


def test_a_transcript_is_a_work_of_its_own():
    talk = make.judged_dialogue("log/1", kind="transcript", seed_id=None, origin=origin("log/1"))
    [row] = samples(make.passages().clear(), make.judged_dialogues(talk), NO_PAIRS).to_dicts()
    assert (row["work_id"], row["cluster_id"], row["stratum"]) == ("log/1", None, "dialogue/transcript")


def test_a_pair_hangs_with_its_dialogue_and_goes_where_that_was_refused():
    talk = make.judged_dialogues(make.judged_dialogue("d1"), make.judged_dialogue("d2", decision="reject"))
    pairs = make.preferences(make.preference("p1", seed_id="d1"), make.preference("p2", seed_id="d2"))
    found = samples(make.passages().clear(), talk, pairs)
    assert found["sample_id"].to_list() == ["d1", "p1"]
    assert group_labels(found) == [0, 0]


def test_nothing_to_split_is_an_empty_table_of_the_same_columns():
    found = samples(make.passages().clear(), NO_TALK, NO_PAIRS)
    assert found.is_empty()
    assert found.schema == samples(make.passages(), make.judged_dialogues(), make.preferences()).schema


def test_whatever_is_made_can_be_split_without_a_leak():
    passages = make.passages(*(make.passage(f"t/{n}", text=f"Text {n}.", cluster_id=f"c{n // 2}") for n in range(20)))
    retold = [
        make.judged_dialogue(f"d{n}", kind="style_transfer", origin=origin(passages["chunk_id"][n]))
        for n in range(0, 20, 3)
    ]
    pairs = make.preferences(*(make.preference(f"p{n}", seed_id=f"d{n}") for n in range(0, 20, 3)))
    listed = samples(passages, make.judged_dialogues(*retold), pairs)
    assert listed.height == 20 + 7 + 7
    assert leaks(assign(listed), listed) == []


def test_dapt_rows_are_the_assigned_passages_with_their_split_sorted():
    passages = make.passages(make.passage("t/2", text="Two."), make.passage("t/1", text="One."), make.passage("t/3"))
    made = dapt_rows(passages, assignments(**{"t/1:0-4": "train", "t/2:0-4": "test", "d1": "train"}))
    assert made.schema == pl.Schema(DAPT_ROW)
    assert made.rows() == [("t/1:0-4", "train", "twain", "One.", 1), ("t/2:0-4", "test", "twain", "Two.", 1)]


def test_sft_rows_carry_served_names_arguments_as_objects_and_the_tool_list():
    [row] = sft_rows(make.judged_dialogues(), assignments(**{"b000-t-0000": "validation"})).to_dicts()
    assert list(row) == list(SFT_ROW)
    messages = json.loads(row["messages"])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["tool_calls"][0]["function"] == {
        "name": "get_forecast",
        "arguments": {"location": "Hannibal, MO", "datetime": "tomorrow"},
    }
    assert json.loads(row["tools"]) == TOOLS
    assert (row["split"], row["kind"]) == ("validation", "tool_calls")


def test_words_beyond_ascii_stay_readable():
    talk = make.judged_dialogue("d1", turns=[turn("user", "Café?"), turn("assistant", "Très bien.")])
    [row] = sft_rows(make.judged_dialogues(talk), assignments(d1="train")).to_dicts()
    assert "Café?" in row["messages"]


def test_preference_rows_are_prompt_messages_and_two_replies():
    [row] = preference_rows(make.preferences(), assignments(**{"b000-p-0000": "train"})).to_dicts()
    assert list(row) == list(PREFERENCE_ROW)
    assert json.loads(row["prompt"])[-1]["role"] == "tool"
    assert (row["chosen"], row["rejected"]) == (make.REPLY, make.REPLY.replace("71", "84"))


def test_rows_without_an_assignment_reach_no_table():
    assert sft_rows(make.judged_dialogues(), assignments(other="train")).is_empty()
    assert preference_rows(make.preferences(), assignments(other="train")).schema == pl.Schema(PREFERENCE_ROW)
    assert dapt_rows(make.passages(), assignments(other="train")).is_empty()
