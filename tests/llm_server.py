"""A server on 127.0.0.1 that speaks the wire formats of OpenAI and Anthropic, batches included, with chosen manners.

`moods` are used up one a request, in order of arrival; after them every answer is a good one:

    429:<s>    too many requests, Retry-After so many seconds     500       a fault of the server
    400:<s>    bad request, saying so                             401       barred, echoing the key
    length     cut after a few tokens                             broken    JSON that breaks off
    refusal    the model refuses                                  sorry     a refusal in plain words
    drift      another schema                                     few       a list that is too short
    empty      no words                                           german    another language
    html       a proxy's page with status 200                     drip:<s>  byte by byte
    hang       silence until the server ends                      quota     429 without credit
    torn       status 200, half a body
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes import Busy

KEY = "sk-local-8d1f42c7"
PHRASES = (
    "I told my boots so, and they kept their own counsel.",
    "The mule had it from a cousin and would not be argued with.",
    "My aunt wrote it down and charged me for the ink.",
    "A clerk would need a whole drawer of forms to say as much.",
)

GERMAN = "Der Himmel bleibt morgen bedeckt, und es regnet den ganzen Tag, so sagt der alte Mann am Fluss, der es wissen muss."


def rewrite(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A rating for a judge's request; else each marked turn with a sentence more, another one in the repair round."""
    text = next(str(message["content"]) for message in messages if "Dialogue:\n" in str(message["content"]))
    turns = json.loads(text.split("Dialogue:\n", 1)[1])
    marked = [turn["text"] for turn in turns if turn.get("rewrite")]
    if not marked:
        return {"rationale": "boots and a mule, dry enough", "style": 4, "humor": 3, "factuality": 5}
    number = len(text) + len(messages)
    return {"replies": [f"{said} {PHRASES[(number + at) % len(PHRASES)]}" for at, said in enumerate(marked)]}


@dataclass
class LlmServer(Busy):
    """What the server does and saw. `seen`: (path, headers, body) in order; `starts`: when each call for words came."""

    write: Callable[[Sequence[dict[str, Any]]], dict[str, Any]] = rewrite
    moods: list[str] = field(default_factory=list)
    pause_s: float = 0.0
    polls: int = 1  # how often a batch is still running when asked
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)

    def calls(self) -> list[Any]:
        """The bodies of all single calls for words, in order."""
        return [body for path, _, body in self.seen if path in ("/v1/chat/completions", "/v1/messages")]

    def mood(self) -> str:
        with self._lock:
            self.starts.append(time.monotonic())
            return self.moods.pop(0) if self.moods else ""


