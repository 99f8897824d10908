"""The dialogues stage in the graph through each API's door, against a local server that speaks its wire format."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from resources.folders import Folders
from resources.lake import Lake, LakeIOManager
from tests.builders import passage, passages
from tests.llm_server import KEY, LlmServer, llm_server
from twainbot.dialogues import prompt_files
from twainbot.dialogues.seeds import DialogueSettings, make_seeds
from twainbot_assets import dialogues, writing
from twainbot_assets.partitions import BATCHES
from twainbot_assets.profile import current, load

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("openai", "anthropic"))), reason="the extra `llm` is not installed: pip install -e '.[llm]'"
)
BATCH = "b000"
WRITTEN = ("style_transfer", "tool_calls")
SAYINGS = (
    "A patient mule is better than a proud horse. Nothing is so quiet as a borrowed umbrella, and nothing is so wet. "
    "A man who counts his hens at night is never short of foxes."
)


class Stage:
    """A home with one frozen batch, and the stage's assets to run over it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lake = Lake(str(root / "lake"))
        rows = passages(passage(text=SAYINGS, style="twain"))
        found = DialogueSettings(tool_calls=8, style_transfer=3, contrastive=4)
        self.lake.write("dialogues/seeds", BATCH, make_seeds(rows, BATCH, found, 1835))

    def run(self, *only: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
        stage = [dialogues.style_transfer, dialogues.tool_calls, dialogues.contrastive, dialogues.feedback]
        frozen = dg.AssetSpec(dialogues.SEEDS, partitions_def=BATCHES)
        names = ("models", "cache", "work", "reports", "reviews", "ratings", "warehouse")
        return dg.materialize(
            [frozen, *(only or stage)],
            partition_key=BATCH,
            resources={
                "io_manager": LakeIOManager(base=self.lake.base),
                "folders": Folders(**{name: str(self.root / name) for name in names}),
            },
            raise_on_error=False,
        )

    def rows(self, table: str) -> pl.DataFrame:
        return self.lake.read(f"dialogues/{table}", BATCH)


def told(run: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    """An asset's metadata."""
    found = run.asset_materializations_for_node(f"dialogues__{asset}")[0].metadata
    return {name: getattr(value, "value", value) for name, value in found.items()}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Makes the stage with this generator and judge on a server."""

    def make(server: LlmServer, backend: str, judge_sample: int = 0, **more: object) -> Stage:
        model = {"backend": backend, "model": "m1", "budget_usd": 5.0, "price_in": 1.0, "price_out": 4.0, **more}
        chosen = {"generator": model, "judge": {**model, "model": "m9"}, "judge_sample": judge_sample}
        profile = load("tiny")
        changed = profile.dialogues.__class__(**{**profile.dialogues.model_dump(), **chosen})
        monkeypatch.setattr(writing, "current", lambda: profile.model_copy(update={"dialogues": changed}))
        monkeypatch.setenv("TWAINBOT_LLM_URL", f"{server.url}/v1")
        monkeypatch.setenv("TWAINBOT_LLM_API_KEY", KEY)
        return Stage(tmp_path)

    return make


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_the_stage_materializes_through_an_apis_door_and_its_rows_say_what_wrote_them(backend, stage):
    with llm_server() as server:
        made = stage(server, backend, judge_sample=4)
        run = made.run()
        assert run.success, [event.message for event in run.all_events if event.is_failure]
        asked = len(server.calls())
    rows = pl.concat([made.rows(name) for name in WRITTEN])
    assert rows.height == 11
    for row in rows.to_dicts():
        origin = json.loads(row["origin"])
        prompt = prompt_files.load(row["kind"])
        assert (origin["generator"], origin["model"], origin["prompt_hash"]) == (backend, "m1", prompt.digest)
        assert origin["draft"]["generator"].startswith("grammar")
        assert "rejected" not in origin, origin
    ratings = made.rows("feedback")
    judged = ratings.filter(pl.col("rater").str.starts_with("judge:m9/judge@1:"))
    assert (judged.height, ratings.height) == (4, 11 + 4)
    assert judged["rationale"].to_list() == ["boots and a mule, dry enough"] * 4
    assert made.rows("contrastive").height > 0
    facts = told(run, "style_transfer")
    assert (facts["generator"], facts["model"], facts["requests"], facts["cache_hits"]) == (backend, "m1", 3, 0)
    assert (facts["tokens"], facts["cost_usd"]) == (3 * 120, pytest.approx(3 * (100 * 1.0 + 20 * 4.0) / 1e6))
    assert facts["forecast_tokens"] > 0
    assert "prompts/style_transfer.md" in facts["prompt_style_transfer"]
    assert asked == 11 + 4
    assert KEY not in repr([event.event_specific_data for event in run.all_events])


def test_a_second_run_asks_for_nothing_and_commits_the_same_version(stage):
    with llm_server() as server:
        made = stage(server, "openai")
        first, asked = made.run(), len(server.calls())
        second = made.run()
        assert len(server.calls()) == asked
    assert (told(second, "tool_calls")["cache_hits"], told(second, "tool_calls")["cost_usd"]) == (8, 0.0)
    for name in WRITTEN:
        versions = [run.asset_materializations_for_node(f"dialogues__{name}")[0].tags for run in (first, second)]
        assert versions[0]["dagster/data_version"] == versions[1]["dagster/data_version"]


def test_refused_answers_are_mended_once_then_recorded_and_pairs_and_ratings_leave_them_out(stage):
    """Asked one at a time: 3 of style_transfer in good order, or the 8 of tool_calls; either way two are spoilt for good."""
    with llm_server() as server:
        made = stage(server, "openai", concurrency=1)
        spoilt: set[str] = set()
        sound = server.write

        def write(messages):
            text = messages[1]["content"]
            if len(spoilt) < 2 and '"call"' in text:
                spoilt.add(text)
            return {"replies": []} if text in spoilt else sound(messages)

        server.write = write
        run = made.run()
        assert run.success, [event.message for event in run.all_events if event.is_failure]
    facts = told(run, "tool_calls")
    assert (facts["rejected"], facts["repaired"], facts["requests"]) == (2, 0, 8 + 2)
    origins = [json.loads(origin) for origin in made.rows("tool_calls")["origin"]]
    assert [origin["rejected"][0].split(":")[0] for origin in origins if "rejected" in origin] == ["drift", "drift"]
    assert made.rows("tool_calls").height == 8
    assert made.rows("feedback").height == 11 - 2


def test_a_batch_of_which_more_than_half_is_refused_is_not_committed(stage):
    with llm_server() as server:
        made = stage(server, "openai")
        server.write = lambda _: {"replies": []}
        run = made.run()
    assert not run.success
    texts = " ".join(str(event.event_specific_data) for event in run.all_events if event.is_failure)
    assert "answers were refused even after repair (drift" in texts
    assert not made.lake.exists("dialogues/tool_calls", BATCH)


def test_a_local_model_that_cannot_write_is_asked_twice_and_its_batch_is_refused(stage, monkeypatch):
    """The profile's own base: two random layers, which say nothing that is JSON."""
    monkeypatch.setattr("twainbot_assets.base.current", lambda: load("tiny"))
    with llm_server() as server:
        made = stage(server, "local", model="")
        run = made.run(dialogues.style_transfer)
        assert server.seen == []
    assert not run.success
    texts = " ".join(str(event.event_specific_data) for event in run.all_events if event.is_failure)
    assert "3 of 3 answers were refused even after repair" in texts
    kept = [json.loads(path.read_text()) for path in made.root.rglob("answers/*/*.json")]
    assert len(kept) == 2 * 3, "each draft and its repair"
    assert all(answer["model"].startswith("tiny-random") and answer["output_tokens"] > 0 for answer in kept)


def test_a_budget_too_small_for_the_forecast_fails_the_step_with_nothing_asked(stage):
    with llm_server() as server:
        run = stage(server, "openai", budget_usd=0.0001).run()
        assert server.calls() == []
    assert not run.success
    texts = " ".join(str(event.event_specific_data) for event in run.all_events if event.is_failure)
    assert "Nothing was asked" in texts


def test_the_default_everywhere_is_the_grammar_which_asks_nobody(stage):
    assert {load(name).dialogues.generator.backend for name in ("tiny", "sample", "laptop")} == {"grammar"}
    assert current().dialogues.judge.backend == "grammar"
