"""Style transfer: a joke, a maxim or a bulletin's line out of our corpus, put into a persona's mouth.

What is changed: whole words by swaps.yaml, and a frame around the line with an aside inside it, so that a reply is never
a copy. What is not: numbers, names and weather words. A bulletin's period retold freely is pieces.py's, weather talk with
tool calls talk.py's.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import polars as pl
import yaml

from twainbot import personas
from twainbot.dialogues import figures, grammar, pieces, quality, rows
from twainbot.dialogues.rows import Turn, turn
from twainbot.evals.numerals import in_ascii
from twainbot.records import DIALOGUE, frame

JOKE_WORDS = (6, 45)  # shorter has no point to it, longer costs more tokens than it is worth
LINE_WORDS = (7, 26)
CONTROLS = ("device", "tone", "length")  # of a piece about a bulletin, in the order of its tags
PER_PASSAGE = 3  # lines taken from one passage: more would let one book fill a batch

_ABBREVIATIONS = r"(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\b[A-Z]\.)(?<!\.\.\.)"
_SENTENCE = re.compile(rf"(?:(?<=[.!?]){_ABBREVIATIONS}|(?<=[.!?][\"”']))\s+(?=[\"“A-Z])")
# words of a saying that holds at all times; narrative sentences seldom have them without a past tense beside
_MAXIM = re.compile(
    r"\b(?:is|are|makes?|never|always|every|nothing|better|best|he that|who|man|men|no one|nobody)\b", re.IGNORECASE
)
_NARRATIVE = re.compile(
    r"\b(?:was|were|had|did|said|went|came|told|took|saw|he(?! that| who)|she|her|my|me|they|them|this|these)\b",
    re.IGNORECASE,
)
# a saying that leans on what stood before it: "It is the only one with nothing to do."
_LEANS = re.compile(
    r"(?:It|There|We|For the record)\b(?! (?:is|takes|costs) (?:easier|better|hard|no|not|a|an|never)\b)"
)
_UNFIT = re.compile(r"[\"“”<>{}\[\]*_|=#/\\]|--|\bhttp|\.\.\.|[A-Z]{4,}|\b[A-Z]\.[A-Z]\.")


@dataclass(frozen=True)
class Material:
    """A piece of a passage fit to be retold. `form`: joke, line or statement."""

    chunk_id: str
    form: str
    text: str


def materials(chunk_id: str, style: str, text: str) -> list[Material]:
    """What of a passage can be retold, at most three pieces; none where nothing fits."""
    if style == "dialogue":
        return []  # a transcript's turns are no sayings
    if style == "joke":
        joke = " ".join(text.split())
        return [Material(chunk_id, "joke", joke)] if _is_joke(joke) else []
    form, fit = ("statement", _is_statement) if style == "weather_fact" else ("line", _is_saying)
    found = [sentence for sentence in sentences(text) if fit(sentence)]
    return [Material(chunk_id, form, sentence) for sentence in found[:PER_PASSAGE]]


def _is_joke(joke: str) -> bool:
    """Whether the length is right and no part between asides is so long that telling it would be copying it."""
    parts = _parts(joke)
    if parts is None or not JOKE_WORDS[0] <= len(joke.split()) <= JOKE_WORDS[1] or re.search(r"[<>{}|]|http", joke):
        return False
    return all(len(part.split()) <= LINE_WORDS[1] for part in parts[1:])


def sentences(text: str) -> list[str]:
    """The text's sentences, white space made single, in order."""
    return [part.strip() for part in _SENTENCE.split(" ".join(text.split())) if part.strip()]


def _fits(sentence: str) -> bool:
    words = sentence.split()
    return LINE_WORDS[0] <= len(words) <= LINE_WORDS[1] and sentence[0].isupper() and not _UNFIT.search(sentence)


def _is_saying(sentence: str) -> bool:
    return (
        _fits(sentence)
        and sentence.endswith(".")
        and bool(_MAXIM.search(sentence))
        and not _NARRATIVE.search(sentence)
        and not _LEANS.match(sentence)
        and not figures.read(sentence)
        and not re.search(r"(?<!^)(?<![.:;] )\b[A-Z][a-z]+", sentence)  # a name belongs to its story
    )


def _is_statement(sentence: str) -> bool:
    return _fits(sentence) and sentence.endswith(".") and not re.search(r"\b(?:I|my|me|we|our)\b", sentence)


@cache
def _swaps(persona: str, stamp: str) -> tuple[re.Pattern[str], Mapping[str, str]]:  # noqa: ARG001 - by cast
    text = (resources.files("twainbot.dialogues") / "swaps.yaml").read_text("utf-8")
    listed = {**personas.said_for(yaml.safe_load(text), persona), **personas.of(persona).swaps}
    table = {str(old).lower(): str(new) for old, new in listed.items()}
    options = "|".join(re.escape(word) for word in sorted(table, key=len, reverse=True))
    return re.compile(rf"(?<![\w'-])(?:{options})(?![\w'-])", re.IGNORECASE), table


def restyle(text: str, persona: str) -> str:
    """The text with the persona's words for whole words and phrases, capitals kept; a part of a name stays ("Opera House")."""
    pattern, table = _swaps(persona, personas.stamp())

    def swap(match: re.Match[str]) -> str:
        named = match[0][0].isupper() and not match[0].startswith("I ")
        if named and re.search(r"[\w,;] $", text[: match.start()]):
            return match[0]
        new = table[in_ascii(match[0]).lower()]  # a long s matches an s
        return grammar.capital(new) if match[0][0].isupper() else new

    return pattern.sub(swap, text)


