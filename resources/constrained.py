"""Tool calls that cannot name an undeclared tool or parameter: after `<tool_call>` only the declared tools' JSON may follow.

The grammar is llguidance's, an optional package (`pip install llguidance`, extra `constrained`). Words are left as they are.
What of a schema the package does not know (`uniqueItems`, `not`, a format) is left to the model, never refused.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from training.render import Message, Template, render_text
from twainbot.errors import BadUse, MissingModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

TAG, END = "<tool_call>", "</tool_call>"
KEPT = 32  # compiled grammars; the oldest goes first
# JSON as training wrote it: one blank behind each comma and colon
FORM = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
LENIENT = {**FORM, "lenient": True, "coerce_one_of": True}  # keywords that llguidance does not know are passed over


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

    def begin(self, tools: Sequence[Mapping[str, Any]]) -> CallMatcher | None:
        """A matcher for one turn, each tool's schema enforced as far as it can be; None where no tool's can."""
        key = json.dumps(list(tools), sort_keys=True)
        if key not in self._compiled:
            while len(self._compiled) >= KEPT:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[key] = self._matcher(tools)
        known = self._compiled[key]
        return CallMatcher(known.deep_copy()) if known is not None else None

    def _matcher(self, tools: Sequence[Mapping[str, Any]]) -> Any:
        """All tools by their strictest forms, else each by the strictest that compiles, else None."""
        matcher = self.library.LLMatcher(
            self.tokens, self._grammar([(name, forms[0]) for name, forms in map(_named, tools)])
        )
        if matcher.is_error():
            found = [(name, self._enforced(name, forms)) for name, forms in map(_named, tools)]
            matcher = self.library.LLMatcher(self.tokens, self._grammar(found))
        return None if matcher.is_error() else matcher

    def _enforced(self, name: str, forms: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The first form that compiles, the last one if none does."""
        faulty = self.library.LLMatcher.validate_grammar
        return next((form for form in forms if not faulty(self._grammar([(name, form)]), self.tokens)), forms[-1])

    def _grammar(self, tools: Sequence[tuple[str, dict[str, Any]]]) -> str:
        tag = self.library.StructTag
        tags = [
            tag(
                trigger=TAG,
                begin=f"{self.before}{{{json.dumps('name')}: {json.dumps(name)}, {json.dumps('arguments')}: ",
                grammar=schema,
                end=f"}}{self.after}",
            )
            for name, schema in tools
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


def _named(tool: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """A tool's name and schemas of its arguments, the strictest first: whole, without what is unknown, names, any object."""
    function = tool.get("function", tool)
    schema: dict[str, Any] = {"type": "object", **(function.get("parameters") or {})}
    names = _parameters(schema)
    anything: dict[str, Any] = {"type": "object", "x-guidance": FORM}
    if names is None:
        return str(function["name"]), [{**schema, "x-guidance": FORM}, {**schema, "x-guidance": LENIENT}, anything]
    closed = {"additionalProperties": False, **schema, "properties": {**names, **schema.get("properties", {})}}
    loose = {"type": "object", "properties": names, "additionalProperties": False, "x-guidance": FORM}
    forms = [{**closed, "x-guidance": FORM}, {**closed, "x-guidance": LENIENT}, loose, anything]
    return str(function["name"]), forms


def _parameters(schema: Any) -> dict[str, bool] | None:
    """Names that a schema or a part of it names, each with the schema that fits all; None where a reference holds them."""
    if not isinstance(schema, Mapping):
        return {}
    if not schema.keys().isdisjoint(("$ref", "$dynamicRef", "dependentSchemas")):
        return None
    names: dict[str, bool] = dict.fromkeys([*schema.get("properties", ()), *schema.get("required", ())], True)
    for part in _parts(schema):
        found = _parameters(part)
        if found is None:
            return None
        names |= found
    return names


def _parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas that the same object is held to."""
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(keyword, ())
    yield from (schema[keyword] for keyword in ("if", "then", "else") if keyword in schema)
