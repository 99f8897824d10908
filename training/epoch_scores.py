"""What is asked of a model after each epoch beside its validation loss: calls, voice, humour cues, and replies to read.

A fixed draw of the stage's validation dialogues is answered greedily, without constraints, and scored as the evaluations
score (twainbot/evals), on far fewer cases: a curve over epochs, no verdict. Nothing of it reaches the weights: every
random state is put back, and the loop's choice of the best epoch is the loss's alone.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from training import rows, trouble
from training.config import Recipe, Stage, Watch
from training.decoding import greedy
from training.render import Template, render
from twainbot import personas
from twainbot.chunks.tags import tag
from twainbot.dialogues.prompts import system_prompts
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadInput
from twainbot.evals.call_parsing import parse_calls
from twainbot.evals.style import StyleExample, fit
from twainbot.evals.tool_calls import CallRow, summarise

_BATCH = 8  # replies decoded at once: so many share each step's reading of the weights
_SHOWN = 600  # characters of a sample


@dataclass(frozen=True)
class Turn:
    """A validation dialogue up to its first assistant turn, and that turn."""

    sample_id: str
    prompt: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    expected: list[dict[str, Any]]  # the right calls, as twainbot/evals/tool_calls.py writes them; [] for words
    wanted: str  # what the dialogue says, as text

    @property
    def asked(self) -> str:
        """The user's last words."""
        return next((str(message["content"]) for message in self.prompt[::-1] if message["role"] == "user"), "")

    @property
    def persona(self) -> str | None:
        """Whose system prompt stands at its head; None for nobody's."""
        head = str(self.prompt[0].get("content")) if self.prompt and self.prompt[0]["role"] == "system" else ""
        return next((name for name, text in system_prompts().items() if head.startswith(text.strip())), None)


@dataclass(frozen=True)
class Heard:
    """What was found after one epoch. A score that nothing was counted for is absent."""

    scores: dict[str, float]  # rates in 0..1, humour cues per 100 words, and n_... how many each was counted over
    samples: list[dict[str, str]] = field(default_factory=list)  # asked, wanted, said
    watch_s: float = 0.0
    not_scored: str = ""  # why there are no scores

    def line(self) -> str:
        """For the log, behind the loss: ` | tool_calls_exact 0.50 (4) | ...`."""
        counted = {name: int(value) for name, value in self.scores.items() if name.startswith("n_")}
        parts = [f"{name} {value:.3g}" for name, value in self.scores.items() if name not in counted]
        over = [f"{name.removeprefix('n_')} {count}" for name, count in counted.items()]
        told = [*parts, *([f"n: {', '.join(over)}"] if over else []), *([self.not_scored] if self.not_scored else [])]
        return "".join(f" | {part}" for part in told)


@dataclass(frozen=True)
class Listener:
    """Asks a model for the same turns after each epoch."""

    model: Any
    turns: Sequence[Turn]
    prompts: Sequence[list[int]]  # of the turns, as tokens
    decode: Callable[[list[int]], str]
    eos_id: int
    settings: Watch
    voice: tuple[str, Callable[[Sequence[str]], Any]] | None  # a persona, and how like its passages texts are, 0..1

    def __call__(self) -> Heard:
        """Replies and their scores. Where memory runs out there are none, and the training goes on."""
        started = time.monotonic()
        try:
            with undisturbed():
                said = self._replies()
                scores = {**call_scores(self.turns, said), **self._word_scores(said)}
        except Exception as error:
            if not trouble.out_of_memory(error):
                raise
            return Heard({}, [], round(time.monotonic() - started, 2), "not scored: memory ran out")
        shown = list(zip(self.turns, said, strict=True))[: self.settings.samples]
        samples = [{"asked": turn.asked, "wanted": turn.wanted, "said": text} for turn, text in shown]
        cut = [{name: text[:_SHOWN] for name, text in sample.items()} for sample in samples]
        return Heard(scores, cut, round(time.monotonic() - started, 2))

    def _replies(self) -> list[str]:
        self.model.eval()
        limit = self.settings.max_new_tokens
        found = greedy(self.model, self.prompts, eos_id=self.eos_id, max_new_tokens=limit, batch_size=_BATCH)
        return [self.decode(ids) for ids in found]

    def _word_scores(self, said: Sequence[str]) -> dict[str, float]:
        """Voice and humour cues of the replies that are words."""
        spoken = [
            (turn, text) for turn, text in zip(self.turns, said, strict=True) if text and not parse_calls(text)[0]
        ]
        found: dict[str, float] = {}
        if spoken:
            cues = [float(tag(text, "dialogue")["humor_density"]) for _, text in spoken]
            found |= {"humor_cues_per_100_words": round(sum(cues) / len(cues), 4), "n_humor": len(spoken)}
        if self.voice is not None:
            persona, likeness = self.voice
            own = [text for turn, text in spoken if turn.persona == persona]
            if own:
                found |= {f"style_{persona}": round(float(np.mean(likeness(own))), 4), "n_style": len(own)}
        return found


