"""A sample walked back to characters of an edition, and forward to adapters, over a lake written by hand."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake import Lake
from tests import builders
from twainbot.corpora.inventory import audit
from twainbot.errors import UnknownName
from twainbot.records import ASSIGNMENT, DAPT_ROW, REJECT, content_hash, frame
from twainbot_assets import tracing
from twainbot_assets.tracing import trace, unit_of

CHUNK_ID = builders.chunk()["chunk_id"]
DIALOGUE_ID = "b000/style_transfer/0000"
RETOLD = "on the tenth the river came up"


@pytest.fixture
def lake(tmp_path):
    """One work, its one passage, a dialogue that retells it, and a training row of each."""
    made = Lake(str(tmp_path / "lake"))
    made.write("corpora/local", "tales", builders.works())
    made.write("chunks/local", "tales", builders.chunks())
    made.write("screened/local", "tales", builders.decisions())
    made.write("dedupe/clusters", None, builders.clusters())
    made.write("curated/passages", None, builders.passages())
    made.write("curated/rejects", None, frame([], REJECT))
    seed = builders.seed(DIALOGUE_ID, chunk_ids=[CHUNK_ID], payload=json.dumps({"persona": "twain", "text": RETOLD}))
    made.write("dialogues/seeds", "b000", builders.seeds(seed))
    made.write("dialogues/screened", None, builders.judged_dialogues(retelling()))
    made.write("splits/assignments", None, frame([assigned(CHUNK_ID), assigned(DIALOGUE_ID)], ASSIGNMENT))
    made.write("splits/dapt", None, dapt_rows())
    return made


def retelling(**changes):
    origin = json.dumps({"generator": "grammar-v1", "seed": 7, "parents": [CHUNK_ID]})
    return builders.judged_dialogue(DIALOGUE_ID, kind="style_transfer", origin=origin, **changes)


def assigned(sample_id, split="train"):
    return {"sample_id": sample_id, "kind": "passage", "group_id": "g", "cluster_id": None, "split": split,
            "stratum": "passage/twain"}  # fmt: skip


def dapt_rows():
    row = {"sample_id": CHUNK_ID, "split": "train", "style": "twain", "text": builders.TEXT, "token_count": 22}
    return frame([row], DAPT_ROW)


def adapter(stage, sha, **record):
    row = {"recipe": "default", "stage": stage, "folder": f"adapters/{stage}/files/{sha[:12]}", "fingerprint": "f" * 16}
    return pl.DataFrame([{**row, "adapter_sha256": sha, "record": json.dumps(record)}])


def told(lake, sample_id):
    return "\n".join(trace(lake, sample_id))


def test_a_passage_is_walked_back_to_verified_characters_of_its_edition(lake):
    text = told(lake, CHUNK_ID)
    assert "'The Flood' by Amos Quill" in text
    assert "edition: tales; licence: CC0-1.0 (cc0)" in text
    assert "raw_sha256: " + "ab" * 32 in text
    assert f"characters 0 to {len(builders.TEXT)} of {len(builders.TEXT)} in the cleaned work; verified" in text


def test_the_first_and_last_nine_words_of_a_long_text_are_shown(lake):
    words = builders.TEXT.split()
    assert len(words) > 18
    assert f'"{" ".join(words[:9])} ... {" ".join(words[-9:])}"' in told(lake, CHUNK_ID)


def test_a_work_that_changed_under_its_passage_is_called_out_not_trusted(lake):
    lake.write("corpora/local", "tales", builders.works(builders.work(text="!" + builders.TEXT)))
    text = told(lake, CHUNK_ID)
    assert "NO LONGER MATCH" in text
    assert "verified" not in text


def test_a_passage_whose_work_is_gone_says_that_it_cannot_be_checked(lake):
    lake.write("corpora/local", "tales", builders.works(builders.work("tales/another")))
    assert "tales/the-flood is not in corpora/ any more" in told(lake, CHUNK_ID)


def test_a_source_in_front_of_the_id_is_allowed(lake):
    assert told(lake, f"local/{CHUNK_ID}") == told(lake, CHUNK_ID)


def test_a_book_is_its_own_unit(lake):
    lake.write("corpora/gutenberg", "pg76", builders.works(builders.work("pg76", source="gutenberg")))
    lake.write("chunks/gutenberg", "pg76", builders.chunks(builders.chunk("pg76", source="gutenberg")))
    assert "verified" in told(lake, f"pg76:0-{len(builders.TEXT)}")


def test_a_work_id_may_hold_colons(lake):
    work_id = "tales/part:2:the-end"
    lake.write("corpora/local", "tales", builders.works(builders.work(work_id)))
    lake.write("chunks/local", "tales", builders.chunks(builders.chunk(work_id)))
    assert "verified" in told(lake, f"{work_id}:0-{len(builders.TEXT)}")


def test_a_rejected_passage_says_at_which_stage_and_why(lake):
    reject = {"sample_id": CHUNK_ID, "work_id": "tales/the-flood", "source": "local", "stage": "dedupe",
              "decision": "reject", "reasons": ["duplicate_in:tales/a:0-9"]}  # fmt: skip
    lake.write("curated/rejects", None, frame([reject], REJECT))
    assert "curated: rejected at dedupe: duplicate_in:tales/a:0-9" in told(lake, CHUNK_ID)


def test_a_dialogue_tells_its_generator_prompt_seed_bulletin_and_gates(lake):
    origin = {
        "generator": "openai", "model": "m-1", "prompt": "tool_calls v2", "prompt_hash": "ab12", "seed": 7,
        "parents": [CHUNK_ID], "draft": {"generator": "grammar-v1", "data": "cd34"}, "repaired": True,
    }  # fmt: skip
    lake.write(
        "dialogues/screened",
        None,
        builders.judged_dialogues(builders.judged_dialogue(DIALOGUE_ID, origin=json.dumps(origin))),
    )
    text = told(lake, DIALOGUE_ID)
    assert "written by: openai, model m-1, prompt tool_calls v2, prompt_hash ab12, seed 7" in text
    assert "draft by: grammar-v1, data cd34" in text
    assert "repaired: the first answer was refused" in text
    assert "screening: keep" in text
    assert (
        "gates passed: form, tool calls, grounding, voice, label, copying, evaluation text, parents, toxicity (not scored)"
        in text
    )
    assert "gates failed" not in text
    assert "the rules today: no fault" in text
    assert f"passage {CHUNK_ID}" in text
    assert f"characters 0 to {len(builders.TEXT)} of" in text


def test_a_refused_dialogue_tells_which_gates_it_failed_and_what_the_rules_say_today(lake):
    turns = builders.talk_turns(builders.REPLY.replace("71", "84"))
    reasons = ["ungrounded_number: 84 degrees", "near_duplicate: b000/x/1"]
    lake.write("dialogues/screened", None, builders.judged_dialogues(retelling_refused(turns, reasons)))
    text = told(lake, DIALOGUE_ID)
    assert "gates failed: grounding, near-duplicates" in text
    assert "gates passed: form, tool calls, voice" in text
    assert "the rules today: ungrounded_number: 84 degrees" in text


def retelling_refused(turns, reasons):
    return builders.judged_dialogue(DIALOGUE_ID, turns=turns, decision="reject", reasons=reasons)


def test_a_passage_in_review_names_the_command_that_ends_it(lake):
    reject = {"sample_id": CHUNK_ID, "work_id": "tales/the-flood", "source": "local", "stage": "screened",
              "decision": "review", "reasons": ["profanity"]}  # fmt: skip
    lake.write("curated/rejects", None, frame([reject], REJECT))
    assert "waits for a person (`twainbot decide`) at screened: profanity" in told(lake, CHUNK_ID)


def test_a_work_rejected_on_reading_gives_its_reason(lake):
    lake.write("corpora/local", "tales", builders.works(builders.work("tales/blank", text="", reject_reason="empty")))
    assert "rejected at corpora: empty" in told(lake, "tales/blank")


def test_a_dialogue_leads_through_its_seed_to_the_passage_and_its_words(lake):
    text = told(lake, DIALOGUE_ID)
    start = builders.TEXT.index(RETOLD)
    assert "written by: grammar-v1, seed 7" in text
    assert f"seed: {DIALOGUE_ID}, frozen in batch b000" in text
    assert f"    span: characters 0 to {len(builders.TEXT)}" in text  # a parent is indented
    assert f"retold words: characters {start} to {start + len(RETOLD)} of the work" in text


def test_the_parent_of_an_old_dialogue_may_be_gone_from_chunks(lake):
    lake.write("chunks/local", "tales", builders.chunks(builders.chunk(start=3, text=builders.TEXT[3:])))
    text = told(lake, DIALOGUE_ID)
    assert "chunks/ holds no such passage any more" in text
    assert "verified" not in text


def test_a_passage_names_the_dialogues_made_from_it(lake):
    assert f"used in: {DIALOGUE_ID}" in told(lake, CHUNK_ID)


def test_a_rejected_dialogue_gives_its_reasons(lake):
    row = retelling(decision="reject", reasons=["copied"])
    lake.write("dialogues/screened", None, builders.judged_dialogues(row))
    assert "screening: reject (copied)" in told(lake, DIALOGUE_ID)


def test_a_transcript_is_traced_to_the_work_that_it_is(lake):
    lake.write("corpora/transcripts", "log", builders.works(builders.work("log/one", source="transcripts")))
    row = builders.judged_dialogue(
        "log/one", kind="transcript", seed_id=None, origin=json.dumps({"parents": ["log/one"]})
    )
    lake.write("dialogues/screened", None, builders.judged_dialogues(row))
    text = told(lake, "log/one")
    assert text.startswith("dialogue log/one (transcript")
    assert "work log/one, used whole" in text


def test_a_pair_leads_to_its_dialogue(lake):
    origin = json.dumps({"generator": "grammar-v1", "parents": [DIALOGUE_ID, CHUNK_ID]})
    pair = builders.preference("b000/contrastive/0000", origin=origin)
    lake.write("dialogues/contrastive", "b000", builders.preferences(pair))
    text = told(lake, "b000/contrastive/0000")
    assert "flaw of the rejected reply: wrong_number" in text
    assert f"\n  dialogue {DIALOGUE_ID}" in text
    assert "verified" in text


def test_a_training_row_names_its_adapter_and_those_carried_on_from_it(lake):
    lake.write("adapters/dapt", "default", adapter("dapt", "d" * 64, data_sha256=content_hash(dapt_rows())))
    lake.write("adapters/sft", "default", adapter("sft", "e" * 64, init_adapter_sha256="d" * 64))
    text = told(lake, CHUNK_ID)
    assert "split: train" in text
    assert f"trained on it: adapters/dapt [default] in adapters/dapt/files/{'d' * 12}" in text
    assert "carried on in: adapters/sft [default]" in text


def test_an_adapter_of_an_older_table_is_not_said_to_hold_the_row(lake):
    lake.write("adapters/dapt", "default", adapter("dapt", "d" * 64, data_sha256="0" * 64))
    text = told(lake, CHUNK_ID)
    assert "trained on another version of splits/dapt, rebuilt since" in text
    assert "trained on it" not in text


def test_a_row_that_the_recipe_did_not_draw_is_not_said_to_be_trained(lake, monkeypatch):
    lake.write("adapters/dapt", "default", adapter("dapt", "d" * 64))
    monkeypatch.setattr(tracing, "drawn_by", lambda *_: {"another"})
    text = told(lake, CHUNK_ID)
    assert "not drawn by its recipe, which took 1 rows" in text
    assert "carried on" not in text


def test_a_held_out_row_is_trained_nowhere(lake):
    lake.write("splits/assignments", None, frame([assigned(CHUNK_ID, "validation")], ASSIGNMENT))
    lake.write("adapters/dapt", "default", adapter("dapt", "d" * 64))
    text = told(lake, CHUNK_ID)
    assert "held out, no adapter is trained on it" in text
    assert "adapters/dapt" not in text


def test_an_unknown_span_of_a_known_work_is_answered_with_its_passages(lake):
    with pytest.raises(UnknownName, match=f"No sample has the id .*Similar ids: {CHUNK_ID}"):
        told(lake, "tales/the-flood:0-5")


def test_a_misspelt_id_is_answered_with_the_id_meant(lake):
    with pytest.raises(UnknownName, match=r"Similar ids: .*tales/the-flood"):
        told(lake, "tales/the-floood")


def test_an_empty_lake_says_what_to_run(tmp_path):
    with pytest.raises(UnknownName, match=r"Nothing was built .*twainbot run"):
        told(Lake(str(tmp_path)), CHUNK_ID)


@given(st.text(alphabet="abc \n"), st.integers(0, 20), st.integers(0, 20))
def test_words_are_found_where_they_stand_whatever_the_white_space(text, start, length):
    words = text[start : start + length]
    found = tracing.standing(words, text, 0, len(text))
    assert found is not None
    assert text[slice(*found)].split() == words.split()


@pytest.mark.parametrize(
    ("sample_id", "unit"),
    [
        ("local/tales/the-flood:0-90", "tales"),
        ("gutenberg/pg76", "pg76"),
        ("gutenberg/pg76:0-900", "pg76"),
        ("jokes/local/one", "local"),
        ("tales/the-flood", "tales"),
    ],
)
def test_an_id_names_its_unit_after_its_source(sample_id, unit):
    assert unit_of(sample_id) == unit


def test_the_text_of_a_unit_that_was_taken_out_is_not_told_and_its_ids_are_not_offered(lake):
    other = builders.work("fables/the-fox", unit="fables")
    lake.write("corpora/local", "fables", builders.works(other))
    lake.write("chunks/local", "fables", builders.chunks(builders.chunk("fables/the-fox", unit="fables")))
    fox = f"fables/the-fox:0-{len(builders.TEXT)}"
    assert "verified" in told(lake, fox)
    lake.write("corpora/audit", None, audit(builders.works(), {"local": ["tales"]}, {}))
    for name in (fox, "fables/the-fox"):
        with pytest.raises(UnknownName) as error:
            told(lake, name)
        assert "fables" not in str(error.value).removeprefix(f"No sample has the id {name!r}.")
    assert "verified" in told(lake, CHUNK_ID)


def test_a_batch_that_the_profile_no_longer_writes_is_not_told(lake):
    lake.write("dialogues/style_transfer", "b999", builders.dialogues(builders.dialogue("b999/style_transfer/0000")))
    with pytest.raises(UnknownName):
        told(lake, "b999/style_transfer/0000")
