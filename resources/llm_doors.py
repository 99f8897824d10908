"""The two wire formats: one request to an OpenAI-compatible or an Anthropic endpoint through its SDK. No retries, no cache.

An endpoint may know less than its original: what it refuses with 400 (a schema, a seed, the newer name of the length bound)
is left out from then on.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

from resources.llm_faults import NotTaken, Secrets, TryLater, fault_of, with_deadline
from twainbot.dialogues.asking import LENGTH, REFUSAL, STOP, Answer, Request, input_tokens, tokens_of
from twainbot.errors import MissingModel, TwainBotError

TOOL = "answer"  # the tool that an Anthropic model answers with, and the name of an OpenAI schema


@dataclass(frozen=True)
class Endpoint:
    """Where and as whom to ask. `url`: "" for the SDK's own; `key`: never printed."""

    url: str
    key: str
    model: str
    temperature: float
    timeout_s: float

    @override
    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.model!r})"


@dataclass(frozen=True)
class Dialect:
    """What an endpoint is asked with, until it refuses it. `form`: schema, object or plain; a tool for Anthropic's."""

    form: str
    limit: str = "max_tokens"
    seed: bool = False
    temperature: bool = False

    def simpler(self, said: str) -> Dialect | None:
        """The dialect to try after a 400 that says this; None where nothing is left to leave out."""
        if self.limit in said and self.limit == "max_completion_tokens":
            return replace(self, limit="max_tokens")
        if self.seed and "seed" in said:
            return replace(self, seed=False)
        if self.temperature and "temperature" in said:
            return replace(self, temperature=False)
        forms = {"tool": "schema", "schema": "object", "object": "plain"}
        return replace(self, form=forms[self.form]) if self.form in forms else None


class SdkDoor(ABC):
    """What the two doors share: asking with what the endpoint understands, and telling no secrets."""

    name = error = ""  # the SDK's package, and its base of all exceptions
    first = Dialect("plain")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.dialect = endpoint, self.first
        self.clean = Secrets(endpoint.key, urlsplit(endpoint.url).password or "").clean
        self.where = self.clean(endpoint.url) or self.name
        library = sdk(self.name)
        self._library_error = getattr(library, self.error)
        self.client = self._client(library)

    def call(self, request: Request) -> Answer:
        """Ask once, more simply after each 400. Raises TryLater, NotTaken, BadConfig or SourceUnavailable.

        A simpler dialect is kept only where it was answered: a request that is refused in every dialect teaches nothing.
        """
        dialect: Dialect | None = self.dialect
        refused = NotTaken("")
        while dialect is not None:
            found = self.guarded(lambda known=dialect: self._send(self.body(request, known)))
            if not isinstance(found, NotTaken):
                self.dialect = dialect
                return self.read(found, request)
            refused, dialect = found, dialect.simpler(str(found))
        raise refused

    def read(self, found: Any, request: Request | None) -> Answer:
        """What came back as an answer. Raises TryLater for what is no completion, such as a proxy's page."""
        try:
            return self._answer(as_plain(found), request)
        except (LookupError, TypeError, ValueError, AttributeError):
            said = self.clean(" ".join(str(found).split()))[:80]
        raise TryLater(f"{self.where} answered with something that is no completion: {said!r}.")

    @abstractmethod
    def body(self, request: Request, dialect: Dialect | None = None) -> dict[str, Any]:
        """The request as JSON."""

    @abstractmethod
    def _answer(self, plain: Mapping[str, Any], request: Request | None) -> Answer:
        """The service's object as an answer."""

    @abstractmethod
    def _client(self, library: Any) -> Any:
        """The SDK's client, without retries of its own."""

    @abstractmethod
    def _send(self, body: Mapping[str, Any]) -> Any:
        """Post the request."""

    def guarded(self, ask: Callable[[], Any]) -> Any:
        """What the call gives; NotTaken is handed back, other faults are raised.

        Outside the handler: an SDK's exception holds request and headers, and must not ride along as context.
        """
        import httpx2

        fault: TwainBotError
        try:
            return ask()
        except (self._library_error, httpx2.HTTPError, ValueError) as error:  # ValueError: a body that is no JSON
            fault = fault_of(error, self.where, self.clean)
        if isinstance(fault, NotTaken):
            return fault
        raise fault

    def told(
        self, request: Request | None, text: str, finish: str, plain: Mapping[str, Any], refusal: str = ""
    ) -> Answer:
        """An answer without secrets; where the service counts no tokens, ours are estimates from above."""
        usage = plain.get("usage") or {}
        read = usage.get("prompt_tokens", usage.get("input_tokens"))
        written = usage.get("completion_tokens", usage.get("output_tokens"))
        return Answer(
            self.clean(text),
            finish,
            self.clean(str(plain.get("model") or "")),
            int(read) if read is not None else input_tokens(request) if request else 0,
            tokens_of(text) if written is None else int(written),
            self.clean(refusal),
        )


