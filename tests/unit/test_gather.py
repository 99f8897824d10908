"""All dialogues in one table: transcripts join the synthetic ones, and whatever lost a parent goes."""

from __future__ import annotations

import json

import polars as pl
import pytest

from tests import builders as make
from tests.fakes import FakeScorer
from twainbot.dialogues import prompts
from twainbot.dialogues.gather import CORPUS_RUN_WORDS, from_work, gather_and_screen, parents
from twainbot.dialogues.rows import turn
from twainbot.errors import BadInput
from twainbot.records import SCREENED_DIALOGUE
from twainbot.screening import NotScored

TALK = [
    turn("user", "Are you well?"),
    turn("assistant", "As well as a man can be who has read the newspaper twice today."),
]


def transcript(work_id: str = "log/1", turns=None, tags=(), **changes) -> dict:
    extra = {"turns": TALK if turns is None else turns, "style_tags": list(tags), "conversation_id": work_id}
    return make.work(work_id, source="transcripts", style="dialogue", extra=json.dumps(extra), **changes)


def gathered(written=None, works=None, passages=None, scorer=None) -> list[dict]:
    return gather_and_screen(
        make.dialogues().clear() if written is None else written,
        make.works().clear() if works is None else works,
        make.passages(make.passage("log/1")) if passages is None else passages,
        scorer or NotScored(),
    ).to_dicts()


def test_a_sound_dialogue_is_kept_and_one_with_an_invented_figure_is_not():
    wrong = make.dialogue("d2", turns=make.talk_turns(make.REPLY.replace("71", "84").replace("put", "took")))
    kept, refused = gathered(make.dialogues(make.dialogue("d1"), wrong))
    assert (kept["decision"], kept["reasons"]) == ("keep", [])
    assert refused["decision"] == "reject"
    assert "ungrounded_number: 84 degrees" in refused["reasons"]


def test_a_transcript_becomes_a_dialogue_with_a_system_prompt_and_its_licence():
    [row] = gathered(works=make.works(transcript(title="Counter", tags=["franklin", "dry"])))
    assert row["decision"] == "keep"
    assert (row["conversation_id"], row["kind"], row["seed_id"]) == ("log/1", "transcript", None)
    assert row["turns"][0] == turn("system", prompts.system_prompt("franklin"))
    assert row["turns"][1:] == TALK
    assert row["disclaimer"] == "Transcript: Counter, CC0-1.0."
    assert parents(row) == ["log/1"]


def test_a_transcripts_own_system_prompt_is_kept():
    own = [turn("system", "You are a clerk."), *TALK]
    assert from_work(transcript(turns=own))["turns"] == own


def test_a_transcript_of_no_persona_of_ours_is_spoken_by_the_default_one():
    assert from_work(transcript(tags=["pirate"]))["turns"][0]["content"] == prompts.system_prompt("twain")


def test_a_transcript_that_was_rejected_when_it_was_read_is_no_dialogue():
    assert gathered(works=make.works(transcript(reject_reason="malformed", text=""))) == []


def test_a_transcript_that_is_not_curated_is_rejected_with_the_reason():
    [row] = gathered(works=make.works(transcript()), passages=make.passages())
    assert (row["decision"], row["reasons"]) == ("reject", ["parent_not_curated: log/1"])


@pytest.mark.parametrize(("parent", "decision"), [("tales/the-flood:0-100", "keep"), ("tales/gone:0-9", "reject")])
def test_a_dialogue_lives_as_long_as_all_its_parents(parent, decision):
    held = make.passages()
    chunk_id = held["chunk_id"][0]
    named = chunk_id if decision == "keep" else parent
    origin = json.dumps({"generator": "grammar", "parents": [chunk_id, named]})
    [row] = gathered(make.dialogues(make.dialogue(origin=origin)), passages=held)
    assert row["decision"] == decision
    assert row["reasons"] == ([] if decision == "keep" else [f"parent_not_curated: {parent}"])


def test_an_origin_that_cannot_be_read_is_a_reject_and_no_crash():
    [row] = gathered(make.dialogues(make.dialogue(origin="a friend told me")))
    assert (row["decision"], row["reasons"]) == ("reject", ["unlabelled: no origin with a generator"])


def test_a_lost_parent_is_told_beside_the_reasons_that_were_there():
    coarse = make.dialogue(turns=make.talk_turns(make.REPLY + " That is a damned shitty sky."), origin=origin("gone"))
    [row] = gathered(make.dialogues(coarse))
    assert row["decision"] == "reject"
    assert row["reasons"][0] == "parent_not_curated: gone"
    assert any(reason.startswith("lexical: ") for reason in row["reasons"][1:])


def origin(*names: str) -> str:
    return json.dumps({"generator": "grammar", "parents": list(names)})


# 26 words; 24 are the bound, so a reply that says 24 of them is kept and one that says 25 is not
TALE = (
    "The ferryman counted his passengers twice, lost the count both times, and charged every one of them for the "
    "arithmetic, including a calf that had boarded asleep"
)


