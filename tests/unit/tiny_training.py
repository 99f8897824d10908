"""What the training tests share: a random two-layer base and a few rows of our own, made once per process."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from training.base_model import TINY, prepare
from twainbot import records
from twainbot.dialogues.tools import TOOLS

torch.set_num_threads(1)  # two threads on tiny tensors mostly wait for each other, above all on a busy machine

TEXTS = (
    "The river was high and the pilot was low, and neither of them would discuss it before supper.",
    "A man who has never borrowed an umbrella has never been trusted with the weather.",
    "Will it rain in Hannibal tomorrow? I asked the forecast, and it would not swear to it.",
)


@cache
def base() -> Path:
    """The tiny base folder."""
    folder = Path(tempfile.mkdtemp(prefix="twainbot-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return prepare(TINY, folder, texts=TEXTS)


def call(location: str, datetime: str = "tomorrow") -> dict[str, Any]:
    """An assistant message that asks for a forecast."""
    function = {"name": "get_forecast", "arguments": {"location": location, "datetime": datetime}}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}


def weather_talk(place: str) -> list[dict[str, Any]]:
    """A question, the call, its result and the answer."""
    return [
        {"role": "user", "content": f"Will it rain in {place} tomorrow?"},
        call(place),
        {"role": "tool", "name": "get_forecast", "content": '{"high_f":71,"precipitation_chance":30}'},
        {"role": "assistant", "content": "A high of 71, and three chances in ten of rain."},
    ]


def small_talk(number: int) -> list[dict[str, Any]]:
    """A question without a call, and its answer."""
    return [
        {"role": "user", "content": f"Tell me joke number {number}."},
        {"role": "assistant", "content": "I was one once."},
    ]


def write_data(folder: Path) -> Path:
    """The three tables in `folder`: 20 passages, 24 dialogues (a third without a call), 12 pairs; each fifth validates."""
    folder.mkdir(parents=True, exist_ok=True)
    split = ["validation", "train", "train", "train", "train"]
    passages = [
        {"sample_id": f"p{n:02d}", "split": split[n % 5], "style": "twain", "text": TEXTS[n % 3], "token_count": 20}
        for n in range(20)
    ]
    dialogues = [
        {
            "sample_id": f"d{n:02d}",
            "split": split[n % 5],
            "kind": "tool_calls",
            "messages": json.dumps(small_talk(n) if n % 3 == 0 else weather_talk(f"Town {n}")),
            "tools": json.dumps(TOOLS),
        }
        for n in range(24)
    ]
    pairs = [
        {
            "sample_id": f"f{n:02d}",
            "split": split[n % 5],
            "prompt": json.dumps([{"role": "user", "content": f"What is a river? ({n})"}]),
            "chosen": "A school that never closes.",
            "rejected": "Water.",
        }
        for n in range(12)
    ]
    records.frame(passages, records.DAPT_ROW).write_parquet(folder / "dapt.parquet")
    records.frame(dialogues, records.SFT_ROW).write_parquet(folder / "sft.parquet")
    records.frame(pairs, records.PREFERENCE_ROW).write_parquet(folder / "preferences.parquet")
    return folder
