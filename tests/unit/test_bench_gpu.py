"""benchmarks/gpu.py on a CPU with a tiny model: its sides train the same tokens, and its table says what was measured."""

from __future__ import annotations

import math

import pytest
from transformers import Qwen2Config

from benchmarks import gpu
from training import engine


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A base, and steps small enough for a test."""
    for name, value in (("WINDOW", 64), ("A_STEP", 4), ("AT_ONCE", 2), ("STEPS", 2)):
        monkeypatch.setattr(gpu, name, value)
    gpu.make_base(tmp_path, Qwen2Config(**gpu.SMALL))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["block", "mix"])
def test_stage_and_trainer_train_the_same_tokens(small, shape, monkeypatch):
    monkeypatch.setattr(engine, "_watchers", engine._watchers)  # put back: a side listens for its process's life
    costs = [gpu.side(name, shape, small) for name in ("stage", "trainer")]
    for cost in costs:
        assert cost["seconds"] > 0
        assert cost["last_loss"] == pytest.approx(math.log(gpu.SMALL["vocab_size"]), rel=0.1)
    counted = [cost["tokens"] * cost["steps"] / (cost["steps"] - 1) for cost in costs]
    assert counted[0] == pytest.approx(counted[1])


def test_the_table_shows_medians_and_a_side_that_failed_is_left_out():
    cost = {
        "shape": "block",
        "tokens": 1000.0,
        "trained": 1000.0,
        "tokens_a_row": 64.0,
        "peak_bytes": 2**30,
        "last_loss": 1.0,
    }
    found = [{**cost, "side": "stage", "seconds": seconds} for seconds in (1.0, 2.0, 4.0)]
    found += [{**cost, "side": "trainer", "seconds": seconds} for seconds in (2.0, 2.0, 2.0)]
    shown = gpu.table("block", found, Qwen2Config(**gpu.SMALL), 1e12)
    assert "| stage | 500 |" in shown
    assert "trl" not in shown
    (line,) = gpu.beside(found, "block", "trainer", 0.95)
    assert (line.value, line.holds) == ("1.00 (0.50 to 2.00)", True)
    assert gpu.beside(found, "block", "trl", None) == []
