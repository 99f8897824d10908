"""The one place where dialogues become tokens, for training, evaluation, chat and export. Packing lives in packing.py.

A template file per family of bases (`templates/<name>.jinja`) writes the text; `{% generation %}` marks what the model
itself says: words, tool calls and the end-of-turn token of assistant turns. Loss is taken there and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from typing_extensions import override

from twainbot.errors import BadInput, MissingModel, UnknownName

TEMPLATES = Path(__file__).parent / "templates"
ROLES = ("system", "user", "assistant", "tool")
IGNORED = -100  # label of a token on which no loss is taken, as torch's cross entropy has it
# Two control characters bracket generated spans while a template renders; messages that hold them are refused.
_OPEN, _CLOSE = "\x02", "\x03"
_SPAN = re.compile(f"{_OPEN}(.*?){_CLOSE}", re.DOTALL)

Message = Mapping[str, Any]  # {"role", "content", "tool_calls"?, "name"?}


@dataclass(frozen=True)
class Template:
    """A chat template: its file stem and its text."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """64 hex digits over the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_template(name: str) -> Template:
    """The template `templates/<name>.jinja`; UnknownName, listing the known ones, for another name."""
    path = TEMPLATES / f"{name}.jinja"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in TEMPLATES.glob("*.jinja")))
        raise UnknownName(f"Unknown chat template {name!r}. Known ones: {known}.")
    return Template(name, path.read_text(encoding="utf-8"))


def tokenizer_of(base: Path) -> Tokenizer:
    """The tokenizer of a base folder, without transformers; MissingModel where the folder has none.

    Truncation and padding that the file asks for are off, as transformers has them: they would cut dialogues and train pads.
    """
    path = base / "tokenizer.json"
    if not path.is_file():
        raise MissingModel(f"{base} holds no tokenizer.json. Rematerialize base/model.")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def render(
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
    tokenizer: Tokenizer,
    template: Template,
    *,
    add_generation_prompt: bool = False,
) -> tuple[list[int], list[int]]:
    """Token ids of a dialogue and their labels, equally long; labels are IGNORED outside the model's own words.

    Each span is tokenized on its own, so the ids of a prompt (`add_generation_prompt`, the turns so far) are a prefix
    of the ids of the finished dialogue. Raises BadInput for an unknown role or a control character U+0002 or U+0003.
    """
    text = render_text(messages, tools, template, add_generation_prompt=add_generation_prompt, marked=True)
    ids: list[int] = []
    labels: list[int] = []
    for position, piece in enumerate(_SPAN.split(text)):
        tokens = tokenizer.encode(piece, add_special_tokens=False).ids
        ids += tokens
        labels += tokens if position % 2 else [IGNORED] * len(tokens)
    return ids, labels


@dataclass(frozen=True)
class TurnMarks:
    """How the tokens of an assistant turn tell a call from words, and where it ends."""

    offset: int  # tokens of a turn before the one that tells
    call: int  # that token in a turn that calls
    ends: tuple[int, ...]  # tokens that end a turn
    data: tuple[int, ...] = ()  # tokens by which a turn would begin as a tool's JSON, and not as words


def turn_marks(tokenizer: Tokenizer, template: Template) -> TurnMarks:
    """The template's marks, by a turn of either kind. Raises BadInput for a template that writes calls as it writes words."""
    call: Message = {"type": "function", "function": {"name": "f", "arguments": {"a": "b"}}}
    turns: list[Message] = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "assistant", "content": "Well."},
    ]
    rendered = [render([{"role": "user", "content": "?"}, turn], None, tokenizer, template)[1] for turn in turns]
    calling, saying = ([label for label in labels if label != IGNORED] for labels in rendered)
    offset = next(
        (place for place, (one, other) in enumerate(zip(calling, saying, strict=False)) if one != other), None
    )
    if offset is None:
        raise BadInput(
            f"Template {template.name} writes tool calls and words alike, so no model could learn to call by it."
        )
    return TurnMarks(offset, calling[offset], tuple(sorted({calling[-1], saying[-1]})), data_marks(tokenizer))


def data_marks(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokens that open an object or a list, whatever stands around the bracket: `{`, ` {"`, `[{`."""
    likely = [number for token, number in tokenizer.get_vocab().items() if "{" in token or "[" in token]
    return tuple(
        sorted(n for n in likely if tokenizer.decode([n], skip_special_tokens=False).lstrip()[:1] in ("{", "["))
    )


def render_text(
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]] | None,
    template: Template,
    *,
    add_generation_prompt: bool = False,
    marked: bool = False,
) -> str:
    """The dialogue as the text that is tokenized. `marked` keeps the brackets around generated spans."""
    unknown = [message.get("role") for message in messages if message.get("role") not in ROLES]
    if unknown:
        raise BadInput(f"A message has the role {unknown[0]!r}; known roles are: {', '.join(ROLES)}.")
    compiled = _compiled(template.text)
    values = {"messages": messages, "tools": tools or None, "add_generation_prompt": add_generation_prompt}
    try:
        text = compiled.render(**values)
    except jinja2.TemplateError as error:
        found = f"Template {template.name} cannot render these messages: {error}"
        raise BadInput(f"{found}. Each needs a role, content and, for calls, tool_calls.") from error
    spans = sum(message["role"] == "assistant" for message in messages)
    if not text.count(_OPEN) == text.count(_CLOSE) == spans:
        raise BadInput("A message holds the control character U+0002 or U+0003, which mark spans here. Remove it.")
    return text if marked else text.replace(_OPEN, "").replace(_CLOSE, "")


class _GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}`, the markers that transformers and TRL know, as brackets."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares it so)

    @override
    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_bracket"), [], [], body).set_lineno(line)

    def _bracket(self, caller: Callable[[], str]) -> str:
        return f"{_OPEN}{caller()}{_CLOSE}"


@cache
def _compiled(text: str) -> jinja2.Template:
    """Compiled as transformers compiles chat templates: same sandbox, same whitespace rules, same `tojson`."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(text)
