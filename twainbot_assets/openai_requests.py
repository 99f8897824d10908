"""What an OpenAI chat request asks for, read strictly: each fault becomes one sentence that names the field.

What is not honoured is refused where it would change the answer (`n`, `logprobs`, JSON mode, penalties, the old `functions`)
and ignored where it would not (`user`, `metadata`, a penalty of 0).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from twainbot.dialogues.tool_results import undeclarable
from twainbot.errors import BadInput

DEFAULT_TOKENS = 256  # of an answer, where the request names no number
MOST_STOPS = 4  # as the API has it
MOST_SCHEMA_BYTES = 256 * 2**10  # of all tools as JSON: a window of 8,192 tokens has about 40,000
MOST_SCHEMAS = 4096  # of all tools, parameters and parts of them: checking one takes half a millisecond
NEUTRAL: dict[str, tuple[Any, str]] = {  # a field that is not served, what may stand in it all the same, and the repair
    "functions": ([], "send them as tools"),
    "function_call": ("none", "send tools and tool_choice"),
    "frequency_penalty": (0, "leave it out or send 0"),
    "presence_penalty": (0, "leave it out or send 0"),
    "logit_bias": ({}, "leave it out or send {}"),
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

Text = Annotated[str, Field(strict=True)]


class Refused(BadInput):
    """A request that cannot be answered: what, in which field, by which code and HTTP status."""

    def __init__(self, text: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(text)
        self.param, self.code, self.status = param, code, status


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: Literal["text"]
    text: Text


class _Function(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Text
    arguments: Text | dict[str, Any] = "{}"


class _Call(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: Text = ""
    type: Literal["function"] = "function"
    function: _Function


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: Text | None = None
    name: Text | None = None

    @property
    def words(self) -> str:
        """The content as one text."""
        parts = self.content if isinstance(self.content, list) else []
        return self.content if isinstance(self.content, str) else "".join(part.text for part in parts)

    @model_validator(mode="after")
    def _whole(self) -> _Message:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a {self.role} message makes no tool_calls")
        if self.content is None and not self.tool_calls:
            raise ValueError("it has no content")
        return self


class _Declared(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Text
    description: Text = ""
    parameters: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _legal(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a name has 1 to 64 letters, digits, _ and -")
        return name

    @field_validator("parameters")
    @classmethod
    def _object(cls, schema: dict[str, Any]) -> dict[str, Any]:
        whole: dict[str, Any] = {"type": "object", **schema}
        whole.setdefault("properties", {})
        if why := undeclarable(whole):
            raise ValueError(why)
        return whole


class _Tool(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: Literal["function"]
    function: _Declared


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: StrictBool = False


class ChatRequest(BaseModel):
    """A chat completion request. `temperature` defaults to 0: the likeliest words, as the bot was evaluated."""

    model_config = ConfigDict(extra="ignore")

    model: Text
    messages: list[_Message] = Field(min_length=1)
    tools: list[_Tool] = Field(default_factory=list, max_length=64)
    tool_choice: Literal["none", "auto"] = "auto"
    parallel_tool_calls: StrictBool = True
    stream: StrictBool = False
    stream_options: _StreamOptions = Field(default_factory=_StreamOptions)
    max_tokens: StrictInt | None = Field(None, ge=1)
    max_completion_tokens: StrictInt | None = Field(None, ge=1)
    temperature: float = Field(0.0, ge=0, le=2, allow_inf_nan=False, strict=True)
    top_p: float = Field(1.0, gt=0, le=1, allow_inf_nan=False, strict=True)
    seed: StrictInt | None = Field(None, ge=-(2**63), lt=2**63)
    stop: list[Text] = Field(default_factory=list, max_length=MOST_STOPS)
    n: Literal[1] = 1
    logprobs: Literal[False] = False

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, raw: Any) -> Any:
        """Nulls are as if they were not there; one stop text is a list of one; JSON mode is refused."""
        if not isinstance(raw, Mapping):
            return raw
        given = {name: value for name, value in raw.items() if value is not None}
        if isinstance(given.get("stop"), str):
            given["stop"] = [given["stop"]]
        if isinstance(given.get("response_format"), Mapping) and given["response_format"].get("type") != "text":
            raise ValueError("response_format other than text is not served")
        return given

    @property
    def new_tokens(self) -> int:
        """At most so many tokens of answer."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_TOKENS

    @property
    def offered(self) -> list[dict[str, Any]]:
        """The tools as templates take them; none where the request says that none may be called."""
        if self.tool_choice == "none":
            return []
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.function.name,
                    "description": tool.function.description,
                    "parameters": tool.function.parameters,
                },
            }
            for tool in self.tools
        ]

    def talk(self) -> list[dict[str, Any]]:
        """The messages as templates take them. Raises Refused for a result that answers no call, or torn arguments."""
        names: dict[str, str] = {}
        talk: list[dict[str, Any]] = []
        for number, message in enumerate(self.messages):
            role = "system" if message.role == "developer" else message.role
            made: dict[str, Any] = {"role": role, "content": message.words}
            if message.tool_calls:
                made["tool_calls"] = [_function(call, number) for call in message.tool_calls]
                names |= {call.id: call.function.name for call in message.tool_calls}
            if role == "tool":
                if message.tool_call_id not in names:
                    raise Refused(
                        f"Message {number} answers the call {message.tool_call_id!r}, which no message before it makes.",
                        param=f"messages[{number}].tool_call_id",
                    )
                made["name"] = names[message.tool_call_id]
            talk.append(made)
        return talk


