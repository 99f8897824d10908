"""Drafts of the grammar in a language model's words: what is asked, and what becomes of the answer. Asking is a door's.

A draft fixes structure: intent, calls, tool results, order of turns. Only spoken words change, so calls stay valid. An answer
that cannot be used, or whose words the rules refuse, gets one repair round with the reasons; then the row stays as a
recorded reject, with `rejected` in its origin. Nothing is dropped.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import polars as pl

from twainbot.dialogues import asking, prompt_files
from twainbot.dialogues.asking import Answer, Request
from twainbot.dialogues.prompt_files import Prompt
from twainbot.dialogues.rows import told_origin
from twainbot.errors import BadInput
from twainbot.personas import disclaimed
from twainbot.records import DIALOGUE, frame
from twainbot.screening.words import ENGLISH

DISCLAIMER = "Synthetic: drafted by a grammar and worded by a language model, not by Mark Twain or Benjamin Franklin."
REPLIES, QUESTIONS = "replies", "questions"  # names of the answer's lists, by role
LIST_OF = {"assistant": REPLIES, "user": QUESTIONS}
EXPECTED_TOKENS = 60  # of a rewritten turn at least: three sentences of fifteen words
ROOM = 3  # an answer may be so many times as long as expected before it is cut

# Of 1,000 dialogues of the grammar the least share of such words in the replies is 0.17, the middle one 0.34; German, French,
# Spanish and Dutch weather talk of twenty words has none.
FOREIGN_WORDS, FOREIGN_SHARE = 12, 0.08
_WORD = re.compile(r"[^\W\d_]+")
_REASON = re.compile(r"^[a-z_]+")

Row: TypeAlias = Mapping[str, Any]
Ask: TypeAlias = Callable[[Sequence[Request]], Sequence[Answer]]
Faults: TypeAlias = Callable[[Row], Sequence[str]]


@dataclass(frozen=True)
class Writer:
    """Who writes, as origins name it: `openai`, `anthropic` or `local`, and the model asked for."""

    backend: str
    model: str


def rewrite(drafts: pl.DataFrame, ask: Ask, faults: Faults, writer: Writer) -> pl.DataFrame:
    """The drafts in the model's words, in their order, with one repair round for what the rules refuse.

    `ask` answers requests in their order; `faults` says what is wrong with a row, in words that a writer can mend by.
    """
    listed = drafts.to_dicts()
    answers = ask([request_for(draft) for draft in listed])
    rows = [apply(draft, answer, writer) for draft, answer in zip(listed, answers, strict=True)]
    wrong = {at: found for at, row in enumerate(rows) if (found := _faults(row, faults))}
    mendable = [at for at in wrong if answers[at].was_given]
    again = ask([repair_request(listed[at], answers[at], wrong[at]) for at in mendable]) if mendable else []
    for at, answer in zip(mendable, again, strict=True):
        rows[at] = apply(listed[at], answer, writer, repaired=True)
        wrong[at] = _faults(rows[at], faults)
    return frame((_marked(row, wrong.get(at, [])) for at, row in enumerate(rows)), DIALOGUE)


def request_for(draft: Row, prompt: Prompt | None = None) -> Request:
    """What a model is asked about a draft: the whole dialogue, voice and controls, the turns to be written anew."""
    prompt = prompt or prompt_of(draft)
    controls = controls_of(draft)
    places = spoken(draft, prompt.rewrites)
    persona = draft["style_tags"][0]
    messages = prompt.messages(
        voice=prompt_files.voice(persona, draft["turns"][0]["content"]),
        dialogue=as_json(draft, places),
        **asdict(controls),
    )
    expected = 20 + sum(max(EXPECTED_TOKENS, asking.tokens_of(draft["turns"][at]["content"])) for at in places)
    seed = int(json.loads(draft["origin"]).get("seed") or 0)
    return Request(draft["conversation_id"], messages, schema_of(prompt), seed, expected, ROOM * expected)


def repair_request(draft: Row, answer: Answer, reasons: Sequence[str], prompt: Prompt | None = None) -> Request:
    """The same question with the refused answer and the reasons after it."""
    first = request_for(draft, prompt)
    repair = prompt_files.load("repair")
    asked = repair.messages(reasons="\n".join(f"- {reason}" for reason in reasons))
    said = answer.text.strip() or "(no answer)"
    messages = (*first.messages, ("assistant", said), *asked)
    return Request(
        f"{first.request_id}/repair", messages, first.schema, first.seed, first.expected_tokens, first.max_tokens
    )


def apply(draft: Row, answer: Answer, writer: Writer, *, repaired: bool = False, prompt: Prompt | None = None) -> Row:
    """The draft with the answer's words. Where they cannot be used, spoken turns are empty and the origin says why."""
    prompt = prompt or prompt_of(draft)
    places = spoken(draft, prompt.rewrites)
    words, reason = _words(draft, answer, prompt, places)
    turns = [
        {**turn, "content": words.get(at, "") if at in places else turn["content"]}
        for at, turn in enumerate(draft["turns"])
    ]
    origin = origin_of(draft, answer, writer, prompt, repaired=repaired)
    row = {
        **draft,
        "turns": turns,
        "origin": json.dumps(origin, ensure_ascii=False),
        "disclaimer": disclaimed(DISCLAIMER),
    }
    return _marked(row, [reason]) if reason else row