def listener(
    model: Any, stage: str, recipe: Recipe, data_dir: Path, tokenizer: Any, template: Template, eos_id: int
) -> Listener | None:
    """What the recipe wants asked after each epoch of `sft` or `preference`; None for nothing."""
    settings: Stage = recipe.stage(stage)
    watch: Watch = getattr(settings, "watch", Watch())
    if not watch.dialogues:
        return None
    table = rows.held_out(rows.read_table(stage, data_dir), recipe.seed, None, settings)
    turns: list[Turn] = []
    prompts: list[list[int]] = []
    for turn in _alternating(first_turns(table, stage)):
        ids = render(turn.prompt, turn.tools, tokenizer, template, add_generation_prompt=True)[0]
        if len(ids) <= settings.sequence_length and len(turns) < watch.dialogues:
            turns.append(turn)
            prompts.append(ids)
    if not turns:
        return None

    def decode(ids: list[int]) -> str:
        text: str = tokenizer.decode(ids, skip_special_tokens=True)
        return text

    with undisturbed():
        voice = _voice(turns, data_dir)
    return Listener(model, turns, prompts, decode, eos_id, watch, voice)


def first_turns(table: pl.DataFrame, stage: str) -> list[Turn]:
    """Each row up to where the assistant first speaks, or, of a pair, up to its replies; in the table's order."""
    found: list[Turn] = []
    for row in table.iter_rows(named=True):
        if stage == "preference":
            prompt, reply = json.loads(row["prompt"]), {"content": row["chosen"]}
            calls = parse_calls(row["chosen"])[0]
        else:
            messages = json.loads(row["messages"])
            start = next((n for n, message in enumerate(messages) if message["role"] == "assistant"), 0)
            prompt, reply = messages[:start], messages[start]
            calls = [call["function"] for call in reply.get("tool_calls") or []]
        if not prompt:
            continue
        tools = json.loads(row["tools"]) if row.get("tools") else TOOLS if stage == "preference" else []
        expected = [{call["name"]: {name: [value] for name, value in call["arguments"].items()}} for call in calls]
        wanted = json.dumps(calls, ensure_ascii=False) if calls else str(reply.get("content") or "")
        found.append(Turn(row["sample_id"], prompt, tools, expected, wanted))
    return found


def call_scores(turns: Sequence[Turn], said: Sequence[str]) -> dict[str, float]:
    """Exact matches over all turns, precision of the calls made, and how often no call was made where none is right."""
    made = [
        CallRow.from_record({"reply": text, "expected": turn.expected, "tools": turn.tools, "prompt": turn.asked})
        for turn, text in zip(turns, said, strict=True)
    ]
    found = summarise(made)
    rates = {
        "tool_calls_exact": found.exact_strict,
        "tool_calls_exact_normalised": found.exact_normalised,
        "tool_calls_precision": found.precision,
        "tool_calls_precision_normalised": found.precision_normalised,
        "no_call_accuracy": found.no_call_accuracy,
    }
    counts = {"n_turns": found.n, "n_with_call": found.positives, "n_without_call": found.negatives}
    return {**{name: round(rate, 4) for name, rate in rates.items() if rate is not None}, **counts}


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Put every random state back as it was: scikit-learn draws from numpy's, and whoever else may."""
    before = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)


def _alternating(turns: Sequence[Turn]) -> list[Turn]:
    """With a call, without one, with a call: half and half as far as there are both, so that few show both."""
    calls = [turn for turn in turns if turn.expected]
    words = [turn for turn in turns if not turn.expected]
    return [turn for turn in chain.from_iterable(zip_longest(calls, words)) if turn is not None]


def _voice(turns: Sequence[Turn], data_dir: Path) -> tuple[str, Callable[[Sequence[str]], Any]] | None:
    """A classifier of the commonest persona among the turns by passages that no stage trains on; None where none is there."""
    path = data_dir / rows.TABLES["dapt"][0]
    if not path.is_file():
        return None
    held_out = rows.read_table("dapt", data_dir).filter(pl.col("split") != "train")
    styles = set(held_out["style"])
    style_of = {name: each.style for name, each in personas.known().items()}
    names = [persona for turn in turns if (persona := turn.persona) is not None and style_of[persona] in styles]
    if not names:
        return None
    persona = max(sorted(set(names)), key=names.count)
    examples = [
        StyleExample(row["text"], row["style"] == style_of[persona], row["sample_id"])
        for row in held_out.iter_rows(named=True)
    ]
    try:
        return persona, fit(examples)
    except (BadInput, ValueError):  # of one side only, or too few words to count
        return None