def _function(call: _Call, number: int) -> dict[str, Any]:
    arguments = call.function.arguments
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise Refused(
                f"The arguments of a call in message {number} are not JSON.", param=f"messages[{number}].tool_calls"
            ) from error
    if not isinstance(arguments, dict):
        raise Refused(
            f"The arguments of a call in message {number} are not an object.", param=f"messages[{number}].tool_calls"
        )
    return {"type": "function", "function": {"name": call.function.name, "arguments": arguments}}


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises Refused where it is none."""
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates are in no text that a model could read
    except (ValueError, RecursionError) as error:
        raise Refused("The body is not JSON text.") from error
    if not isinstance(value, dict):
        raise Refused("The body is not a JSON object.")
    return value


def read_request(body: bytes) -> ChatRequest:
    """The request in a body. Raises Refused with the first fault's field. Takes seconds where tools are many."""
    given = json_object(body)
    refuse_unserved(given)
    try:
        return ChatRequest.model_validate(given)
    except ValidationError as error:
        first = max(error.errors(), key=lambda fault: len(fault["loc"]))  # the alternative that fits best got furthest
        where = _path(first["loc"])
        found = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise Refused(f"{found}.", param=where or None) from error


def refuse_unserved(given: Mapping[str, Any]) -> None:
    """Raises Refused for a field that would change the answer and is not served, and for more of tools than is read."""
    for name, (neutral, repair) in NEUTRAL.items():
        if given.get(name) not in (None, neutral):
            raise Refused(f"{name} is not served: {repair}.", param=name)
    tools = given.get("tools")
    size, count = len(json.dumps(tools, ensure_ascii=False).encode()), schemas(tools)
    if size > MOST_SCHEMA_BYTES or count > MOST_SCHEMAS:
        raise Refused(
            f"The tools have {size:,} bytes and {count:,} schemas; {MOST_SCHEMA_BYTES:,} and {MOST_SCHEMAS:,} are read at "
            "most. Offer fewer tools, or simpler ones.",
            param="tools",
        )


def schemas(value: Any) -> int:
    """Objects and truth values in a JSON value: no more schemas can be in it."""
    count, left = 0, [value]
    while left:
        one = left.pop()
        count += isinstance(one, (dict, bool))
        left += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return count


def _path(places: tuple[int | str, ...]) -> str:
    """messages[2].content, without the names of the alternatives that pydantic tried."""
    parts = [f"[{place}]" if isinstance(place, int) else f".{place}" for place in places]
    return "".join(part for part in parts if re.fullmatch(r"\[\d+\]|\.(?!str$)[a-z_]+", part)).lstrip(".")
