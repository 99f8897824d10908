"""The one door to whatever writes or judges in words: an API, a local model, or nobody. Its settings, cache, forecast, report.

The wire is llm_doors.py's, batch mode llm_batches.py's, money budget.py's. What is asked, and what an answer is worth, is
twainbot/dialogues' business. Every answer is kept as it arrives, so a killed run pays for nothing twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resources.budget import NOTHING, Budget, Spend
from resources.generation_cache import GenerationCache
from resources.generator_settings import KEY, LOCAL, URL, GeneratorSettings
from resources.pace import Pace
from twainbot.dialogues.asking import NO_ANSWER, NOT_TAKEN, Answer, Request, input_tokens, key_of
from twainbot.errors import BadConfig, SourceUnavailable

MAX_UNANSWERED = 0.1  # share of a run's calls; a batch with more holes is not a batch
LOCAL_BATCH = 8  # conversations decoded at once
NONE_CAME = Answer("", NO_ANSWER, note="none came.")  # such as to what a batch did not come to before it expired

Clock = Callable[[], float]
Sleep = Callable[[float], object]


@dataclass
class Report:
    """What asking took, over all calls of one generator."""

    requests: int = 0
    cache_hits: int = 0
    unanswered: int = 0
    spent: Spend = NOTHING  # of answers that came now
    forecast: Spend = NOTHING


class Runner(Protocol):
    """Gets answers to requests by key. Each is handed to `keep` the moment it is there, then yielded."""

    def answers(self, missing: Mapping[str, Request]) -> Iterator[tuple[str, Answer]]:
        """All answers, in the order in which they come."""
        ...


Keep = Callable[[str, Answer], None]


class Generator:
    """Answers requests: from the cache, else by asking, within the budget."""

    def __init__(
        self, settings: GeneratorSettings, model: str, cache: GenerationCache, budget: Budget,
        runner: Callable[[Keep], Runner],
    ) -> None:  # fmt: skip
        self.settings, self.model, self.cache, self.budget = settings, model, cache, budget
        self.report = Report()
        self._runner = runner(self._keep)

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers, in order. Equal requests are asked once.

        Raises BudgetExceeded before the first call where the forecast does not fit, or later where the money ends;
        SourceUnavailable where too much stays unanswered. What was answered until then is kept.
        """
        keys = [key_of(request, self.model, self.settings.temperature) for request in requests]
        found = {key: answer for key in dict.fromkeys(keys) if (answer := self.cache.get(key))}
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in found}
        self.report.requests += len(requests)
        self.report.cache_hits += sum(key in found for key in keys)
        if missing:
            self._forecast(missing)
            found |= dict(self._runner.answers(missing))
            self.report.unanswered += sum(key not in found for key in missing)
            self._refuse_holes(found, missing)
        return [found.get(key, NONE_CAME) for key in keys]

    def _forecast(self, missing: Mapping[str, Request]) -> None:
        asked = missing.values()
        forecast = self.budget.price(sum(map(input_tokens, asked)), sum(request.expected_tokens for request in asked))
        self.report.forecast += forecast
        self.budget.check(forecast, len(missing))

    def _keep(self, key: str, answer: Answer) -> None:
        if not answer.was_given:
            self.report.unanswered += 1
            return
        self.cache.put(key, answer)
        self.report.spent += self.budget.price(answer.input_tokens, answer.output_tokens)

    def _refuse_holes(self, found: Mapping[str, Answer], missing: Mapping[str, Request]) -> None:
        holes = [found.get(key, NONE_CAME) for key in missing]
        silent = [answer for answer in holes if answer.finish == NO_ANSWER]
        refused = [answer for answer in holes if answer.finish == NOT_TAKEN]
        if len(silent) > MAX_UNANSWERED * len(holes) or len(refused) == len(holes):
            faulty = silent or refused
            raise SourceUnavailable(
                f"{len(faulty)} of {len(holes)} requests got no answer; the last fault: {faulty[-1].note} Answers so far are "
                "kept: run again, and only the rest is asked."
            )


class LocalRunner:
    """A model of this machine, some conversations at a time. Nothing is billed."""

    def __init__(self, folder: Path, keep: Keep) -> None:
        self._folder, self._keep = folder, keep

    def answers(self, missing: Mapping[str, Request]) -> Iterator[tuple[str, Answer]]:
        """All answers, in order of length so that those decoded together end together."""
        from resources.language_model import LanguageModel

        model = LanguageModel.load(self._folder)
        waiting = sorted(missing, key=lambda key: (missing[key].max_tokens, key))
        for start in range(0, len(waiting), LOCAL_BATCH):
            keys = waiting[start : start + LOCAL_BATCH]
            talks = [[{"role": role, "content": text} for role, text in missing[key].messages] for key in keys]
            longest = max(missing[key].max_tokens for key in keys)
            for key, text in zip(
                keys, model.generate(talks, max_new_tokens=longest, batch_size=LOCAL_BATCH), strict=True
            ):
                read = sum(model.count_tokens(words) for _, words in missing[key].messages)
                answer = Answer(
                    text, model=self._folder.name, input_tokens=read, output_tokens=model.count_tokens(text)
                )
                self._keep(key, answer)
                yield key, answer


def open_generator(
    settings: GeneratorSettings,
    cache: Path,
    ledger: str,
    local: Path | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> Generator:
    """The generator of these settings. `cache`: the home's cache folder; `ledger`: whose budget it is, such as the profile.

    `local`: the local model's folder. Endpoint and key come from the environment. Raises BadConfig without a key.
    """
    folder, budget = cache / "generations", budget_of(settings, cache, ledger)
    model = local.name if local else settings.model

    def runner(keep: Keep) -> Runner:
        if settings.backend == LOCAL and local is not None:
            return LocalRunner(local, keep)
        return remote(settings, folder, budget, keep, clock, sleep)

    return Generator(settings, model, GenerationCache(folder), budget, runner)


def budget_of(settings: GeneratorSettings, cache: Path, ledger: str) -> Budget:
    """The budget of these settings, with its ledger in the home's cache folder."""
    return Budget(
        cache / "generations" / f"ledger-{ledger}.jsonl",
        settings.budget_usd, settings.budget_tokens, settings.price_in or 0.0, settings.price_out or 0.0,
    )  # fmt: skip


def remote(settings: GeneratorSettings, folder: Path, budget: Budget, keep: Keep, clock: Clock, sleep: Sleep) -> Runner:
    """The runner for an API: threads, or jobs in batch mode."""
    from resources.llm_batches import Batches
    from resources.llm_doors import DOORS, Endpoint
    from resources.llm_threads import Threads

    url, key = os.environ.get(URL, ""), os.environ.get(KEY, "")
    if settings.backend not in DOORS:
        raise BadConfig(f"Nothing can be asked of the backend {settings.backend!r}. Known: {', '.join(DOORS)}, local.")
    if not url and not key:
        raise BadConfig(f"The backend {settings.backend!r} needs {KEY}, or {URL} for an endpoint without a key.")
    endpoint = Endpoint(url, key, settings.model, settings.temperature, settings.timeout_s)
    door = DOORS[settings.backend](endpoint)
    if settings.batch_mode:
        return Batches(door, folder, budget, keep, sleep=sleep)
    pace = Pace(settings.requests_per_minute, settings.tokens_per_minute, clock, sleep)
    return Threads(door, budget, keep, pace, settings.concurrency, settings.attempts)
