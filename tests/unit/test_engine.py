"""The loop: packing that does not leak, losses that are exact, resuming that changes nothing."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import base, small_talk, weather_talk

from tests.examples import examples
from training import averaging, engine, losses, packing, preflight, watch
from training.config import CONFIGS, Stage, load_recipe
from training.render import IGNORED, TurnMarks, load_template, render, tokenizer_of, turn_marks
from training.rows import Loaded, TokenRow
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadUse, Diverged

RECIPE = load_recipe(CONFIGS / "tiny" / "default.yaml")
PAD = 2
STAGE = Stage(
    learning_rate=5e-3, epochs=2, sequence_length=640, micro_batch=1, effective_batch=2, checkpoint_steps=2,
    minimum_steps=1,
)  # fmt: skip


def token_rows() -> list[TokenRow]:
    """Eight dialogues of two lengths."""
    tokenizer, template = tokenizer_of(base()), load_template("smollm2")
    talks = [small_talk(n) if n % 2 else weather_talk(f"Town {n}") for n in range(8)]
    return [TokenRow(*render(talk, TOOLS, tokenizer, template)) for talk in talks]


def model_with(dropout: float = 0.0):
    """A fresh adapter on the tiny base; equal calls give equal weights."""
    lora = RECIPE.lora.model_copy(update={"dropout": dropout})
    return engine.with_adapter(engine.load_base(base(), STAGE, 7), lora, STAGE, None)


def fitted(work, stage=STAGE, *, model=None, score=None, callbacks=()):
    """Train on the eight dialogues; returns the model and what the loop reports."""
    model = model or model_with(0.05)
    lines = packing.pack(token_rows(), stage.sequence_length)
    planned = preflight.plan(stage, Loaded(token_rows()), token_rows(), len(lines))
    objective = engine.Objective(
        collate=lambda batch: packing.collate(batch, PAD),
        loss_of=losses.token_loss(),
        score=score or (lambda: engine.mean_nll(model, lines, PAD)),
    )
    work.mkdir(parents=True, exist_ok=True)
    run = engine.Run("sft", 3, work, lambda line: [spoken(line) for spoken in callbacks])
    return model, engine.fit(model, lines, stage, planned, objective, run)


def unlabelled(batch):
    """The batch without its labels."""
    return {name: value for name, value in batch.items() if name != "labels"}


def adapter_weights(model) -> torch.Tensor:
    """All trainable weights in one vector."""
    return torch.cat([weight.detach().flatten() for weight in model.parameters() if weight.requires_grad])


def test_a_packed_row_has_the_logits_that_it_has_alone():
    model = model_with().eval()
    first, second = token_rows()[:2]
    together = packing.collate([[first, second], [second]], PAD)
    alone = packing.collate([[second]], PAD)
    with torch.no_grad():
        packed = model(**unlabelled(together), use_cache=False).logits[0]
        single = model(**unlabelled(alone), use_cache=False).logits[0]
        start = len(first.ids)
        assert (packed[start : start + len(second.ids)] - single).abs().max() < 1e-5
        ones = torch.ones_like(together["input_ids"])
        model.get_base_model().set_attn_implementation("sdpa")  # as on a GPU
        on_gpu = model(**unlabelled(together), use_cache=False).logits[0]
        leaking = model(**unlabelled(together), use_cache=False, attention_mask=ones).logits[0]
        cached = model(**unlabelled(together), use_cache=True).logits[0]
    assert (on_gpu - packed).abs().max() < 1e-5
    # why losses.token_nll passes no mask and asks for no cache
    assert (leaking[start : start + len(second.ids)] - single).abs().max() > 1e-3
    assert (cached[start : start + len(second.ids)] - single).abs().max() > 1e-3


def test_the_loss_at_kept_positions_equals_the_whole_cross_entropy():
    model = model_with().eval()
    batch = packing.collate([token_rows()[:2], token_rows()[2:3]], PAD)
    with torch.no_grad():
        logits = model(**unlabelled(batch), use_cache=False).logits[:, :-1]
        whole = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        nll, positions = losses.token_nll(model, batch)
    assert float(nll.sum()) == pytest.approx(float(whole), rel=1e-6)
    assert len(positions) < batch["input_ids"].shape[1] / 2  # prompts are skipped by the LM head


def marks():
    return turn_marks(tokenizer_of(base()), load_template("smollm2"))


def test_the_end_of_a_turn_can_count_more():
    model = model_with().eval()
    row = token_rows()[0]  # two assistant turns: a call and an answer
    batch = packing.collate([[row]], PAD)
    with torch.no_grad():
        nll, positions = losses.token_nll(model, batch)
        plain = float(losses.token_loss()(model, batch, row.trained))
        weighted = float(losses.token_loss(losses.Weighing(marks(), end=5.0))(model, batch, row.trained))
    ends = [place for place, label in enumerate(row.labels) if label == PAD]
    assert len(ends) == 2
    extra = sum(float(nll[0, positions.tolist().index(place)]) for place in ends)
    assert plain == pytest.approx(float(nll.sum()) / row.trained, rel=1e-6)
    assert weighted == pytest.approx(plain + 4 * extra / row.trained, rel=1e-5)


def test_the_beginning_of_a_turn_can_count_more():
    model = model_with().eval()
    row = token_rows()[0]
    batch = packing.collate([[row]], PAD)
    with torch.no_grad():
        nll, positions = losses.token_nll(model, batch)
        plain = float(losses.token_loss()(model, batch, row.trained))
        weighted = float(losses.token_loss(losses.Weighing(marks(), begin=3.0))(model, batch, row.trained))
    places = range(1, len(row.ids))
    begins = [place for place in places if row.labels[place] != IGNORED and row.labels[place - 1] == IGNORED]
    extra = sum(float(nll[0, positions.tolist().index(place)]) for place in begins)
    assert len(begins) == 2  # a call and an answer
    assert weighted == pytest.approx(plain + 2 * extra / row.trained, rel=1e-5)


def test_a_turn_that_is_cut_has_no_end_to_count():
    labels = torch.tensor([[IGNORED, 7, PAD, IGNORED, 7, 8]])
    deciding, ending = losses.turns(labels, TurnMarks(0, 9, (PAD,)))
    assert deciding.int().tolist() == [[0, 1, 0, 0, 1, 0]]
    assert ending.int().tolist() == [[0, 0, 1, 0, 0, 0]]


def test_where_a_template_opens_calls_and_words_alike_the_token_that_tells_them_apart_decides():
    labels = torch.tensor([[IGNORED, 3, 9, 4, PAD, IGNORED, 3]])  # the last turn is too short to tell
    deciding, _ = losses.turns(labels, TurnMarks(1, 9, (PAD,)))
    assert deciding.int().tolist() == [[0, 0, 1, 0, 0, 0, 0]]


def test_the_loss_on_a_decision_sets_the_call_against_the_likeliest_word_as_greedy_decoding_does():
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [90.0, 0.0, 0.0]], requires_grad=True)
    found = losses.decision_nll(logits, torch.tensor([0, 2, 1]), call=0)
    lead = 2.0 - 1.0
    assert found[:2].tolist() == pytest.approx([math.log1p(math.exp(-lead)), math.log1p(math.exp(lead))], rel=1e-6)
    found.sum().backward()
    assert float(found[2].detach()) == pytest.approx(90.0)  # no infinity however sure the wrong call is
    assert float(logits.grad[2, 0]) == pytest.approx(1.0)
    assert float(logits.grad[1, 0]) == pytest.approx(1 / (1 + math.exp(-lead)), rel=1e-5)
    assert logits.grad[:, 1:].abs().sum() == 0.0  # which word it is, the words' own loss asks


def test_where_words_are_wanted_the_likeliest_bracket_is_set_against_the_likeliest_word():
    logits = torch.tensor([[0.0, 3.0, 5.0, 4.0, 1.0]] * 3, requires_grad=True)  # a call, two words, two brackets
    wanted, lead = torch.tensor([1, 0, 3]), 4.0 - 5.0  # words, a call, data
    alone = losses.decision_nll(logits, wanted, call=0)
    found = losses.decision_nll(logits, wanted, call=0, data=(3, 4)) - alone
    assert found.tolist() == pytest.approx([math.log1p(math.exp(lead)), 0.0, 0.0], abs=1e-6)
    found.sum().backward()
    assert float(logits.grad[0, 3]) == pytest.approx(1 / (1 + math.exp(-lead)), rel=1e-5)
    assert logits.grad[:, [0, 1, 2, 4]].abs().sum() == 0.0
    assert logits.grad[1:].abs().sum() == 0.0


@pytest.mark.parametrize("words", [1, 10, 1000])
def test_a_decision_without_loss_is_greedys_however_many_words_share_the_rest(words):
    spread = torch.tensor([[4.0, *([3.0] * words)]])  # with a thousand, a call has a probability of 0.3 percent
    calls = losses.decision_nll(spread, torch.tensor([0]), call=0)
    silent = losses.decision_nll(spread, torch.tensor([1]), call=0)
    assert (int(spread.argmax()) == 0) == (float(calls) < float(silent))


def test_decisions_count_beside_the_words_and_move_the_probability_of_a_call():
    model = model_with().eval()
    rows = token_rows()[:2]  # a call and then words; words alone
    batch = packing.collate([rows], PAD)
    weighing, count = losses.Weighing(marks(), decision=3.0), sum(row.trained for row in rows)
    with torch.no_grad():
        plain, weighed = (float(losses.token_loss(how)(model, batch, count)) for how in (None, weighing))
        logits, wanted, positions = losses.predictions(model, batch)
    deciding, _ = losses.turns(batch["labels"], weighing.marks)
    at = deciding[:, positions]
    assert int(at.sum()) == 3  # turns
    assert (wanted[at] == weighing.marks.call).tolist() == [True, False, False]
    extra = float(losses.decision_nll(logits[at], wanted[at], weighing.marks.call, weighing.marks.data).mean())
    assert weighed == pytest.approx(plain + 3 * extra, rel=1e-5)


def test_a_line_of_short_talk_decides_no_harder_than_a_line_of_long_calls():
    asked = torch.tensor([1.0, 3.0, 5.0])
    at = torch.tensor([[True, True, False, False], [False, False, True, False]])
    trained = torch.tensor([[True, True, False, False], [True, True, True, True]])
    assert float(losses.by_line(asked, at, trained)) == (1.0 + 3.0) / 2 * 2 + 5.0 / 1 * 4


def test_evaluation_weighs_tokens_not_rows():
    model = model_with()
    rows = token_rows()
    total, count = engine.evaluate(model, [[row] for row in rows], PAD)
    parts = [engine.evaluate(model, [[row]], PAD) for row in rows]
    assert total == pytest.approx(sum(part[0] for part in parts), rel=1e-6)
    assert count == sum(row.trained for row in rows)
    assert engine.evaluate(model, [], PAD) == (0.0, 0)


def test_four_micro_batches_of_one_and_one_of_four_take_the_same_step(tmp_path):
    four = STAGE.model_copy(update={"effective_batch": 4, "epochs": 1})
    one, _ = fitted(tmp_path / "a", four, model=model_with())
    other, _ = fitted(tmp_path / "b", four.model_copy(update={"micro_batch": 4}), model=model_with())
    assert (adapter_weights(one) - adapter_weights(other)).abs().max() < 1e-5


def test_training_lowers_the_loss_and_reports_every_step(tmp_path):
    lines = packing.pack(token_rows(), STAGE.sequence_length)
    before = engine.mean_nll(model_with(0.05), lines, PAD)
    _, done = fitted(tmp_path / "run")
    assert done.best_loss < before
    assert [point["step"] for point in done.loss_curve] == list(range(1, done.steps + 1))
    assert [point["epoch"] for point in done.evaluations] == [1.0, 2.0]
    assert done.tokens_per_s > 0
    assert done.resumed_from == 0
    assert watch.last_sealed(tmp_path / "run") is not None


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights_bit_by_bit(tmp_path):
    class Killed(BaseException):
        pass

    def kill_in_the_second_epoch(line):
        if "validation after epoch 1" in line:
            raise Killed

    whole, done = fitted(tmp_path / "whole")
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", callbacks=[kill_in_the_second_epoch])
    resumed, later = fitted(tmp_path / "cut")
    assert 0 < later.resumed_from < done.steps
    assert torch.equal(adapter_weights(resumed), adapter_weights(whole))
    assert [point["loss"] for point in later.loss_curve] == [point["loss"] for point in done.loss_curve]


@pytest.mark.slow
def test_an_epoch_that_was_the_best_is_kept_though_the_run_was_killed_before_its_score_was_written(tmp_path):
    class Killed(BaseException):
        pass

    def kill_at_the_first_score():
        raise Killed

    with pytest.raises(Killed):
        fitted(tmp_path / "cut", score=kill_at_the_first_score)
    scores = iter([1.0, 2.0])
    resumed, done = fitted(tmp_path / "cut", score=lambda: next(scores))
    scores = iter([1.0, 2.0])
    whole, _ = fitted(tmp_path / "whole", score=lambda: next(scores))
    assert [point["loss"] for point in done.evaluations] == [1.0, 2.0]
    assert torch.equal(adapter_weights(resumed), adapter_weights(whole))


@pytest.mark.slow
def test_a_run_killed_after_its_last_step_takes_no_step_twice(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_args):
        raise Killed

    part = STAGE.model_copy(update={"epochs": 1, "max_steps": 2, "checkpoint_steps": 1, "effective_batch": 1})
    assert len(packing.pack(token_rows(), part.sequence_length)) > 2  # the epoch has steps left
    whole, done = fitted(tmp_path / "whole", part)
    with monkeypatch.context() as cut:
        cut.setattr(engine, "_load_best", kill)
        with pytest.raises(Killed):
            fitted(tmp_path / "cut", part)
    resumed, later = fitted(tmp_path / "cut", part)
    assert (later.resumed_from, later.steps) == (2, 2)
    assert later.loss_curve == done.loss_curve
    assert torch.equal(adapter_weights(resumed), adapter_weights(whole))


def test_the_mean_of_the_last_steps_is_what_is_scored_and_kept(tmp_path):
    """Of four steps the last two; the checkpoints hold what the optimiser goes on from, not the mean."""
    settings = STAGE.model_copy(update={"epochs": 1, "checkpoint_steps": 1, "effective_batch": 1, "spike_patience": 9})
    lines = packing.pack(token_rows(), settings.sequence_length)
    fitted(tmp_path / "plain", settings)
    kept, done = fitted(tmp_path / "mean", settings.model_copy(update={"average_last": 0.5}))
    steps = [_saved(tmp_path / "plain" / f"checkpoint-{number}") for number in (3, 4)]
    wanted = {name: sum(step[name] for step in steps) / 2 for name in steps[0]}
    found = _saved(tmp_path / "mean" / "best")
    assert (done.steps, done.averaged_steps) == (4, 2)
    assert max((found[name] - wanted[name]).abs().max() for name in wanted) < 1e-7
    assert max((found[name] - steps[-1][name]).abs().max() for name in wanted) > 1e-5
    named = sorted((name, weight) for name, weight in kept.named_parameters() if weight.requires_grad)
    assert all(torch.equal(weight, found[name.replace(".default", "")]) for name, weight in named)
    assert _equal(_saved(tmp_path / "mean" / "checkpoint-4"), steps[-1])
    assert done.best_loss == pytest.approx(engine.mean_nll(kept, lines, PAD), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["at the last step", "after the last step"])
def test_a_run_killed_while_it_averages_ends_in_the_same_mean(tmp_path, monkeypatch, moment):
    class Killed(BaseException):
        pass

    def kill(*_args):
        raise Killed

    settings = STAGE.model_copy(update={"epochs": 1, "checkpoint_steps": 1, "effective_batch": 1, "average_last": 0.5})
    whole, done = fitted(tmp_path / "whole", settings)
    with monkeypatch.context() as cut:
        if moment == "after the last step":
            cut.setattr(engine, "_load_best", kill)
        else:
            taken = averaging.AverageLast.on_step_end
            cut.setattr(
                averaging.AverageLast,
                "on_step_end",
                lambda self, args, state, control, **more: (
                    kill() if state.global_step == 4 else taken(self, args, state, control, **more)
                ),
            )
        with pytest.raises(Killed):
            fitted(tmp_path / "cut", settings)
    resumed, later = fitted(tmp_path / "cut", settings)
    assert later.resumed_from == (3 if moment == "at the last step" else 4)
    assert later.averaged_steps == done.averaged_steps == 2
    assert torch.equal(adapter_weights(resumed), adapter_weights(whole))


def _equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_epoch_with_the_best_score_is_kept_not_the_last(tmp_path):
    scores = iter([1.0, 2.0])
    kept, done = fitted(tmp_path / "two", score=lambda: next(scores))
    one_epoch_of_two = torch.cat(
        [weight.flatten() for name, weight in sorted(_saved(tmp_path / "two" / "best").items()) if "lora" in name]
    )
    named = sorted((name, weight) for name, weight in kept.named_parameters() if weight.requires_grad)
    assert torch.equal(torch.cat([weight.detach().flatten() for _, weight in named]), one_epoch_of_two)
    assert done.best_loss == 1.0
    assert [point["loss"] for point in done.evaluations] == [1.0, 2.0]


def _saved(folder):
    from peft import load_peft_weights

    return load_peft_weights(str(folder))


def test_a_learning_rate_that_blows_up_ends_in_diverged(tmp_path):
    wild = STAGE.model_copy(update={"learning_rate": 0.9, "epochs": 6, "max_grad_norm": 1e9, "spike_factor": 1.01})
    with pytest.raises(Diverged, match=r"step \d+: loss .* Last good checkpoint: (checkpoint-\d+|none yet)"):
        fitted(tmp_path, wild.model_copy(update={"spike_patience": 1}))


def test_a_continued_adapter_starts_from_the_weights_before_and_is_trainable(tmp_path):
    first, _ = fitted(tmp_path / "run")
    first.save_pretrained(str(tmp_path / "adapter"))
    again = engine.with_adapter(engine.load_base(base(), STAGE, 99), RECIPE.lora, STAGE, tmp_path / "adapter")
    assert torch.equal(adapter_weights(again), adapter_weights(first))


def test_bf16_on_a_cpu_without_bf16_arithmetic_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(BadUse, match="fp32"):
        engine.load_base(base(), STAGE.model_copy(update={"precision": "bf16"}), 0)


def test_checkpoints_of_another_run_are_cleared_and_ones_own_are_kept(tmp_path):
    mine = engine.clear_other_runs(tmp_path, "a" * 64)
    (mine / "checkpoint-2").mkdir()
    assert engine.clear_other_runs(tmp_path, "a" * 64) == mine
    assert (mine / "checkpoint-2").is_dir()
    other = engine.clear_other_runs(tmp_path, "b" * 64)
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


@settings(max_examples=examples(20), deadline=None)
@given(lines=st.integers(1, 400), micro=st.integers(1, 8), accumulation=st.integers(1, 8), epochs=st.integers(1, 3))
def test_the_plan_counts_steps_as_the_trainer_does(lines, micro, accumulation, epochs):
    stage = STAGE.model_copy(update={"micro_batch": micro, "effective_batch": micro * accumulation, "epochs": epochs})
    planned = preflight.plan(stage, Loaded([]), [], lines)
    batches = math.ceil(lines / micro)
    assert planned.epoch_steps == max(batches // accumulation + (batches % accumulation > 0), 1)
    assert planned.steps == planned.epoch_steps * epochs
