"""The parsers that read bytes from outside, each as one function of bytes, with what it starts from.

A door calls the parser as the platform does. It may return or raise one of `ALLOWED`; anything else is a finding.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fuzz import seeds
from twainbot.errors import TwainBotError

Call = Callable[[bytes], Any]


@dataclass(frozen=True)
class Door:
    """A parser. `shape`: how its inputs can be changed as values, one of mutations.SHAPES or ""."""

    name: str
    call: Call
    seeds: Callable[[], Sequence[bytes]]
    shape: str = ""
    also: tuple[type[Exception], ...] = ()  # errors of a program of its own, which knows no TwainBotError

    @property
    def allowed(self) -> tuple[type[Exception], ...]:
        """What the parser may raise."""
        return (TwainBotError, *self.also)


# --- units of a source, whole ------------------------------------------------------------------------------------------


def _unit(source: str, unit: str, filename: str = "") -> Call:
    def read(raw: bytes) -> Any:
        from twainbot.corpora.works import Sidecar, works_from_unit

        return works_from_unit(source, unit, raw, Sidecar(filename=filename, rights="public_domain"))

    return read


def _book(raw: bytes) -> None:
    from twainbot.corpora.boilerplate import strip_gutenberg
    from twainbot.corpora.book_html import strip_gutenberg_html

    for read in (strip_gutenberg, strip_gutenberg_html):
        with contextlib.suppress(TwainBotError):
            read(raw)


def _rdf(raw: bytes) -> Any:
    from twainbot.corpora.rdf import read_rdf

    return read_rdf(raw)


def _rdf_archive(raw: bytes) -> Any:
    from twainbot.corpora.rdf import read_rdf_archive

    return read_rdf_archive(raw)


def _catalogue(raw: bytes) -> Any:
    from twainbot.corpora.catalogue import read_pg_csv

    return read_pg_csv(raw)


def _pinned(raw: bytes) -> Any:
    from twainbot.corpora.catalogue import load_pinned

    return load_pinned(raw.decode("utf-8", "replace"))


def _feed(raw: bytes) -> Any:
    from resources.satire_feeds import state_of
    from twainbot.corpora.feeds import parse_feed

    return state_of(parse_feed(raw, "https://example.org/feed"))


def _article(raw: bytes) -> Any:
    from twainbot.corpora.articles import read_article

    return read_article(raw, "https://example.org/2026/05/01/duck", "X-Robots-Tag: googlebot: noindex")


def _feed_with_page(raw: bytes) -> Any:
    from twainbot.corpora.material import Part
    from twainbot.corpora.works import Sidecar, works_from_unit

    parts = (Part(seeds.FEED, "https://example.org/feed", "2026-05-01T10:00:00Z"),
             Part(raw, "https://example.org/a", "2026-05-01T11:00:00Z", kind="page"))  # fmt: skip
    return works_from_unit("satire", "gazette", parts, Sidecar(rights="cc0"))


def _nws(raw: bytes) -> None:
    from twainbot.corpora import nws

    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = raw.decode("utf-8", "replace")
    for read in (nws.read_points, nws.read_forecast, nws.read_hourly, nws.read_observation, nws.read_alerts, nws.read_product,
                 nws.read_product_list):  # fmt: skip
        with contextlib.suppress(TwainBotError):
            read(document)
    nws.problem_of(document)
    nws.read_problem(404, {"content-type": "application/problem+json"}, raw)


def _weather_state(raw: bytes) -> Any:
    from resources.weather_service import is_document, read_state

    is_document(raw)
    return read_state(raw, "https://api.weather.gov/products/a-b")


def _served(raw: bytes) -> None:
    """What the weather server makes of the service's answers."""
    from twainbot.corpora import nws
    from twainbot.dialogues import served

    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return
    with contextlib.suppress(TwainBotError):
        served.alert_list(nws.read_alerts(document), "MO")
    with contextlib.suppress(TwainBotError):
        served.observed(nws.read_observation(document), "Hannibal, MO")
    with contextlib.suppress(TwainBotError):
        served.forecast_of_day(nws.read_forecast(document), "Hannibal, MO", "tomorrow", lambda _day: [])


