"""Dialogue seeds: frozen, deterministic, balanced, and strict about their settings."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
import pytest
from pydantic import ValidationError

from twainbot.dialogues import seeds, talk, transfer, weather
from twainbot.dialogues.preferences import FLAWS
from twainbot.dialogues.tools import FORECAST_KEYS
from twainbot.errors import BadInput, BadUse
from twainbot.records import SEED

JOKE = "Why did the mule cross the river? Because the ferry was closed and nobody told him."
PASSAGES = pl.DataFrame(
    {
        "chunk_id": ["jokes/a:0-80", "local/b:0-99", "weather/c:0-90"],
        "style": ["joke", "franklin", "weather_fact"],
        "text": [
            JOKE,
            "He that is always early is never asked to wait. In 1732 I was poor. A man who lends tools makes rust his heir.",
            "Cloudy tonight with lows near 40 and a light wind. RAIN TUESDAY...BREEZY.",
        ],
    }
)
SETTINGS = seeds.DialogueSettings(tool_calls=150, style_transfer=6, contrastive=14)


def made(batch: str = "b000", seed: int = 3, passages: pl.DataFrame = PASSAGES) -> pl.DataFrame:
    return seeds.make_seeds(passages, batch, SETTINGS, seed)


def payloads(rows: pl.DataFrame, kind: str) -> list[dict]:
    return [json.loads(text) for text in rows.filter(pl.col("kind") == kind)["payload"]]


def test_a_batch_has_the_rows_that_its_settings_ask_for_with_ids_by_batch_kind_and_number():
    rows = made()
    assert rows.schema == pl.Schema(SEED)
    assert Counter(rows["kind"]) == {"tool_calls": 150, "style_transfer": 6, "contrastive": 14}
    assert rows["seed_id"].is_sorted()
    assert "b000/tool_calls/0149" in rows["seed_id"].to_list()


def test_equal_inputs_give_equal_seeds_whatever_the_order_of_the_passages():
    assert made().equals(made(passages=PASSAGES.reverse()))


def test_another_batch_or_seed_gives_other_dialogues():
    first, by_batch, by_seed = made(), made(batch="b001"), made(seed=4)
    assert first["payload"].to_list() != by_batch["payload"].to_list()
    assert first["payload"].to_list() != by_seed["payload"].to_list()


def test_a_forecast_is_frozen_in_the_seed_with_the_keys_of_the_tool_in_their_order():
    results = [ask["result"] for payload in payloads(made(), "tool_calls") for ask in payload.get("asks", [])]
    sound = [result for result in results if "error" not in result]
    assert len(sound) > 80
    assert all(tuple(result) == FORECAST_KEYS for result in sound)


def test_new_bulletins_leave_the_weather_dialogues_of_a_batch_as_they_were():
    more = pl.concat([PASSAGES, PASSAGES.with_columns(chunk_id=pl.col("chunk_id") + "x")])
    before, after = (rows.filter(pl.col("kind") == "tool_calls") for rows in (made(), made(passages=more)))
    assert before.equals(after)


def test_about_three_tenths_of_the_talk_needs_no_tool():
    # 150 draws at 0.3: mean 45, standard deviation 5.6; four of them are 22
    assert 23 <= sum(payload["scenario"] == "no_tool" for payload in payloads(made(), "tool_calls")) <= 67


def test_a_place_stands_in_a_seed_as_a_user_writes_it_and_never_in_a_reserved_region():
    asks = [ask for payload in payloads(made(), "tool_calls") for ask in payload.get("asks", [])]
    known = [weather.find(ask["location"]) for ask in asks if ask["location"] not in weather.unknown_places()]
    assert None not in known
    assert {place.region for place in known if place}.isdisjoint(weather.reserved_regions())


def test_the_flaws_take_turns():
    drawn = Counter(payload["flaw"] for payload in payloads(made(), "contrastive"))
    assert set(drawn) == set(FLAWS)
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_sayings_leave_out_narrative_numbers_and_bulletins_in_capitals():
    found = {item.text: item.form for row in PASSAGES.iter_rows() for item in transfer.materials(*row)}
    assert found == {
        JOKE: "joke",
        "He that is always early is never asked to wait.": "line",
        "A man who lends tools makes rust his heir.": "line",
        "Cloudy tonight with lows near 40 and a light wind.": "statement",
    }


def test_every_material_is_used_once_before_any_is_used_twice():
    # four materials, six seeds: two of them serve twice
    used = Counter(payload["text"] for payload in payloads(made(), "style_transfer"))
    assert sorted(used.values()) == [1, 1, 2, 2]


def test_what_a_persona_could_only_copy_is_not_given_to_it():
    plain = transfer.Material(
        "weather/d:0-60", "statement", "Cloudy tonight with lows in the middle 40s and a light wind."
    )
    assert not any(transfer.can_retell(plain, persona) for persona in ("twain", "franklin", "satirist"))
    alone = PASSAGES.head(1).with_columns(
        chunk_id=pl.lit(plain.chunk_id), style=pl.lit("weather_fact"), text=pl.lit(plain.text)
    )
    assert made(passages=alone).filter(pl.col("kind") == "style_transfer").is_empty()


def test_an_aside_never_stands_inside_an_open_quotation():
    joke = 'A child was asked the commandments. "Ten," said he, "ten I have. Do I hear any more?"'
    told = pl.DataFrame({"chunk_id": ["jokes/q:0-80"], "style": ["joke"], "text": [joke]})
    replies = [row["turns"][2]["content"] for row in transfer.style_transfer(made(passages=told)).to_dicts()]
    assert len(replies) == 3
    assert all("ten I have. Do I hear any more?" in reply for reply in replies)


def test_sentences_keep_their_closing_quotes_and_titles_end_none():
    told = '"It is too tight." "It is snug, sir." Mr. Hale wept. Dr. J. B. Orr left.'
    assert transfer.sentences(told) == [
        '"It is too tight."',
        '"It is snug, sir."',
        "Mr. Hale wept.",
        "Dr. J. B. Orr left.",
    ]


def test_an_aside_never_parts_a_quoted_question_from_its_speaker():
    joke = '"Is the ferry late?" asked the drummer. "No, sir," said the boy. "You are early for the next one."'
    told = pl.DataFrame({"chunk_id": ["jokes/f:0-99"], "style": ["joke"], "text": [joke]})
    replies = [row["turns"][2]["content"] for row in transfer.style_transfer(made(passages=told)).to_dicts()]
    assert all('"Is the ferry late?" asked the drummer' in reply for reply in replies)


def test_a_sentence_that_leans_on_the_one_before_is_no_saying():
    text = "It is the only one with nothing to do. It is easier to lend a boat than to be thanked for it."
    assert [item.text for item in transfer.materials("local/l:0-90", "franklin", text)] == [
        "It is easier to lend a boat than to be thanked for it."
    ]


def test_a_word_of_a_name_is_not_swapped_and_the_same_word_elsewhere_is():
    assert (
        transfer.restyle("House rules hold at the Opera House.", "franklin")
        == "Dwelling rules hold at the Opera House."
    )
    assert transfer.restyle("Now I think so.", "twain") == "This minute I reckon so."
    assert transfer.restyle("The houſe is dry.", "franklin") == "The dwelling is dry."


def test_a_transcripts_turns_are_no_sayings():
    assert transfer.materials("logs/a:0-60", "dialogue", "A man who is never late is never thanked for it.") == []


def test_without_passages_there_are_weather_seeds_and_no_style_transfer():
    kinds = Counter(made(passages=PASSAGES.clear())["kind"])
    assert kinds == {"tool_calls": 150, "contrastive": 14}


def test_passages_without_text_are_refused_by_column():
    with pytest.raises(BadInput, match="text"):
        made(passages=PASSAGES.drop("text"))


def test_a_batch_name_with_a_slash_is_refused():
    with pytest.raises(BadUse, match="b/0"):
        made(batch="b/0")


@pytest.mark.parametrize(
    "wrong", [{"tool_cals": 3}, {"no_tool_share": 1.5}, {"personas": {"poe": 1.0}}, {"personas": {"twain": 0}}]
)
def test_settings_refuse_what_they_do_not_know(wrong):
    with pytest.raises(ValidationError):
        seeds.DialogueSettings(**wrong)


def test_a_seed_that_names_no_day_calls_for_today():
    single = [payload["asks"][0] for payload in payloads(made(), "tool_calls") if payload["scenario"] == "single"]
    assert {ask["datetime"] for ask in single if ask["frames"] == "now"} == {"today"}


def test_seeds_of_one_batch_make_one_dialogue_each():
    rows = made()
    dialogues = talk.tool_calls(rows)
    assert dialogues["seed_id"].to_list() == rows.filter(pl.col("kind") == "tool_calls")["seed_id"].to_list()