class OpenAIDoor(SdkDoor):
    """Chat completions of OpenAI, vLLM, llama.cpp, Ollama and whatever speaks like them."""

    name, error = "openai", "OpenAIError"
    first = Dialect("schema", "max_completion_tokens", seed=True, temperature=True)

    @override
    def _client(self, library: Any) -> Any:
        return library.OpenAI(
            api_key=self.endpoint.key or "none",
            base_url=self.endpoint.url or None,
            max_retries=0,
            timeout=self.endpoint.timeout_s,
            http_client=with_deadline(library.DefaultHttpxClient, self.endpoint.timeout_s),
        )

    @override
    def _send(self, body: Mapping[str, Any]) -> Any:
        return self.client.chat.completions.create(**body)

    @override
    def body(self, request: Request, dialect: Dialect | None = None) -> dict[str, Any]:
        known = dialect or self.dialect
        messages = [{"role": role, "content": text} for role, text in request.messages]
        body: dict[str, Any] = {"model": self.endpoint.model, "messages": messages, known.limit: request.max_tokens}
        if known.form == "schema":
            schema = {"name": TOOL, "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif known.form == "object":
            body["response_format"] = {"type": "json_object"}
        body |= {"temperature": self.endpoint.temperature} if known.temperature else {}
        return body | ({"seed": request.seed} if known.seed else {})

    @override
    def _answer(self, plain: Mapping[str, Any], request: Request | None) -> Answer:
        choice = plain["choices"][0]
        message, ended = choice["message"], choice.get("finish_reason")
        refusal = message.get("refusal") or ""
        finish = REFUSAL if refusal or ended == "content_filter" else LENGTH if ended == "length" else STOP
        return self.told(request, message.get("content") or "", finish, plain, refusal)


class AnthropicDoor(SdkDoor):
    """Messages of Anthropic. The answer is the input of a tool that the model must call, so that it has a schema.

    The service has no seed and its SDK no temperature any more: variety comes from the requests' own controls.
    """

    name, error = "anthropic", "AnthropicError"
    first = Dialect("tool")

    @override
    def _client(self, library: Any) -> Any:
        return library.Anthropic(
            api_key=self.endpoint.key or "none",
            base_url=self.endpoint.url.rstrip("/").removesuffix("/v1") or None,
            max_retries=0,
            timeout=self.endpoint.timeout_s,
            http_client=with_deadline(library.DefaultHttpxClient, self.endpoint.timeout_s),
        )

    @override
    def _send(self, body: Mapping[str, Any]) -> Any:
        return self.client.messages.create(**body)

    @override
    def body(self, request: Request, dialect: Dialect | None = None) -> dict[str, Any]:
        known = dialect or self.dialect
        system = "\n\n".join(text for role, text in request.messages if role == "system")
        messages = [{"role": role, "content": text} for role, text in request.messages if role != "system"]
        body: dict[str, Any] = {"model": self.endpoint.model, "messages": messages, known.limit: request.max_tokens}
        if known.form == "tool":
            body["tools"] = [{"name": TOOL, "description": "Give the answer.", "input_schema": request.schema}]
            body["tool_choice"] = {"type": "tool", "name": TOOL, "disable_parallel_tool_use": True}
        elif known.form == "schema":
            body["output_config"] = {"format": {"type": "json_schema", "schema": request.schema}}
        return body | ({"system": system} if system else {})

    @override
    def _answer(self, plain: Mapping[str, Any], request: Request | None) -> Answer:
        blocks = plain["content"]
        given = [json.dumps(block["input"], ensure_ascii=False) for block in blocks if block.get("type") == "tool_use"]
        said = "".join(block.get("text") or "" for block in blocks if block.get("type") == "text")
        finish = {"refusal": REFUSAL, "max_tokens": LENGTH}.get(str(plain.get("stop_reason")), STOP)
        return self.told(request, given[0] if given else said, finish, plain)


def sdk(name: str) -> Any:
    """The SDK of this name, imported. Raises MissingModel where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingModel(f"This generator needs the package {name!r}: pip install 'twainbot[llm]'.") from error


def as_plain(found: Any) -> dict[str, Any]:
    """An SDK's object as a mapping; an empty one for what is neither."""
    if isinstance(found, Mapping):
        return dict(found)
    dump = getattr(found, "to_dict", None)
    plain = dump() if callable(dump) else {}
    return plain if isinstance(plain, dict) else {}


DOORS: Mapping[str, type[SdkDoor]] = {"openai": OpenAIDoor, "anthropic": AnthropicDoor}
