"""Mixture, router and comparison as the graph builds them, where the profile lists such recipes: real runs on a tiny base."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = """
import json, shutil, sys
from pathlib import Path

import dagster as dg
import polars as pl
from test_routing import dialogues, published
from tiny_training import base

from twainbot.records import DAPT_ROW, frame
from twainbot_assets.definitions import defs, folders, lake
from twainbot_assets.keys import key

trained, work = sys.argv[1].split(","), Path(folders.work)
Path(folders.models).mkdir(parents=True)
shutil.copytree(base(), Path(folders.models) / "base")
opened, job = lake.open(), defs.resolve_implicit_global_asset_job_def()
opened.write("base/model", None, pl.DataFrame([{"folder": "base"}]))
opened.write("splits/sft", None, dialogues())
texts = [{"sample_id": f"{style}/{n}:0-9", "split": "test", "style": style, "token_count": 9,
          "text": f"{style} said the {n}th time that {style} and the {thing} were of one mind"}
         for style in ("twain", "franklin", "satire") for n, thing in enumerate("river mud kite penny news bell".split())]
opened.write("splits/dapt", None, frame(texts, DAPT_ROW))
for seed, name in enumerate(trained):
    folder = opened.publish_folder("adapters/preference", published(work / name, seed), name)
    opened.write("adapters/preference", name, pl.DataFrame([{"recipe": name, "folder": folder}]))
with dg.DagsterInstance.ephemeral() as instance:
    for table, partition in (("adapters/mixture", "mixed"), ("adapters/router", None), ("evals/personas", None)):
        done = job.execute_in_process(
            instance=instance, asset_selection=[key(table)], partition_key=partition, raise_on_error=False)
        words = [event.event_specific_data.error.cause or event.event_specific_data.error
                 for event in done.get_step_failure_events()]
        checks = {check.check_name: check.passed for check in done.get_asset_check_evaluations()}
        print(json.dumps({"table": table, "ok": done.success, "checks": checks, "why": [each.message for each in words]}))
"""


def built(home: Path, trained: str) -> dict[str, dict]:
    """What each of the three assets came to, in a graph whose profile lists two personas and their mixture."""
    given = {"TWAINBOT_PROFILE": "tiny", "TWAINBOT_RECIPES": "default,twain,franklin,mixed", "TWAINBOT_HOME": str(home),
             "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "unit")])}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, trained],
        cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"table"')]
    return {row["table"]: row for row in found}


@pytest.mark.slow
def test_a_mixture_is_built_of_its_parts_the_router_is_judged_and_all_arms_are_compared(tmp_path):
    found = built(tmp_path, "twain,franklin")
    assert {table: row["ok"] for table, row in found.items()} == dict.fromkeys(found, True), found
    assert all(found["adapters/mixture"]["checks"].values()), found["adapters/mixture"]
    assert found["adapters/router"]["checks"][
        "router_reads_back"
    ]  # whether it beats chance, so few prompts cannot tell
    lake = tmp_path / "tiny" / "lake"
    (mixture,) = pl.read_parquet(lake / "adapters/mixture/partition=mixed/part-0.parquet").to_dicts()
    assert set(json.loads(mixture["record"])["parents"]) == {"twain", "franklin"}
    assert (lake / mixture["folder"] / "adapter_model.safetensors").is_file()
    router = pl.read_parquet(lake / "adapters/router/part-0.parquet")
    assert (lake / router["file"][0]).read_text() == router["router"][0]
    rows = pl.read_parquet(lake / "evals/personas/part-0.parquet")
    loss = rows.filter(pl.col("name") == "loss_passages_twain")
    assert sorted(loss["arm"]) == ["base", "franklin", "mixed", "twain"]
    assert loss["n"].to_list() == [6] * 4
    assert rows.filter(pl.col("name") == "routed_to_the_one_asked")["n"][0] > 4


@pytest.mark.slow
def test_a_mixture_without_its_part_fails_with_the_command_and_the_comparison_says_what_is_not_run(tmp_path):
    found = built(tmp_path, "twain")
    assert not found["adapters/mixture"]["ok"]
    assert "no good version of franklin" in found["adapters/mixture"]["why"][0]
    assert "twainbot run --select adapters --partition franklin" in found["adapters/mixture"]["why"][0]
    assert not (tmp_path / "tiny" / "lake" / "adapters" / "mixture").exists()
    assert found["evals/personas"]["ok"]
    assert not any(found["evals/personas"]["checks"].values())
    rows = pl.read_parquet(tmp_path / "tiny" / "lake" / "evals" / "personas" / "part-0.parquet")
    verdicts = [json.loads(text) for text in rows.filter(pl.col("kind") == "verdict")["payload"]]
    of_franklin = [verdict for verdict in verdicts if "franklin" in verdict["gate"]]
    assert of_franklin
    assert {verdict["state"] for verdict in of_franklin} == {"not_run"}
    assert all("adapters/preference [franklin] was never materialized." in verdict["why"] for verdict in of_franklin)
