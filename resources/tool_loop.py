"""A conversation with tools: a model proposes, this loop disposes. No call leaves it unchecked, no weather without a result.

A turn goes round until its reply may stand: calls are held to the declared schemas and asked once to be mended; a reply is held
to the tool results by the grounding evaluator and asked once again; what still cannot stand is replaced by the persona's own
honest sentence (twainbot/dialogues/honest.py). Tools are tool_client.py's, the words of a result tool_results.py's.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol, TypeAlias

from resources.tool_client import Tools
from twainbot.dialogues import honest, prompts, tool_results
from twainbot.dialogues.tool_results import Outcome
from twainbot.dialogues.tools import ALIASES, stored_name
from twainbot.errors import TwainBotError
from twainbot.evals import grounding
from twainbot.evals.call_parsing import parse_calls
from twainbot.evals.raw_data import data_spans
from twainbot.personas import disclaimed

Message: TypeAlias = "dict[str, Any]"
TAG = "<tool_call>"
DISCLAIMER = "Synthetic: replies by a language model or a grammar, not by Mark Twain or Benjamin Franklin."
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s)")
_LONGEST_SAID = 8000  # characters of one user turn: some 2,600 tokens, a third of the smallest window
_MARKS = re.compile(r"</?tool[s_]", re.IGNORECASE)  # what templates write around tools, calls and results
# why a reply is refused, and the order to say it otherwise
_FORGED = ("The reply writes a tool's marks.", "Only tools write results. Call one, or answer in your own words.")
_ECHOED = ("The reply repeats data.", "Do not repeat the data. Tell it in a sentence or two of your own.")
_PLACE_ONLY = ("place", "day")  # claims of where and when: no weather by themselves


class Speaker(Protocol):
    """A model that says one assistant turn."""

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        persona: str | None = None,
        max_new_tokens: int = 256,
        room: int = 1,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[str]:
        """Pieces of one assistant turn's text; calls come as `<tool_call>{...}</tool_call>`. `stop`: asked between pieces.

        Raises TooLong where the model's window leaves fewer than `room` tokens for the turn.
        """
        ...


@dataclass(frozen=True)
class Limits:
    """Bounds of one user turn."""

    calls: int = 4  # more than any question of the evaluation suites needs (two places)
    new_tokens: int = 160  # the longest expected answer, two calls, has 85
    results: int = 6  # the newest results that a reply may rest on


# --- what a user interface is told, in order ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speaking:
    """Who answers this turn."""

    persona: str


@dataclass(frozen=True)
class TextDelta:
    """More of the reply: whole sentences, each already held to the results."""

    text: str


@dataclass(frozen=True)
class Withdrawn:
    """All text since the last call is taken back: what came after it could not stand."""

    text: str


@dataclass(frozen=True)
class Call:
    """A valid call, about to be made."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What came back."""

    name: str
    arguments: dict[str, Any]
    outcome: Outcome


@dataclass(frozen=True)
class Refusal:
    """Something of the model's that this loop did not let pass: `what` is call, claim, data, limit or silence."""

    what: str
    why: str


@dataclass(frozen=True)
class Trouble:
    """The turn could not be answered and is forgotten; the conversation goes on."""

    why: str


@dataclass(frozen=True)
class Reply:
    """The whole final reply. `honest`: the loop's own sentence, not the model's."""

    text: str
    persona: str
    honest: bool


Event: TypeAlias = "Speaking | TextDelta | Withdrawn | Call | Result | Refusal | Trouble | Reply"


# --- one user turn ------------------------------------------------------------------------------------------------------------


