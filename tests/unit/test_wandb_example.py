"""The example tracker for Weights & Biases, offline: the same calls as the house's tracker gets. Skips without wandb."""

from __future__ import annotations

import inspect
import runpy

import pytest

from resources.tracking import Data, Origin, Registered, Tracker

pytest.importorskip("wandb")


@pytest.fixture
def example(root, monkeypatch):
    """The example's class."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    return runpy.run_path(str(root / "docs" / "examples" / "wandb_tracker.py"))["WandbTracker"]


def test_it_takes_what_the_houses_tracker_takes(example):
    for method in ("log_run", "register", "model_url"):
        wanted = inspect.signature(getattr(Tracker, method)).parameters
        assert list(inspect.signature(getattr(example, method)).parameters) == list(wanted)


def test_a_run_is_written_on_this_machine(example, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    tracker = example(folder=str(tmp_path / "wandb"), experiment="tiny")
    run = tracker.log_run(
        "tiny/default/sft",
        params={"lora": {"r": 4}},
        metrics={"validation_loss_after": 1.5},
        curves={"train_loss": [(1, 2.0), (2, 1.5)], "epoch/validation_loss": [(2, 1.5)]},
        artifacts=[tmp_path / "adapter"],
        texts={"recipe.yaml": "seed: 20"},
        data=[Data("splits/sft", "d" * 64, "splits/sft")],
        tags={"stage": "sft"},
        origin=Origin("run-1", "adapters/sft", "default", "v1"),
    )
    assert run.run_id
    (written,) = (tmp_path / "wandb").rglob(f"run-{run.run_id}.wandb")
    content = written.read_bytes()
    for expected in (b"dagster.run_id", b"train_loss", b"validation_loss_after", b"splits/sft"):
        assert expected in content, expected
    assert next((tmp_path / "wandb").rglob("recipe.yaml")).read_text() == "seed: 20"
    found = tracker.register("twainbot-tiny-default", run, "adapter", alias="sft", sha256="a" * 64)
    assert found == Registered("twainbot-tiny-default", "a" * 12, is_new=True)
