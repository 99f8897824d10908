"""Batch mode: many requests in one job of the service, at its lower price, polled until it ends. Resumable by the job's id.

    <home>/cache/generations/batches/<job id>.json      which keys a job was given; gone once its answers are kept

A job whose run was killed is found again by its file and never sent twice.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from resources.budget import Budget
from resources.lake import replace_file
from resources.llm_doors import AnthropicDoor, OpenAIDoor, SdkDoor
from resources.llm_faults import NotTaken, NotThere, TryLater
from twainbot.dialogues.asking import NO_ANSWER, NOT_TAKEN, Answer, Request, input_tokens
from twainbot.errors import BadUse, SourceUnavailable, TwainBotError

ENDED = ("completed", "ended", "expired", "cancelled", "failed")
POLL_S = 30.0

# What a service says of a request that it did not come to, or failed at itself: no refusal, and not billed.
UNREACHED = ("batch_expired", "batch_cancelled", "request_timeout")  # OpenAI's error.code, beside a null response
TOO_MANY, FIRST_SERVER_FAULT = 429, 500  # OpenAI's response.status_code
PASSING = ("api_error", "overloaded_error", "rate_limit_error", "timeout_error")  # Anthropic's error.type


class Jobs(Protocol):
    """A service's batch interface. `collect`: (key, its answer's raw object or the refusal as text) of an ended job."""

    def submit(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Send all; the job's id."""
        ...

    def state(self, job: str) -> str:
        """One of ENDED, or anything else while it runs."""
        ...

    def collect(self, job: str) -> Iterator[tuple[str, Any]]:
        """What the job gave, in any order; requests that it never came to, or failed at itself, are left out."""
        ...


