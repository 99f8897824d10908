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
from functools import cache
from importlib import resources
from typing import Any

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twainbot.dialogues import grammar, pieces, prompts, transfer, weather
from twainbot.dialogues.observations import Observation
from twainbot.dialogues.preferences import FLAWS
from twainbot.errors import BadInput, BadUse
from twainbot.records import SEED, frame

INTENTS = {"general": 40, "rain": 20, "temperature": 15, "wind": 8, "outing": 12, "alerts": 5}
# how questions name the day: share, word. None: no day named, and the call says "today".
_DAY_WORDS: tuple[tuple[int, str | None], ...] = (
    (26, "tomorrow"), (13, "tonight"), (10, "today"), (8, "this weekend"), (3, "this afternoon"), (3, "this evening"),
    (3, "tomorrow morning"), (2, "tomorrow night"), (18, "weekday"), (5, "date"), (9, None),
)  # fmt: skip
# of the dialogues that do call the tool
_SCENARIOS = {"single": 52, "thanks": 4, "follow_up": 9, "two_days": 7, "two_places": 7, "clarify": 14, "failure": 7}
# of the small talk: what small models took for a question to the tool comes more often than the rest (weight 1)
_TOPICS = {"past": 5, "travel": 3, "errand": 3, "capital": 2, "time": 2, "mood": 2, "rain_why": 2, "snow_why": 2}
_FAILURES = {"unknown_location": 5, "service_unavailable": 2, "timeout": 2, "no_data_for_date": 1}
_AGAIN = ("low", "high", "wind", "rain", "coat")
PERIOD_USES = 6  # pieces of one bulletin's period for one town, of 36 that device, tone and length allow a persona
LINE_USES = 3  # past three uses of a joke or saying, more would only be more of the same
_CASUAL_SHARE = 0.08  # questions typed in a hurry


