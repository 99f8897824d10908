"""What a training run will really see: weights per persona, kind and scenario, and the count of what was drawn."""

from __future__ import annotations

import json

import polars as pl
import pytest
from pydantic import ValidationError
from tiny_training import base

from training import rows
from training.config import Dapt, Sft, Weights
from training.render import IGNORED, load_template, tokenizer_of
from training.rows import Loaded, Seen, TokenRow
from twainbot.errors import BadInput

TALK = json.dumps([{"role": "user", "content": "Well?"}, {"role": "assistant", "content": "Middling."}])
CALL = json.dumps([{"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {}}]}])


def table(*parts: tuple[int, str, str, str]) -> pl.DataFrame:
    """So many dialogues each of a persona, kind and scenario; those of kind tool_calls hold a call."""
    named = [part for count, *part in parts for _ in range(count)]
    return pl.DataFrame(
        {
            "sample_id": [f"s{number:04d}" for number in range(len(named))],
            "persona": [part[0] for part in named],
            "kind": [part[1] for part in named],
            "scenario": [part[2] for part in named],
            "messages": [CALL if part[1] == "tool_calls" else TALK for part in named],
        }
    )


HOUSE = table((700, "twain", "no_tool", "joke"), (300, "franklin", "no_tool", "joke"))


def personas(chosen: pl.DataFrame) -> dict[str, int]:
    return dict(chosen["persona"].value_counts().iter_rows())


def test_without_weights_the_draw_is_what_it_was():
    assert rows.choose_dialogues(HOUSE, 7, 90, None, Weights()).equals(rows.choose_dialogues(HOUSE, 7, 90, None))
    assert rows.thinned(HOUSE, 7, Weights(persona={"twain": 1.0})).equals(HOUSE)


def test_a_weight_of_a_half_takes_about_half_and_the_others_whole():
    drawn = personas(rows.thinned(HOUSE, 7, Weights(persona={"twain": 0.5})))
    assert drawn["franklin"] == 300
    assert 300 <= drawn["twain"] <= 400  # 350 expected, 13 standard deviation


def test_a_weight_of_nothing_leaves_none():
    assert personas(rows.thinned(HOUSE, 7, Weights(persona={"twain": 0.0}))) == {"franklin": 300}


def test_weights_of_persona_and_kind_multiply():
    weights = Weights(persona={"twain": 0.5}, kind={"no_tool": 0.5}, scenario={"joke": 0.4})
    assert weights.of("twain", "no_tool", "joke") == pytest.approx(0.1)
    assert weights.of("franklin", "tool_calls", "single") == 1.0


def test_a_changed_weight_moves_only_the_dialogues_that_it_names():
    few = rows.thinned(HOUSE, 7, Weights(persona={"twain": 0.3}))
    more = rows.thinned(HOUSE, 7, Weights(persona={"twain": 0.6}))
    assert set(few["sample_id"]) < set(more["sample_id"])


def test_weights_come_before_the_share_without_a_call_and_the_number_of_rows():
    mixed = table(
        (100, "twain", "tool_calls", "single"), (100, "twain", "no_tool", "joke"), (100, "twain", "no_tool", "past")
    )
    chosen = rows.choose_dialogues(mixed, 7, 80, 0.5, Weights(scenario={"past": 0.0}))
    assert dict(chosen["scenario"].value_counts().iter_rows()) == {"single": 40, "joke": 40}


def test_a_weight_of_a_name_that_no_dialogue_has_is_refused_with_the_names_there_are():
    with pytest.raises(
        BadInput, match=r"sft.weights.persona names \['twian'\], and the dialogues have: franklin, twain"
    ):
        rows.thinned(HOUSE, 7, Weights(persona={"twian": 0.5}))


@pytest.mark.parametrize(
    "weights", [{"persona": {"twain": 1.5}}, {"style": {"twain": 1.0}}, {"kind": {"no_tool": -0.1}}]
)
def test_a_weight_out_of_range_or_of_another_column_is_refused(weights):
    with pytest.raises(ValidationError):
        Sft.model_validate(
            {"learning_rate": 1e-3, "sequence_length": 64, "micro_batch": 1, "effective_batch": 1,
             "checkpoint_steps": 1, "minimum_steps": 1, "weights": weights}
        )  # fmt: skip


def test_what_is_seen_is_counted_by_name_after_the_too_long_are_out():
    chosen = table((2, "twain", "tool_calls", "single"), (1, "franklin", "no_tool", "joke"))
    # s0000: 4 tokens, 3 of them with loss; s0001 was too long; s0002: 2 tokens, 1 with loss. Loss on 4 tokens in all.
    loaded = Loaded([TokenRow([1, 2, 3, 4], [IGNORED, 2, 3, 4]), TokenRow([1, 2], [IGNORED, 2])], ["s0001"])
    assert rows.seen(chosen, loaded) == [
        Seen("kind", "no_tool", 1, 2, 1, 1 / 4),
        Seen("kind", "tool_calls", 1, 4, 3, 3 / 4),
        Seen("call", "call", 1, 4, 3, 3 / 4),
        Seen("call", "no call", 1, 2, 1, 1 / 4),
        Seen("read", "whole", 2, 6, 4, 1.0),
        Seen("persona", "franklin", 1, 2, 1, 1 / 4),
        Seen("persona", "twain", 1, 4, 3, 3 / 4),
        Seen("scenario", "joke", 1, 2, 1, 1 / 4),
        Seen("scenario", "single", 1, 4, 3, 3 / 4),
    ]


# passages, and who judges


def passages(**counts: int) -> pl.DataFrame:
    """So many passages of each style, every fifth for validation."""
    styles = [style for style, count in counts.items() for _ in range(count)]
    names = [f"p{number:04d}" for number in range(len(styles))]
    splits = ["validation" if number % 5 == 0 else "train" for number in range(len(styles))]
    return pl.DataFrame({"sample_id": names, "style": styles, "split": splits})


def dapt_of(styles: dict[str, float]) -> Dapt:
    return Dapt(
        learning_rate=1e-3, sequence_length=16, micro_batch=1, effective_batch=1, checkpoint_steps=1, minimum_steps=1,
        styles=styles,
    )  # fmt: skip


def test_a_style_of_share_nothing_is_neither_read_nor_does_it_judge():
    table, settings = passages(twain=100, franklin=100, joke=200), dapt_of({"franklin": 0.0, "joke": 0.25})
    chosen = dict(rows.choose_passages(table, 7, settings)["style"].value_counts().iter_rows())
    assert chosen["twain"] == 100
    assert "franklin" not in chosen
    assert 30 <= chosen["joke"] <= 70  # 50 expected, 6 standard deviation
    judging = dict(rows.held_out(table, 7, None, settings)["style"].value_counts().iter_rows())
    assert judging == {"twain": 20, "joke": 40}  # a fifth of each, a quarter of a style is still that style


def test_without_shares_all_passages_are_read_in_the_order_of_the_draw():
    table = passages(twain=10, joke=10)
    assert rows.choose_passages(table, 7, dapt_of({})).equals(rows.draw(table, 7))
    assert rows.held_out(table, 7, 3, dapt_of({})).equals(rows.held_out(table, 7, 3))


def test_a_persona_that_never_trains_does_not_judge_dialogues():
    table = HOUSE.with_columns(split=pl.lit("validation"))
    settings = Sft(
        learning_rate=1e-3, sequence_length=16, micro_batch=1, effective_batch=1, checkpoint_steps=1, minimum_steps=1,
        weights=Weights(persona={"twain": 0.0}),
    )  # fmt: skip
    assert personas(rows.held_out(table, 7, None, settings)) == {"franklin": 300}


def sft_settings(**more) -> Sft:
    """A stage that reads 20 dialogues, and openings as said."""
    given = {"learning_rate": 1e-3, "sequence_length": 64, "micro_batch": 1, "effective_batch": 1,
             "checkpoint_steps": 1, "minimum_steps": 1, "max_rows": 20}  # fmt: skip
    return Sft.model_validate({**given, **more})


MIXED = table((200, "twain", "tool_calls", "single"), (200, "twain", "no_tool", "joke"))
WHOLE = [
    {"role": "system", "content": "You are a pilot."},
    {"role": "user", "content": "Rain?"},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f"}}]},
    {"role": "tool", "name": "f", "content": "{}"},
    {"role": "assistant", "content": "A little."},
]


def test_openings_are_of_dialogues_that_are_not_read_whole_and_keep_their_own_share_of_calls():
    chosen = rows.choose_for_sft(MIXED, 7, sft_settings(no_call_share=0.5, openings=60, openings_no_call_share=0.25))
    assert chosen["sample_id"].n_unique() == chosen.height == 20 + 60
    assert dict(chosen["kind"].value_counts().iter_rows()) == {"tool_calls": 10 + 45, "no_tool": 10 + 15}
    whole = rows.choose_for_sft(MIXED, 7, sft_settings(no_call_share=0.5))
    assert set(whole["sample_id"]) < set(chosen["sample_id"])


def test_an_opening_ends_with_the_first_turn_of_the_assistant():
    listener = [{"role": "user", "content": "Only a question."}]
    cut = rows.opening(pl.Series([json.dumps(WHOLE), TALK, json.dumps(listener)]))
    assert [json.loads(text) for text in cut] == [WHOLE[:3], json.loads(TALK), listener]


def test_openings_keep_words_of_all_alphabets_as_they_are():
    (cut,) = rows.opening(pl.Series([json.dumps([{"role": "assistant", "content": "Zürich, 3 °C"}])]))
    assert json.loads(cut)[0]["content"] == "Zürich, 3 °C"


def test_words_of_an_opening_end_after_so_many_tokens_and_calls_and_whole_dialogues_do_not():
    talk = [{"role": "user", "content": "A joke?"}, {"role": "assistant", "content": "The river rose and so did we."}]
    asked = {"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "today"}}
    calling = [*talk[:1], {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": asked}]}]
    chosen = pl.DataFrame({
        "sample_id": ["whole", "opening", "call"], "tools": ["[]"] * 3, "opening": [False, True, True],
        "messages": [json.dumps(messages) for messages in (talk, talk, calling)],
    })  # fmt: skip
    loaded = rows.dialogues(chosen, tokenizer_of(base()), load_template("smollm2"), 400, 3)
    whole, cut, call = loaded.rows
    assert [row.cut for row in loaded.rows] == [False, True, False]
    assert (cut.trained, whole.ids[: len(cut.ids)]) == (3, cut.ids)
    assert whole.labels[-2:].count(IGNORED) < 2  # ends with its end of turn
    assert tokenizer_of(base()).decode(call.ids).count("arguments") == 1
    assert loaded.whole == [whole, call]
