"""Tool calls that cannot name an undeclared tool or parameter: after `<tool_call>` only the declared tools' JSON may follow.

The grammar is llguidance's, an optional package (`pip install llguidance`, extra `constrained`). Words are left as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from training.render import Message, Template, render_text
from twainbot.errors import BadInput, BadUse, MissingModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

TAG, END = "<tool_call>", "</tool_call>"
KEPT = 32  # compiled grammars; the oldest goes first
# JSON as training wrote it: one blank behind each comma and colon
FORM = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}


def available() -> bool:
    """Whether llguidance is installed."""
    return importlib.util.find_spec("llguidance") is not None


class CallGrammars:
    """The grammars of sets of tools over one tokenizer, each compiled once."""

    def __init__(self, tokenizer: Tokenizer, template: Template, eos_id: int) -> None:
        if not available():
            raise MissingModel("Constrained decoding wants llguidance: `pip install 'twainbot[constrained]'`.")
        self.library: Any = importlib.import_module("llguidance")
        self.before, self.after = call_frame(template)
        self.tokens = self.library.LLTokenizer(tokenizer.to_str(), eos_token=eos_id)
        self._compiled: dict[str, Any] = {}

    def begin(self, tools: Sequence[Mapping[str, Any]]) -> CallMatcher:
        """A matcher for one turn. Raises BadInput where a tool's schema cannot be enforced."""
        key = json.dumps(list(tools), sort_keys=True)
        if key not in self._compiled:
            matcher = self.library.LLMatcher(self.tokens, self._grammar(tools))
            if matcher.is_error():
                raise BadInput(f"The tools' schemas cannot be enforced: {matcher.get_error().splitlines()[0]}.")
            while len(self._compiled) >= KEPT:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[key] = matcher
        return CallMatcher(self._compiled[key].deep_copy())

    def _grammar(self, tools: Sequence[Mapping[str, Any]]) -> str:
        tag = self.library.StructTag
        tags = [
            tag(
                trigger=TAG,
                begin=f"{self.before}{{{json.dumps('name')}: {json.dumps(name)}, {json.dumps('arguments')}: ",
                grammar=schema,
                end=f"}}{self.after}",
            )
            for name, schema in map(_named, tools)
        ]
        text: str = tag.to_grammar(tags, assume_special=False)
        return text


class CallMatcher:
    """Where one turn stands in its grammar."""

    def __init__(self, matcher: Any) -> None:
        self.matcher = matcher

    def allowed(self, logits: Tensor) -> Tensor:
        """The logits (V,) with those of tokens that may not follow at minus infinity."""
        import torch

        bits = torch.frombuffer(bytearray(self.matcher.compute_bitmask()), dtype=torch.uint8).to(logits.device)
        places = torch.arange(8, device=logits.device, dtype=torch.uint8)
        mask = ((bits[:, None] >> places) & 1).flatten()[: len(logits)].bool()
        if len(mask) < len(logits):  # models pad their vocabularies
            mask = torch.cat([mask, mask.new_zeros(len(logits) - len(mask))])
        return logits.masked_fill(~mask, float("-inf"))

    def add(self, token: int) -> None:
        """Go on by a token that was chosen."""
        self.matcher.consume_token(token)


def call_frame(template: Template) -> tuple[str, str]:
    """What the template writes around a call's JSON. Raises BadUse for a template that writes calls in another form."""
    nothing: dict[str, Any] = {}
    call: dict[str, Any] = {"type": "function", "function": {"name": "f", "arguments": nothing}}
    talk: list[Message] = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    text = render_text(talk, None, template)
    body = json.dumps(call["function"])
    if TAG not in text or body not in text or END not in text.split(body)[-1]:
        raise BadUse(f"Template {template.name} does not write calls as {TAG}JSON{END}, so they cannot be constrained.")
    before, after = text.split(body)[0], text.split(body)[1]
    return before[before.rindex(TAG) :], after[: after.index(END) + len(END)]


def _named(tool: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A tool's name and the schema of its arguments, closed against others."""
    function = tool.get("function", tool)
    schema: dict[str, Any] = {"type": "object", **(function.get("parameters") or {})}
    schema.setdefault("properties", {})
    return str(function["name"]), {**schema, "additionalProperties": False, "x-guidance": FORM}
