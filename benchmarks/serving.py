"""Speaking beside plain transformers: first tokens, tokens a second, many at once, and the evaluators' batches.

`python benchmarks/serving.py [--home data] [--profile sample]` after `make run`, or with `--base DIR [--adapter DIR]`; a few
minutes on two cores. Sides take turns on the same prompts, in an order that alternates, in one process; a ratio is told
with the lowest and highest of its repeats. The adapter is merged into fp32 weights on every side. Prints Markdown.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402
import torch  # noqa: E402

from benchmarks.lines import Line, as_table  # noqa: E402
from resources import speaking, suites  # noqa: E402
from resources.language_model import LanguageModel  # noqa: E402
from resources.routing import BASE  # noqa: E402
from resources.speaker import Bounds, Speaker  # noqa: E402
from training.render import render  # noqa: E402
from twainbot.dialogues.tools import TOOLS  # noqa: E402
from twainbot_assets import chat_server  # noqa: E402

LEAST_BATCHED, LEAST_EQUAL, LEAST_SPEAKER = 3.0, 0.99, 1.0
BATCH = 16
CLOSE = 1e-2  # a margin of logits below which fp32 sums in another order may choose another token

Talk = list[dict[str, Any]]


@dataclass(frozen=True)
class Timed:
    """One answer: seconds to its first token and to its end, its tokens, and its text."""

    first_s: float
    all_s: float
    tokens: int
    text: str


class Clock:
    """A streamer of transformers that only looks at its watch: the prompt is put first, then each token."""

    def __init__(self) -> None:
        self.puts: list[float] = []

    def put(self, value: Any) -> None:  # noqa: ARG002 - the shape of a streamer
        """A token is there."""
        self.puts.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to do."""


def plain(model: LanguageModel, talk: Talk, limit: int) -> tuple[Timed, list[int]]:
    """One turn by `generate` of transformers, and its token ids; the prompt is rendered on the clock, as elsewhere."""
    clock, began = Clock(), time.perf_counter()
    ids = render(talk, TOOLS, model.tokenizer, model.template, add_generation_prompt=True)[0]
    with torch.inference_mode():
        out = model.model.generate(
            input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
            max_new_tokens=limit, eos_token_id=model.eos_id, pad_token_id=model.eos_id, streamer=clock,
        )[0, len(ids):].tolist()  # fmt: skip
    ended = time.perf_counter()
    new = out[: out.index(model.eos_id)] if model.eos_id in out else out
    text = model.tokenizer.decode(new, skip_special_tokens=True)
    return Timed(clock.puts[1] - began, ended - began, len(out), text), new


def spoken(speaker: Speaker, talk: Talk, limit: int) -> Timed:
    """One turn of the speaker."""
    began, first, text = time.perf_counter(), 0.0, ""
    turn = speaker.stream(talk, TOOLS, max_new_tokens=limit)
    for piece in turn:
        first = first or time.perf_counter() - began
        text += piece
    return Timed(first, time.perf_counter() - began, turn.progress.new_tokens, text)