class OpenAIJobs:
    """The Batch API: a JSONL file goes up, a job runs over it, two files come down."""

    def __init__(self, door: OpenAIDoor) -> None:
        self.client, self.guarded = door.client, door.guarded

    def submit(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Send all; the job's id."""
        lines = [
            json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body})
            for key, body in bodies.items()
        ]
        file = ("requests.jsonl", io.BytesIO("\n".join(lines).encode()), "application/jsonl")
        sent = self._do(lambda: self.client.files.create(file=file, purpose="batch"))
        job = self._do(
            lambda: self.client.batches.create(
                input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
        )
        return str(job.id)

    def state(self, job: str) -> str:
        """`validating`, `in_progress`, `finalizing`, or one of ENDED."""
        return str(self._do(lambda: self.client.batches.retrieve(job)).status)

    def collect(self, job: str) -> Iterator[tuple[str, Any]]:
        """The lines of the output file, then of the error file, which names what was not reached as well."""
        found = self._do(lambda: self.client.batches.retrieve(job))
        for name in filter(None, (found.output_file_id, found.error_file_id)):
            text = self._do(lambda name=name: self.client.files.content(name)).text
            for line in filter(None, text.split("\n")):  # not splitlines: a model's words may hold U+2028
                entry = json.loads(line)
                if (said := _said(entry)) is not None:
                    yield entry["custom_id"], said

    def _do(self, ask: Callable[[], Any]) -> Any:
        return insisted(self.guarded, ask)


def _said(entry: Mapping[str, Any]) -> dict[str, Any] | str | None:
    """What a line of OpenAI's files says: the completion, the refusal as text, or None where the request was not reached."""
    response, error = entry.get("response") or {}, entry.get("error") or {}
    status, code = response.get("status_code") or 0, error.get("code") if isinstance(error, Mapping) else None
    if status == 200:
        return response["body"]
    if status == TOO_MANY or status >= FIRST_SERVER_FAULT or code in UNREACHED or not (response or error):
        return None
    return json.dumps(response.get("body") or error)


class AnthropicJobs:
    """Message Batches: one call sends all, results come as JSON lines."""

    def __init__(self, door: AnthropicDoor) -> None:
        self.batches, self.guarded = door.client.messages.batches, door.guarded

    def submit(self, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Send all; the job's id."""
        requests = [{"custom_id": key, "params": body} for key, body in bodies.items()]
        return str(insisted(self.guarded, lambda: self.batches.create(requests=requests)).id)

    def state(self, job: str) -> str:
        """`in_progress`, `canceling` or `ended`."""
        return str(insisted(self.guarded, lambda: self.batches.retrieve(job)).processing_status)

    def collect(self, job: str) -> Iterator[tuple[str, Any]]:
        """The results; requests that expired, were cancelled or met a fault of the service are left out."""
        for entry in insisted(self.guarded, lambda: list(self.batches.results(job))):
            result = entry.result
            if result.type == "succeeded":
                yield entry.custom_id, result.message
            elif result.type == "errored" and result.error.error.type not in PASSING:
                yield entry.custom_id, str(result.error.error.message)


def insisted(guarded: Callable[[Callable[[], Any]], Any], ask: Callable[[], Any]) -> Any:
    """A call tried again while its fault may pass."""
    import stamina

    from resources.llm_faults import another_try

    for attempt in stamina.retry_context(on=another_try, attempts=5, timeout=None, wait_initial=1.0, wait_max=30.0):
        with attempt:
            found = guarded(ask)
            if isinstance(found, NotTaken):
                raise found
            return found
    raise AssertionError("stamina either returns or raises")


def jobs_of(door: SdkDoor) -> Jobs:
    """The batch interface behind a door."""
    if isinstance(door, OpenAIDoor):
        return OpenAIJobs(door)
    if isinstance(door, AnthropicDoor):
        return AnthropicJobs(door)
    raise BadUse("batch_mode needs the backend openai or anthropic. Leave it out.")


class Batches:
    """Requests sent as jobs and awaited; what an earlier run sent is awaited first."""

    def __init__(
        self,
        door: SdkDoor,
        folder: Path,
        budget: Budget,
        keep: Callable[[str, Answer], None],
        poll_s: float = POLL_S,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.door, self.jobs, self.folder = door, jobs_of(door), folder / "batches"
        self.budget, self.keep = budget, keep
        self.poll_s, self.sleep = poll_s, sleep

    def answers(self, missing: Mapping[str, Request]) -> Iterator[tuple[str, Answer]]:
        """The answers, job by job. Those of a killed run's jobs come first; only what no job was given is sent now."""
        sent = {key for keys in self._under_way().values() for key in keys}
        new = {key: request for key, request in missing.items() if key not in sent}
        if new:
            self._send(new)
        for job, keys in self._under_way().items():
            if set(keys) & set(missing):
                yield from self._of_job(job, keys, missing)

    def _send(self, new: Mapping[str, Request]) -> None:
        reserved: list[str] = []
        try:
            for key, request in new.items():
                self.budget.reserve(_call(key), self.budget.price(input_tokens(request), request.max_tokens))
                reserved.append(key)
            job = self.jobs.submit({key: self.door.body(request) for key, request in new.items()})
        except TwainBotError:
            for key in reserved:
                self.budget.settle(_call(key))
            raise
        self._remember(job, list(new))

    def _of_job(self, job: str, keys: Sequence[str], missing: Mapping[str, Request]) -> Iterator[tuple[str, Answer]]:
        try:
            yield from self._awaited(job, keys, missing)
        except NotThere:  # deleted, or of another account: its price stays reserved, and the next run sends anew
            self._forget(job, ())

    def _awaited(self, job: str, keys: Sequence[str], missing: Mapping[str, Request]) -> Iterator[tuple[str, Answer]]:
        while (state := self.jobs.state(job)) not in ENDED:
            self.sleep(self.poll_s)
        if state == "failed":
            self._forget(job, keys)
            raise SourceUnavailable(
                f"{self.door.where} refused the batch {job} as a whole. Run again without batch_mode."
            )
        never = set(keys)  # what the service did not come to is not billed
        for key, found in self.jobs.collect(job):
            answer = self._answer(found, missing.get(key))
            self.keep(key, answer)
            self.budget.settle(_call(key), self.budget.price(answer.input_tokens, answer.output_tokens))
            never.discard(key)
            yield key, answer
        self._forget(job, never)

    def _answer(self, found: Any, request: Request | None) -> Answer:
        if isinstance(found, str):
            return Answer("", NOT_TAKEN, note=self.door.clean(found))
        try:
            return self.door.read(found, request)
        except TryLater as fault:
            return Answer("", NO_ANSWER, note=str(fault))

    def _forget(self, job: str, unbilled: Iterable[str]) -> None:
        for key in unbilled:
            self.budget.settle(_call(key))
        self._file(job).unlink(missing_ok=True)

    def _under_way(self) -> dict[str, list[str]]:
        """Keys by job id, oldest job first."""
        files = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
        known = [json.loads(file.read_text("utf-8")) for file in files]
        return {job["job"]: job["keys"] for job in known if job["where"] == self.door.where}

    def _remember(self, job: str, keys: list[str]) -> None:
        text = json.dumps({"job": job, "where": self.door.where, "keys": keys})
        replace_file(self._file(job), lambda file: file.write_text(text, encoding="utf-8"))

    def _file(self, job: str) -> Path:
        return self.folder / f"{quote(job, safe='')}.json"


def _call(key: str) -> str:
    """A batched request's name in the ledger: the same in every run."""
    return f"{key}:batch"
