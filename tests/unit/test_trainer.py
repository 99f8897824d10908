"""The door to training: inline and in a child process, with the child's errors and progress brought back."""

from __future__ import annotations

import contextlib
import math
import os
import sys

import dagster as dg
import pytest
from tiny_training import base, write_data

from resources.trainer import Trainer, failure_of
from training import command, record
from training.command import Arguments
from training.config import CONFIGS
from twainbot.errors import BadInput, Diverged, UnknownName

TINY = CONFIGS / "tiny" / "default.yaml"


def materialize(trainer: Trainer, data, out, stage: str = "dapt"):
    """Train inside an asset; returns Dagster's result and the log lines of the run."""

    @dg.asset
    def adapter(context) -> dg.MaterializeResult:
        done = trainer.train(context, stage, TINY, data, base(), out)
        return dg.MaterializeResult(metadata={"loss": done["best_loss"]})

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([adapter], instance=instance)
        lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    return result, lines


def test_inline_training_logs_progress_and_returns_the_record(tmp_path):
    result, lines = materialize(Trainer(mode="inline"), write_data(tmp_path / "data"), tmp_path / "out")
    loss = result.asset_materializations_for_node("adapter")[0].metadata["loss"].value
    assert loss == record.read(tmp_path / "out")["best_loss"]
    assert any(line.startswith("dapt step 1/1 loss") for line in lines)


def test_an_unknown_stage_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(UnknownName, match="dapt, sft, preference"):
        materialize(Trainer(mode="inline"), tmp_path, tmp_path / "out", stage="rlhf")


def test_the_child_is_wrapped_to_die_with_its_parent_and_gets_every_path(tmp_path):
    arguments = Arguments(TINY, tmp_path / "d", tmp_path / "b", tmp_path / "o", tmp_path / "a")
    line = Trainer().command("sft", arguments)
    assert line[:5] == [sys.executable, "-m", "resources.with_parent", "--parent", str(os.getpid())]
    assert line[5:] == [
        sys.executable, "-m", "training.sft",
        str(TINY), "--data", str(tmp_path / "d"), "--base", str(tmp_path / "b"), "--out", str(tmp_path / "o"),
        "--init-adapter", str(tmp_path / "a"),
    ]  # fmt: skip


def test_another_launcher_stands_where_python_stood(tmp_path):
    line = Trainer(launcher=["accelerate", "launch", "-m"]).command("sft", Arguments(TINY, *[tmp_path] * 3))
    assert line[5:9] == ["accelerate", "launch", "-m", "training.sft"]
    assert "--init-adapter" not in line


def test_the_child_finds_the_packages_and_asks_no_hub(root, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    found = Trainer(threads=2).environment()
    assert found["PYTHONPATH"].split(":") == [str(root), "/elsewhere"]
    assert (found["HF_HUB_OFFLINE"], found["OMP_NUM_THREADS"]) == ("1", "2")
    assert "OMP_NUM_THREADS" not in Trainer().environment()


def test_a_childs_divergence_comes_back_with_step_loss_and_checkpoint(tmp_path):
    def diverges(_arguments, _report):
        raise Diverged("Training diverged at step 7.", step=7, loss=float("nan"), checkpoint="checkpoint-5", since=6)

    arguments = Arguments(TINY, tmp_path, base(), tmp_path)
    assert command.run(diverges, arguments) == 1
    found = failure_of("dapt", arguments, RuntimeError("code 1"))
    assert isinstance(found, Diverged)
    assert (str(found), found.step, found.checkpoint, found.since) == (
        "Training diverged at step 7.",
        7,
        "checkpoint-5",
        6,
    )
    assert math.isnan(found.loss)


def test_a_librarys_error_comes_back_by_name_and_gives_way_to_one_made_on_purpose(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # or the second run takes the first one's failure for a stale one

    def breaks(_arguments, _report):
        raise RuntimeError("Connection closed by peer")

    def refuses(_arguments, _report):
        raise BadInput("No rows.")

    arguments = Arguments(TINY, tmp_path, base(), tmp_path / "out", None, "token")
    with pytest.raises(RuntimeError):
        command.run(breaks, arguments)
    found = failure_of("dapt", arguments, RuntimeError("code 1"))
    assert isinstance(found, dg.Failure)
    assert "RuntimeError: Connection closed by peer" in str(found.description)
    # of two processes the one that says what is wrong is heard, whichever is first
    for order in ((breaks, refuses), (refuses, breaks)):
        for main in order:
            with contextlib.suppress(RuntimeError):
                command.run(main, arguments)
        found = failure_of("dapt", arguments, RuntimeError("code 1"))
        assert (type(found), str(found)) == (BadInput, "No rows.")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_a_child_process_reports_progress_and_writes_the_record_from_any_folder(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data")
    monkeypatch.chdir("/")
    _, lines = materialize(Trainer(threads=1), data, tmp_path / "out")
    assert record.read(tmp_path / "out")["environment"]["threads"] == 1
    assert any("dapt step 1/1 loss" in line for line in lines)


@pytest.mark.slow
def test_a_childs_refusal_is_raised_here_as_the_same_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no dapt\.parquet"):
        materialize(Trainer(threads=1), tmp_path / "empty", tmp_path / "out")


@pytest.mark.slow
def test_a_child_that_dies_without_a_word_is_a_failure_that_says_so(tmp_path):
    with pytest.raises(dg.Failure, match=r"without an error of its own.* code 1"):
        materialize(Trainer(launcher=["false"]), tmp_path, tmp_path / "out")
