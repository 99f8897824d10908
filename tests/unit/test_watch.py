"""Callbacks: an alarm that rings for divergence and not for a hard batch, and checkpoints that are whole."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest

from training.divergence import DivergenceWatch
from training.watch import KeepBest, Progress, SealCheckpoints, last_sealed
from twainbot.errors import Diverged


def state(step: int, steps: int = 10, epoch: float = 1.0) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, max_steps=steps, epoch=epoch)


def feed(alarm: DivergenceWatch, losses: list[float]) -> None:
    for step, loss in enumerate(losses, start=1):
        alarm.judge(step, loss)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_once_with_step_and_checkpoint(loss):
    alarm = DivergenceWatch(3.0, 3)
    feed(alarm, [2.0, 1.9])
    alarm.on_save(None, state(2), None)
    with pytest.raises(Diverged, match=r"step 3: loss (nan|inf).*checkpoint-2"):
        alarm.judge(3, loss)


def test_a_gradient_that_is_no_number_stops_too():
    with pytest.raises(Diverged, match="none yet"):
        DivergenceWatch(3.0, 3).on_log(None, state(1), None, logs={"loss": 2.0, "grad_norm": math.nan})


def test_three_steps_above_three_times_the_median_are_divergence():
    alarm = DivergenceWatch(3.0, 3)
    feed(alarm, [2.0, 2.0, 2.0, 6.1, 6.1])
    with pytest.raises(Diverged, match=r"step 6: loss 7, above 3.0 times the running median 2"):
        alarm.judge(6, 7.0)


def test_one_bad_batch_between_good_ones_is_none():
    feed(DivergenceWatch(3.0, 2), [2.0, 2.0, 7.0, 2.0, 7.0, 2.0, 7.0])


def test_a_hard_batch_late_in_training_is_not_above_where_the_run_started():
    # median 0.05, so 1.1 is 22 times it, yet below the 2.8 of the first step
    feed(DivergenceWatch(3.0, 3), [2.8, 1.0, 0.3, *[0.05] * 20, 1.1, 1.1, 1.1, 1.1])


def test_a_checkpoint_saved_during_a_spike_is_not_called_good():
    alarm = DivergenceWatch(3.0, 2)
    feed(alarm, [2.0, 2.0])
    alarm.on_save(None, state(2), None)
    alarm.judge(3, 9.0)
    alarm.on_save(None, state(3), None)
    with pytest.raises(Diverged, match="checkpoint-2"):
        alarm.judge(4, 9.0)


def test_progress_speaks_at_the_first_and_the_last_step_and_rarely_between():
    lines: list[str] = []
    progress = Progress("sft", 100.0, lines.append)
    progress.on_train_begin(None, state(0), None)
    for step in range(1, 11):
        progress.on_log(None, state(step), None, logs={"loss": 1.5})
    progress.on_log(None, state(10), None, logs={"train_runtime": 1.0})
    assert [line.split(" tok/s")[0].rsplit(" ", 1)[0] for line in lines] == [
        "sft step 1/10 loss 1.500",
        "sft step 10/10 loss 1.500",
    ]


class Adapter:
    """Writes what peft would write."""

    def save_pretrained(self, folder: str) -> None:
        from pathlib import Path

        Path(folder).mkdir(parents=True)
        (Path(folder) / "adapter_model.safetensors").write_bytes(b"weights")


def test_the_best_epoch_is_noted_and_a_resumed_run_remembers_it(tmp_path):
    scores = iter([2.0, 3.0])
    best = KeepBest(tmp_path / "best", lambda: next(scores), lambda _: None)
    for step in (4, 8):
        best.on_epoch_end(None, state(step, epoch=step / 4), None, model=Adapter())
    assert json.loads((tmp_path / "best" / "best.json").read_text()) == {"step": 4, "loss": 2.0}
    resumed = KeepBest(tmp_path / "best", lambda: pytest.fail("scored again"), lambda _: None)
    resumed.on_epoch_end(None, state(8, epoch=2.0), None, model=Adapter())
    assert resumed.best_loss() == 2.0
    assert [entry["loss"] for entry in resumed.evaluations] == [2.0, 3.0]


def test_before_any_epoch_the_best_loss_is_infinite(tmp_path):
    assert KeepBest(tmp_path / "best", lambda: 1.0, lambda _: None).best_loss() == math.inf


def checkpoint(folder, step: int) -> None:
    made = folder / f"checkpoint-{step}"
    made.mkdir()
    (made / "adapter_model.safetensors").write_bytes(b"x" * step)
    SealCheckpoints().on_save(SimpleNamespace(output_dir=str(folder)), state(step), None)


def test_the_newest_whole_checkpoint_is_resumed_from(tmp_path):
    for step in (2, 4, 10):
        checkpoint(tmp_path, step)
    assert last_sealed(tmp_path).name == "checkpoint-10"


def test_a_checkpoint_torn_by_a_kill_is_passed_over(tmp_path):
    for step in (2, 4, 6, 8):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-8" / "sealed.json").unlink()  # killed before the seal
    (tmp_path / "checkpoint-6" / "adapter_model.safetensors").write_bytes(b"x")  # cut short on disk
    (tmp_path / "checkpoint-4" / "sealed.json").write_text('{"adap')  # killed within the seal
    assert last_sealed(tmp_path).name == "checkpoint-2"
    (tmp_path / "checkpoint-2" / "adapter_model.safetensors").unlink()
    assert last_sealed(tmp_path) is None


def test_a_corrupt_file_of_the_right_size_is_not_resumed_from(tmp_path):
    for step in (2, 4):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-4" / "adapter_model.safetensors").write_bytes(b"xxx\0")  # a block that the disk lost
    assert last_sealed(tmp_path).name == "checkpoint-2"


def test_a_corrupt_checkpoint_that_is_written_anew_is_whole_again(tmp_path):
    checkpoint(tmp_path, 4)
    (tmp_path / "checkpoint-4" / "adapter_model.safetensors").write_bytes(b"lost")
    (tmp_path / "checkpoint-4" / ".sealed.json").write_text("{")  # and a kill within its seal
    SealCheckpoints().on_save(SimpleNamespace(output_dir=str(tmp_path)), state(4), None)
    assert last_sealed(tmp_path).name == "checkpoint-4"
