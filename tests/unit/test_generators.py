"""The generators' door against a local server: both wire formats, their faults, cache, budget, pace, batches, kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import ValidationError

from resources import llm_batches
from resources.budget import Budget, Spend
from resources.generator_settings import GeneratorSettings
from resources.generators import Generator, LocalRunner, open_generator
from resources.llm_faults import Secrets, another_try, fault_of, retry_after
from resources.llm_threads import Threads
from resources.pace import Pace
from tests.llm_server import KEY, LlmServer, llm_server, rewrite
from twainbot.dialogues import asking
from twainbot.dialogues.asking import Request
from twainbot.errors import BadConfig, BudgetExceeded, SourceUnavailable

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("openai", "anthropic"))), reason="the extra `llm` is not installed: pip install -e '.[llm]'"
)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = {
    "type": "object",
    "properties": {"replies": {"type": "array", "items": {"type": "string"}}},
    "required": ["replies"],
    "additionalProperties": False,
}
DOORS = ("openai", "anthropic")


def request(number: int = 0) -> Request:
    turns = [
        {"role": "user", "text": f"Question {number}?"},
        {"role": "assistant", "text": "So it is.", "rewrite": True},
    ]
    messages = (("system", "Write."), ("user", f"Dialogue:\n{json.dumps(turns)}"))
    return Request(f"b000/{number}", messages, SCHEMA, number, 60, 180)


def settings(backend: str = "openai", **more: object) -> GeneratorSettings:
    given = {"backend": backend, "model": "m1", "budget_tokens": 1_000_000, "timeout_s": 20.0, **more}
    return GeneratorSettings(**given)


@pytest.fixture
def open_door(tmp_path, monkeypatch):
    """Opens a generator on a server; equal calls share one home."""

    def make(server, backend="openai", **more):
        monkeypatch.setenv("TWAINBOT_LLM_URL", f"{server.url}/v1")
        monkeypatch.setenv("TWAINBOT_LLM_API_KEY", KEY)
        return open_generator(settings(backend, **more), tmp_path, "tiny")

    return make


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch):
    """Backoff of our own in hundredths of a second; what a server asks for stays."""
    import stamina

    true = stamina.retry_context
    monkeypatch.setattr(
        stamina, "retry_context", lambda **kw: true(**{**kw, "wait_initial": 0.01, "wait_jitter": 0.01})
    )


@pytest.mark.parametrize("backend", DOORS)
def test_an_answer_comes_in_the_services_own_wire_format_with_its_schema_and_its_usage(backend, open_door):
    with llm_server() as server:
        generator = open_door(server, backend)
        answer = generator.ask([request()])[0]
    assert asking.read(answer, SCHEMA)[0]["replies"][0].startswith("So it is. ")
    assert (answer.input_tokens, answer.output_tokens, answer.finish) == (100, 20, "stop")
    body, headers = server.calls()[0], server.seen[0][1]
    assert "stream" not in body or body["stream"] is False
    if backend == "openai":
        assert body["response_format"]["json_schema"]["schema"] == SCHEMA
        assert (body["seed"], body["max_completion_tokens"], headers["authorization"]) == (0, 180, f"Bearer {KEY}")
    else:
        assert body["tools"][0]["input_schema"] == SCHEMA
        assert body["tool_choice"]["name"] == body["tools"][0]["name"]
        assert (body["system"], body["max_tokens"]) == ("Write.", 180)
        assert KEY in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))


@pytest.mark.parametrize("backend", DOORS)
@pytest.mark.parametrize(
    ("mood", "reason"),
    [("length", "truncated"), ("refusal", "refusal"), ("sorry", "refusal"), ("drift", "drift"), ("empty", "empty"),
     ("broken", "truncated")],
)  # fmt: skip
def test_an_answer_that_cannot_be_used_has_a_short_reason_and_is_paid_for_once(backend, mood, reason, open_door):
    with llm_server(mood) as server:
        for _ in range(2):
            found, why = asking.read(open_door(server, backend).ask([request()])[0], SCHEMA)
            assert found == {}
            assert why.startswith(f"{reason}:")
        assert len(server.calls()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("backend", DOORS)
def test_a_429_is_tried_again_no_sooner_than_retry_after_says(backend, open_door):
    with llm_server("429:0.4") as server:
        open_door(server, backend).ask([request()])
        first, second = server.starts
    assert second - first >= 0.4


def test_what_one_thread_is_told_to_wait_holds_the_others_too(open_door, monkeypatch):
    told = threading.Event()
    true = Pace.hold

    def hold(pace, seconds):
        true(pace, seconds)
        told.set()

    def write(messages):
        told.wait(60)  # nobody else is answered before the one that was refused has said so
        return rewrite(messages)

    monkeypatch.setattr(Pace, "hold", hold)
    with llm_server("429:0.5", write=write) as server:
        open_door(server, concurrency=2).ask([request(number) for number in range(4)])
        early = [start for start in server.starts if start - server.starts[0] < 0.5]
    assert len(early) <= 2, "two were under way"


@pytest.mark.slow
@pytest.mark.parametrize("backend", DOORS)
@pytest.mark.parametrize("mood", ["500", "html", "torn", "429:0"])
def test_faults_that_pass_are_tried_again_and_cost_nothing(backend, mood, open_door):
    with llm_server(mood, mood) as server:
        generator = open_door(server, backend)
        assert generator.ask([request()])[0].was_given
        assert len(server.calls()) == 3
    assert generator.budget.spent().tokens == 120


@pytest.mark.slow
@pytest.mark.parametrize("backend", DOORS)
def test_a_body_that_drips_in_is_given_up_at_the_deadline_though_no_silence_is_long(backend, open_door):
    with llm_server("drip:0.2") as server:  # some 400 bytes: 80 s
        generator = open_door(server, backend, timeout_s=1.0)
        start = time.monotonic()
        assert generator.ask([request()])[0].was_given
        assert time.monotonic() - start < 60
        assert len(server.calls()) == 2
    worst = asking.input_tokens(request()) + 180
    assert generator.budget.spent().tokens == worst + 120, "the timed-out call may have been billed, so it counts"


def test_a_service_that_stays_down_ends_the_run_and_keeps_what_was_answered(open_door):
    with llm_server(*["500"] * 6) as server:
        generator = open_door(server, attempts=2, concurrency=1)
        with pytest.raises(SourceUnavailable, match=r"3 of 5 requests got no answer.*run again"):
            generator.ask([request(number) for number in range(5)])
        assert len(server.calls()) == 3 * 2 + 2
        generator = open_door(server)
        assert all(answer.was_given for answer in generator.ask([request(number) for number in range(5)]))
        assert generator.report.cache_hits == 2


def test_a_request_that_still_waited_when_the_run_ended_is_no_fault_of_its_own(tmp_path):
    class Waiting:
        def wait(self, tokens: int) -> None:
            threads._stop.set()  # meanwhile another thread met what ends the run

    threads = Threads(None, Budget(tmp_path / "ledger.jsonl"), lambda *_: None, Waiting(), 1, 1)
    assert threads._one("a", request()) is None


def test_eight_silent_requests_in_a_row_are_enough(open_door):
    with llm_server(*["500"] * 99) as server, pytest.raises(SourceUnavailable, match="8 requests in a row"):
        open_door(server, attempts=1, concurrency=1).ask([request(number) for number in range(50)])
    assert len(server.calls()) == 8


@pytest.mark.parametrize("backend", DOORS)
def test_a_request_that_the_service_does_not_take_is_recorded_and_the_others_are_answered(backend, open_door):
    refusals = 3 if backend == "openai" else 4  # one in each dialect, from the full one to plain words
    with llm_server(*["400:I do not like it"] * refusals) as server:
        answers = open_door(server, backend, concurrency=1).ask([request(0), request(1)])
    assert [answer.finish for answer in answers] == ["not_taken", "stop"]
    assert asking.read(answers[0], SCHEMA)[1].startswith("not_taken:")


def test_an_endpoint_that_knows_less_is_asked_more_simply_from_then_on(open_door):
    faults = ["400:max_completion_tokens unknown", "400:no seed here", "400:json_schema?", "400:json_object?"]
    with llm_server(*faults) as server:
        open_door(server, concurrency=1).ask([request(0), request(1)])
        assert len(server.calls()) == len(faults) + 2
    last = server.calls()[-1]
    assert (last["max_tokens"], "seed" in last, "response_format" in last) == (180, False, False)
    assert server.calls()[-3]["response_format"] == {"type": "json_object"}


def test_an_anthropic_model_without_forced_tools_is_asked_for_json(open_door):
    with llm_server("400:tool_choice is not supported") as server:
        assert open_door(server, "anthropic").ask([request()])[0].was_given
    assert server.calls()[-1]["output_config"]["format"]["schema"] == SCHEMA
    assert "tools" not in server.calls()[-1]


@pytest.mark.parametrize("mood", ["401", "quota"])
@pytest.mark.parametrize("backend", DOORS)
def test_no_waiting_helps_a_barred_key_or_an_empty_account(backend, mood, open_door):
    if (backend, mood) == ("anthropic", "quota"):
        pytest.skip("this service says so with 400")
    with llm_server(*[mood] * 9) as server, pytest.raises((BadConfig, SourceUnavailable)):
        open_door(server, backend, concurrency=1).ask([request(number) for number in range(9)])
    assert len(server.calls()) == 1


@pytest.mark.parametrize("backend", DOORS)
def test_no_secret_reaches_an_error_its_context_the_cache_the_ledger_or_the_log(backend, open_door, tmp_path, caplog):
    caplog.set_level("DEBUG")
    with llm_server("500", "", "401") as server:
        server.write = lambda _: {"replies": [f"My key is {KEY}."]}
        generator = open_door(server, backend, concurrency=1)
        generator.ask([request(0)])
        with pytest.raises(BadConfig) as caught:
            generator.ask([request(1)])
    assert "[secret]" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) == 2, "one answer and the ledger"
    assert KEY not in "".join([str(caught.value), repr(caught.value), caplog.text, *kept])


def test_equal_requests_are_asked_once_and_a_known_one_never_again(open_door):
    with llm_server() as server:
        generator = open_door(server)
        answers = generator.ask([request(1), request(2), request(1)])
        assert answers[0] == answers[2]
        assert len(server.calls()) == 2
        again = open_door(server)
        assert again.ask([request(2), request(1)]) == [answers[1], answers[0]]
        assert len(server.calls()) == 2
        assert (again.report.requests, again.report.cache_hits, again.report.spent.tokens) == (2, 2, 0)


def test_the_key_is_over_what_shapes_an_answer_and_nothing_else():
    base = asking.key_of(request(1), "m1", 0.8)
    same = Request("another id", *[getattr(request(1), name) for name in ("messages", "schema", "seed")], 7, 180)
    assert asking.key_of(same, "m1", 0.8) == base, "id and forecast shape nothing"
    others = [
        asking.key_of(request(2), "m1", 0.8),
        asking.key_of(request(1), "m2", 0.8),
        asking.key_of(request(1), "m1", 0.7),
    ]
    assert len({base, *others}) == 4


def test_the_other_service_uses_the_same_cached_answer(open_door):
    with llm_server() as server:
        first = open_door(server, "openai").ask([request()])
        assert open_door(server, "anthropic").ask([request()]) == first
        assert len(server.calls()) == 1


def test_a_damaged_cache_file_is_asked_for_again(open_door, tmp_path):
    with llm_server() as server:
        open_door(server).ask([request()])
        next(tmp_path.rglob("answers/*/*.json")).write_text('{"text": ')
        assert open_door(server).ask([request()])[0].was_given
        assert len(server.calls()) == 2


def test_a_forecast_past_the_budget_refuses_before_the_first_call(open_door):
    forecast = asking.input_tokens(request()) + 60
    with llm_server() as server:
        with pytest.raises(BudgetExceeded, match=r"forecast.*Nothing was asked.*raise budget_usd or budget_tokens"):
            open_door(server, budget_tokens=2 * forecast - 1).ask([request(0), request(1)])
        assert server.calls() == []
        dear = {"price_in": 0.0, "price_out": 1_000_000.0}  # a dollar for each token written: 60 a request
        with pytest.raises(BudgetExceeded, match=r"\$119.50"):
            open_door(server, budget_usd=119.5, **dear).ask([request(0), request(1)])
        assert server.calls() == []


def test_money_that_ends_on_the_way_stops_the_run_and_what_was_answered_is_kept(open_door):
    """An answer takes 120 tokens but is reserved at its worst, so the third call no longer fits."""
    worst = asking.input_tokens(request()) + 180
    budget = 2 * 120 + worst - 1
    with llm_server() as server:
        generator = open_door(server, budget_tokens=budget, concurrency=1)
        generator.budget.check = lambda *_: None  # a forecast that was too low
        with pytest.raises(BudgetExceeded, match=r"is spent: 240 tokens.*next call.*are kept"):
            generator.ask([request(number) for number in range(5)])
        assert len(server.calls()) == 2
        more = open_door(server, budget_tokens=budget + 4 * worst, concurrency=1)
        more.ask([request(number) for number in range(5)])
        assert len(server.calls()) == 5
        assert more.budget.spent().tokens == 5 * 120, "what earlier runs spent counts"


def test_a_budget_counts_over_processes_threads_and_torn_lines(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    first, second = Budget(ledger, tokens=100), Budget(ledger, tokens=100)
    first.reserve("a", Spend(30, 30))
    with pytest.raises(BudgetExceeded):
        second.reserve("b", Spend(30, 30))
    first.settle("a", Spend(10, 10))
    second.reserve("b", Spend(30, 30))
    with ledger.open("a") as file:
        file.write('\n{"call": "c", "input_to')
    first.settle("b", Spend(1, 1))
    assert Budget(ledger).spent() == first.spent() == second.spent() == Spend(11, 11)


def test_concurrency_never_exceeds_its_bound_and_reaches_it(open_door):
    together = threading.Event()

    def write(messages):
        if server.busiest == 3:
            together.set()
        together.wait(60)  # however late the third comes on a busy machine
        return rewrite(messages)

    with llm_server(pause_s=0.05, write=write) as server:
        open_door(server, concurrency=3).ask([request(number) for number in range(9)])
        assert server.busiest == 3


class Moment:
    """A clock that only sleeping moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("rpm", "tpm", "gap"), [(30, None, 2.0), (None, 600, 10.0), (30, 600, 10.0), (None, None, 0.0)]
)
def test_the_pace_spreads_starts_so_that_no_minute_holds_too_many(rpm, tpm, gap):
    clock, starts = Moment(), []
    pace = Pace(rpm, tpm, clock, clock.sleep)
    for _ in range(20):
        pace.wait(100)  # tokens: 100 of 600 a minute take 10 s
        starts.append(clock.now)
    assert starts == pytest.approx([number * gap for number in range(20)])
    pace.hold(60)
    pace.wait(100)
    assert clock.now >= starts[-1] + 60