@pytest.mark.parametrize(("words", "decision"), [(24, "keep"), (25, "reject")])
def test_a_reply_may_share_a_run_with_a_passage_up_to_the_bound(words, decision):
    assert CORPUS_RUN_WORDS == 24
    held = make.passages(make.passage("tales/ferry", text=f"It was so. {TALE}. That is all."))
    told = f"{make.REPLY} {' '.join(TALE.split()[:words])}!"
    [row] = gathered(make.dialogues(make.dialogue(turns=make.talk_turns(told))), passages=held)
    assert row["decision"] == decision
    if decision == "reject":
        assert row["reasons"] == [f"copied: 25 words of {held['chunk_id'][0]}"]


def test_what_the_user_quoted_may_be_said_again():
    held = make.passages(make.passage("tales/ferry", text=TALE))
    turns = [turn("user", f"Say this in your manner: {TALE}"), turn("assistant", f"My father had it so: {TALE}.")]
    [row] = gathered(make.dialogues(make.dialogue(turns=turns, kind="style_transfer")), passages=held)
    assert row["decision"] == "keep"


def test_a_dialogue_that_holds_the_text_of_an_evaluation_is_rejected_whoever_says_it():
    asked = make.talk_turns()[0]["content"]  # nine words
    rows = gather_and_screen(
        make.dialogues(make.dialogue()), make.works().clear(), make.passages(), NotScored(),
        {"grounding/g7": asked.upper()},
    ).to_dicts()  # fmt: skip
    assert [(row["decision"], row["reasons"]) for row in rows] == [("reject", ["eval_text: grounding/g7"])]


def test_a_short_item_of_an_evaluation_must_be_a_whole_turn():
    asked = make.talk_turns()[0]["content"]  # "What will it do in Hannibal, MO tomorrow?"
    for said, found in ((asked, False), ("what will it DO", True)):
        rows = make.dialogues(make.dialogue(turns=[turn("user", said), *make.talk_turns()[1:]]))
        [row] = gather_and_screen(
            rows, make.works().clear(), make.passages(), NotScored(), {"chat/3": "What will it do?"}
        ).to_dicts()
        assert ("eval_text: chat/3" in row["reasons"]) == found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"disclaimer": " "}, "unlabelled: no disclaimer"),
        ({"origin": None}, "unlabelled: no origin with a generator"),
    ],
)
def test_a_dialogue_that_does_not_say_what_wrote_it_is_rejected(changes, reason):
    [row] = gathered(make.dialogues(make.dialogue(**changes)))
    assert (row["decision"], row["reasons"]) == ("reject", [reason])


def test_of_near_duplicates_the_smallest_id_stays_whatever_the_order_and_a_faulty_one_puts_nobody_out():
    wrong = make.dialogue("a", turns=make.talk_turns(make.REPLY.replace("71", "84")))
    copies = [make.dialogue(name) for name in ("d", "b", "c")]
    rows = gathered(make.dialogues(*copies, wrong))
    assert [(row["conversation_id"], row["decision"]) for row in rows] == [
        ("a", "reject"), ("b", "keep"), ("c", "reject"), ("d", "reject"),
    ]  # fmt: skip
    assert [row["reasons"] for row in rows[2:]] == [["near_duplicate: b"], ["near_duplicate: b"]]


def test_a_later_batch_changes_no_decision_on_an_earlier_one():
    first = [make.dialogue("b000/t/0"), make.dialogue("b000/t/1")]
    before = gathered(make.dialogues(*first))
    after = gathered(make.dialogues(*first, make.dialogue("b001/t/0")))
    assert after[:2] == before
    assert after[2]["reasons"] == ["near_duplicate: b000/t/0"]


def test_the_table_is_sorted_and_has_the_records_columns():
    rows = gather_and_screen(
        make.dialogues(make.dialogue("z"), make.dialogue("a", turns=make.talk_turns(make.REPLY[::1] + " So he said."))),
        make.works(transcript("log/1")), make.passages(make.passage("log/1")), NotScored(),
    )  # fmt: skip
    assert rows.schema == pl.Schema(SCREENED_DIALOGUE)
    assert rows["conversation_id"].to_list() == ["a", "log/1", "z"]


def test_a_toxic_reply_is_rejected_and_an_unscored_one_says_so():
    [row] = gathered(make.dialogues(), scorer=FakeScorer(lambda _text: 0.5, "detoxify"))
    assert (row["decision"], row["toxicity"], row["toxicity_backend"]) == ("reject", 0.5, "detoxify")
    assert row["reasons"] == ["toxicity: 0.50 >= 0.5"]
    [row] = gathered(make.dialogues())
    assert (row["decision"], row["toxicity"], row["toxicity_backend"]) == ("keep", None, "not_scored")


def test_coarse_words_of_the_assistant_ask_for_review():
    [row] = gathered(
        works=make.works(transcript(turns=[TALK[0], turn("assistant", "That is a damned shitty question.")]))
    )
    assert row["decision"] == "review"
    assert any(reason.startswith("lexical: ") for reason in row["reasons"])


def test_dialogues_without_their_columns_are_refused():
    with pytest.raises(BadInput, match="lacks the columns"):
        gathered(make.dialogues().drop("origin"))
