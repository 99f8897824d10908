"""Dialogue seeds: everything that a batch's dialogues will use, frozen. Turning seeds into turns is talk.py's business.

A seed holds its own simulated forecast, day and random seed, so a batch can be written again years later, word for word,
whatever bulletins came since.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twainbot import personas as cast
from twainbot.dialogues import pieces, prompts, situations, transfer, weather
from twainbot.dialogues.observations import Observation
from twainbot.dialogues.preferences import FLAWS
from twainbot.dialogues.situations import pick as _pick
from twainbot.errors import BadInput, BadUse
from twainbot.records import SEED, frame

PERIOD_USES = 6  # pieces of one bulletin's period for one town, of 36 that device, tone and length allow a persona
LINE_USES = 3  # past three uses of a joke or saying, more would only be more of the same


class DialogueSettings(BaseModel):
    """How many dialogues a batch holds, and of what. Shares lie in 0..1; persona weights need not sum to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool_calls: int = Field(default=200, ge=0)  # dialogues of kind tool_calls and no_tool together
    no_tool_share: float = Field(default=0.3, ge=0, le=0.9)  # 0.15 was too few: models called the tool for jokes
    style_transfer: int = Field(default=50, ge=0)
    bulletin_share: float = Field(default=0.6, ge=0, le=1)  # of the style transfer; the rest retells jokes and sayings
    contrastive: int = Field(default=60, ge=0)
    personas: dict[str, float] = {"twain": 0.7, "franklin": 0.15, "satirist": 0.15}
    # of the weather dialogues that one bulletin can answer: enough that real skies teach, few enough that a lone office does
    # not fill them with one river's towns
    observation_share: float = Field(default=0.35, ge=0, le=1)
    year: int = Field(default=2026, ge=1900, le=2200)  # simulated questions are asked on days of this year

    @model_validator(mode="after")
    def _known_personas(self) -> DialogueSettings:
        unknown = sorted(set(self.personas) - set(prompts.personas()))
        if unknown or not any(weight > 0 for weight in self.personas.values()):
            raise ValueError(f"personas={self.personas}: weigh at least one of {list(prompts.personas())}, no others")
        return self


def make_seeds(
    passages: pl.DataFrame,
    batch: str,
    settings: DialogueSettings,
    seed: int,
    observations: Sequence[Observation] = (),
) -> pl.DataFrame:
    """The batch's SEED rows, sorted by id `<batch>/<kind>/<nnnn>`; equal inputs give equal rows.

    Passages need chunk_id, style and text; `observations` are what curated bulletins said. Without either there are no
    style_transfer seeds, which use no passage and no observation twice before each was used once; dialogues with tools draw
    theirs anew each time. Towns that the evaluation keeps for itself are left out. A dialogue that stands on an observation
    has its chunk among its chunk_ids.
    """
    missing = {"chunk_id", "style", "text"} - set(passages.columns)
    if missing:
        raise BadInput(f"Passages lack the columns {sorted(missing)}. Materialize curated/passages first.")
    if not re.fullmatch(r"[\w-]+", batch):
        raise BadUse(f"Batch name {batch!r} must be letters, digits, '-' or '_', such as b000.")
    ours = [observation for observation in observations if not weather.is_reserved(observation.town, observation.state)]
    seen = [observation for observation in ours if situations.is_usable(observation)]
    rows = [
        *_rows(batch, "tool_calls", settings.tool_calls, seed, lambda rng, _: _talk_seed(rng, settings, seen)),
        *_style_rows(passages, ours, batch, settings, seed),
        *_rows(batch, "contrastive", settings.contrastive, seed, _contrastive_seed),
    ]
    return frame(rows, SEED).sort("seed_id")


Maker = Callable[[random.Random, int], tuple[dict[str, Any], list[str]]]


def _rows(batch: str, kind: str, count: int, seed: int, make: Maker) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number in range(count):
        seed_id = f"{batch}/{kind}/{number:04d}"
        rng = random.Random(f"{seed}|{seed_id}")
        payload, chunk_ids = make(rng, number)
        payload["rng"] = rng.randrange(2**31)
        text = json.dumps(payload, ensure_ascii=False)
        rows.append({"seed_id": seed_id, "batch": batch, "kind": kind, "chunk_ids": chunk_ids, "payload": text})
    return rows


