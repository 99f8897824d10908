"""When a stage ends before its steps are done, and the one way in which it goes on at a lower rate."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_engine import adapter_weights, fitted

from training import divergence
from training.config import Dapt, Stage
from training.divergence import DivergenceWatch, Enough, RisingValidation, lower_rate, lowered, rising
from twainbot.errors import Diverged

SETTINGS = {
    "learning_rate": 5e-3, "epochs": 4, "sequence_length": 640, "micro_batch": 1, "effective_batch": 2,
    "checkpoint_steps": 1, "minimum_steps": 1,
}  # fmt: skip
STAGE = Stage(**SETTINGS)
# 0.9 throws two random layers off at the third step, by 3%: 5.92, 5.82, 6.02; 0.9 x 0.005 trains them: 5.92, 5.91, 5.89
WILD = Dapt(
    **{**SETTINGS, "learning_rate": 0.9, "epochs": 3}, max_grad_norm=1e9, spike_factor=1.01, spike_patience=1,
    on_spike="lower_rate", spike_rate_factor=0.005,
)  # fmt: skip


def state(step: int, losses: tuple[float, ...] = ()) -> SimpleNamespace:
    history = [{"step": number, "loss": loss} for number, loss in enumerate(losses, start=1)]
    return SimpleNamespace(global_step=step, max_steps=10, epoch=1.0, log_history=history)


# the validation loss


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([1.0, 2.0, 3.0], 2, True),
        ([3.0, 1.0, 2.0, 3.0], 2, True),
        ([1.0, 2.0, 2.0], 2, False),  # level is not rising
        ([1.0, 2.0, 1.5, 2.5], 2, False),  # not in a row
        ([1.0, 2.0], 2, False),  # one rise only
        ([1.0, 2.0], 1, True),
        ([1.0, 2.0, 3.0], 0, False),  # never
        ([], 1, False),
    ],
)
def test_rising_means_so_many_rises_in_a_row_at_the_end(losses, patience, expected):
    assert rising(losses, patience) is expected


@given(st.lists(st.floats(0, 9), min_size=1, max_size=8), st.integers(1, 4))
def test_a_longer_patience_never_ends_a_stage_earlier(losses, patience):
    assert rising(losses, patience) or not rising(losses, patience + 1)


def scored(*losses: float):
    """A score that gives these values one after another."""
    left = iter(losses)
    return lambda: next(left)


def test_a_stage_whose_validation_rises_twice_ends_with_its_best_epoch_and_says_so(tmp_path):
    _, done = fitted(tmp_path / "run", STAGE, score=scored(1.0, 2.0, 3.0))
    steps = [entry["step"] for entry in done.evaluations]
    assert len(steps) == 3  # of four epochs
    assert done.steps == steps[2]
    assert done.ended_early == {
        "why": f"Ended early: the validation loss rose 2 evaluations in a row, to 3 at step {steps[2]}; its lowest was 1 at "
        f"step {steps[0]}, which is kept.",
        "step": steps[2],
        "loss": 3.0,
        "checkpoint": f"best (step {steps[0]})",
    }
    assert done.best_loss == 1.0


@pytest.mark.slow
def test_a_recipe_may_call_that_divergence(tmp_path):
    with pytest.raises(
        Diverged, match=r"rose 2 evaluations in a row.*Last good checkpoint: best \(step \d+\)"
    ) as caught:
        fitted(tmp_path, STAGE.model_copy(update={"on_rising": "stop"}), score=scored(1.0, 2.0, 3.0))
    assert caught.value.loss == 3.0
    assert caught.value.checkpoint.startswith("best")


def test_a_run_that_was_cut_off_before_the_judgement_is_judged_when_it_comes_back():
    past = [{"step": 2, "loss": 1.0}, {"step": 4, "loss": 2.0}, {"step": 6, "loss": 3.0}]
    judge = RisingValidation(STAGE, lambda: past)
    judge.on_train_begin(None, state(4), None)  # its checkpoint is from before the evaluation that completes the row
    with pytest.raises(Enough):
        judge.on_train_begin(None, state(6), None)
    judge.on_epoch_end(None, state(7), None)  # nothing was evaluated there


def test_two_epochs_never_end_early_by_default():
    assert Stage(**{**SETTINGS, "epochs": 2}).rising_patience == 2
    assert not rising([1.0, 9.0], 2)


# the loss


def test_a_resumed_run_judges_by_the_losses_before_it_was_cut_off(tmp_path):
    for step in (2, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
    alarm = DivergenceWatch(3.0, 2)
    # step 4 was above three times the median of 2: suspicious, and its checkpoint is not called good
    alarm.on_train_begin(SimpleNamespace(output_dir=str(tmp_path)), state(4, (2.0, 2.0, 2.0, 7.0)), None)
    with pytest.raises(Diverged, match="checkpoint-2") as caught:
        alarm.judge(5, 8.0)
    assert (caught.value.step, caught.value.loss, caught.value.checkpoint) == (5, 8.0, "checkpoint-2")


def test_lines_of_calls_and_lines_of_talk_in_turn_are_no_divergence():
    alarm = DivergenceWatch(3.0, 3)
    calls, talk = 0.5, 4.5  # a call is learned to the letter, talk never
    for step, loss in enumerate([2.5, 3.0, 3.2] + [calls, calls, calls, talk] * 4 + [calls] + [talk] * 6):
        alarm.judge(step, loss)  # talk is above the start and three times the median, three times in a row at last
    alarm.judge(40, 14.0)
    alarm.judge(41, 14.0)
    with pytest.raises(Diverged, match="for 3 steps"):
        alarm.judge(42, 14.0)


@pytest.mark.slow
def test_a_spike_in_dapt_goes_back_once_and_on_at_the_lower_rate(tmp_path):
    lines: list[str] = []
    _, done = fitted(tmp_path, WILD, callbacks=[lines.append])
    found = done.lowered
    assert found.rate == pytest.approx(0.0045)
    assert found.from_step < found.step <= done.steps
    assert any(f"0.0045 from step {found.from_step} on" in line for line in lines)
    rates = {point["step"]: point["learning_rate"] for point in done.loss_curve}
    assert all(rate <= 0.0045 for step, rate in rates.items() if step > found.from_step)
    assert [point["step"] for point in done.loss_curve] == list(range(1, done.steps + 1))
    assert all(math.isfinite(point["loss"]) for point in done.loss_curve)


@pytest.mark.slow
def test_a_run_killed_after_its_rate_was_lowered_reaches_the_same_weights(tmp_path):
    class Killed(BaseException):
        pass

    def kill_in_the_second_epoch(line):
        if "validation after epoch 1" in line:
            raise Killed

    whole, done = fitted(tmp_path / "whole", WILD)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", WILD, callbacks=[kill_in_the_second_epoch])
    again, later = fitted(tmp_path / "cut", WILD)
    assert later.resumed_from > 0
    assert later.lowered == done.lowered
    assert torch.equal(adapter_weights(again), adapter_weights(whole))
    assert later.loss_curve == done.loss_curve
    assert [entry["loss"] for entry in later.evaluations] == [entry["loss"] for entry in done.evaluations]


@pytest.mark.slow
def test_a_second_spike_stops(tmp_path):
    with pytest.raises(Diverged):
        fitted(tmp_path, WILD.model_copy(update={"spike_rate_factor": 0.99}))
    assert lowered(tmp_path).rate == pytest.approx(0.891)


def test_only_dapt_and_only_where_the_recipe_says_so_lowers_its_rate(tmp_path):
    error = Diverged("Training diverged.", step=7, loss=9.0, checkpoint="checkpoint-4", since=6)
    assert lower_rate(STAGE, tmp_path, error) is None
    assert lower_rate(WILD.model_copy(update={"on_spike": "stop"}), tmp_path, error) is None
    rose = Diverged("The validation loss rose.", step=7, loss=9.0, checkpoint="best (step 4)")
    assert lower_rate(WILD, tmp_path, rose) is None
    assert list(tmp_path.iterdir()) == []


def test_what_came_after_the_good_checkpoint_is_forgotten_and_kept_in_the_note(tmp_path):
    for step in (2, 4, 5, 6):
        (tmp_path / f"checkpoint-{step}").mkdir()
    past = [{"step": 3, "loss": 1.0}, {"step": 6, "loss": 2.0}]
    (tmp_path / "evaluations.json").write_text(json.dumps(past))
    # the loss of step 6 is that of the weights after step 5: checkpoint-4 gave a good one, checkpoint-5 would not have
    error = Diverged("Training diverged.", step=7, loss=math.nan, checkpoint="checkpoint-5", since=6)
    found = lower_rate(WILD, tmp_path, error)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    assert json.loads((tmp_path / "evaluations.json").read_text()) == past[:1]
    assert found.evaluations == past[1:]
    assert math.isnan(lowered(tmp_path).loss)
    assert lower_rate(WILD, tmp_path, error) is None  # once


def test_the_error_says_where_the_spike_began():
    alarm = DivergenceWatch(3.0, 3)
    for step, loss in enumerate((2.0, 2.0, 7.0, 7.0), start=1):
        alarm.judge(step, loss)
    with pytest.raises(Diverged) as caught:
        alarm.judge(5, 7.0)
    assert (caught.value.since, caught.value.step) == (3, 5)


def test_without_a_good_checkpoint_it_goes_on_from_the_start(tmp_path):
    (tmp_path / "checkpoint-1").mkdir()
    error = Diverged("Training diverged.", step=3, loss=9.0, checkpoint=divergence.NONE_YET, since=2)
    assert lower_rate(WILD, tmp_path, error).from_step == 0
    assert not list(tmp_path.glob("checkpoint-*"))
