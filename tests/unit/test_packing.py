"""Lines of rows: each row once, what rows share once, and every number as if each row were alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import base, small_talk, weather_talk

from training import engine, losses, packing, rows
from training.config import CONFIGS, load_recipe
from training.render import IGNORED, load_template, render, tokenizer_of, turn_marks
from training.rows import TokenRow
from twainbot.dialogues.tools import TOOLS

PAD = 2
RECIPE = load_recipe(CONFIGS / "tiny" / "default.yaml")
SYSTEM = {"role": "system", "content": "You are a river pilot. Call the tool before you tell a fact."}


def told(number: int, system: dict[str, str] = SYSTEM) -> TokenRow:
    """One of many dialogues under one system prompt, with its stem."""
    talk = small_talk(number) if number % 2 else weather_talk(f"Town {number}")
    tokenizer, template = tokenizer_of(base()), load_template("smollm2")
    ids, labels = render([system, *talk], TOOLS, tokenizer, template)
    return TokenRow(ids, labels, len(render([system], TOOLS, tokenizer, template)[0]))


def model():
    """An adapter whose weights do something, on the tiny base."""
    stage = RECIPE.sft
    lora = RECIPE.lora.model_copy(update={"dropout": 0.0})
    made = engine.with_adapter(engine.load_base(base(), stage, 7), lora, stage, None)
    torch.manual_seed(5)
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    return made


def row(stem: int, size: int, number: int = 0) -> TokenRow:
    """`stem` shared tokens and then its own, all of one number."""
    return TokenRow([1] * stem + [10 + number] * (size - stem), [IGNORED] * stem + [10 + number] * (size - stem), stem)


@given(lengths=st.lists(st.integers(2, 50), max_size=30))
def test_packing_keeps_every_row_once_and_overfills_no_line(lengths):
    given_rows = [TokenRow([number] * size, [number] * size) for number, size in enumerate(lengths)]
    lines = packing.pack(given_rows, 50)
    assert sorted(row.ids[0] for line in lines for row in line) == list(range(len(given_rows)))
    assert all(sum(len(row.ids) for row in line) <= 50 for line in lines)
    # best fit: no two lines would have fitted into one when the later of them was opened
    assert len(lines) <= max(1, math.ceil(2 * sum(lengths) / 50))


@given(sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(11, 50)), max_size=25))
def test_lines_hold_what_their_rows_share_once_and_are_never_longer_than_said(sizes):
    given_rows = [row(stem, size, number) for number, (stem, size) in enumerate(sizes)]
    lines = packing.pack(given_rows, 50)
    assert sorted(map(id, given_rows)) == sorted(id(row) for line in lines for row in line)
    batch = packing.collate(lines, PAD) if lines else {"input_ids": torch.zeros(0, 0), "labels": torch.zeros(0)}
    assert batch["input_ids"].shape[1] <= 50
    trained = int((batch["labels"] != IGNORED).sum())
    assert trained == sum(max(0, row.trained) for row in given_rows)
    families = [{tuple(row.ids[: row.stem]) for row in line if row.stem > 1} for line in lines]
    own = sum(len(row.ids) - (row.stem - 1 if row.stem > 1 else 0) for row in given_rows)
    assert packing.computed(lines) == own + sum(len(stem) - 1 for found in families for stem in found)


def test_a_row_longer_than_a_line_has_a_line_of_its_own():
    short, long = TokenRow([1] * 20, [1] * 20), TokenRow([2] * 51, [2] * 51)
    assert packing.pack([short, long, short], 50) == [[short, short], [long]]


def test_rows_of_one_stem_fill_lines_of_their_own_and_what_is_left_over_joins_another():
    first, filler, second, third = row(8, 20), TokenRow([3] * 10, [3] * 10), row(8, 12), row(8, 25)
    # 20, a branch of 12 - 7 = 5, and 25 - 7 = 18 more than the line of 30 has left; the filler fits to neither
    assert packing.pack([first, filler, second, third], 34) == [[first, second], [third], [filler]]
    lines = packing.pack([first, filler, second, third], 36)
    assert lines == [[first, second, filler], [third]]  # 20 + 5 + 10 of 36


def test_collating_pads_with_an_unlabelled_row_and_passes_no_attention_mask():
    lines = [[TokenRow([5, 6, 7], [5, 6, 7]), TokenRow([8, 9], [IGNORED, 9])], [TokenRow([4, 4], [4, 4])]]
    batch = packing.collate(lines, PAD)
    assert set(batch) == {"input_ids", "labels", "position_ids"}
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [4, 4, PAD, PAD, PAD]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 0, 1, 2]]
    # the first token of a row follows another row's last one, which must not learn to predict it
    assert batch["labels"].tolist() == [[IGNORED, 6, 7, IGNORED, 9], [IGNORED, 4, *[IGNORED] * 3]]


def test_a_branch_begins_with_the_last_token_that_it_shares_and_is_not_trained_on_it():
    both = [TokenRow([1, 2, 3, 5, 6], [IGNORED] * 3 + [5, 6], 3), TokenRow([1, 2, 3, 8], [IGNORED] * 3 + [8], 3)]
    other = TokenRow([1, 2, 9, 9], [IGNORED] * 2 + [9, 9], 2)
    batch = packing.collate([[both[0], other, both[1]]], PAD)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 5, 6, 3, 8, 1, 2, 9, 9]]  # the family stands together
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 2, 3, 0, 1, 2, 3]]
    assert batch["labels"].tolist() == [[*[IGNORED] * 3, 5, 6, IGNORED, 8, *[IGNORED] * 2, 9, 9]]


@pytest.mark.parametrize("how", ["by row", "sdpa", "eager"])
def test_each_token_costs_in_a_line_of_branches_what_it_costs_alone(how):
    tuned, talks = model().eval(), [told(number) for number in range(6)]
    if how != "by row":
        tuned.get_base_model().set_attn_implementation(how)
    lines = packing.pack(talks, 4000)
    assert len(lines) == 1
    assert packing.computed(lines) < 0.7 * sum(len(talk.ids) for talk in talks)
    with torch.no_grad():
        together, _ = losses.token_nll(tuned, packing.collate(lines, PAD))
        padded, _ = losses.token_nll(tuned, packing.collate([[talk] for talk in talks], PAD))
        alone = torch.cat([losses.token_nll(tuned, packing.collate([[talk]], PAD))[0][0] for talk in talks])
    assert (together[0] - alone).abs().max() < 1e-5
    assert float(padded.sum()) == pytest.approx(float(alone.sum()), rel=1e-5)


def test_the_gradient_of_a_line_of_branches_is_the_sum_of_the_rows_gradients():
    talks = [told(number) for number in range(5)]
    marks = turn_marks(tokenizer_of(base()), load_template("smollm2"))
    weighing = losses.Weighing(marks, begin=5.0, end=6.0)  # decisions count by their line's mean, so by its rows

    def gradient(lines) -> torch.Tensor:
        tuned, total = model().eval(), sum(talk.trained for talk in talks)
        for line in lines:
            losses.token_loss(weighing)(tuned, packing.collate([line], PAD), total).backward()
        return torch.cat([w.grad.flatten() for w in tuned.parameters() if w.grad is not None])

    together, apart = gradient([talks]), gradient([[talk] for talk in talks])
    assert (together - apart).abs().max() < 1e-5 * apart.abs().max()


def test_rows_of_other_system_prompts_do_not_share():
    other = told(1, {"role": "system", "content": "You are a printer."})
    lines = packing.pack([told(0), other, told(2)], 4000)
    assert [part.skipped > 0 for part in packing.parts(lines[0])] == [False, True, False]


def test_scores_of_rows_are_theirs_whatever_they_share():
    tuned, talks = model(), [told(number) for number in range(4)]
    found = engine.row_nll(tuned, talks, PAD, 4000)
    assert found == pytest.approx([engine.evaluate(tuned, [[talk]], PAD)[0] for talk in talks], rel=1e-5)


def test_dialogues_of_the_table_know_their_stem(tmp_path):
    import json

    import polars as pl

    tokenizer, template = tokenizer_of(base()), load_template("smollm2")
    talks = [[SYSTEM, *small_talk(1)], small_talk(3)]
    table = pl.DataFrame({
        "sample_id": ["a", "b"], "messages": [json.dumps(talk) for talk in talks], "tools": [json.dumps(TOOLS)] * 2,
    })  # fmt: skip
    first, second = rows.dialogues(table, tokenizer, template, 4000).rows
    stem = tokenizer.decode(first.ids[: first.stem], skip_special_tokens=False)
    assert SYSTEM["content"] in stem
    assert "get_forecast" in stem
    assert small_talk(1)[0]["content"] not in stem
    assert set(first.labels[: first.stem]) == {IGNORED}
    assert second.stem == 0  # no system turn: nothing that others would begin with too