def test_the_server_sees_no_more_starts_than_the_rate_allows(open_door):
    with llm_server() as server:
        generator = open_door(server, requests_per_minute=1200, concurrency=4)
        begun = time.monotonic()  # the first may be seen late on a busy machine; none can be seen before its time
        generator.ask([request(number) for number in range(8)])
        assert len(server.starts) == 8
        assert all(start - begun >= number * 60 / 1200 for number, start in enumerate(sorted(server.starts)))


@pytest.mark.parametrize("backend", DOORS)
def test_batch_mode_sends_one_job_polls_it_and_keeps_the_answers(backend, open_door, monkeypatch):
    naps = []
    monkeypatch.setattr("resources.generators.time.sleep", naps.append)
    with llm_server(polls=3) as server:
        generator = open_door(server, backend, batch_mode=True)
        generator._runner.sleep = naps.append
        answers = generator.ask([request(number) for number in range(4)])
        assert all(asking.read(answer, SCHEMA)[0] for answer in answers)
        assert server.calls() == []
        assert len(server.batches) == 1
        assert naps == [30.0] * 2
        assert open_door(server, backend).ask([request(3)]) == [answers[3]]
    assert generator.budget.spent().tokens == 4 * 120


@pytest.mark.parametrize("backend", DOORS)
def test_words_with_a_line_separator_in_them_are_one_answer_of_a_batch(backend, open_door):
    with llm_server(polls=0, write=lambda _: {"replies": ["So it is.\u2028And was.\x85"]}) as server:
        answers = open_door(server, backend, batch_mode=True).ask([request(0), request(1)])
    assert [asking.read(answer, SCHEMA)[0]["replies"] for answer in answers] == [["So it is.\u2028And was.\x85"]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("backend", DOORS)
def test_a_batch_whose_run_was_killed_is_awaited_not_sent_again(backend, open_door):
    class Killed(BaseException):
        pass

    def die(_: float) -> None:
        raise Killed

    with llm_server(polls=3) as server:
        generator = open_door(server, backend, batch_mode=True)
        generator._runner.sleep = die
        with pytest.raises(Killed):
            generator.ask([request(number) for number in range(3)])
        resumed = open_door(server, backend, batch_mode=True)
        resumed._runner.sleep = lambda _: None
        assert all(answer.was_given for answer in resumed.ask([request(number) for number in range(4)]))
        assert [job["count"] for job in server.batches.values()] == [3, 1]
    assert resumed.budget.spent().tokens == 4 * 120


@pytest.mark.parametrize("backend", DOORS)
def test_a_job_that_the_service_no_longer_knows_is_forgotten_and_sent_anew_by_the_next_run(backend, open_door):
    with llm_server(polls=0) as server:
        generator = open_door(server, backend, batch_mode=True)
        generator._runner.jobs.state = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            generator.ask([request(0), request(1)])
        server.batches.clear()
        with pytest.raises(SourceUnavailable, match="2 of 2 requests got no answer"):
            open_door(server, backend, batch_mode=True).ask([request(0), request(1)])
        assert all(
            answer.was_given for answer in open_door(server, backend, batch_mode=True).ask([request(0), request(1)])
        )


def unanswered_lines(backend: str, names: list[str], kind: str) -> list[dict[str, object]]:
    """What a service writes of requests that it did not answer. kind: expired, cancelled, fault (its own) or refused."""
    if backend == "anthropic":
        errors = {"fault": ("overloaded_error", "Overloaded"), "refused": ("invalid_request_error", "Too long.")}
        code, said = errors.get(kind, ("", ""))
        result = {"type": "errored", "error": {"type": "error", "error": {"type": code, "message": said}}}
        ended = {"type": {"cancelled": "canceled"}.get(kind, kind)}
        return [{"custom_id": name, "result": result if code else ended} for name in names]
    answers = {"fault": (503, "Try later."), "refused": (400, "Too long.")}
    status, said = answers.get(kind, (0, ""))
    response = {"status_code": status, "request_id": "q", "body": {"error": {"message": said}}} if status else None
    error = None if status else {"code": f"batch_{kind}", "message": "This request could not be executed."}
    return [{"id": "r", "custom_id": name, "response": response, "error": error} for name in names]


def cut_short(server: LlmServer, backend: str, answered: int, kind: str) -> None:
    """Let the last job answer its first requests only, as a service writes it."""
    job = list(server.batches.values())[-1]
    text = server.files[job["output_file_id"]] if backend == "openai" else job["lines"]
    done, rest = text.split("\n")[:answered], text.split("\n")[answered:]
    lines = unanswered_lines(backend, [json.loads(line)["custom_id"] for line in rest], kind)
    others = [json.dumps(line) for line in lines]
    if backend == "openai":
        server.files |= {job["output_file_id"]: "\n".join(done), "errors": "\n".join(others)}
        job["error_file_id"] = "errors"
    else:
        job["lines"] = "\n".join([*done, *others])


def ask_and_be_cut_short(server: LlmServer, backend: str, open_door, answered: int, kind: str) -> Generator:
    """A generator whose next batch of many is answered in part."""
    generator = open_door(server, backend, batch_mode=True)
    generator._runner.sleep = lambda _: cut_short(server, backend, answered, kind)
    return generator


@pytest.mark.slow
@pytest.mark.parametrize("backend", DOORS)
@pytest.mark.parametrize("kind", ["expired", "cancelled", "fault"])
def test_a_batch_that_ends_before_most_of_its_requests_is_told_and_only_they_are_asked_again(backend, kind, open_door):
    wanted = [request(number) for number in range(20)]
    with llm_server(polls=2) as server:
        generator = ask_and_be_cut_short(server, backend, open_door, 2, kind)
        with pytest.raises(
            SourceUnavailable, match=r"18 of 20 requests got no answer; the last fault: none came\. Answers"
        ):
            generator.ask(wanted)
        assert generator.report.unanswered == 18
        assert generator.budget.spent().tokens == 2 * 120  # nothing stays reserved for what was not reached
        again = open_door(server, backend, batch_mode=True)
        again._runner.sleep = lambda _: None
        assert all(answer.was_given for answer in again.ask(wanted))
        assert [job["count"] for job in server.batches.values()] == [20, 18]
    assert again.budget.spent().tokens == 20 * 120


@pytest.mark.parametrize("backend", DOORS)
def test_a_tenth_of_a_batch_may_stay_unanswered_and_is_counted(backend, open_door):
    with llm_server(polls=2) as server:
        generator = ask_and_be_cut_short(server, backend, open_door, 18, "expired")
        answers = generator.ask([request(number) for number in range(20)])
    assert [answer.finish for answer in answers[18:]] == [asking.NO_ANSWER] * 2
    assert generator.report.unanswered == 2


@pytest.mark.parametrize("backend", DOORS)
def test_what_a_service_refuses_in_a_batch_is_no_hole_and_says_why(backend, open_door):
    with llm_server(polls=2) as server:
        generator = ask_and_be_cut_short(server, backend, open_door, 2, "refused")
        answers = generator.ask([request(number) for number in range(20)])
    assert [answer.finish for answer in answers[2:]] == [asking.NOT_TAKEN] * 18
    assert "Too long." in answers[2].note


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"response": None, "error": {"code": "request_timeout", "message": "It took too long."}}, None),
        ({"response": None, "error": None}, None),
        ({}, None),
        ({"response": {"status_code": 429, "body": {"error": {"message": "Slow down."}}}, "error": None}, None),
        ({"response": None, "error": {"code": "parse_error"}}, '{"code": "parse_error"}'),
        ({"response": None, "error": "No such model."}, '"No such model."'),
        ({"response": {"status_code": 200, "body": {"choices": []}}, "error": None}, {"choices": []}),
    ],
)
def test_a_line_of_a_batch_is_an_answer_a_refusal_or_neither(entry, said):
    assert llm_batches._said(entry) == said


