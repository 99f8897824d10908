"""What each persona's adapter, the base and a routed model say and find likely, on the same items. Judging is twainbot/evals'.

All arms are asked under one system prompt that names nobody, without tools: what differs is the adapter. Only the routed
model, and the base beside it, speak under the prompt of the persona that the router chose, as they would in use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources import speaking, suites
from resources.language_model import LanguageModel
from resources.routing import BASE, RoutedModel, with_system
from twainbot import personas as cast
from twainbot.dialogues import tools
from twainbot.dialogues.routing import Router, examples, first_prompt
from twainbot.evals.measure import call_row, exact, spoken
from twainbot.evals.personas import Arm, Material, Prompt, Routed, Text, cut, names_somebody

if TYPE_CHECKING:
    import polars as pl

    from resources.speaking import Limits

# the personas' system prompts without the clause that names one
SYSTEM = "You are TwainBot. Call the weather tool before you state any weather, then give its figures exactly."
NEUTRAL_KINDS = ("persona", "weather_no_tool", "joke", "advice")  # of the chat suite: those that need no tool
TALK_KINDS = ("no_tool", "style_transfer")  # dialogues in which a persona talks, and reads out no forecast


def material(
    passages: pl.DataFrame,
    dialogues: pl.DataFrame,
    limit: int,
    mixtures: Mapping[str, Mapping[str, float]],
    missing: Mapping[str, str],
) -> tuple[Material, dict[str, Any]]:
    """What all arms meet, out of splits/ and the chat suite, and the held-out conversations of the set `replies` by id.

    limit: neutral prompts, and replies a persona.
    """
    held = dialogues.filter(dialogues["split"].is_in(["validation", "test"])).sort("sample_id").to_dicts()
    read = {each.style: each.name for each in reversed([*cast.known().values()])}  # of two with one style the first
    pieces = [
        Text(f"{row['sample_id']}/{number}", read[row["style"]], piece, row["sample_id"].rsplit(":", 1)[0])
        for row in passages.filter(passages["split"].is_in(["validation", "test"])).sort("sample_id").to_dicts()
        if row["style"] in read
        for number, piece in enumerate(cut(row["text"]))
    ]
    talks = {row["sample_id"]: row for row in held if row["kind"] in TALK_KINDS}
    chosen = [
        row
        for persona in cast.known()
        for row in suites.spread([row for row in talks.values() if row["persona"] == persona], limit)
    ]
    contexts = {row["sample_id"]: conversation(row) for row in chosen}
    replies = [
        Text(row["sample_id"], row["persona"], said_in(contexts[row["sample_id"]]), row["sample_id"]) for row in chosen
    ]
    prompts = neutral_prompts([row for row in held if row["kind"] == "no_tool"], limit)
    return Material(prompts, {"passages": pieces, "replies": replies}, mixtures, missing), contexts


def conversation(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A held-out dialogue under the system prompt that names nobody."""
    messages: list[dict[str, Any]] = json.loads(row["messages"])
    return [{"role": "system", "content": SYSTEM}, *(one for one in messages if one["role"] != "system")]


def said_in(messages: Sequence[Mapping[str, Any]]) -> str:
    """The assistant's words in a conversation."""
    return "\n".join(one["content"] for one in messages if one["role"] == "assistant" and one.get("content"))


def neutral_prompts(held: Sequence[Mapping[str, Any]], limit: int) -> list[Prompt]:
    """Prompts that ask for nobody: the chat suite's that need no tool, then held-out small talk, none twice."""
    asked = [Prompt(f"chat/{name}", text) for name, text in suites.talk_prompts(NEUTRAL_KINDS).items()]
    asked += [Prompt(row["sample_id"], first_prompt(json.loads(row["messages"]))) for row in held]
    once = {prompt.text: prompt for prompt in reversed(asked) if prompt.text and not names_somebody(prompt.text)}
    return list(reversed(once.values()))[:limit]


def asking_prompts(dialogues: pl.DataFrame, personas: Sequence[str], limit: int) -> list[Prompt]:
    """Held-out prompts that ask for a persona, and the suite's in other words; spread over both and over the personas."""
    held = dialogues.filter(dialogues["split"].is_in(["validation", "test"]))
    listed = [Prompt(f"held-out/{n}", one.prompt, one.persona) for n, one in enumerate(examples(held)) if one.asks]
    listed += [Prompt(f"suite/{one['id']}", one["prompt"], one["persona"]) for one in suites.routing_prompts()]
    share = max(1, limit // max(1, len(personas)))
    return [prompt for name in personas for prompt in suites.spread([one for one in listed if one.asks == name], share)]


def measured(name: str, model: LanguageModel, given: Material, contexts: Mapping[str, Any], limits: Limits) -> Arm:
    """One arm on everything: replies to the neutral prompts, losses on held-out texts, tool calls."""
    arm = Arm(name)
    asked = [[{"role": "system", "content": SYSTEM}, speaking.user(prompt.text)] for prompt in given.prompts]
    replies = model.generate(asked, max_new_tokens=limits.max_new_tokens, batch_size=limits.batch_size)
    arm.replies = {prompt.id: words(reply) for prompt, reply in zip(given.prompts, replies, strict=True)}
    pieces = given.texts["passages"]
    found = zip(pieces, model.likelihoods([piece.text for piece in pieces]), strict=True)
    arm.losses["passages"] = {piece.id: each.loss for piece, each in found}
    ids = [text.id for text in given.texts["replies"]]
    losses = model.answer_losses([(contexts[one], None) for one in ids])
    arm.losses["replies"] = {one: each.loss for one, each in zip(ids, losses, strict=True)}
    calls = speaking.calls(model, name, limits)
    arm.exact_calls = [exact(call_row(row, tools.TOOLS)) for row in calls]
    return arm


def words(reply: str) -> str:
    """What a reply says, a tool call left out."""
    return spoken({"steps": json.dumps(speaking.said(reply))})


def routed(
    base: Path, adapters: Mapping[str, Path], router: Router, asked: Sequence[Prompt], limits: Limits
) -> list[Routed]:
    """Each prompt answered by the adapter that the router chose, and by the base under the same system prompt."""
    model = RoutedModel.load(base, adapters, router)
    talks = [[speaking.user(prompt.text)] for prompt in asked]
    who = [model.route(talk).persona for talk in talks]
    served = [with_system(talk, persona) for talk, persona in zip(talks, who, strict=True)]
    own, bare = (
        model.generate(served, personas=names, max_new_tokens=limits.max_new_tokens, batch_size=limits.batch_size)
        for names in (who, [BASE] * len(who))
    )
    return [
        Routed(prompt, reply.persona, words(reply.text), words(plain.text))
        for prompt, reply, plain in zip(asked, own, bare, strict=True)
    ]