def _contrastive_seed(rng: random.Random, number: int) -> tuple[dict[str, Any], list[str]]:
    """The flaws take turns, so that each occurs as often as any other."""
    return {"flaw": FLAWS[number % len(FLAWS)], "pick": rng.random()}, []


def _style_rows(
    passages: pl.DataFrame, seen: Sequence[Observation], batch: str, settings: DialogueSettings, seed: int
) -> list[dict[str, Any]]:
    """Bulletins and lines to retell by turns, `bulletin_share` of the former, until both are used up."""
    tellers = {item: _tellers(item, settings) for item in _materials(passages)}
    lines = [item for item in tellers if tellers[item]]
    periods = sorted((item for item in seen if pieces.fit(item)), key=lambda item: json.dumps(pieces.frozen(item)))
    order = random.Random(f"{seed}|{batch}|style_transfer")
    order.shuffle(lines)
    order.shuffle(periods)
    places = list(_by_turns(settings, len(periods) * PERIOD_USES, len(lines) * LINE_USES))

    def make(rng: random.Random, number: int) -> tuple[dict[str, Any], list[str]]:
        bulletin, at = places[number]
        if bulletin:
            period = periods[at % len(periods)]
            return _bulletin_seed(rng, period, settings), [period.chunk_id]
        line = lines[at % len(lines)]
        payload = {"persona": _pick(rng, tellers[line]), "form": line.form, "text": line.text}
        return payload, [line.chunk_id]

    return _rows(batch, "style_transfer", len(places), seed, make)


def _materials(passages: pl.DataFrame) -> list[transfer.Material]:
    columns = passages.select("chunk_id", "style", "text").sort("chunk_id").iter_rows(named=True)
    return [item for row in columns for item in transfer.materials(row["chunk_id"], row["style"], row["text"])]


def _by_turns(settings: DialogueSettings, periods: int, lines: int) -> Iterator[tuple[bool, int]]:
    """(whether row n is a bulletin, its number among its like): the same for row n however many rows there are."""
    told = retold = 0
    for number in range(min(settings.style_transfer, periods + lines)):
        share = settings.bulletin_share
        bulletin = int((number + 1) * share) > int(number * share)
        if told == periods or retold == lines:
            bulletin = retold == lines
        yield bulletin, told if bulletin else retold
        told, retold = told + bulletin, retold + (not bulletin)


def _bulletin_seed(rng: random.Random, period: Observation, settings: DialogueSettings) -> dict[str, Any]:
    persona = _pick(rng, settings.personas)
    return {
        "persona": persona,
        "form": "bulletin",
        "device": _pick(rng, cast.of(persona).devices),
        "tone": rng.choice(pieces.TONES),
        "length": _pick(rng, dict(pieces.LENGTHS)),
        "seen": pieces.frozen(period),
    }


def _tellers(material: transfer.Material, settings: DialogueSettings) -> dict[str, float]:
    """The personas that would not merely copy the piece, with their weights."""
    weights = {persona: weight for persona, weight in settings.personas.items() if weight > 0}
    return {persona: weight for persona, weight in weights.items() if transfer.can_retell(material, persona)}


def _talk_seed(
    rng: random.Random, settings: DialogueSettings, seen: Sequence[Observation]
) -> tuple[dict[str, Any], list[str]]:
    """The payload of a dialogue with tools, and the chunk of the bulletin that it stands on, if any."""
    today = date(settings.year, 1, 1) + timedelta(days=rng.randrange(365))
    persona = _pick(rng, settings.personas)
    base: dict[str, Any] = {"persona": persona, "today": today.isoformat()}
    if rng.random() < settings.no_tool_share:
        return {**base, **situations.small_talk(rng, today)}, []
    real = rng.choice(seen) if seen and rng.random() < settings.observation_share else None
    talk = situations.weather_talk(rng, today, real)
    observed = talk.pop("observed", None)
    return {**base, **talk}, [observed] if observed else []