def _parts(text: str) -> tuple[str, str, str] | None:
    """Reply rule, setup and point of a joke; None where it is one long sentence that can only be copied.

    Cut after the last question that something follows, else before the last sentence, else at the middle comma.
    """
    question = re.match(r"(.+\?[\"”']?)\s+([\"“A-Z].*)$", text)
    if question and _closed(question[1]):
        return "reply@joke", question[1], question[2]
    said = sentences(text)
    for cut in range(len(said) - 1, 0, -1):
        if _closed(" ".join(said[:cut])):
            return "reply@story", " ".join(said[:cut]), " ".join(said[cut:])
    commas = [
        match.start() for match in re.finditer(r", (?!and\b|or\b)", text) if len(text[: match.start()].split()) >= 3
    ]
    middle = min(commas, key=lambda at: abs(at - len(text) // 2), default=0)
    if middle and len(text[middle:].split()) >= 4:
        return "reply@joke_split", text[:middle], text[middle + 2 :]
    return ("reply@joke_whole", text, "") if len(text.split()) <= LINE_WORDS[1] else None


def _closed(text: str) -> bool:
    """Whether every quotation that the text opens is closed in it, so that an aside may follow."""
    return text.count('"') % 2 == 0 and text.count("“") == text.count("”")


def can_retell(material: Material, persona: str) -> bool:
    """Whether the persona has other words for the piece, or an aside can stand inside it; else it would be a copy."""
    return restyle(material.text, persona) != material.text or (
        material.form != "joke" and bool(_halves(material.text))
    )


def style_transfer(seeds: pl.DataFrame) -> pl.DataFrame:
    """One DIALOGUE for each seed of kind "style_transfer", sorted by id: a line of the corpus in a persona's manner."""
    made: list[dict[str, Any]] = []
    for seed in rows.of_kind(seeds, "style_transfer"):
        payload = json.loads(seed["payload"])
        rng = random.Random(payload["rng"])
        turns = _told(payload, rng) if payload["form"] == "bulletin" else _turns(payload, rng)
        tags = [payload["form"], *(payload[name] for name in CONTROLS if name in payload)]
        made.append(rows.dialogue(seed, "style_transfer", "style_transfer", turns, tags))
    return frame(made, DIALOGUE)


def _told(payload: Mapping[str, Any], rng: random.Random) -> list[Turn]:
    """The bulletin quoted with the manner wanted, and the piece."""
    seen, controls = pieces.thawed(payload["seen"]), {name: payload[name] for name in ("persona", *CONTROLS)}
    asked = pieces.request(seen, controls, rng)
    return [turn("user", asked), turn("assistant", pieces.piece(seen, controls, rng))]


def voices(dialogues: pl.DataFrame, weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """How much each persona says against what was asked for, in the order of `weights`, so that none drowns the others.

    `share`: of the dialogues; `word_share`: of the assistant's words; `mean_words`: of a reply; all of the personas in
    `weights`, whose `weight` is scaled to sum to 1.
    """
    said = {persona: list[str]() for persona in weights}
    counts = dict.fromkeys(weights, 0)
    for row in dialogues.to_dicts():
        if (persona := row["style_tags"][0]) in said:
            said[persona] += quality.replies(row)
            counts[persona] += 1
    words = {persona: sum(len(reply.split()) for reply in replies) for persona, replies in said.items()}
    rows_total, words_total = max(1, sum(counts.values())), max(1, sum(words.values()))
    return [
        {
            "persona": persona,
            "weight": round(weight / sum(weights.values()), 4),
            "dialogues": counts[persona],
            "share": round(counts[persona] / rows_total, 4),
            "word_share": round(words[persona] / words_total, 4),
            "mean_words": round(words[persona] / max(1, len(said[persona])), 1),
        }
        for persona, weight in weights.items()
    ]


def _turns(payload: Mapping[str, Any], rng: random.Random) -> list[Turn]:
    persona, form, text = payload["persona"], payload["form"], payload["text"]
    words = {"persona": persona, "master": personas.of(persona).called, "original": text}
    # a joke with a number in it is always quoted: the reply may state no number that nobody gave it
    tell = form == "joke" and not figures.read(text) and rng.random() < 0.5
    rule, setup, punch = _shape(form, text, persona, rng)
    transfer = grammar.load("transfer")
    asked = transfer.expand(f"ask@{'tell' if tell else 'retell'}_{form}", words, rng)
    reply = transfer.expand(rule, {**words, "setup": setup, "punch": punch}, rng)
    return [turn("user", asked), turn("assistant", reply)]


def _shape(form: str, text: str, persona: str, rng: random.Random) -> tuple[str, str, str]:
    """The reply rule and what goes into it: setup and point of a joke, a line whole or cut at its comma."""
    if form == "joke":
        rule, setup, punch = _parts(text) or ("reply@joke_whole", text, "")
        return rule, restyle(setup, persona), restyle(punch, persona)
    line = restyle(text, persona)
    halves = _halves(line)
    if halves and (line == text or rng.random() < 0.7):
        return f"reply@{form}_split", *halves
    return f"reply@{form}", line, ""


def _halves(line: str) -> tuple[str, str] | None:
    """The line cut at its first comma, or None where either half would have fewer than three words."""
    head, _, tail = line.partition(", ")
    return (head, tail) if len(head.split()) >= 3 and len(tail.split()) >= 3 else None