def origin_of(draft: Row, answer: Answer, writer: Writer, prompt: Prompt, *, repaired: bool) -> dict[str, Any]:
    """Who wrote a row, from what: generator, model, prompt and its hash, controls, seed, parents, and the draft's own."""
    before = json.loads(draft["origin"])
    return {
        "generator": writer.backend,
        "model": writer.model,
        **({"answered_by": answer.model} if answer.model not in ("", writer.model) else {}),
        "prompt": prompt.label,
        "prompt_hash": prompt.digest,
        "controls": asdict(controls_of(draft)),
        "seed": before.get("seed"),
        "parents": before.get("parents", []),
        "draft": {name: before.get(name) for name in ("generator", "data", "prompt_hash")},
        "repaired": repaired,
    }


def prompt_of(draft: Row) -> Prompt:
    """The prompt for a draft's kind."""
    return prompt_files.load(draft["kind"])


def controls_of(draft: Row) -> prompt_files.Controls:
    """Tone, length and device of a draft, by its own seed and id."""
    seed = json.loads(draft["origin"]).get("seed")
    return prompt_files.draw(random.Random(f"{seed}|{draft['conversation_id']}|controls"))


def schema_of(prompt: Prompt) -> asking.Schema:
    """The answer's form: a list of strings for each role that is written anew. Strict services want every name required."""
    lists = [LIST_OF[role] for role in prompt.rewrites]
    strings = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "properties": dict.fromkeys(lists, strings),
        "required": lists,
        "additionalProperties": False,
    }


def spoken(draft: Row, roles: Sequence[str]) -> list[int]:
    """Places of the turns of these roles that hold words: calls are no words. Raises BadInput where there are none."""
    found = [
        at
        for at, turn in enumerate(draft["turns"])
        if turn["role"] in roles and turn["content"] and not _called(turn) and turn["role"] in LIST_OF
    ]
    if not found:
        raise BadInput(f"{draft['conversation_id']} has no words of {', '.join(roles)} to write anew. Check its draft.")
    return found


def as_json(draft: Row, places: Sequence[int] = ()) -> str:
    """The dialogue as a model reads it: one turn a line, those at `places` marked to be rewritten; no system prompt."""
    lines = [
        json.dumps(_shown(turn) | ({"rewrite": True} if at in places else {}), ensure_ascii=False)
        for at, turn in enumerate(draft["turns"])
        if turn["role"] != "system"
    ]
    return "[\n" + ",\n".join(lines) + "\n]"


def _shown(turn: Row) -> dict[str, Any]:
    if _called(turn):
        return {"role": "call", "call": turn["tool_call"]["tool_name"], "arguments": turn["tool_call"]["arguments"]}
    return {"role": turn["role"], "text": turn["content"]}


def _called(turn: Row) -> bool:
    return bool((turn.get("tool_call") or {}).get("tool_name"))


def _words(draft: Row, answer: Answer, prompt: Prompt, places: Sequence[int]) -> tuple[dict[int, str], str]:
    """New words by turn, or none and the reason."""
    found, reason = asking.read(answer, schema_of(prompt))
    if reason:
        return {}, reason
    words: dict[int, str] = {}
    for role in prompt.rewrites:
        wanted = [at for at in places if draft["turns"][at]["role"] == role]
        given = [text.strip() for text in found[LIST_OF[role]]]
        if len(given) != len(wanted):
            return {}, f"drift: {len(given)} {LIST_OF[role]} for {len(wanted)} turns"
        words |= dict(zip(wanted, given, strict=True))
    return _refused(draft, words)


def _refused(draft: Row, words: dict[int, str]) -> tuple[dict[int, str], str]:
    if not all(words.values()):
        return {}, "empty: a turn without words"
    if is_foreign(" ".join(words.values())):
        return {}, f"language: {' '.join(words.values())[:60]}"
    if all(draft["turns"][at]["content"] == text for at, text in words.items()):
        return {}, "unchanged: the draft's own words"
    return words, ""


def is_foreign(text: str) -> bool:
    """Whether a text is in another language: other letters, or hardly one of the words that no English text is without."""
    words = _WORD.findall(text.lower())
    letters = "".join(words)
    if sum(not letter.isascii() for letter in letters) > len(letters) / 5:
        return True
    return len(words) >= FOREIGN_WORDS and sum(word in ENGLISH for word in words) < FOREIGN_SHARE * len(words)


def _faults(row: Row, faults: Faults) -> list[str]:
    return rejected(row) or list(faults(row))


def _marked(row: Row, reasons: Sequence[str]) -> Row:
    if not reasons:
        return row
    origin = {**json.loads(row["origin"]), "rejected": list(reasons)}
    return {**row, "origin": json.dumps(origin, ensure_ascii=False)}


def rejected(row: Row) -> list[str]:
    """Why the rewriting of a row was given up; empty for a row to use."""
    return [str(reason) for reason in told_origin(row).get("rejected") or []]


def accepted(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without those whose rewriting was given up."""
    return rows.filter(pl.Series([not rejected(row) for row in rows.select("origin").to_dicts()], dtype=pl.Boolean))


def reject_counts(rows: pl.DataFrame) -> dict[str, int]:
    """How many rows were given up for which kind of reason, most frequent first."""
    kinds: Iterable[str] = (kind_of(reason) for row in rows.select("origin").to_dicts() for reason in rejected(row)[:1])
    return dict(Counter(kinds).most_common())


def repaired_count(rows: pl.DataFrame) -> int:
    """How many rows were mended by the repair round."""
    origins = rows.select("origin").to_dicts()
    return sum(bool(told_origin(row).get("repaired")) and not rejected(row) for row in origins)


def kind_of(reason: str) -> str:
    """The kind of a reason: the word before its colon."""
    match = _REASON.match(reason)
    return match[0] if match else "other"
