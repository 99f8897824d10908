"""Turns as OpenAI chat completions: words and tool calls told apart while they come, chunks, whole answers, errors."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resources.turns import LENGTH, Progress
from twainbot.errors import Busy, MissingModel, TooLong, TwainBotError, UnknownName
from twainbot.evals.call_parsing import parse_calls
from twainbot_assets.openai_requests import Refused

TAG, END = "<tool_call>", "</tool_call>"

Event = tuple[str, Any]  # ("words", text) or ("call", {"name", "arguments"})


class CallSplitter:
    """Words and calls out of pieces of a turn. What is no readable call of a declared tool stays words."""

    def __init__(self, names: Collection[str]) -> None:
        """names: of the declared tools; without any, everything is words."""
        self.names = names
        self.text = ""  # not told yet

    def add(self, piece: str) -> Iterator[Event]:
        """What is certain now that this piece has come."""
        self.text += piece
        if not self.names:
            yield from self._words(self.text)
            return
        while True:
            start = self.text.find(TAG)
            end = self.text.find(END, start)
            if start < 0:
                yield from self._words(self.text[: _certain(self.text)])
                return
            if end < 0:
                yield from self._words(self.text[:start].rstrip())
                return
            yield from self._block(start, end + len(END))

    def rest(self) -> Iterator[Event]:
        """What is left when the turn is over: a call that was cut off is read where that is possible."""
        start = self.text.find(TAG) if self.names else -1
        if start >= 0:
            yield from self._block(start, len(self.text))
        yield from self._words(self.text.rstrip() if self.names else self.text)
        self.text = ""

    def _words(self, text: str) -> Iterator[Event]:
        if text:
            self.text = self.text[len(text) :]
            yield "words", text

    def _block(self, start: int, end: int) -> Iterator[Event]:
        block = self.text[start:end]
        calls, _ = parse_calls(block)
        good = len(calls) == 1 and calls[0]["name"] in self.names
        words = self.text[:start].rstrip() if good else self.text[:end]
        self.text = self.text[end:]
        if words:
            yield "words", words
        if good:
            yield "call", calls[0]


def _certain(text: str) -> int:
    """How many characters cannot belong to a tag that is still coming, nor to the space before it."""
    cut = next((size for size in range(min(len(TAG) - 1, len(text)), 0, -1) if TAG.startswith(text[-size:])), 0)
    return len(text[: len(text) - cut].rstrip())


@dataclass
class Answer:
    """One chat completion, as it comes about. one_call: it ends with its first call."""

    model: str
    names: Collection[str] = ()
    one_call: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    words: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.splitter = CallSplitter(self.names)

    def add(self, piece: str | None) -> Iterator[dict[str, Any]]:
        """The deltas that a piece brings; None: the turn is over."""
        for kind, value in self.splitter.add(piece) if piece is not None else self.splitter.rest():
            if kind == "words":
                self.words += value
                yield {"content": value}
            else:
                call = _as_call(value)
                self.calls.append(call)
                yield {"tool_calls": [{"index": len(self.calls) - 1, **call}]}
                if self.over:
                    return

    @property
    def over(self) -> bool:
        """Whether no more of the turn is wanted."""
        return self.one_call and bool(self.calls)

    def finish(self, progress: Progress) -> str:
        """Why it ended, in the API's words."""
        if self.calls:
            return "tool_calls"
        return "length" if progress.finish == LENGTH else "stop"

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        """A piece of a streamed answer."""
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, progress: Progress) -> dict[str, Any]:
        """The last piece where usage was asked for."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(progress)}

    def whole(self, progress: Progress) -> dict[str, Any]:
        """The answer that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": self.words or (None if self.calls else "")}
        if self.calls:
            message["tool_calls"] = self.calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish(progress)}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(progress)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def usage(progress: Progress) -> dict[str, Any]:
    """Tokens read and written; `cached_tokens` of those read were remembered."""
    return {
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.new_tokens,
        "total_tokens": progress.prompt_tokens + progress.new_tokens,
        "prompt_tokens_details": {"cached_tokens": progress.known_tokens},
    }


def error_of(fault: Exception) -> tuple[dict[str, Any], int]:
    """An error in the API's form, and its HTTP status."""
    kind, code, status, param = "invalid_request_error", None, 400, None
    if isinstance(fault, Refused):
        code, status, param = fault.code, fault.status, fault.param
    elif isinstance(fault, UnknownName):
        code, status, param = "model_not_found", 404, "model"
    elif isinstance(fault, TooLong):
        code, param = "context_length_exceeded", "messages"
    elif isinstance(fault, Busy):
        kind, code, status = "server_error", "busy", 503
    elif isinstance(fault, MissingModel) or type(fault) is TwainBotError or not isinstance(fault, TwainBotError):
        kind, status = "server_error", 500
    text = str(fault) if isinstance(fault, TwainBotError) else f"The server failed ({type(fault).__name__}). Try again."
    return {"error": {"message": text, "type": kind, "param": param, "code": code}}, status


def _as_call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return {
        "id": f"call_{secrets.token_hex(8)}",
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }
