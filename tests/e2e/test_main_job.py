"""The main job as a user runs it: built, left alone, edited, broken, traced. Profile tiny, real processes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.e2e.conftest import Clone, rebuilt

pytestmark = pytest.mark.xdist_group("tiny")


def first_run(built: Clone) -> str:
    """What the first run printed."""
    return (built.root.parent / "first_run.txt").read_text()


def stale_lines(output: str) -> dict[str, str]:
    """Item -> reasons, of what `refresh --dry-run` prints."""
    pairs = (line.split(": ", 1) for line in output.splitlines() if ": " in line)
    return {item: reasons for item, reasons in pairs if "/" in item or item == "warehouse"}


def test_the_run_ends_by_naming_report_adapter_bundle_and_next_step(built: Clone) -> None:
    lines = first_run(built).splitlines()
    named = {
        word: line.split()[1] for line in lines for word in ("report", "adapter", "bundle") if line.startswith(word)
    }
    assert Path(named["report"]).is_file()
    assert (Path(named["adapter"]) / "adapter_model.safetensors").is_file()
    assert (Path(named["bundle"]) / "manifest.json").is_file()
    assert any(line.startswith("next ") and "make ui" in line for line in lines)


def test_the_report_is_one_page_with_plots_and_both_arms(built: Clone) -> None:
    page = (built.home / "tiny" / "reports" / "scorecard-default.html").read_text()
    assert page.count("<svg") + page.count("data:image") >= 3
    assert 'src="http' not in page
    assert "rehearsal" in page.lower()
    for word in ("perplexity", "Tool calls", "base", "adapter"):
        assert word in page


def test_neutral_text_is_judged_though_dagster_hands_over_stages_by_alphabet(built: Clone) -> None:
    card = pl.read_parquet(built.lake / "evals" / "scorecard" / "partition=default" / "part-0.parquet")
    assert card.filter(gate="forgetting")["n"].item() > 0


def test_bundles_of_a_rehearsal_are_named_so(built: Clone) -> None:
    keys = {path.name for path in (built.lake / "release").rglob("partition=*")}
    assert keys == {"partition=data-v0.1-rehearsal", "partition=twainbot-lora-v0.1-rehearsal"}


def test_a_second_run_builds_nothing(built: Clone) -> None:
    before = built.versions()
    output = built.run("run")
    assert "0 built" in output
    assert built.versions() == before


def test_every_view_of_the_warehouse_answers(built: Clone) -> None:
    with duckdb.connect(str(built.home / "tiny" / "warehouse.duckdb"), read_only=True) as connection:
        views = [
            name for (name,) in connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        ]
        counts = {view: connection.execute(f'select count(*) from "{view}"').fetchall()[0][0] for view in views}
    assert {"curated_passages", "splits_sft", "evals_scorecard", "corpora_local"} <= set(views)
    assert counts["curated_passages"] == pl.read_parquet(built.lake / "curated/passages/part-0.parquet").height > 0


def test_canaries_lie_in_the_rejects_each_for_its_reason(built: Clone) -> None:
    rejects = pl.read_parquet(built.lake / "curated/rejects/part-0.parquet")
    reasons = {row["work_id"].rsplit("/", 1)[-1]: (row["stage"], row["reasons"][0]) for row in rejects.to_dicts()}
    assert reasons["a-leaf-without-a-name"] == ("screened", "rights_unknown")
    assert reasons["the-boarding-house-quarrel"][0] == "screened"
    assert reasons["the-schoolmasters-problem"][0] == "curated"
    assert reasons["the-schoolmasters-problem"][1].startswith("eval_text:coding/")
    copies = {row["work_id"].rsplit("/", 1)[-1] for row in rejects.filter(pl.col("stage") == "dedupe").to_dicts()}
    assert copies & {"the-ferrymans-ledger-again", "the-ferrymans-ledger"}
    assert copies & {"dry-season-reprinted", "dry-season"}


def test_one_changed_sample_file_rebuilds_what_depends_on_it_and_nothing_else(copy: Clone) -> None:
    path = copy.root / "samples" / "local" / "river.md"
    path.write_text(path.read_text() + "\n\nA last line, added on a Tuesday, about the river.\n")
    before = copy.versions()
    told = copy.run("refresh", "--dry-run")
    assert stale_lines(told) == {"corpora/local [river]": "sources/local [river] changed"}
    assert "for what is stale, at most" in told  # minutes, as every stage ran in this home
    assert copy.versions() == before
    copy.run("refresh")
    made = rebuilt(before, copy.versions())
    assert {"corpora/local/partition=river", "chunks/local/partition=river", "curated/passages", "splits/dapt"} <= made
    assert not any(path.startswith(("base/", "dialogues/seeds", "dialogues/tool_calls")) for path in made)
    others = {path for path in made if path.startswith(("corpora/", "chunks/", "screened/", "dedupe/signatures"))}
    own = {f"{stage}/local/partition=river" for stage in ("corpora", "chunks", "screened", "dedupe/signatures")}
    assert others == own | {"corpora/rights", "corpora/audit"}  # both count the characters of every work
    assert "Nothing is stale." in copy.run("refresh", "--dry-run")


def test_each_edited_setting_makes_stale_what_reads_it(copy: Clone) -> None:
    recipe = copy.root / "training" / "configs" / "tiny" / "default.yaml"
    text = recipe.read_text()
    head, sft = text.split("\nsft:", 1)
    recipe.write_text(head + "\nsft:" + re.sub(r"learning_rate: \S+", "learning_rate: 0.00042", sft, count=1))
    stale = stale_lines(copy.run("refresh", "--dry-run"))
    assert set(stale) == {"adapters/sft [default]"}, stale
    recipe.write_text(text)

    prompts = copy.root / "twainbot" / "dialogues" / "prompts.yaml"
    original = prompts.read_text()
    prompts.write_text(original + "# edited\n")
    stale = stale_lines(copy.run("refresh", "--dry-run"))
    assert {item.split(" ")[0] for item in stale} == {
        "dialogues/seeds", "dialogues/style_transfer", "dialogues/tool_calls", "evals/baseline", "evals/generations",
        "evals/perplexity", "evals/coding",
    }  # fmt: skip
    prompts.write_text(original)

    profile = copy.root / "profiles" / "tiny.yaml"
    settled = profile.read_text()
    profile.write_text(settled.replace("batches: 2", "batches: 1"))  # what was written in the other leaves the tables
    stale = stale_lines(copy.run("refresh", "--dry-run"))
    assert set(stale) == {"dialogues/screened", "splits/assignments", "splits/preferences", "warehouse"}, stale
    profile.write_text(settled.replace("batches: 2", "batches: 3"))  # and no old one is written again
    stale = stale_lines(copy.run("refresh", "--dry-run"))
    assert {item for item in stale if "[b00" in item} == {item for item in stale if "[b002]" in item} != set(), stale

    profile.write_text(settled.replace("overlap: 32", "overlap: 16"))
    stale = stale_lines(copy.run("refresh", "--dry-run"))
    assert {item.split("/")[0] for item in stale} == {"chunks"}
    assert set(stale.values()) == {"sources/settings_chunking changed"}


@pytest.mark.parametrize(
    ("fault", "said"), [(b"", "empty"), (b"\x00\x01\x02\xff" * 400, "binary"), (b"# Only a title\n", "")]
)
def test_a_bad_file_fails_its_partition_plainly_and_keeps_the_last_good_one(
    copy: Clone, fault: bytes, said: str
) -> None:
    (copy.root / "samples" / "local" / "river.md").write_bytes(fault)
    before = copy.versions()
    output = copy.run("run", "--select", "corpora", code=1)
    failed = [line for line in output.splitlines() if line.startswith("FAILED corpora/local [river]")]
    assert failed
    assert said in failed[0].lower()
    assert copy.versions() == before


def test_a_screen_that_lets_profanity_pass_makes_the_canary_check_fail(copy: Clone) -> None:
    profile = copy.root / "profiles" / "tiny.yaml"
    loose = (
        "screening: { profanity_reject: 9000.0, profanity_review: 9000.0, abuse_reject: 9000.0, abuse_review: 9000.0 }"
    )
    profile.write_text(profile.read_text().replace("screening: {}", loose))
    output = copy.run("run", "--select", "curate", code=1)
    assert "canaries_caught" in output
    assert "offensive" in output


def test_a_passage_a_dialogue_and_a_split_row_trace_back_to_their_edition(built: Clone) -> None:
    passages = pl.read_parquet(built.lake / "curated/passages/part-0.parquet")
    passage = passages.filter(pl.col("unit") == "river")["chunk_id"][0]
    assert "river" in built.run("trace", passage)
    dialogues = pl.read_parquet(built.lake / "splits/sft/part-0.parquet").filter(pl.col("kind") == "style_transfer")
    text = built.run("trace", dialogues["sample_id"][0])
    assert "CC0-1.0" in text
    assert built.run("trace", "no/such/sample:0-1", code=2)


def test_bad_use_answers_in_one_sentence(built: Clone) -> None:
    assert "Known profiles" in built.run("run", "--profile", "nope", code=2)
    assert "nope" in built.run("run", "--select", "chunks/local", "--partition", "nope", code=2)
    assert "no version" in built.run("release", "nonsense", code=2)
    assert "cut before" in built.run("release", "twainbot-lora-v0.1-rehearsal", code=2)
    assert "No recipe" in built.run("release", "twainbot-lora-v0.9-rehearsal", "--recipe", "nope", code=2)


def test_a_bundle_verifies_and_a_changed_one_does_not(built: Clone, tmp_path: Path) -> None:
    row = pl.read_parquet(built.lake / "release/model/partition=twainbot-lora-v0.1-rehearsal/part-0.parquet")
    bundle = built.lake / row["folder"][0]
    built.run("verify-bundle", str(bundle))
    spoiled = tmp_path / "spoiled"
    shutil.copytree(bundle, spoiled)
    with (spoiled / "adapter" / "adapter_model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    assert "adapter_model.safetensors" in built.run("verify-bundle", str(spoiled), code=1)


def test_mlflow_runs_carry_the_dagster_run_and_version(built: Clone) -> None:
    import sqlite3

    with sqlite3.connect(built.home / "tiny" / "mlflow" / "mlflow.db") as store:
        tags = store.execute("select run_uuid, key, value from tags where key like 'dagster.%'").fetchall()
    by_run: dict[str, dict[str, str]] = {}
    for run, key, value in tags:
        by_run.setdefault(run, {})[key] = value
    assert {found["dagster.asset_key"] for found in by_run.values()} == {
        f"adapters/{s}" for s in ("dapt", "sft", "preference")
    }
    assert all(found["dagster.partition_key"] == "default" and found["dagster.run_id"] for found in by_run.values())


def test_the_review_queue_makes_a_round_trip(copy: Clone, tmp_path: Path) -> None:
    screened = pl.concat(pl.read_parquet(path) for path in (copy.lake / "screened/local").rglob("*.parquet"))
    kept = screened.filter(pl.col("decision") == "keep")["chunk_id"][0]
    answer = tmp_path / "answer.jsonl"
    answer.write_text(json.dumps({"chunk_id": kept, "decision": "reject", "note": "tried as a reviewer would"}) + "\n")
    copy.run("decide", str(answer), "--by", "tests")
    stale = stale_lines(copy.run("refresh", "--dry-run"))
    assert set(stale) == {"curated/passages", "curated/rejects"}
    copy.run("run", "--select", "curated")
    rejects = pl.read_parquet(copy.lake / "curated/rejects/part-0.parquet")
    assert "reviewed" in rejects.filter(pl.col("sample_id") == kept)["reasons"].to_list()[0]