def _robots(raw: bytes) -> None:
    from resources.robots import MAX_BYTES, Rules

    rules = Rules("example.org", raw[:MAX_BYTES].decode("utf-8-sig", "replace"), 200)
    for url in ("https://example.org/private/open", "https://example.org/%7Ea?b=c", "https://example.org"):
        rules.allows(url)
        rules.reserved_for(url)
    if not 0 <= rules.delay_s() < float("inf"):
        raise AssertionError(f"a pause of {rules.delay_s()} s")


def _document(suffix: str) -> Call:
    def read(raw: bytes) -> Any:
        from twainbot.corpora.local import parse_document

        return parse_document(raw, suffix)

    return read


# --- what models, tools and clients say --------------------------------------------------------------------------------


def _chat_request(raw: bytes) -> Any:
    from twainbot_assets.openai_requests import read_request

    return read_request(raw)


def _tool_calls(raw: bytes) -> None:
    from twainbot.evals.call_parsing import parse_calls, parse_message

    text = raw.decode("utf-8", "replace")
    parse_calls(text)
    parse_message(text, bare=True)
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if isinstance(message, dict):
        parse_message(message)


def _tool_result(raw: bytes) -> None:
    from twainbot.dialogues.tool_results import misfit, outcome
    from twainbot.evals.facts import read_result

    text = raw.decode("utf-8", "replace")
    said = outcome(text)
    json.loads(said.content)  # what the model is shown is JSON, whatever the tool said
    outcome(text, is_error=True)
    read_result(text)
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return
    outcome("", structured=data, schema={"type": "object", "properties": {"high_f": {"type": "number"}}})
    if isinstance(data, (dict, list)):
        read_result(data)
    if isinstance(data, dict):
        misfit({"high_f": 1}, data)


def _answer(raw: bytes) -> None:
    from twainbot.dialogues.asking import Answer, read
    from twainbot.dialogues.judging import SCHEMA

    read(Answer(raw.decode("utf-8", "replace")), SCHEMA)


def _data(raw: bytes) -> None:
    from twainbot.evals.raw_data import data_spans

    data_spans(raw.decode("utf-8", "replace"))


def _claims(raw: bytes) -> None:
    from twainbot.evals.claims import assertions

    assertions(raw.decode("utf-8", "replace")[:20_000], ["Hannibal"])


# --- files that people and other machines hand over --------------------------------------------------------------------