@dataclass
class _Turn:
    """A turn in progress; nothing of it is in the conversation before it is whole."""

    asked: str
    persona: str
    messages: list[Message]
    turns: list[dict[str, Any]]
    made: list[tuple[dict[str, Any], Outcome]] = field(default_factory=list)  # calls of this turn
    scratch: list[Message] = field(default_factory=list)  # said to the model once and kept nowhere
    mended: bool = False
    reworded: bool = False
    quiet: bool = False  # no more tools are offered in this turn: the model asked again what it had been told

    @property
    def last(self) -> Outcome | None:
        return self.made[-1][1] if self.made else None

    @property
    def data(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(call, result) of this turn's calls that gave data."""
        return [(call, json.loads(outcome.content)) for call, outcome in self.made if not outcome.failed]


@dataclass
class _Draft:
    """What the model said in one go. `wrong`: claims that nothing supports; `shown`: what a UI has seen of it."""

    text: str = ""
    shown: str = ""
    wrong: list[grounding.Claim] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What stands before the first call. What only begins like a call's tag is words."""
        return self.text.split(TAG)[0]


_Steps: TypeAlias = "Generator[Event, None, Any]"


class Conversation:
    """Turns of one talk. `persona`: who answers; None lets `route` say, by the user's words. One turn at a time."""

    def __init__(
        self,
        speaker: Speaker,
        tools: Tools | None = None,
        *,
        persona: str | None = None,
        route: Callable[[str], str] | None = None,
        limits: Limits = Limits(),
        today: date | None = None,
        seed: int = 0,
        guarded: bool = True,
    ) -> None:
        self.speaker, self.tools, self.limits, self.today = speaker, tools, limits, today
        self.persona, self.route, self.guarded = persona, route, guarded
        self.messages: list[Message] = []
        self.turns: list[dict[str, Any]] = []
        self._tags: dict[str, None] = {}
        self._asked: list[tuple[dict[str, Any], Outcome]] = []  # calls of the whole talk
        self._rng = random.Random(seed)

    def say(self, text: str) -> Iterator[Event]:
        """Everything that happens until the reply; the last event is a Reply or a Trouble. Never raises for what others do."""
        said = tool_results.defused(text.strip())
        if not said or len(said) > _LONGEST_SAID:
            yield Trouble(f"A turn needs 1 to {_LONGEST_SAID:,} characters, and this one has {len(said):,}.")
            return
        persona = self.persona or (self.route(said) if self.route else prompts.personas()[0])
        user = {"role": "user", "content": said}
        turn = _Turn(said, persona, [*self.messages, user], [*self.turns, {**user, "tool_call": None}])
        yield Speaking(persona)
        try:
            reply = yield from self._answer(turn)
        except TwainBotError as error:
            yield Trouble(str(error))
            return
        except Exception as error:  # a model may fail in any way; the talk goes on without this turn
            yield Trouble(
                f"The model failed ({type(error).__name__}: {str(error)[:200]}). The turn is forgotten; say it again."
            )
            return
        self._keep(turn, reply)
        yield reply

    def schemas(self) -> list[dict[str, Any]]:
        """The declared tools, in the served form."""
        return self.tools.schemas() if self.tools else []

    def record(self, conversation_id: str, **origin: Any) -> dict[str, Any]:
        """The talk in the dialogue schema, as corpora/transcripts reads it."""
        return {
            "conversation_id": conversation_id,
            "turns": [dict(turn) for turn in self.turns],
            "style_tags": list(self._tags),
            "origin": {"generator": "chat", **origin},
            "disclaimer": disclaimed(DISCLAIMER),
        }

    def forget(self) -> None:
        """Begin anew."""
        for kept in (self.messages, self.turns, self._asked, self._tags):
            kept.clear()

    # --- going round ------------------------------------------------------------------------------------------------------

    def _answer(self, turn: _Turn) -> _Steps:
        while True:
            draft: _Draft = yield from self._draft(turn)
            calls, faults = parse_calls(draft.text)
            if draft.wrong:
                reply = yield from self._reword(turn, draft)
            elif calls or faults:
                reply = yield from self._call(turn, draft, calls, [fault.kind for fault in faults if fault.lost])
            else:
                reply = yield from self._judge(turn, draft)
            if reply is not None:
                return reply

    def _draft(self, turn: _Turn) -> _Steps:
        """Let the model speak; pass on each sentence that may stand, and stop it at the first that may not."""
        draft = _Draft()
        system = {"role": "system", "content": self._system(turn.persona)}
        pieces = self.speaker.stream(
            [system, *turn.messages, *turn.scratch],
            None if turn.quiet else self.schemas() or None,
            persona=turn.persona,
            max_new_tokens=self.limits.new_tokens,
            room=self.limits.new_tokens,  # a reply that the window's end cut short would be taken for a whole one
            stop=lambda: bool(draft.wrong),
        )
        for piece in pieces:
            draft.text += piece
            if TAG in draft.text:
                continue
            ended = [match.end() for match in _SENTENCE_END.finditer(draft.text)]  # no tag that is still coming has one
            if ended and ended[-1] > len(draft.shown):
                yield from self._pass_on(turn, draft, ended[-1])
                if draft.wrong:
                    break
        if not draft.wrong and TAG not in draft.text:
            yield from self._pass_on(turn, draft, len(draft.text))
        elif not draft.wrong:
            draft.wrong = self._wrong(turn, draft.words)  # shown with the call, once that is known to be valid
        return draft

    def _pass_on(self, turn: _Turn, draft: _Draft, end: int) -> _Steps:
        draft.wrong = self._wrong(turn, draft.text[:end])
        held = self._owes_admission(turn, draft.text) or self._unspoken(turn, draft.text)
        if not draft.wrong and end > len(draft.shown) and not held:
            yield TextDelta(draft.text[len(draft.shown) : end])
            draft.shown = draft.text[:end]

    def _wrong(self, turn: _Turn, text: str) -> list[grounding.Claim]:
        """Claims of a reply that the talk's newest results contradict or do not support."""
        asked = [*self._asked, *turn.made][-self.limits.results :]
        claims = grounding.judge(
            text, [outcome.content for _, outcome in asked], calls=[call for call, _ in asked], today=self.today
        )
        wrong = [claim for claim in claims if claim.verdict in grounding.ERRORS]
        if turn.made or any(claim.kind not in _PLACE_ONLY for claim in wrong):
            return wrong
        return []  # a town or a day alone, in a turn that asked nothing, states no weather

    def _owes_admission(self, turn: _Turn, text: str) -> bool:
        """Whether every call of the turn failed and the text does not say so."""
        return bool(turn.made) and not turn.data and not honest.admits(text)

    def _unspoken(self, turn: _Turn, text: str) -> tuple[str, str] | None:
        """Why a text is no answer to a person, and the order to say it otherwise; None where it may be one.

        After a call it holds data as the tool wrote it, right in every figure; or it writes the marks of a result itself.
        """
        if _MARKS.search(text):
            return _FORGED
        return _ECHOED if turn.made and data_spans(text) else None

    def _system(self, persona: str) -> str:
        known = persona if persona in prompts.personas() else prompts.personas()[0]
        own = prompts.system_prompt(known)
        return f"{own} {honest.guardrails()}" if self.guarded else own

    # --- calls --------------------------------------------------------------------------------------------------------------

    def _call(self, turn: _Turn, draft: _Draft, calls: Sequence[Mapping[str, Any]], lost: Sequence[str]) -> _Steps:
        """Make the model's calls if all are valid and few enough; None where the model speaks next."""
        why = next((why for call in calls if (why := self._refuse(call))), "")
        if not why and (lost or not calls):
            why = f"The call cannot be read ({', '.join(lost) or 'no call inside the tag'})."
        if why:
            return (yield from self._mend(turn, draft, why))
        if unspoken := self._unspoken(turn, draft.words):
            return (yield from self._again(turn, draft, "data", *unspoken))
        known = [made for made, _ in turn.made]
        wanted: list[dict[str, Any]] = []
        for call in calls:
            made = {"name": self._name(call), "arguments": dict(call["arguments"])}
            if made not in known and made not in wanted:
                wanted.append(made)
        if not wanted:
            return (yield from self._hush(turn, draft))
        if len(turn.made) + len(wanted) > self.limits.calls:
            yield Refusal("limit", f"More than {self.limits.calls} calls in one turn.")
            if draft.shown:
                yield Withdrawn(draft.shown)
            return (yield from self._own_words(turn, "too_many"))
        before = draft.words.strip()
        if rest := draft.words[len(draft.shown) :].rstrip():
            yield TextDelta(rest)
        outcomes = []
        for call in wanted:
            outcomes.append((yield from self._make(turn, call)))  # noqa: PERF401 - no comprehension yields
        self._note(turn, before, wanted, outcomes)
        return None

    def _refuse(self, call: Mapping[str, Any]) -> str:
        """Why a call may not be made; "" where it may."""
        return tool_results.unfit(self._name(call), call["arguments"], self.schemas())

    def _name(self, call: Mapping[str, Any]) -> str:
        declared = {tool["function"]["name"] for tool in self.schemas()}
        name = str(call.get("name"))
        return name if name in declared or ALIASES.get(name) not in declared else ALIASES[name]

    def _make(self, turn: _Turn, call: dict[str, Any]) -> _Steps:
        """One call and its outcome."""
        yield Call(call["name"], dict(call["arguments"]))
        assert self.tools is not None  # without tools every call is refused
        outcome = self.tools.call(call["name"], call["arguments"])
        turn.made.append((call, outcome))
        yield Result(call["name"], dict(call["arguments"]), outcome)
        return outcome

    def _hush(self, turn: _Turn, draft: _Draft) -> _Steps:
        """Calls that were all made before in this turn: let the model speak without tools; then the loop does."""
        yield Refusal("call", "The same was asked before in this turn.")
        if draft.shown:
            yield Withdrawn(draft.shown)
        if turn.quiet:
            return (yield from self._own_words(turn, "silent"))
        turn.quiet = True
        return None

    def _note(self, turn: _Turn, before: str, calls: Sequence[dict[str, Any]], outcomes: Sequence[Outcome]) -> None:
        """Calls and results as messages (calls together) and as stored turns (each result behind its call)."""
        functions = [{"type": "function", "function": call} for call in calls]
        turn.messages.append({"role": "assistant", "content": before, "tool_calls": functions})
        for number, (call, outcome) in enumerate(zip(calls, outcomes, strict=True)):
            turn.messages.append({"role": "tool", "name": call["name"], "content": outcome.content})
            stored = {"tool_name": stored_name(call["name"], (call["name"],)), "arguments": call["arguments"]}
            turn.turns.append({"role": "assistant", "content": before if not number else "", "tool_call": stored})
            turn.turns.append({"role": "tool", "content": outcome.content, "tool_call": None})
        turn.scratch = []

    def _mend(self, turn: _Turn, draft: _Draft, why: str) -> _Steps:
        """Tell the model once what is wrong with its call; the second time it is the end of the turn."""
        yield Refusal("call", why)
        if draft.shown:
            yield Withdrawn(draft.shown)
        if turn.mended:
            return (yield from self._own_words(turn, "bad_call"))
        turn.mended = True
        turn.scratch = [
            {"role": "assistant", "content": draft.text.strip()},
            {"role": "tool", "name": "get_forecast", "content": tool_results.invalid_call(why)},
        ]
        return None

    # --- replies --------------------------------------------------------------------------------------------------------------

    def _judge(self, turn: _Turn, draft: _Draft) -> _Steps:
        """A text without calls: the reply, unless it is empty, is a tool's data or marks, or hides that its calls failed."""
        text = draft.text.strip()
        if not text:
            yield Refusal("silence", "The model said nothing.")
            return (yield from self._own_words(turn, "silent"))
        if self._owes_admission(turn, text):
            yield Refusal("claim", "The tool failed, and the reply does not say so.")
            return (yield from self._own_words(turn, "fault"))
        if unspoken := self._unspoken(turn, text):
            return (yield from self._again(turn, draft, "data", *unspoken))
        unnamed = honest.unnamed_alerts(text, [result for _, result in turn.data])
        if unnamed:
            warning = honest.warning(unnamed, turn.data[-1][0]["arguments"])
            yield Refusal("claim", f"The reply leaves out what is in force: {', '.join(unnamed)}.")
            yield TextDelta(f" {warning}")
            text = f"{text} {warning}"
        return Reply(text, turn.persona, honest=False)

    def _reword(self, turn: _Turn, draft: _Draft) -> _Steps:
        """Ask once again for a reply that its results bear out; then the loop says it itself."""
        why = "; ".join(f"{claim.text!r}: {claim.reason}" for claim in draft.wrong[:3])
        order = (
            f"That is not what the tool said ({why}). Say it again with the tool's figures only."
            if turn.made
            else "You have not asked the weather tool. Call it first, or state no weather."
        )
        return (yield from self._again(turn, draft, "claim", why, order))

    def _again(self, turn: _Turn, draft: _Draft, what: str, why: str, order: str) -> _Steps:
        """Take a reply back and order another, once in a turn; then the loop says it itself."""
        yield Refusal(what, why)
        if draft.shown:
            yield Withdrawn(draft.shown)
        if turn.reworded:
            return (yield from self._own_words(turn, "unasked"))
        turn.reworded = True
        turn.scratch = [{"role": "assistant", "content": draft.text.strip()}, {"role": "user", "content": order}]
        return None

    def _own_words(self, turn: _Turn, rule: str) -> _Steps:
        """The persona's plain sentence: out of the turn's results, else about its last fault, else by the rule."""
        if turn.data:
            # a model that spells a place in two ways gets one result twice
            calls, results = zip(*{str(result): (call, result) for call, result in turn.data}.values(), strict=True)
            text = honest.answer(results, calls, turn.asked, turn.persona, self._rng)
            unnamed = honest.unnamed_alerts(text, results)
            text = f"{text} {honest.warning(unnamed, calls[-1]['arguments'])}" if unnamed else text
        elif turn.last is not None:
            text = honest.failed(turn.last, turn.made[-1][0]["arguments"], turn.persona, self._rng)
        else:
            text = honest.said(rule, turn.persona, self._rng)
        yield TextDelta(text)
        return Reply(text, turn.persona, honest=True)

    def _keep(self, turn: _Turn, reply: Reply) -> None:
        """Make a whole turn part of the talk."""
        spoken = {"role": "assistant", "content": reply.text}
        self.messages = [*turn.messages, spoken]
        self.turns = [*turn.turns, {**spoken, "tool_call": None}]
        self._asked = [*self._asked, *turn.made][-self.limits.results :]
        failed = any(outcome.failed for _, outcome in turn.made)
        tags = [turn.persona, *(["weather"] if turn.made else []), *(["tool_error"] if failed else [])]
        self._tags |= dict.fromkeys(tags)
