"""DPO, ORPO and KTO: each loss against a case worked out by hand, and each moves held-out pairs the right way."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import base, write_data

from tests.examples import examples
from training import engine, preference, preference_loss, rows
from training.command import Arguments
from training.config import CONFIGS, load_recipe
from training.render import IGNORED, load_template, tokenizer_of
from training.rows import PairRow, TokenRow

TINY = CONFIGS / "tiny" / "default.yaml"
COUNTS = torch.tensor([[4, 2, 3]])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def of(name: str, logps, reference=(0.0, 0.0, 0.0), beta: float = 0.1) -> float:
    """The loss of one pair."""
    objective = preference_loss.OBJECTIVES[name]
    sides = objective.sides
    given = [torch.tensor([values[:sides]]) for values in (logps, reference)]
    return float(objective.loss(*given, COUNTS[:, :sides], beta))


def test_policy_equal_to_reference_costs_ln_two_under_dpo():
    assert of("dpo", (-5.0, -7.0), (-5.0, -7.0)) == pytest.approx(math.log(2), abs=1e-6)


def test_dpo_by_hand():
    # chosen gained 2 nats, rejected lost 1: margin 0.1 x 3
    assert of("dpo", (-3.0, -8.0), (-5.0, -7.0)) == pytest.approx(-math.log(sigmoid(0.3)), abs=1e-6)


def test_orpo_by_hand():
    # 4 tokens at 1/2 each, 2 tokens at 1/4 each: odds 1 and 1/3, so the odds ratio is 3
    logps = (4 * math.log(0.5), 2 * math.log(0.25))
    expected = math.log(2) - 0.1 * math.log(sigmoid(math.log(3)))  # sigmoid(ln 3) = 3/4
    assert sigmoid(math.log(3)) == pytest.approx(0.75)
    assert of("orpo", logps) == pytest.approx(expected, abs=1e-6)


def test_orpo_reads_no_reference_and_stays_finite_for_a_certain_reply():
    assert of("orpo", (-1.0, -2.0), (-9.0, -9.0)) == of("orpo", (-1.0, -2.0))
    assert math.isfinite(of("orpo", (0.0, -2.0)))


def test_policy_equal_to_reference_costs_one_half_under_kto():
    assert of("kto", (-5.0, -7.0, -9.0), (-5.0, -7.0, -9.0)) == pytest.approx(0.5, abs=1e-6)


def test_kto_by_hand():
    # gains of 2, -1 and 0.5 nats at beta 1: desirable 2 - 0.5, undesirable 0.5 + 1
    found = of("kto", (-3.0, -8.0, -8.5), (-5.0, -7.0, -9.0), beta=1.0)
    assert found == pytest.approx(1 - (sigmoid(1.5) + sigmoid(1.5)) / 2, abs=1e-6)


def test_the_zero_point_of_kto_is_never_below_nothing_and_takes_no_gradient():
    below = of("kto", (-3.0, -8.0, -20.0), (-5.0, -7.0, -9.0), beta=1.0)
    assert below == pytest.approx(1 - (sigmoid(2.0) + sigmoid(1.0)) / 2, abs=1e-6)
    logps = torch.tensor([[-3.0, -8.0, -8.5]], requires_grad=True)
    preference_loss.kto(logps, torch.tensor([[-5.0, -7.0, -9.0]]), COUNTS, 1.0).sum().backward()
    assert logps.grad[0, 2] == 0
    assert logps.grad[0, 0] < 0 < logps.grad[0, 1]


@pytest.mark.parametrize("name", sorted(preference_loss.OBJECTIVES))
@settings(max_examples=examples(60), deadline=None)
@given(chosen=st.floats(-8, -0.1), rejected=st.floats(-8, -0.1), step=st.floats(0.05, 0.09))
def test_a_likelier_chosen_and_an_unlikelier_rejected_reply_cost_less(name, chosen, rejected, step):
    before = of(name, (chosen, rejected, -9.0), (-4.0, -4.0, -9.0), beta=1.0)
    assert of(name, (chosen + step, rejected, -9.0), (-4.0, -4.0, -9.0), beta=1.0) < before
    assert of(name, (chosen, rejected - step, -9.0), (-4.0, -4.0, -9.0), beta=1.0) < before


# the stage


def trained(folder, name):
    """The record of the tiny preference stage under an objective."""
    raw = yaml.safe_load(TINY.read_text())
    raw["preference"].update(objective=name, max_steps=6)
    path = folder / "tiny" / f"{name}.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    data = write_data(folder / "data")
    return preference.main(Arguments(path, data, base(), folder / "out"), lambda _line: None)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "first"), [("dpo", math.log(2)), ("orpo", None), ("kto", 0.5)])
def test_every_objective_moves_chosen_over_rejected_on_held_out_pairs(tmp_path, monkeypatch, name, first):
    scored, score = [], preference.with_reference
    monkeypatch.setattr(
        preference, "with_reference", lambda model, pairs, pad: scored.append(len(pairs)) or score(model, pairs, pad)
    )
    done = trained(tmp_path, name)
    metrics = done["metrics"]
    # of twelve pairs the first of each five validates, so three; ORPO needs no reference for the eight that train
    assert scored == ([3] if first is None else [8, 3])
    assert metrics["validation_loss_after"] < metrics["validation_loss_before"]
    assert metrics["validation_margin_after"] > 0
    assert metrics["validation_accuracy_after"] == 1.0
    if first is not None:
        assert done["loss_curve"][0]["loss"] == pytest.approx(first, abs=1e-4)
        assert metrics["validation_loss_before"] == pytest.approx(first, abs=1e-4)


def test_the_third_side_is_the_next_prompts_chosen_reply():
    replies = ["One.", "Two.", "Three."]
    table = pl.DataFrame(
        {
            "sample_id": ["f1", "f2", "f3"],
            "prompt": [json.dumps([{"role": "user", "content": "Count."}])] * 3,
            "chosen": replies,
            "rejected": ["No."] * 3,
        }
    )
    tokenizer = tokenizer_of(base())

    def said(row: TokenRow) -> str:
        return tokenizer.decode([label for label in row.labels if label != IGNORED])

    found: list[PairRow] = rows.pairs(table, tokenizer, load_template("smollm2"), 2000, sides=3).rows
    assert [said(pair.other) for pair in found if pair.other] == ["Two.", "Three.", "One."]


def test_three_folded_replies_have_the_log_probabilities_that_they_have_alone():
    recipe = load_recipe(TINY)
    model = engine.with_adapter(engine.load_base(base(), recipe.preference, 1), recipe.lora, recipe.preference, None)
    replies = ([7, 8, 9, 2], [4, 2], [11, 2])
    sides = [TokenRow([5, 6, *reply], [IGNORED, IGNORED, *reply]) for reply in replies]
    folded = preference.fold(PairRow(*sides))
    assert folded.ids == [5, 6, 7, 8, 9, 2, 6, 4, 2, 6, 11, 2]
    (scored,) = preference.with_reference(model, [folded], 2)
    alone = [-engine.evaluate(model, [[row]], 2)[0] for row in sides]
    assert scored.reference == pytest.approx(alone, rel=1e-5)
