"""DPO, ORPO and KTO: each loss against a case worked out by hand, and each moves held-out pairs the right way."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import polars as pl
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import base, write_data

from tests.examples import examples
from training import engine, preference, preference_loss, preflight, rows, sft
from training.command import Arguments
from training.config import CONFIGS, Preference, load_recipe
from training.render import IGNORED, load_template, tokenizer_of
from training.rows import Loaded, PairRow, TokenRow

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


def test_the_zero_point_of_kto_is_the_mean_over_the_pairs_at_once():
    # others gained 2 and -1 nats: 0.5 for both, where alone it would be 2 for one and 0 for the other
    logps = torch.tensor([[-3.0, -8.0, -7.0], [-3.0, -8.0, -10.0]])
    found = preference_loss.kto(logps, torch.tensor([[-5.0, -7.0, -9.0]]), COUNTS, 1.0)
    assert found.tolist() == pytest.approx([1 - (sigmoid(1.5) + sigmoid(1.5)) / 2] * 2, abs=1e-6)


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


def test_a_policy_computes_in_training_what_its_reference_computes():
    recipe = load_recipe(TINY)
    lora = recipe.lora.model_copy(update={"dropout": 0.5})
    model = engine.with_adapter(engine.load_base(base(), recipe.preference, 1), lora, recipe.preference, None)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)  # at 0, as it begins, nothing that is dropped shows
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
    batch = preference.collate([preference.fold(pair) for pair in random_pairs(2, 2)], 2)
    wanted, _ = preference.reply_logps(model.eval(), batch)
    assert not torch.allclose(preference.reply_logps(model.train(), batch)[0], wanted)
    found, _ = preference.reply_logps(preference.without_dropout(model).train(), batch)
    assert torch.equal(found, wanted)


def test_nothing_is_dropped_where_a_model_has_a_layer_for_it():
    attention = torch.nn.Module()
    attention.attention_dropout = torch.nn.Dropout(0.5)  # as persimmon and falcon have it
    assert preference.without_dropout(attention).attention_dropout.p == 0.0


@pytest.mark.slow
def test_the_first_loss_is_ln_two_where_the_adapter_before_was_trained_with_dropout(tmp_path):
    raw = yaml.safe_load(TINY.read_text())
    raw["lora"]["dropout"] = 0.05
    path = tmp_path / "tiny" / "dropping.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    data = write_data(tmp_path / "data")
    sft.main(Arguments(path, data, base(), tmp_path / "sft"), lambda _line: None)
    before = tmp_path / "sft" / "adapter"
    done = preference.main(Arguments(path, data, base(), tmp_path / "out", before), lambda _line: None)
    assert done["loss_curve"][0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert done["dropout"] == 0.0
    # what goes on from this adapter drops again as the recipe says
    assert json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())["lora_dropout"] == 0.05


# the loop

STAGE = Preference(
    learning_rate=1e-3, epochs=2, sequence_length=64, micro_batch=1, effective_batch=8, checkpoint_steps=100,
    minimum_steps=1,
)  # fmt: skip


def random_pairs(count: int, sides: int) -> list[PairRow]:
    """Pairs of replies of 3 to 11 tokens to prompts of ten."""
    draw = torch.Generator().manual_seed(0)

    def tokens(least: int, most: int) -> list[int]:
        length = int(torch.randint(least, most + 1, (1,), generator=draw))
        return torch.randint(3, 60, (length,), generator=draw).tolist()

    def reply(prompt: list[int]) -> TokenRow:
        said = tokens(3, 11)
        return TokenRow(prompt + said, [IGNORED] * len(prompt) + said)

    prompts = [tokens(10, 10) for _ in range(count)]
    return [PairRow(*(reply(prompt) for _ in range(sides))) for prompt in prompts]


def fitted(work, name: str, micro: int) -> torch.Tensor:
    """All trained weights after two epochs of 13 pairs, eight a step and `micro` at once."""
    stage = STAGE.model_copy(update={"objective": name, "micro_batch": micro})
    pairs = random_pairs(13, preference_loss.OBJECTIVES[name].sides)
    model = engine.with_adapter(engine.load_base(base(), stage, 7), load_recipe(TINY).lora, stage, None)
    scored = preference.with_reference(model, [preference.fold(pair) for pair in pairs], 2)
    # A reference that is fonder of replies to other prompts keeps KTO's zero point at nothing, however many pairs share it.
    fonder = (0, 0, 50)
    scored = [replace(pair, reference=tuple(map(sum, zip(pair.reference, fonder, strict=False)))) for pair in scored]
    objective = engine.Objective(
        collate=lambda batch: preference.collate(batch, 2),
        loss_of=lambda policy, batch, pairs: preference.loss(policy, batch, stage, pairs),
        score=lambda: preference.evaluate(model, scored, stage, 2)["loss"],
        items=preference.pairs_of,
    )
    planned = preflight.plan(stage, Loaded(pairs), scored, len(scored))
    work.mkdir()
    engine.fit(model, scored, stage, planned, objective, engine.Run("preference", 3, work, lambda _line: None))
    return torch.cat([weight.detach().flatten() for weight in model.parameters() if weight.requires_grad])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(preference_loss.OBJECTIVES))
def test_however_many_pairs_go_at_once_each_counts_as_much(tmp_path, name):
    # An epoch's last step has five. At four at once the fifth goes alone; a mean of micro batches would count it four times.
    alone = fitted(tmp_path / "1", name, 1)
    for micro in (2, 4, 8):
        assert (fitted(tmp_path / str(micro), name, micro) - alone).abs().max() < 1e-5


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
