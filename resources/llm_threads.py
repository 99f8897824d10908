"""Many single calls at a time: paced, tried again, reserved in the budget before and settled after."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event, Lock
from typing import Protocol

from resources.budget import Budget
from resources.llm_faults import NotTaken, TryLater, another_try
from resources.pace import Pace
from twainbot.dialogues.asking import NO_ANSWER, NOT_TAKEN, Answer, Request, input_tokens
from twainbot.errors import SourceUnavailable, TwainBotError

IN_A_ROW = 8  # requests that got no answer, each after all its attempts: then the service is down, not unlucky


class Over(Exception):
    """The run ended while a request was waiting to be sent."""


class Caller(Protocol):
    """One call to a service."""

    def call(self, request: Request) -> Answer:
        """The answer, or one of our faults."""
        ...


class Threads:
    """Answers requests over one door, at most `concurrency` at a time."""

    def __init__(
        self, door: Caller, budget: Budget, keep: Callable[[str, Answer], None], pace: Pace, concurrency: int, attempts: int
    ) -> None:  # fmt: skip
        self.door, self.budget, self.keep, self.pace = door, budget, keep, pace
        self.concurrency, self.attempts = concurrency, attempts
        self._stop, self._lock, self._silent = Event(), Lock(), 0

    def answers(self, missing: Mapping[str, Request]) -> Iterator[tuple[str, Answer]]:
        """All answers as they come. After the first fatal fault nothing new is asked, what is under way is kept, then it
        is raised.
        """
        fatal: TwainBotError | None = None
        self._stop.clear()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="llm")
        try:
            futures = [pool.submit(self._one, key, request) for key, request in missing.items()]
            for future in as_completed(futures):
                try:
                    found = future.result()
                except TwainBotError as error:
                    fatal = fatal or error
                    continue
                if found is not None:
                    yield found
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)
        if fatal is not None:
            raise fatal

    def _one(self, key: str, request: Request) -> tuple[str, Answer] | None:
        if self._stop.is_set():
            return None
        try:
            return key, self._insisted(key, request)
        except NotTaken as fault:
            answer = Answer("", NOT_TAKEN, note=str(fault))
        except TryLater as fault:
            answer = Answer("", NO_ANSWER, note=str(fault))
            self._count_silence(str(fault))
        except Over:
            return None
        except TwainBotError:
            self._stop.set()  # before another thread takes the next request
            raise
        self._kept(key, answer)
        return key, answer

    def _kept(self, key: str, answer: Answer) -> None:
        with self._lock:
            self._silent = 0 if answer.was_given else self._silent
            self.keep(key, answer)

    def _count_silence(self, fault: str) -> None:
        with self._lock:
            self._silent += 1
            silent = self._silent
        if silent >= IN_A_ROW:
            self._stop.set()
            raise SourceUnavailable(
                f"{silent} requests in a row got no answer; the last fault: {fault} Answers so far are kept: run again later."
            )

    def _insisted(self, key: str, request: Request) -> Answer:
        import stamina

        for attempt in stamina.retry_context(
            on=another_try, attempts=self.attempts, timeout=None, wait_initial=0.5, wait_max=30.0
        ):
            with attempt:
                return self._once(key, request)
        raise AssertionError("stamina either returns or raises")

    def _once(self, key: str, request: Request) -> Answer:
        """One attempt. A timeout stays reserved at its worst, since the service may well have done the work."""
        read = input_tokens(request)
        self.pace.wait(read + request.expected_tokens)
        if self._stop.is_set():
            raise Over
        call = f"{key}:{uuid.uuid4().hex[:12]}"
        self.budget.reserve(call, self.budget.price(read, request.max_tokens))
        try:
            answer = self.door.call(request)
        except TryLater as fault:
            if fault.retry_after:
                self.pace.hold(fault.retry_after)
            if not fault.billed:
                self.budget.settle(call)
            raise
        except TwainBotError:
            self.budget.settle(call)
            raise
        self._kept(key, answer)
        self.budget.settle(call, self.budget.price(answer.input_tokens, answer.output_tokens))
        return answer
