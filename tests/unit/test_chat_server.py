"""The endpoint: OpenAI's client works unmodified, bad requests get one sentence, nobody else's page gets an answer."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from benchmarks.waiting import within
from tests.scripted import ScriptedSpeaker, served, simulated
from twainbot.corpora.transcripts import parse_transcripts
from twainbot.dialogues.tools import FORECAST_KEYS, SERVED_TO_STORED, TOOLS
from twainbot.errors import BadUse, Busy, TooLong
from twainbot_assets import chat_server
from twainbot_assets.openai_answers import CallSplitter
from twainbot_assets.openai_requests import Refused, read_request

HERE = "http://127.0.0.1:8017"
CALL = '<tool_call>{"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "tomorrow"}}</tool_call>'
NESTED = {}
for _ in range(200):
    NESTED = {"not": NESTED}
USER = {"role": "user", "content": "Will it rain in Reno?"}


def script(messages):
    """A call, and after its result an answer."""
    if messages[-1]["role"] == "tool":
        return ["A fair ", "day, ", "I am told."]
    return (
        ["Let me ", "ask. <tool", "_call>" + CALL[11:40], CALL[40:]]
        if "rain" in messages[-1]["content"]
        else ["Good ", "day."]
    )


def opened(speaker, tools=None, host="127.0.0.1"):
    return TestClient(chat_server.application(speaker, tools, host), base_url=HERE)


def asked(**changes):
    return {"model": "twain", "messages": [USER], **changes}


@pytest.fixture(scope="module")
def weather():
    """The simulation behind a client of the Model Context Protocol."""
    with simulated(call_s=60.0) as found:
        yield found


@pytest.fixture
def client(weather):
    with opened(ScriptedSpeaker(script), weather) as found:
        yield found


# ---- the official client


def test_the_official_client_streams_calls_a_tool_and_answers_from_its_result():
    openai = pytest.importorskip("openai")
    with (
        served(ScriptedSpeaker(script)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        assert [model.id for model in client.models.list()] == ["auto", "twain", "franklin", "__base__"]
        first = client.chat.completions.create(model="auto", messages=[USER], tools=TOOLS)
        (call,) = first.choices[0].message.tool_calls
        assert (first.choices[0].finish_reason, first.choices[0].message.content) == ("tool_calls", "Let me ask.")
        assert json.loads(call.function.arguments) == {"location": "Reno", "datetime": "tomorrow"}
        talk = [USER, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": '{"high_f": 71}'}]
        chunks = list(client.chat.completions.create(
            model="franklin", messages=talk, tools=TOOLS, stream=True, stream_options={"include_usage": True}
        ))  # fmt: skip
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "A fair day, I am told."
        assert {chunk.model for chunk in chunks} == {"franklin"}
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (7, 3)
        streamed = client.chat.completions.create(model="twain", messages=[USER], tools=TOOLS, stream=True)
        calls = [call for chunk in streamed for call in chunk.choices[0].delta.tool_calls or []]
        assert [(call.index, call.function.name) for call in calls] == [(0, "get_forecast")]


def test_the_official_client_raises_its_own_errors():
    openai = pytest.importorskip("openai")

    def refuse(messages):
        return [
            {"long": TooLong("The prompt has 9 tokens."), "busy": Busy("2 requests wait.")}[messages[-1]["content"]]
        ]

    with (
        served(ScriptedSpeaker(refuse)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):

        def create(content, model="twain", **more):
            return client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}], **more)

        with pytest.raises(openai.NotFoundError, match="mencken"):
            create("long", model="mencken")
        with pytest.raises(openai.BadRequestError) as long:
            create("long")
        assert (long.value.code, long.value.param) == ("context_length_exceeded", "messages")
        with pytest.raises(openai.InternalServerError) as busy:
            create("busy")
        assert (busy.value.status_code, busy.value.code) == (503, "busy")
        assert busy.value.response.headers["retry-after"] == "1"
        with pytest.raises(openai.BadRequestError, match="temperature"):
            create("long", temperature=9)


def test_an_error_in_the_middle_of_a_stream_reaches_the_official_client():
    openai = pytest.importorskip("openai")
    with (
        served(ScriptedSpeaker(lambda _: ["Well, ", Busy("The speaker was closed.")])) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.APIError, match="was closed"),
    ):
        list(client.chat.completions.create(model="twain", messages=[USER], stream=True))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_ends_its_turn(stream):
    speaker = ScriptedSpeaker(lambda _: ["word "] * 6000, pause_s=0.02)  # two minutes
    with served(speaker) as url:
        host, port = url.removeprefix("http://").split(":")
        body = json.dumps(asked(stream=stream)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
            assert within(60, lambda: speaker.turns)  # it hangs up when its turn has begun, however busy the machine
            if stream:
                assert client.recv(1)
        assert within(60, lambda: speaker.turns[0].finish)
    assert speaker.turns[0].finish == "cancelled"


# ---- requests


def test_settings_and_tools_reach_the_speaker_as_they_were_sent(client):
    speaker = ScriptedSpeaker(lambda _: ["Aye."])
    with opened(speaker) as client:
        client.post("/v1/chat/completions", json=asked(
            messages=[{"role": "developer", "content": [{"type": "text", "text": text} for text in ("Be ", "brief.")]}, USER],
            tools=TOOLS, max_completion_tokens=5, stop="\n", temperature=0.5, top_p=0.9, seed=3, user="u", metadata=None,
        ))  # fmt: skip
    (found,) = speaker.asked
    assert found["messages"] == [{"role": "system", "content": "Be brief."}, USER]
    assert (found["max_new_tokens"], found["stop"], found["tools"]) == (5, ["\n"], TOOLS)
    assert (found["sampling"].temperature, found["sampling"].top_p, found["sampling"].seed) == (0.5, 0.9, 3)


def test_no_tool_is_offered_where_none_may_be_called_and_a_tag_is_then_mere_words(client):
    found = client.post("/v1/chat/completions", json=asked(tools=TOOLS, tool_choice="none")).json()
    assert found["choices"][0]["message"]["content"] == f"Let me ask. {CALL}"
    assert found["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("parallel", "count"), [(None, 2), (True, 2), (False, 1)])
def test_a_turn_of_several_calls_ends_with_the_first_where_none_may_come_beside_it(parallel, count):
    turn = ["Let me ask both. ", CALL[:40], f"{CALL[40:]}\n{CALL}", " And then some words."]
    speaker = ScriptedSpeaker(lambda _: turn)
    sent = asked(tools=TOOLS, parallel_tool_calls=parallel)
    with opened(speaker) as client:
        (choice,) = client.post("/v1/chat/completions", json=sent).json()["choices"]
        streamed = client.post("/v1/chat/completions", json={**sent, "stream": True}).text
    said = choice["message"]
    assert (len(said["tool_calls"]), choice["finish_reason"]) == (count, "tool_calls")
    assert ("words" in said["content"]) == (count == 2)  # nothing follows the only call
    *chunks, done = [line.removeprefix("data: ") for line in streamed.splitlines() if line]
    found = [json.loads(chunk)["choices"][0] for chunk in chunks]
    assert sum(len(each["delta"].get("tool_calls", [])) for each in found) == count
    assert (found[-1]["finish_reason"], done) == ("tool_calls", "[DONE]")
    assert ("words" in streamed) == (count == 2)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"model": None}, "model"), ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "messages[0].content[0].type"),
        ({"messages": [USER, {"role": "tool", "tool_call_id": "c9", "content": "{}"}]}, "messages[1].tool_call_id"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]}]},
         "messages[1].tool_calls"),
        ({"messages": [{**USER, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}]}, "messages[0]"),
        ({"temperature": 3}, "temperature"), ({"temperature": "hot"}, "temperature"), ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"), ({"stop": ["a"] * 5}, "stop"), ({"n": 2}, "n"),
        ({"stream": "yes"}, "stream"), ({"parallel_tool_calls": "no"}, "parallel_tool_calls"), ({"seed": 2**70}, "seed"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": 7}}}]},
         "tools[0].function.parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"), ({"presence_penalty": -1}, "presence_penalty"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"), ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"), ({"function_call": {"name": "f"}}, "function_call"),
        ({"tools": [{"type": "function", "function": {"name": "f", "description": "x" * 2**18}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"allOf": [True] * 4096}}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": NESTED}}]}, "tools[0].function.parameters"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_which_field_is_wrong(client, changes, names):
    found = client.post("/v1/chat/completions", json=asked(**changes))
    error = found.json()["error"]
    assert (found.status_code, error["type"]) == (400, "invalid_request_error")
    assert names in (error["param"] or error["message"])
    assert error["message"].endswith(".")


def test_a_field_that_is_not_served_says_what_to_send_instead(client):
    for changes, repair in (({"logit_bias": {"1": 5}}, "leave it out or send {}"), ({"functions": [{}]}, "as tools")):
        error = client.post("/v1/chat/completions", json=asked(**changes)).json()["error"]
        assert repair in error["message"]
        assert error["param"] in changes


def test_what_clients_send_by_default_of_fields_that_are_not_served_is_taken(client):
    neutral = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "functions": [],
        "function_call": "none",
    }
    for changes in (neutral, dict.fromkeys(neutral)):
        assert client.post("/v1/chat/completions", json=asked(**changes)).status_code == 200


def test_others_are_answered_while_a_request_is_read(monkeypatch):
    began, enough = threading.Event(), threading.Event()

    def slowly(body):
        began.set()
        enough.wait(60)
        return read_request(body)

    monkeypatch.setattr(chat_server, "read_request", slowly)
    with served(ScriptedSpeaker(script)) as url, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(httpx.post, f"{url}/v1/chat/completions", json=asked(), timeout=120)
        try:
            assert began.wait(60)
            assert httpx.get(f"{url}/health", timeout=20).status_code == 200
        finally:
            enough.set()
        assert sent.result().status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"[" * 90_000, b"\xff", b'{"model": "\\ud800"}', b"null"])
def test_a_body_that_is_no_json_object_gets_one_sentence(client, body):
    for path in ("/v1/chat/completions", "/v1/tools/call"):
        found = client.post(path, content=body, headers={"content-type": "application/json"})
        assert (found.status_code, found.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_past_its_bound_is_refused(client):
    found = client.post(
        "/v1/chat/completions",
        content=b" " * (chat_server.LONGEST_BODY + 1),
        headers={"content-type": "application/json"},
    )
    assert found.status_code == 413


KEYS = st.sampled_from([*asked(), "role", "content", "tools", "tool_calls", "function", "name", "arguments", "stop"])
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
ANY_JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(ANY_JSON)
def test_no_json_at_all_brings_another_error_than_a_refusal(value):
    with contextlib.suppress(Refused):
        read_request(json.dumps(value).encode()).talk()


def test_unknown_paths_and_methods_are_answered_in_the_apis_form(client):
    for found, status in (
        (client.get("/v1/embeddings"), 404),
        (client.get("/v1/chat/completions"), 405),
        (client.get("/v1/models/x"), 404),
    ):
        assert (found.status_code, found.json()["error"]["type"]) == (status, "invalid_request_error")
    assert client.get("/v1/models/twain").json()["id"] == "twain"
    assert client.get("/health").json()["status"] == "ok"


# ---- who is answered


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8017", "192.168.1.4:8017", "", "[", "0.0.0.0"]
)
def test_a_name_that_was_rebound_to_this_machine_gets_nothing(client, host):
    for found in (
        client.get("/v1/models", headers={"host": host}),
        client.post("/v1/chat/completions", json=asked(), headers={"host": host}),
    ):
        assert found.status_code == 403


def test_where_more_is_served_an_address_in_digits_is_fine_and_a_strange_name_is_not():
    with opened(ScriptedSpeaker(script), host="0.0.0.0") as client:
        assert client.get("/health", headers={"host": "192.168.1.4:8017"}).status_code == 200
        assert client.get("/health", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"origin": "null"}, {"origin": "http://evil.example"}, {"origin": "http://127.0.0.1:3000"},
                {"content-type": "text/plain"}]
)  # fmt: skip
def test_other_pages_of_the_browser_get_nothing(client, headers):
    sent = {"content-type": "application/json", **headers}
    assert client.post("/v1/chat/completions", content=json.dumps(asked()), headers=sent).status_code == 403
    found = client.options("/v1/chat/completions", headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in found.headers


def test_the_page_and_its_files_ask_for_nothing_from_elsewhere(client):
    for path, (_, kind) in chat_server.FILES.items():
        found = client.get(path)
        assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, kind)
        assert "default-src 'none'" in found.headers["content-security-policy"]
    script = client.get("/page.js").text
    assert not [
        word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(") if word in script
    ]


def test_a_taken_port_names_the_option():
    with chat_server.bound("127.0.0.1", 0) as door:
        door.listen()
        with pytest.raises(BadUse, match="--port"):
            chat_server.bound("127.0.0.1", door.getsockname()[1])
    with pytest.raises(BadUse, match="--host"):
        chat_server.bound("203.0.113.7", 0)


# ---- tools


GOOD = {"location": "Reno, Nevada", "datetime": "tomorrow"}


def test_a_call_is_answered_by_the_simulation_and_the_tools_say_their_stored_names(client):
    found = client.post("/v1/tools/call", json={"name": "get_forecast", "arguments": GOOD}).json()
    result = json.loads(found["content"])
    assert (result["location"], set(FORECAST_KEYS) <= set(result)) == ("Reno, NV", True)
    stored = {tool["function"]["name"]: tool["stored_name"] for tool in client.get("/v1/tools").json()["tools"]}
    assert stored["get_forecast"] == "weather_api.get_forecast"
    assert stored == {name: SERVED_TO_STORED[name] for name in ("get_forecast", "get_alerts", "get_observation")}


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [("get_river", GOOD, "invalid_call"), (None, GOOD, "invalid_call"), ([], GOOD, "invalid_call"),
     ("get_forecast", {}, "invalid_call"), ("get_forecast", {**GOOD, "location": " "}, "invalid_call"),
     ("get_forecast", {**GOOD, "unit": "F"}, "invalid_call"), ("get_forecast", "Reno", "invalid_call"),
     ("get_forecast", {**GOOD, "location": 5}, "invalid_call"),
     ("get_forecast", {**GOOD, "datetime": "yesterday"}, "no_data_for_date"),
     ("get_forecast", {**GOOD, "location": "Nowhere Gulch"}, "unknown_location")],
)  # fmt: skip
def test_a_wrong_call_gets_a_result_that_says_so(client, name, arguments, code):
    found = client.post("/v1/tools/call", json={"name": name, "arguments": arguments})
    assert (found.status_code, json.loads(found.json()["content"])["error"]) == (200, code)


@pytest.mark.parametrize("fault", ["error", "crash", "huge", "html", "text", "instructions"])
def test_a_tool_that_fails_answers_with_html_orders_or_ten_megabytes_is_unavailable(client, fault):
    asked = {"name": "get_forecast", "arguments": {**GOOD, "location": f"fault:{fault}"}}
    found = json.loads(client.post("/v1/tools/call", json=asked).json()["content"])
    assert found["error"] == "service_unavailable"
    assert len(found["message"]) < 200
    assert "99" not in found["message"]  # degrees, in the orders


@pytest.mark.slow
def test_a_tool_that_hangs_is_given_up_and_other_calls_are_answered_meanwhile():
    with (
        simulated(call_s=3.0) as weather,
        served(ScriptedSpeaker(script), weather) as url,
        ThreadPoolExecutor(3) as pool,
    ):

        def call(place):
            asked = {"name": "get_forecast", "arguments": {**GOOD, "location": place}}
            return json.loads(httpx.post(f"{url}/v1/tools/call", json=asked, timeout=60).json()["content"])

        hung, fine, again = pool.map(call, ["fault:hang", "Reno, Nevada", "fault:hang"])
    assert (hung["error"], fine.get("location"), again["error"]) == ("timeout", "Reno, NV", "timeout")


def test_a_call_that_waits_when_the_tools_are_closed_ends_and_no_server_is_started_for_it():
    tools = simulated()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(tools.call, "get_forecast", {**GOOD, "location": "fault:hang"})
        time.sleep(0.3)  # a call that comes later finds the tools closed, which ends the same
        tools.close()
        assert waiting.result(60).fault == "died"
    assert tools.starts == 1


# ---- words and calls told apart


PARTS = ["Well", " ", "\n", "<", "tool", CALL, CALL[:11], "</tool_call>", '{"name": "get_river"}', "é"]


@given(st.lists(st.sampled_from(PARTS), max_size=8), st.integers(1, 7))
def test_words_and_calls_do_not_depend_on_how_a_turn_was_cut(parts, size):
    text = "".join(parts)

    def split(pieces):
        splitter, words, calls = CallSplitter(["get_forecast"]), "", []
        for found in [event for piece in pieces for event in splitter.add(piece)] + list(splitter.rest()):
            words, calls = (words + found[1], calls) if found[0] == "words" else (words, [*calls, found[1]])
        return words, calls

    words, calls = split([text])
    assert split([text[start : start + size] for start in range(0, len(text), size)]) == (words, calls)
    assert not (set("".join(words.split())) - set("".join(text.split())))
    if "<" not in text:
        assert (words, calls) == (text.rstrip(), [])


def test_a_call_of_no_declared_tool_stays_words():
    splitter = CallSplitter(["get_forecast"])
    text = CALL.replace("get_forecast", "get_river")
    found = [*splitter.add(text), *splitter.rest()]
    assert "".join(value for kind, value in found if kind == "words") == text
    assert {kind for kind, _ in found} == {"words"}


# ---- the real speaker behind it


@pytest.mark.slow
def test_32_clients_at_once_get_what_each_gets_alone_and_nothing_grows_past_its_bound():
    openai = pytest.importorskip("openai")
    from tiny_training import base

    from resources.language_model import LanguageModel
    from resources.routing import BASE
    from resources.speaker import Bounds, Speaker

    model = LanguageModel.load(base())
    talks = [[{"role": "user", "content": f"Will it rain in Town {number}?"}] for number in range(32)]
    alone = model.generate(talks, max_new_tokens=6)
    with (
        Speaker(model, [BASE], adapters=False, bounds=Bounds(memory_mib=2)) as speaker,
        served(speaker) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client,
        ThreadPoolExecutor(32) as pool,
    ):

        def one(number):
            stream = number % 2 == 0
            found = client.chat.completions.create(model="auto", messages=talks[number], max_tokens=6, stream=stream)
            if not stream:
                return found.choices[0].message.content
            return "".join(chunk.choices[0].delta.content or "" for chunk in found)

        assert list(pool.map(one, range(32))) == alone
        deadline = time.monotonic() + 30  # the last words are sent before their row is dropped
        while (now := speaker.load_now())["running"] and time.monotonic() < deadline:
            time.sleep(0.01)
    assert (now["waiting"], now["running"]) == (0, 0)
    assert now["remembered_bytes"] <= 2**19


def test_what_the_page_saves_is_a_transcript_that_the_corpus_takes():
    turns = [{"role": "user", "content": "Rain in Reno?", "tool_call": None},
             {"role": "assistant", "content": "", "tool_call": {"tool_name": "weather_api.get_forecast", "arguments": GOOD}},
             {"role": "tool", "content": '{"high_f": 71}', "tool_call": None},
             {"role": "assistant", "content": "A high of 71.", "tool_call": None}]  # fmt: skip
    record = {"conversation_id": "chat-2026-11-26-0a1b2c3d", "turns": turns, "style_tags": ["twain"],
              "origin": {"generator": "twainbot serve"}, "disclaimer": chat_server.DISCLAIMER}  # fmt: skip
    (row,) = parse_transcripts((json.dumps(record) + "\n").encode(), "chat.jsonl")
    assert (row["reject_reason"], row["format"], len(row["turns"])) == (None, "twainbot", 4)