def served(client: httpx.Client, talk: Talk, limit: int) -> Timed:
    """One turn of the endpoint, streamed. Words and calls are told apart there, so a call's first token is its last."""
    body = {
        "model": "auto",
        "messages": to_openai(talk),
        "max_tokens": limit,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began, first, text, tokens = time.perf_counter(), 0.0, "", 0
    with client.stream("POST", "/v1/chat/completions", json=body | {"tools": TOOLS, "tool_choice": "auto"}) as response:
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            delta = event["choices"][0]["delta"] if event["choices"] else {}
            if delta.get("content") or delta.get("tool_calls"):
                first = first or time.perf_counter() - began
            text += delta.get("content") or ""
            tokens = event.get("usage", {}).get("completion_tokens", tokens)
    ended = time.perf_counter() - began
    return Timed(first or ended, ended, tokens, text)


def to_openai(talk: Talk) -> Talk:
    """Messages with the ids and the JSON text that the API wants."""
    made: Talk = []
    for message in talk:
        if message.get("tool_calls"):
            function = message["tool_calls"][0]["function"]
            call = {
                "id": "c0",
                "type": "function",
                "function": {**function, "arguments": json.dumps(function["arguments"])},
            }
            made.append({**message, "tool_calls": [call]})
        else:
            made.append({**message, **({"tool_call_id": "c0"} if message["role"] == "tool" else {})})
    return made


@contextmanager
def endpoint(speaker: Speaker) -> Iterator[httpx.Client]:
    """The real server on a free port of this machine, in this process."""
    import uvicorn

    with chat_server.bound(chat_server.HOST, 0) as door:
        server = uvicorn.Server(uvicorn.Config(chat_server.application(speaker), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://{chat_server.HOST}:{door.getsockname()[1]}", timeout=600) as client:
            yield client
        server.should_exit = True
        thread.join()


def prompts() -> list[Talk]:
    """What the suites ask, calls and grounded answers by turns, as evaluation asks it."""
    calls = [[speaking.system(), speaking.user(case["prompt"])] for case in suites.cases("tool_calls")]
    grounded = []
    for case in suites.cases("grounding"):
        call = {"name": "get_forecast", "arguments": case["call"]}
        talk = [
            speaking.system(),
            speaking.user(case["prompt"]),
            speaking.called(call),
            speaking.answered(call, case["result"]),
        ]
        grounded.append(talk)
    return [talk for pair in zip(calls, grounded, strict=False) for talk in pair]


def ratio(over: Sequence[float], under: Sequence[float]) -> tuple[float, str]:
    """Median of the repeats' ratios, and it with their range."""
    each = [one / other for one, other in zip(over, under, strict=True)]
    return statistics.median(each), f"{statistics.median(each):.2f}x ({min(each):.2f}-{max(each):.2f})"


def one_by_one(
    model: LanguageModel, speaker: Speaker, client: httpx.Client, talks: Sequence[Talk], limit: int, repeats: int
) -> list[Line]:
    """First token and tokens a second, a request at a time: transformers, the speaker with and without memory, the endpoint."""
    kept = speaker.prefixes.most_bytes

    def forgetful(talk: Talk) -> Timed:
        speaker.prefixes.most_bytes = 0
        speaker.prefixes.forget()
        try:
            return spoken(speaker, talk, limit)
        finally:
            speaker.prefixes.most_bytes = kept

    sides: dict[str, Callable[[Talk], Timed]] = {
        "transformers generate": lambda talk: plain(model, talk, limit)[0],
        "Speaker, nothing remembered": forgetful,
        "Speaker": lambda talk: spoken(speaker, talk, limit),
        "endpoint": lambda talk: served(client, talk, limit),
    }
    for side in sides.values():
        side(talks[0])  # warm
    found: dict[str, list[list[Timed]]] = {name: [] for name in sides}
    for number in range(repeats):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in order:
            found[name].append([sides[name](talk) for talk in talks])
    lines = []
    reference = found["transformers generate"]
    for name, rounds in found.items():
        first = [statistics.median(each.first_s for each in one) for one in rounds]
        speed = [sum(each.tokens for each in one) / sum(each.all_s for each in one) for one in rounds]
        beside = [sum(each.tokens for each in one) / sum(each.all_s for each in one) for one in reference]
        sooner = [statistics.median(each.first_s for each in one) for one in reference]
        value = f"first token {statistics.median(first) * 1000:.0f} ms, {statistics.median(speed):.1f} tokens/s"
        if name == "transformers generate":
            lines.append(Line(f"{name}, one at a time", value))
            continue
        faster, shown = ratio(speed, beside)
        quicker, earlier = ratio(sooner, first)
        held = faster >= LEAST_SPEAKER and (quicker >= LEAST_SPEAKER or name == "endpoint")
        lines.append(
            Line(
                f"{name}, one at a time", f"{value}; speed {shown}, first token {earlier}", f">= {LEAST_SPEAKER}x", held
            )
        )
    return lines


def at_once(client: httpx.Client, talks: Sequence[Talk], limit: int, clients: int) -> Line:
    """Tokens a second of the endpoint with many clients at once, and how many of them failed."""
    failed: list[str] = []

    def one(talk: Talk) -> int:
        try:
            return served(client, talk, limit).tokens
        except Exception as error:
            failed.append(repr(error))
            return 0

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        tokens = sum(pool.map(one, [talks[number % len(talks)] for number in range(clients)]))
    took = time.perf_counter() - began
    return Line(
        f"endpoint, {clients} clients at once",
        f"{tokens / took:.1f} tokens/s in all, {len(failed)} errors",
        "0 errors",
        not failed,
    )


def batches(model: LanguageModel, talks: Sequence[Talk], limit: int, blocks: int) -> list[Line]:
    """LanguageModel.generate in batches beside one-by-one `generate`, on blocks of prompts by turns; who says the same."""
    size = -(-len(talks) // blocks)
    speeds: dict[str, list[float]] = {"plain": [], "batched": []}
    different: list[tuple[Talk, list[int], str]] = []
    for number in range(blocks):
        block = list(talks[number * size : (number + 1) * size])
        texts: list[str] = []
        alone: list[tuple[Timed, list[int]]] = []
        for side in ("plain", "batched") if number % 2 == 0 else ("batched", "plain"):
            began = time.perf_counter()
            if side == "plain":
                alone = [plain(model, talk, limit) for talk in block]
            else:
                texts = model.generate(block, TOOLS, max_new_tokens=limit, batch_size=BATCH)
            speeds[side].append(len(block) / (time.perf_counter() - began))
        different += [
            (talk, ids, text)
            for talk, (timed, ids), text in zip(block, alone, texts, strict=True)
            if timed.text != text
        ]
    faster, shown = ratio(speeds["batched"], speeds["plain"])
    same = 1 - len(different) / len(talks)
    reasons = "; ".join(reason(model, *each) for each in different) or "none differs"
    return [
        Line("one-by-one generate, suites' prompts", f"{statistics.median(speeds['plain']):.2f} prompts/s"),
        Line(f"LanguageModel.generate, {BATCH} at once", f"{statistics.median(speeds['batched']):.2f} prompts/s, {shown}",
             f">= {LEAST_BATCHED}x", faster >= LEAST_BATCHED),
        Line(f"same greedy text, {len(talks)} prompts", f"{same:.1%} ({reasons})",
             f">= {LEAST_EQUAL:.0%}", same >= LEAST_EQUAL),
    ]  # fmt: skip


def reason(model: LanguageModel, talk: Talk, ids: list[int], text: str) -> str:
    """Why a batch chose another token: by how much, alone, the likeliest token was ahead of the one that the batch took."""
    other = model.tokenizer.encode(text, add_special_tokens=False).ids
    place = next(
        (n for n, (one, two) in enumerate(zip(ids, other, strict=False)) if one != two), min(len(ids), len(other))
    )
    prompt = render(talk, TOOLS, model.tokenizer, model.template, add_generation_prompt=True)[0]
    with torch.inference_mode():
        logits = model.model(input_ids=torch.tensor([prompt + ids[:place]]), logits_to_keep=1).logits[0, -1]
    best = logits.topk(2).values
    margin = float(best[0] - best[1])
    return f"token {place}: margin {margin:.1e}, {'a near tie' if margin < CLOSE else 'NOT a tie'}"


def llama_cpp(model: LanguageModel, talks: Sequence[Talk], limit: int, gguf: Path | None) -> Line:
    """llama.cpp on a GGUF of the base, one request at a time; not run where it cannot be."""
    what = "llama.cpp, one at a time"
    if importlib.util.find_spec("llama_cpp") is None:
        return Line(what, "not run: llama_cpp is not installed")
    if gguf is None:
        return Line(what, "not run: name a GGUF with --gguf")
    library: Any = importlib.import_module("llama_cpp")
    engine = library.Llama(str(gguf), n_ctx=2048, n_threads=torch.get_num_threads(), verbose=False)
    first: list[float] = []
    tokens, took = 0, 0.0
    for talk in talks:
        ids = render(talk, TOOLS, model.tokenizer, model.template, add_generation_prompt=True)[0]
        began = time.perf_counter()
        for number, token in enumerate(engine.generate(ids, temp=0.0, reset=True)):
            if number == 0:
                first.append(time.perf_counter() - began)
            tokens += 1
            if token == model.eos_id or number == limit - 1:
                break
        took += time.perf_counter() - began
    shown = (
        f"first token {statistics.median(first) * 1000:.0f} ms, {tokens / took:.1f} tokens/s ({gguf.name}, no adapter)"
    )
    return Line(what, shown)


def folders(given: argparse.Namespace) -> tuple[Path, Path | None]:
    """Base and adapter: those named, else the profile's first recipe's."""
    if given.base:
        return given.base, given.adapter
    from resources.home import Home
    from twainbot_assets import serving
    from twainbot_assets.profile import load

    cast = serving.of_recipe(Home(given.home.resolve(), given.profile), load(given.profile), None)
    return cast.base, next(iter(cast.adapters.values()))


def main() -> int:
    """Measure and print; 1 where a bar is missed."""
    given = parse()
    base, adapter = folders(given)
    model = LanguageModel.load(base, adapter, merged=True)
    talks = prompts()
    lines: list[Line] = []
    with Speaker(model, [BASE], adapters=False, bounds=Bounds(running=BATCH)) as speaker, endpoint(speaker) as client:
        lines += one_by_one(model, speaker, client, talks[: given.turns], given.tokens, given.repeats)
        lines += [at_once(client, talks, given.tokens, clients) for clients in (8, 32)]
    lines += batches(model, talks[: given.prompts], given.tokens, given.blocks)
    lines.append(llama_cpp(model, talks[: given.turns], given.tokens, given.gguf))
    print(
        f"{base.name}, {'with' if adapter else 'without'} adapter, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}\n"
    )
    print(as_table(lines))
    return 1 if any(line.holds is False for line in lines) else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("data"))
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--base", type=Path, help="a base folder, in place of a home's")
    parser.add_argument("--adapter", type=Path, help="an adapter folder beside --base")
    parser.add_argument("--gguf", type=Path, help="a GGUF of the base, for llama.cpp")
    parser.add_argument("--turns", type=int, default=6, help="prompts asked one at a time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=100, help="prompts of the comparison with batches")
    parser.add_argument("--blocks", type=int, default=4, help="parts that they are measured in, by turns")
    parser.add_argument("--tokens", type=int, default=48, help="longest answer")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
