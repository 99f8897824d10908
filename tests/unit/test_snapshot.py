"""A data bundle's tables: every row with its origin, nothing whose rights forbid it, and a reason for all that is not in it."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders as make
from tests import data_lake as small
from twainbot.errors import BadInput
from twainbot.release import chat, data_card, funnel
from twainbot.release.snapshot import CONFIGS, checked, of_evals, snapshot


@pytest.fixture(scope="module")
def tables():
    return snapshot(small.material())


def origin(tables, name):
    return tables["provenance"].filter(sample_id=name).row(0, named=True)


def fates(tables):
    return {row["sample_id"]: (row["stage"], row["decision"], row["reasons"]) for row in tables["left_out"].to_dicts()}


def test_a_bundle_has_every_config_and_every_row_its_origin(tables):
    assert tuple(tables) == CONFIGS
    assert {name: tables[name].height for name in ("dapt", "sft", "preferences", "dialogues")} == {
        "dapt": 2, "sft": 3, "preferences": 1, "dialogues": 3,
    }  # fmt: skip
    assert checked(tables) == []
    assert tables["provenance"].height == 2 + 3 + 1


def test_a_row_without_its_origin_or_in_another_split_is_found(tables):
    short = {**tables, "provenance": tables["provenance"].filter(pl.col("sample_id") != small.RETELLING)}
    assert checked(short) == [small.RETELLING]
    moved = tables["dapt"].with_columns(split=pl.lit("validation"))
    assert set(checked({**tables, "dapt": moved})) == {small.FLOOD_ID, small.BULLETIN_ID}


def test_a_row_whose_work_the_bundle_lacks_is_found(tables):
    without = tables["works"].filter(pl.col("work_id") != small.BULLETIN_WORK)
    # a passage of it, the call about it, and the pair of that call
    assert checked({**tables, "works": without}) == [small.BULLETIN_ID, small.CALLING, small.PAIR]


def test_a_passage_is_the_characters_of_its_work(tables):
    found = origin(tables, small.FLOOD_ID)
    assert make.TEXT[found["start"] : found["end"]] == tables["dapt"].filter(sample_id=small.FLOOD_ID)["text"][0]
    assert (found["source"], found["unit"], found["span"]) == ("local", "tales", "passage")


def test_a_retelling_names_the_very_words_that_it_retells(tables):
    found = origin(tables, small.RETELLING)
    assert make.TEXT[found["start"] : found["end"]] == small.RETOLD
    assert (found["work_id"], found["span"], found["parents"]) == ("tales/the-flood", "retold words", [small.FLOOD_ID])
    assert (found["generator"], found["prompt_hash"], found["seed"]) == ("grammar-v1", "77aa", 13)


def test_a_call_names_its_bulletin_and_a_pair_what_stands_behind_its_dialogue(tables):
    assert origin(tables, small.CALLING)["bulletins"] == [small.BULLETIN_WORK]
    pair = origin(tables, small.PAIR)
    assert pair["parents"] == [small.CALLING, small.BULLETIN_ID]
    assert pair["bulletins"] == [small.BULLETIN_WORK]
    assert pair["disclaimer"] == "Synthetic."


def test_a_transcript_is_its_work_whole(tables):
    found = origin(tables, small.LOG)
    assert (found["source"], found["work_id"], found["span"]) == ("transcripts", small.LOG, "whole work")


def test_text_that_may_be_trained_on_and_not_published_is_withheld_with_its_reason(tables):
    assert small.LAMP_ID not in tables["dapt"]["sample_id"]
    assert fates(tables)[small.LAMP_ID] == ("release", "withheld", ["rights_forbid_release:permission"])
    assert "tales/the-lamp" not in tables["works"]["work_id"]


def test_a_dialogue_that_retells_such_a_text_is_withheld_with_its_pairs():
    talks = [
        {**row, "origin": small.origin(small.LAMP_ID)} if row["conversation_id"] == small.CALLING else row
        for row in small.dialogues()
    ]
    found = snapshot(small.material(dialogues=talks))
    assert {small.CALLING, small.PAIR, small.LAMP_ID} <= {
        name for name, fate in fates(found).items() if fate[1] == "withheld"
    }
    assert small.LAMP not in json.dumps([rows.to_dicts() for rows in found.values()])


def test_whatever_was_left_out_stands_with_stage_and_reason_and_without_its_text(tables):
    assert fates(tables) == {
        "tales/line-3": ("corpora", "reject", ["malformed_json (line 3)"]),
        small.COPY_ID: ("dedupe", "reject", [f"duplicate_in:{small.FLOOD_ID}"]),
        small.REFUSED: ("dialogues", "reject", [f"near_duplicate: {small.CALLING}"]),
        small.LOST_PAIR: ("dialogues", "reject", ["its_dialogue_is_left_out"]),
        small.TIED: ("splits", "held_back", ["would_tie_splits"]),
        small.LAMP_ID: ("release", "withheld", ["rights_forbid_release:permission"]),
    }
    assert "text" not in tables["left_out"].columns + tables["works"].columns


def test_a_split_row_that_nothing_explains_stops_the_release():
    found = small.material()
    with pytest.raises(BadInput, match="1 rows of the splits have no passage"):
        snapshot(replace(found, passages=found.passages.filter(pl.col("chunk_id") != small.FLOOD_ID)))


LATE = {
    "rejected since": lambda works, name: [
        {**row, "rights": "restricted", "reject_reason": "rights: withdrawn"} if row["work_id"] == name else row
        for row in works
    ],
    "gone": lambda works, name: [row for row in works if row["work_id"] != name],
}


@pytest.mark.parametrize("fate", LATE)
@pytest.mark.parametrize(
    ("work", "row"),
    [("tales/the-flood", small.FLOOD_ID), (small.BULLETIN_WORK, small.BULLETIN_ID), (small.LOG, small.LOG)],
)
def test_a_row_whose_work_the_lake_lacks_or_rejects_stops_the_release(fate, work, row):
    found = small.material(works=LATE[fate](small.works(), work))
    with pytest.raises(
        BadInput, match=rf"'{row}' is made from the work '{work}'.* Run `twainbot refresh`, then release"
    ):
        snapshot(found)


def test_a_dialogue_stops_it_too_whose_work_was_rejected_after_the_passage_left():
    talks = [
        {**row, "origin": small.origin("tales/withdrawn:0-10")} if row["conversation_id"] == small.CALLING else row
        for row in small.dialogues()
    ]
    with pytest.raises(BadInput, match=f"'{small.CALLING}' is made from the work 'tales/withdrawn'"):
        snapshot(small.material(dialogues=talks))


def test_a_pair_whose_dialogue_was_written_anew_keeps_the_works_that_it_was_made_from_itself():
    older = [{**row, "origin": small.origin(row["seed_id"], small.LAMP_ID)} for row in small.pairs()]
    found = snapshot(small.material(pairs=older))
    # its dialogue rests on the bulletin alone, and is released
    assert small.CALLING in found["sft"]["sample_id"]
    assert fates(found)[small.PAIR] == ("release", "withheld", ["rights_forbid_release:permission"])


def test_text_of_an_evaluation_is_found_in_passages_and_in_dialogues(tables):
    assert of_evals(tables, {"grounding/g1": "An innocent sentence of nine words about a purple bicycle."}) == []
    assert of_evals(tables, {"coding/c1": make.TEXT}) == [f"{small.FLOOD_ID}: coding/c1"]
    both = [f"{small.CALLING}: tool_calls/t1", f"{small.LOG}: tool_calls/t1"]  # the builder gives both these turns
    assert of_evals(tables, {"tool_calls/t1": make.REPLY}) == both


# --- the funnel -------------------------------------------------------------------------------------------------------


def test_each_step_of_the_funnel_takes_up_where_the_one_before_ended(tables):
    found = {step.name: step for step in funnel.steps(tables, works=4, passages=4)}
    read = found["works that could be read"]
    assert (read.came, read.kept, read.reasons) == (5, 4, {"malformed_json": 1})
    texts = [step for name, step in found.items() if name.startswith("passages, ")]
    assert [(step.came, step.kept) for step in texts] == [(5, 5), (5, 4), (4, 4), (4, 2)]
    # four passages: two released, one withheld, one a transcript
    assert texts[-1].reasons == {"rights_forbid_release": 1, "read_as_dialogues_instead": 1}
    assert found["dialogues, released"].came == len(small.dialogues())
    assert found["pairs, released"].came == len(small.pairs())


@given(st.lists(st.sampled_from(["a:1", "a:2", "b (line 3)", "c"]), max_size=30))
def test_reasons_are_counted_by_kind_and_none_is_lost(reasons):
    rows = pl.DataFrame({"reasons": [[reason] for reason in reasons]}, schema={"reasons": pl.List(pl.String)})
    counted = funnel.reason_counts(rows)
    assert sum(counted.values()) == len(reasons)
    assert set(counted) <= {"a", "b", "c"}


# --- messages ---------------------------------------------------------------------------------------------------------

NAMES = st.text("abcdefg", min_size=1, max_size=4)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"),
         "function": st.fixed_dictionaries({"name": NAMES, "arguments": st.dictionaries(NAMES, VALUES, max_size=3)})}
    ), min_size=1, max_size=2,
)  # fmt: skip
MESSAGES = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": st.text(max_size=9)}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": st.text(max_size=9), "tool_calls": CALLS}),
    st.fixed_dictionaries({"role": st.just("tool"), "name": NAMES, "content": st.text(max_size=9)}),
)


@given(st.lists(st.lists(MESSAGES, max_size=4), min_size=1, max_size=4))
def test_messages_come_back_as_they_were_whatever_their_neighbours_call(dialogues):
    stored = pl.DataFrame({"m": [json.dumps(messages) for messages in dialogues]})
    table = chat.with_messages(stored, "m").to_arrow().to_pylist()
    assert [chat.plain(row["m"]) for row in table] == dialogues


def test_arguments_kept_as_objects_would_gain_nulls_which_is_why_they_are_text():
    calls = [{"arguments": {"location": "Reno"}}, {"arguments": {"city": "Reno"}}]
    assert pa.array(calls)[0].as_py() == {"arguments": {"location": "Reno", "city": None}}


# --- the card ---------------------------------------------------------------------------------------------------------


def card(tables, **changes):
    found = small.material()
    rights = pl.DataFrame([{"source": "local", "works": 2, "license": "CC0-1.0", "rights": "cc0", "claim": "declared",
                            "rule": "declared_by_whoever_listed_it", "train": "yes"}])  # fmt: skip
    given_ = {"version": "data-v1.0", "rehearsal": False, "parents": {"splits/sft": "ab12"},
              "files": {"sft/train.parquet": ("cd" * 32, 77)}, "made_with": {"profile": "tiny", "commit": None}}  # fmt: skip
    return data_card.card(found, tables, rights, **{**given_, **changes})


def test_the_card_counts_the_rows_and_names_what_was_withheld(tables):
    told = card(tables)
    assert told.count("# TwainBot data-v1.0\n") == 1
    assert "| `dapt` | 2 |" in told
    assert "| passages, released | 4 | 2 | 2 | rights forbid release 1, read as dialogues instead 1 |" in told
    assert "1 rows whose rights forbid it were trained on and are not in here." in told
    assert "| sft/train.parquet | 77 | `" + "cd" * 32 in told
    assert "| splits/sft | ab12 |" in told
    assert "commit" not in told


def test_the_card_says_what_is_synthetic_in_the_rows_own_words(tables):
    told = card(tables)
    # a retelling, a call and a pair; the log is nobody's invention
    assert "3 of 6 rows were written by a program" in told
    assert "> Synthetic." in told
    assert "| dialogue | grammar-v1 | - | 77aa | 2 |" in told


def test_a_rehearsal_says_so_in_its_card(tables):
    assert "**This is a rehearsal.**" in card(tables, rehearsal=True)
    assert "rehearsal" not in card(tables)


def test_the_notice_names_every_unit_with_its_terms(tables):
    told = data_card.notice(tables)
    assert "| local | tales | The Flood | Amos Quill | 1 | CC0-1.0 | cc0 | samples/local/tales.md |" in told
    assert "The Lamp" not in told