WORK = """
import sys
from pathlib import Path
from resources.generators import open_generator
from tests.unit.test_generators import request, settings
open_generator(settings(concurrency=1), Path(sys.argv[1]), "tiny").ask([request(number) for number in range(6)])
"""


@pytest.mark.slow
def test_a_run_killed_after_three_answers_pays_for_nothing_twice(open_door, tmp_path):
    with llm_server(*[""] * 3, "hang") as server:
        home = {
            "TWAINBOT_LLM_URL": f"{server.url}/v1",
            "TWAINBOT_LLM_API_KEY": KEY,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        run = subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path)], cwd=ROOT, env={**os.environ, **home})
        until = time.monotonic() + 500  # 190 s on a machine with thirty such processes
        while len(server.calls()) < 4 and time.monotonic() < until and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert len(server.calls()) == 4
        generator = open_door(server)
        assert all(answer.was_given for answer in generator.ask([request(number) for number in range(6)]))
        assert len(server.calls()) == 4 + 3
    worst = asking.input_tokens(request()) + 180
    assert generator.budget.spent().tokens == 6 * 120 + worst, (
        "the call under way when it was killed counts at its worst"
    )


@pytest.mark.parametrize(
    "wrong",
    [{"backend": "openai"}, {"backend": "openai", "model": "m"}, {"backend": "openai", "model": "m", "budget_usd": 1},
     {"backend": "local", "batch_mode": True}, {"backend": "carrier pigeon"}, {"concurrency": 0}, {"budget": 3}],
)  # fmt: skip
def test_settings_refuse_what_has_no_bound_or_no_meaning(wrong):
    with pytest.raises(ValidationError):
        GeneratorSettings(**wrong)