@cache
def _folder() -> Path:
    """A folder of this process, in memory where there is such a place."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if os.access(memory, os.W_OK) else None))


def _file(name: str, raw: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
    return path


def _score(raw: bytes) -> None:
    from twainbot_assets.json_lines import read_objects
    from twainbot_assets.scoring import StyleLine, checked, score_file

    path = _file("lines.jsonl", raw)
    for what in ("tool-calls", "grounding"):
        with contextlib.suppress(TwainBotError):
            score_file(what, path, as_json=True)
    checked(StyleLine, path, read_objects(path))


def _profile(raw: bytes) -> Any:
    from twainbot_assets.profile import parse

    return parse(raw.decode("utf-8", "replace"), Path("tiny.yaml"))


def _recipe(raw: bytes) -> Any:
    from training.config import load_recipe

    if not (_folder() / "default.yaml").is_file():  # what a recipe may extend
        _file("default.yaml", seeds.sample("training/configs/sample/default.yaml")[0])
    return load_recipe(_file("recipe.yaml", raw))


def _prompt(raw: bytes) -> Any:
    from twainbot.dialogues.prompt_files import parse

    return parse(raw.decode("utf-8", "replace"), "made")


def _sidecar(raw: bytes) -> None:
    from resources.folder_source import as_text, read_yaml
    from twainbot.corpora.works import Sidecar

    found = read_yaml(_file("manifest.yaml", raw))
    for entry in found.values():
        if isinstance(entry, dict):
            with contextlib.suppress(TwainBotError):
                Sidecar.from_mapping(as_text(entry))


def _ratings(raw: bytes) -> None:
    from twainbot.evals.ratings import read
    from twainbot_assets.json_lines import read_objects
    from twainbot_assets.reviewing import fault_of

    for _, row in read_objects(_file("ratings.jsonl", raw)):
        read(row)
        fault_of(row, {"pg1:0-9": ["rights_unknown"]})


def _problems(raw: bytes) -> Any:
    from twainbot.evals.coding import problems

    return problems(raw.decode("utf-8", "replace").split("\n"), "problems.jsonl")


def _manifest(raw: bytes) -> None:
    from twainbot.release import manifest

    found = manifest.from_json(raw)
    manifest.verify(found, {"README.md": ("1" * 64, 1)})


def _router(raw: bytes) -> Any:
    from twainbot.dialogues.routing import Router

    return Router.from_json(raw.decode("utf-8", "replace")).route("Will it rain?")


def _bundle(raw: bytes) -> None:
    """A model bundle whose every JSON file is this text, and whose hashes agree."""
    import hashlib

    from resources.shipped import verify
    from twainbot.release import contract

    folder = _file("bundle/bundle.json", raw).parent
    with contextlib.suppress(verify.NoBundle, verify.Broken):
        found = verify.read_json(folder / "bundle.json")
        try:
            body = json.dumps(found, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        except (UnicodeEncodeError, RecursionError):
            return
        signed = {**found, "manifest_id": hashlib.sha256(body).hexdigest()}
        _file("bundle/manifest.json", json.dumps(signed).encode())
        manifest = verify.read_manifest(folder)
        verify.file_problems(folder, manifest)
    with contextlib.suppress(verify.NoBundle, verify.Broken):
        bundle = verify.read_bundle(folder)
        _file("bundle/tokenizer.json", b"{}")
        verify.how_to_get(bundle)
        verify.contract_problems(folder, bundle, contract)


def _adapter(raw: bytes) -> None:
    from resources.shipped import verify
    from twainbot.release import contract

    config = verify.read_json(_file("adapter/adapter_config.json", raw))
    shapes = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": [8, 4]}
    contract.problems(config, shapes, provenance={}, merge_difference=0.0)


def _tensors(raw: bytes) -> None:
    from resources.shipped import verify
    from twainbot.release import contract

    shapes = verify.tensor_shapes(_file("adapter/adapter_model.safetensors", raw))
    contract.problems(json.loads(seeds.ADAPTER), shapes, provenance={}, merge_difference=0.0)


def _gguf(raw: bytes) -> None:
    from resources.shipped import gguf_forms

    gguf_forms.tensors(_file("model.gguf", raw))


def _refusals() -> tuple[type[Exception], ...]:
    from resources.shipped import verify

    return (verify.NoBundle, verify.Broken)


def doors() -> tuple[Door, ...]:
    """All of them, in the order in which a campaign takes them."""
    sample, shared = seeds.sample, seeds.shared
    broken = _refusals()
    return (
        Door("gutenberg_text", _unit("gutenberg", "pg99001"), lambda: [seeds.BOOK, *shared("gutenberg/*.txt", "gutenberg/old/*.txt")]),
        Door("gutenberg_html", _book, lambda: [seeds.PAGE, seeds.BOOK]),
        Door("gutenberg_rdf", _rdf, lambda: [seeds.RDF, *shared("gutenberg/rdf/*.rdf")]),
        Door("gutenberg_archive", _rdf_archive, seeds.archives, "zip"),
        Door("gutenberg_catalogue", _catalogue, lambda: [seeds.CATALOGUE, *shared("gutenberg/*.csv")]),
        Door("pinned_catalogue", _pinned, lambda: [part[:8_000] for part in sample("twainbot/corpora/catalogue.yaml")], "yaml"),
        Door("bulletins", _unit("weather", "OKX-2026"), lambda: [*sample("samples/weather/*.txt"), *shared("nws/products/*.txt")]),
        Door("weather_json", _unit("weather", "LSX-2026"), lambda: [*seeds.NWS, *shared("nws/api/**/*.json")], "json"),
        Door("nws_api", _nws, lambda: [*seeds.NWS, *shared("nws/api/**/*.json")], "json"),
        Door("weather_state", _weather_state, lambda: [*seeds.NWS, *sample("samples/weather/HNB-2026.txt")], "json"),
        Door("served_weather", _served, lambda: seeds.NWS, "json"),
        Door("feed", _feed, lambda: [seeds.FEED, *sample("samples/satire/*.xml"), *shared("satire/feeds/*")]),
        Door("satire_unit", _unit("satire", "gazette"), lambda: [seeds.FEED, *sample("samples/satire/*.xml")]),
        Door("satire_page", _feed_with_page, lambda: [seeds.PAGE]),
        Door("article", _article, lambda: [seeds.PAGE]),
        Door("jokes", _unit("jokes", "trades"), lambda: [*sample("samples/jokes/*.jsonl"), *shared("jokes/*")], "lines"),
        Door("transcripts", _unit("transcripts", "counter"), lambda: [
            *sample("samples/transcripts/*.jsonl"), b"User: Rain?\nAssistant: Some.\n", b"role,content\nuser,Rain?\nassistant,Some.\n"], "lines"),
        Door("robots", _robots, lambda: [seeds.ROBOTS, *shared("robots/*.txt")]),
        Door("local_text", _document(".md"), lambda: sample("samples/local/*.md")),
        Door("local_html", _document(".html"), lambda: [seeds.PAGE]),
        Door("local_lines", _document(".jsonl"), lambda: [b'{"title": "Rain", "text": "It rained."}\n{"text": "Dry."}'], "lines"),
        Door("local_unit", _unit("local", "notes", "notes.txt"), lambda: sample("samples/local/*.md")),
        Door("epub", _document(".epub"), lambda: [seeds.epub()], "zip"),
        Door("pdf", _document(".pdf"), lambda: [seeds.pdf()]),
        Door("chat_request", _chat_request, lambda: [seeds.CHAT], "json"),
        Door("tool_calls", _tool_calls, lambda: seeds.REPLIES, "json"),
        Door("tool_result", _tool_result, lambda: seeds.RESULTS, "json"),
        Door("model_answer", _answer, lambda: [seeds.ANSWER, b"I will not rate that."], "json"),
        Door("reply_claims", _claims, lambda: [b"It will reach 66 in Hannibal on Saturday, 40% chance of rain, wind NW 5 to 10 mph, not snow."]),
        Door("reply_data", _data, lambda: seeds.RESULTS, "json"),
        Door("score_lines", _score, lambda: seeds.SCORES, "lines"),
        Door("profile", _profile, lambda: sample("profiles/*.yaml"), "yaml"),
        Door("recipe", _recipe, lambda: sample("training/configs/*/*.yaml"), "yaml"),
        Door("prompt", _prompt, lambda: sample("twainbot/dialogues/prompts/*.md")),
        Door("folder_manifest", _sidecar, lambda: [part[:8_000] for part in sample("samples/manifest.yaml")], "yaml"),
        Door("ratings", _ratings, lambda: [seeds.RATINGS], "lines"),
        Door("coding_problems", _problems, lambda: [seeds.PROBLEMS, *sample("samples/evals/coding.jsonl")], "lines"),
        Door("bundle_manifest", _manifest, lambda: [seeds.MANIFEST], "json"),
        Door("bundle_files", _bundle, lambda: [seeds.BUNDLE, seeds.MANIFEST], "json", broken),
        Door("adapter_config", _adapter, lambda: [seeds.ADAPTER], "json", broken),
        Door("adapter_tensors", _tensors, lambda: [seeds.SAFETENSORS], "", broken),
        Door("router", _router, lambda: [seeds.ROUTER], "json"),
        Door("gguf", _gguf, lambda: [seeds.gguf()], "", (ValueError, OSError)),
    )  # fmt: skip