class DialogueSettings(BaseModel):
    """How many dialogues a batch holds, and of what. Shares lie in 0..1; persona weights need not sum to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool_calls: int = Field(default=200, ge=0)  # dialogues of kind tool_calls and no_tool together
    no_tool_share: float = Field(default=0.3, ge=0, le=0.9)  # 0.15 was too few: models called the tool for jokes
    style_transfer: int = Field(default=50, ge=0)
    bulletin_share: float = Field(default=0.6, ge=0, le=1)  # of the style transfer; the rest retells jokes and sayings
    contrastive: int = Field(default=60, ge=0)
    personas: dict[str, float] = {"twain": 0.7, "franklin": 0.15, "satirist": 0.15}
    year: int = Field(default=2026, ge=1900, le=2200)  # simulated questions are asked on days of this year

    @model_validator(mode="after")
    def _known_personas(self) -> DialogueSettings:
        unknown = sorted(set(self.personas) - set(prompts.personas()))
        if unknown or not any(weight > 0 for weight in self.personas.values()):
            raise ValueError(f"personas={self.personas}: weigh at least one of {list(prompts.personas())}, no others")
        return self


@cache
def _capitals() -> dict[str, str]:
    text = (resources.files("twainbot.dialogues") / "topics.yaml").read_text("utf-8")
    return yaml.safe_load(text)["capitals"]


def _pick(rng: random.Random, weights: dict[str, Any]) -> str:
    return rng.choices(list(weights), weights=[float(weight) for weight in weights.values()])[0]


def make_seeds(
    passages: pl.DataFrame,
    batch: str,
    settings: DialogueSettings,
    seed: int,
    observations: Sequence[Observation] = (),
) -> pl.DataFrame:
    """The batch's SEED rows, sorted by id `<batch>/<kind>/<nnnn>`; equal inputs give equal rows.

    Passages need chunk_id, style and text; `observations` are what curated bulletins said. Without either there are no
    style_transfer seeds; no passage and no observation is used twice before each was used once.
    """
    missing = {"chunk_id", "style", "text"} - set(passages.columns)
    if missing:
        raise BadInput(f"Passages lack the columns {sorted(missing)}. Materialize curated/passages first.")
    if not re.fullmatch(r"[\w-]+", batch):
        raise BadUse(f"Batch name {batch!r} must be letters, digits, '-' or '_', such as b000.")
    rows = [
        *_rows(batch, "tool_calls", settings.tool_calls, seed, lambda rng, _: (_talk_seed(rng, settings), [])),
        *_style_rows(passages, observations, batch, settings, seed),
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
        "device": _pick(rng, dict(pieces.DEVICES[persona])),
        "tone": rng.choice(pieces.TONES),
        "length": _pick(rng, dict(pieces.LENGTHS)),
        "seen": pieces.frozen(period),
    }


def _tellers(material: transfer.Material, settings: DialogueSettings) -> dict[str, float]:
    """The personas that would not merely copy the piece, with their weights."""
    weights = {persona: weight for persona, weight in settings.personas.items() if weight > 0}
    return {persona: weight for persona, weight in weights.items() if transfer.can_retell(material, persona)}


def _talk_seed(rng: random.Random, settings: DialogueSettings) -> dict[str, Any]:
    today = date(settings.year, 1, 1) + timedelta(days=rng.randrange(365))
    persona = _pick(rng, settings.personas)
    base: dict[str, Any] = {"persona": persona, "today": today.isoformat()}
    if rng.random() < settings.no_tool_share:
        return {**base, "scenario": "no_tool", **_chat(rng, today)}
    scenario = _pick(rng, _SCENARIOS)
    payload = {**base, "scenario": scenario, "asks": _asks(rng, scenario, today)}
    if scenario == "follow_up":
        payload["topics"] = rng.sample(_AGAIN, rng.choice((1, 1, 2)))
    return payload


def _asks(rng: random.Random, scenario: str, today: date) -> list[dict[str, Any]]:
    if scenario == "failure":
        return _failing_asks(rng, today)
    frames = "nowhere" if scenario == "clarify" else "q"
    first = _ask(rng, today, frames, named_day=scenario in ("two_days", "clarify"))
    if scenario == "two_days":
        return [first, _forecast(first, datetime=_named_day(rng, today, first["datetime"]), today=today, rng=rng)]
    if scenario == "two_places":
        return [first, _forecast(first, location=_other_place(rng, first["location"]), today=today, rng=rng)]
    return [first]


def _intents(frames: str) -> dict[str, int]:
    """The intents that the questions of a family of frames have, with their weights."""
    known = grammar.load("questions").family(frames)
    return {intent: weight for intent, weight in INTENTS.items() if intent in known}


def _ask(rng: random.Random, today: date, frames: str, *, named_day: bool) -> dict[str, Any]:
    """A first question and its forecast. `frames`: q, now (no day named), casual or nowhere (no town named)."""
    word = _named_day(rng, today) if named_day else _day_word(rng, today)
    if word is None:
        frames = "now"
    elif frames == "q" and not word[:1].isdigit() and rng.random() < _CASUAL_SHARE:
        frames = "casual"
    ask = {
        "frames": frames,
        "intent": _pick(rng, _intents(frames)),
        "location": _spelling(rng),
        "datetime": word or "today",
    }
    if frames == "casual":
        ask |= {"location": ask["location"].lower(), "datetime": ask["datetime"].lower()}
    return _forecast(ask, today=today, rng=rng)


def _forecast(ask: dict[str, Any], *, today: date, rng: random.Random, **changes: Any) -> dict[str, Any]:
    """The question with some parts changed, and the forecast that answers it."""
    made = {**ask, **changes}
    made["result"] = weather.simulate(made["location"], made["datetime"], today, rng.randrange(2**31))
    return made


def _failing_asks(rng: random.Random, today: date) -> list[dict[str, Any]]:
    code = _pick(rng, dict(_FAILURES))
    ask = _ask(rng, today, "q", named_day=True)
    if code == "unknown_location":
        ask["location"] = rng.choice(weather.unknown_places())
    if code == "no_data_for_date":
        ask["datetime"] = (today + timedelta(days=rng.randrange(weather.HORIZON_DAYS + 6, 200))).isoformat()
    ask["result"] = weather.failure(code, ask["location"], ask["datetime"])
    if code == "unknown_location" and rng.random() < 0.5:
        return [ask, _forecast(ask, location=_spelling(rng), today=today, rng=rng)]
    return [ask]


def _day_word(rng: random.Random, today: date) -> str | None:
    word = rng.choices([word for _, word in _DAY_WORDS], weights=[share for share, _ in _DAY_WORDS])[0]
    if word == "weekday":
        return weather.WEEKDAYS[(today.weekday() + rng.randrange(2, 7)) % 7]
    return (today + timedelta(days=rng.randrange(2, 10))).isoformat() if word == "date" else word


def _named_day(rng: random.Random, today: date, other_than: str = "") -> str:
    """A day word, drawn again until it names a day other than the given one."""
    while True:
        word = _day_word(rng, today)
        if word not in (None, other_than):
            return str(word)


def _spelling(rng: random.Random) -> str:
    """A place as a user writes it: most often with its full region, which a call must copy whole."""
    place = rng.choice(weather.places())
    written = weather.spellings(place)
    return rng.choices(written, weights=[5 if place.region in name else 3 for name in written])[0]


def _other_place(rng: random.Random, first: str) -> str:
    while True:
        place = _spelling(rng)
        if weather.find(place) != weather.find(first):
            return place


def _chat(rng: random.Random, today: date) -> dict[str, Any]:
    topics: Sequence[str] = grammar.load("chat").family("ask")
    topic = _pick(rng, {topic: _TOPICS.get(topic, 1) for topic in topics})
    country = rng.choice(sorted(_capitals()))
    a, b = rng.randrange(2, 60), rng.randrange(2, 60)
    place = _spelling(rng)
    total = a + b + (rng.choice((-10, -2, -1, 1, 2, 10)) if topic == "sum_wrong" else 0)
    return {
        "topic": topic,
        "datetime": _day_word(rng, today) or "today",
        "slots": {
            "place": place,
            "other": _other_place(rng, place),
            "country": country,
            "capital": _capitals()[country],
            "a": str(a),
            "b": str(b),
            "c": str(total),
        },
    }