def test_another_budget_or_pace_shapes_no_words_and_another_model_does():
    base = settings()
    assert settings(budget_tokens=5, concurrency=9, requests_per_minute=3).shaping() == base.shaping()
    assert settings(model="m2").shaping() != base.shaping()
    assert GeneratorSettings().shaping() == {}


def test_without_key_or_endpoint_the_error_says_what_to_set(tmp_path, monkeypatch):
    for name in ("TWAINBOT_LLM_URL", "TWAINBOT_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadConfig, match="TWAINBOT_LLM_API_KEY"):
        open_generator(settings(), tmp_path, "tiny")


def test_retry_after_is_read_as_seconds_or_as_a_date_and_too_long_a_wait_ends_the_run():
    class Response:
        def __init__(self, value):
            self.headers = {"retry-after": value}

    assert retry_after(Response("7")) == 7.0
    assert retry_after(Response("Thu, 01 Jan 1970 00:01:40 GMT"), now=lambda: 40.0) == 60.0
    assert retry_after(Response("soon")) is None
    assert retry_after(None) is None

    class Refused(Exception):
        status_code = 429
        message = "later"

    for seconds, expected in (("299", 299.0), ("301", False)):
        error = Refused()
        error.response = Response(seconds)
        assert another_try(fault_of(error, "it", str)) == expected


def test_secrets_are_hidden_the_longest_first_and_short_ones_are_none():
    assert Secrets("abcde", "abcdefg", "ab").clean("abcdefg abcde ab") == "[secret] [secret] ab"


def test_a_local_model_answers_in_groups_by_length_and_each_group_is_kept_before_the_next(tmp_path, monkeypatch):
    from resources import language_model

    decoded, kept = [], []

    class Echo:
        def generate(self, talks, *, max_new_tokens, batch_size):
            assert len(kept) == sum(map(len, decoded)), "what came before is kept"
            decoded.append(talks)
            return [json.dumps({"replies": [talk[-1]["content"][-3:]]}) for talk in talks]

        def count_tokens(self, text):
            return len(text.split())

    monkeypatch.setattr(language_model.LanguageModel, "load", lambda folder: Echo())
    runner = LocalRunner(tmp_path / "base-1", lambda key, answer: kept.append(key))
    found = dict(runner.answers({f"k{number}": request(number) for number in range(9)}))
    assert [len(group) for group in decoded] == [8, 1]
    assert kept == list(found)
    assert {answer.model for answer in found.values()} == {"base-1"}
    assert found["k0"].input_tokens == len(request(0).messages[0][1].split()) + len(request(0).messages[1][1].split())