def spoken(server: LlmServer, body: dict[str, Any], mood: str) -> tuple[str, str]:
    """The model's words and how they ended, in OpenAI's terms."""
    text = json.dumps(server.write(body["messages"]), ensure_ascii=False)
    wanted = json.loads(text)
    return {
        "length": (text[: len(text) // 2], "length"),
        "broken": (text[: len(text) // 2], "stop"),
        "refusal": ("", "refusal"),
        "sorry": ("I'm sorry, but I can't help with that.", "stop"),
        "drift": (json.dumps({"answers": ["one"]}), "stop"),
        "few": (json.dumps({"replies": []}), "stop"),
        "empty": ("", "stop"),
        "german": (json.dumps({"replies": [GERMAN] * len(wanted.get("replies", [1]))}), "stop"),
    }.get(mood, (text, "stop"))  # fmt: skip


def completion(server: LlmServer, body: dict[str, Any], mood: str) -> dict[str, Any]:
    """A chat completion."""
    text, ended = spoken(server, body, mood)
    refused = ended == "refusal"
    message = {
        "role": "assistant",
        "content": None if refused else text,
        "refusal": "I can't write that." if refused else None,
    }
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": f"{body['model']}-2026-01-01",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop" if refused else ended}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }  # fmt: skip


def message(server: LlmServer, body: dict[str, Any], mood: str) -> dict[str, Any]:
    """An Anthropic message: the answer as a tool's input, or as text where it is no whole JSON object."""
    text, ended = spoken(server, body, mood)
    block: dict[str, Any] = {"type": "text", "text": text}
    if "tools" in body and ended == "stop":
        with suppress(ValueError):
            block = {"type": "tool_use", "id": "toolu_1", "name": "answer", "input": json.loads(text)}
    reason = {"length": "max_tokens", "refusal": "refusal"}.get(ended, "tool_use")
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": f"{body['model']}-20260101",
        "content": [] if ended == "refusal" else [block], "stop_reason": reason, "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers for the server of its class."""

    llm: LlmServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        body = json.loads(raw) if "json" in kind else raw.decode()
        self.llm.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        with self.llm.busy():
            self.answer(body)

    def do_GET(self) -> None:
        self.llm.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, None))
        path = self.path.removeprefix("/v1")
        if found := re.fullmatch(r"/files/(\w+)/content", path):
            self.send(200, self.llm.files[found[1]].encode(), "application/octet-stream")
        elif (found := re.fullmatch(r"(?:/messages)?/batches/(\w+)", path)) and found[1] in self.llm.batches:
            self.send_json(200, self.state(self.llm.batches[found[1]]))
        elif found := re.fullmatch(r"/messages/batches/(\w+)/results", path):
            self.send(200, self.llm.batches[found[1]]["lines"].encode(), "application/x-jsonl")
        else:
            self.send_json(404, {"error": {"message": "no such page"}})

    def answer(self, body: Any) -> None:
        write = {"/v1/chat/completions": completion, "/v1/messages": message}.get(self.path)
        if write is not None:
            self.say(write, body, self.llm.mood())
        elif self.path == "/v1/files":
            name = f"file{len(self.llm.files)}"
            self.llm.files[name] = body
            self.send_json(200, {"id": name, "object": "file", "bytes": len(body), "created_at": 1,
                                 "filename": "requests.jsonl", "purpose": "batch", "status": "processed"})  # fmt: skip
        elif self.path == "/v1/batches":
            self.send_json(200, self.state(self.openai_job(body)))
        elif self.path == "/v1/messages/batches":
            self.send_json(200, self.state(self.anthropic_job(body)))
        else:
            self.send_json(404, {"error": {"message": f"no such page: {self.path}"}})

    def say(self, write: Callable[..., dict[str, Any]], body: Any, mood: str) -> None:
        self.llm._stop.wait(self.llm.pause_s)
        kind, _, value = mood.partition(":")
        if kind in ("429", "500", "400", "401", "quota"):
            self.refuse(kind, value)
        elif kind == "html":
            self.send(200, b"<html><body>Sign in to the network</body></html>", "text/html")
        elif kind == "torn":
            self.send(200, b'{"id": "x", "choi')
        elif kind == "hang":
            self.llm._stop.wait()
        else:
            self.send(200, json.dumps(write(self.llm, body, mood)).encode(), drip_s=float(value or 0))

    def refuse(self, kind: str, value: str) -> None:
        key = self.headers.get("Authorization") or self.headers.get("x-api-key")
        said = {"400": value, "401": f"The key {key} is not known."}.get(kind, "Come back later.")
        error = {"message": said, "type": "error", "param": None, "code": None}
        if kind == "quota":
            error["code"] = "insufficient_quota"
        more = {"Retry-After": value} if kind == "429" and value else {}
        self.send_json(429 if kind == "quota" else int(kind), {"type": "error", "error": error}, more)

    def openai_job(self, body: dict[str, Any]) -> dict[str, Any]:
        uploaded = self.llm.files[body["input_file_id"]]
        lines = [json.loads(line) for line in re.findall(r"^\{.*\}\s*$", uploaded, re.MULTILINE)]
        found = [
            {"id": "r", "custom_id": line["custom_id"], "error": None,
             "response": {"status_code": 200, "request_id": "q", "body": completion(self.llm, line["body"], "")}}
            for line in lines
        ]  # fmt: skip
        name = f"batch{len(self.llm.batches)}"
        self.llm.files[f"out{name}"] = "\n".join(json.dumps(line, ensure_ascii=False) for line in found)
        job = {"id": name, "object": "batch", "endpoint": body["endpoint"], "input_file_id": body["input_file_id"],
               "completion_window": "24h", "created_at": 1, "output_file_id": f"out{name}", "polls": self.llm.polls,
               "count": len(lines)}  # fmt: skip
        self.llm.batches[name] = job
        return job

    def anthropic_job(self, body: dict[str, Any]) -> dict[str, Any]:
        lines = [
            {"custom_id": item["custom_id"],
             "result": {"type": "succeeded", "message": message(self.llm, item["params"], "")}}
            for item in body["requests"]
        ]  # fmt: skip
        name = f"msgbatch{len(self.llm.batches)}"
        counts = {"processing": 0, "succeeded": len(lines), "errored": 0, "canceled": 0, "expired": 0}
        job = {"id": name, "type": "message_batch", "created_at": "2026-01-01T00:00:00Z", "ended_at": None,
               "expires_at": "2026-01-02T00:00:00Z", "cancel_initiated_at": None, "archived_at": None,
               "request_counts": counts, "results_url": f"{self.llm.url}/v1/messages/batches/{name}/results",
               "polls": self.llm.polls, "lines": "\n".join(json.dumps(line, ensure_ascii=False) for line in lines),
               "count": len(lines)}  # fmt: skip
        self.llm.batches[name] = job
        return job

    def state(self, job: dict[str, Any]) -> dict[str, Any]:
        job["polls"] -= 1
        running = job["polls"] >= 0
        shown = {name: value for name, value in job.items() if name not in ("polls", "lines", "count")}
        return {**shown, "status": "in_progress" if running else "completed",
                "processing_status": "in_progress" if running else "ended"}  # fmt: skip

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(value).encode(), headers=headers)

    def send(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None,
        drip_s: float = 0.0,
    ) -> None:  # fmt: skip
        with suppress(OSError):  # the client had enough
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            for part in [body] if not drip_s else [body[at : at + 1] for at in range(len(body))]:
                self.wfile.write(part)
                self.llm._stop.wait(drip_s)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def llm_server(*moods: str, **more: Any) -> Iterator[LlmServer]:
    """An LlmServer on a free port while the block runs."""
    server = LlmServer(moods=list(moods), **more)
    with server.running(type("Bound", (Handler,), {"llm": server})):
        yield server
