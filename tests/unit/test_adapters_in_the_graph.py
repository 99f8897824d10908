"""Stage adapters as assets: what a training that left the road leaves behind, and what a good one shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml
from tiny_training import base, write_data

from resources.folders import Folders
from resources.lake import Lake, LakeIOManager, LakeResource
from resources.tracking import Tracker
from resources.trainer import Trainer
from training import sft
from training.command import Arguments
from training.config import CONFIGS
from twainbot.errors import BadInput, Diverged
from twainbot_assets import adapters, keys
from twainbot_assets import base as base_stage

ERRORS: list[Exception] = []  # what the next training raises
WATCHED = {"dialogues": 4, "samples": 2, "max_new_tokens": 6}


class Raises(Trainer):
    """A training that ends in an error."""

    def train(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise ERRORS[-1]


class Tiny(Trainer):
    """The real script under the tiny recipe, whatever the profile says."""

    def train(self, context, stage, recipe_path, data_dir, base_dir, out_dir, init_adapter=None):
        return sft.main(Arguments(watched(out_dir), data_dir, base_dir, out_dir, None), context.log.info)


def watched(folder: Path) -> Path:
    """The tiny recipe, two epochs and asked after each."""
    raw = yaml.safe_load((CONFIGS / "tiny" / "default.yaml").read_text())
    raw["sft"] |= {"watch": WATCHED, "epochs": 2, "max_steps": None}
    path = folder / "tiny" / "default.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


def materialize(folder: Path, stage: str, trainer: Trainer) -> dg.ExecuteInProcessResult:
    """One stage of recipe `default` over a lake with the tables of the training tests and the tiny base."""
    lake, data = Lake(str(folder / "lake")), write_data(folder / "data")
    for name in ("dapt", "sft", "preferences"):
        lake.write(f"splits/{name}", None, pl.read_parquet(data / f"{name}.parquet"))
    lake.write("base/model", None, pl.DataFrame({"folder": [base().name]}))
    lake.write("adapters/dapt", "default", pl.DataFrame({"folder": ["adapters/dapt/files/none"]}))
    (folder / "lake" / "adapters" / "dapt" / "files" / "none").mkdir(parents=True)
    paths = {name: str(folder / name) for name in Folders.model_fields} | {"models": str(base().parent)}
    resources = {
        "io_manager": LakeIOManager(base=str(folder / "lake")),
        "lake": LakeResource(base=str(folder / "lake")),
        "folders": Folders(**paths),
        "trainer": trainer,
        "tracker": Tracker(folder=str(folder / "mlflow")),
    }
    above = [
        dg.AssetSpec(key)
        for key in (*map(keys.key, ("splits/dapt", "splits/sft", "splits/preferences")), base_stage.MODEL)
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [*adapters.assets, *above],
            selection=[keys.key(f"adapters/{stage}")],
            partition_key="default",
            resources=resources,
            instance=instance,
            raise_on_error=False,
        )


@pytest.fixture
def told(monkeypatch) -> list[tuple[str, dict[str, Any]]]:
    """Alerts instead of posting them."""
    found: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        adapters, "alert", lambda title, text, facts, log: found.append((title, {"text": text, **facts}))
    )
    return found


def test_a_divergence_fails_the_run_and_leaves_a_failed_check_and_an_alert(tmp_path, told):
    ERRORS.append(
        Diverged("Training diverged at step 7: loss nan.", step=7, loss=float("nan"), checkpoint="checkpoint-5")
    )
    done = materialize(tmp_path, "dapt", Raises())
    assert not done.success
    (failure,) = [event for event in done.all_events if event.is_step_failure]
    assert "diverged at step 7" in failure.step_failure_data.user_failure_data.description
    (check,) = done.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.severity) == (
        "training_converged", False, dg.AssetCheckSeverity.ERROR,
    )  # fmt: skip
    shown = {name: value.value for name, value in check.metadata.items()}
    assert shown["value"] == 7
    assert (shown["loss"], shown["last_good_checkpoint"], shown["partition"]) == ("nan", "checkpoint-5", "default")
    ((title, facts),) = told
    assert title == "adapters/dapt [default] diverged"
    assert (facts["step"], facts["checkpoint"], facts["dagster_run"]) == (7, "checkpoint-5", done.run_id)
    assert not list((tmp_path / "lake" / "adapters" / "sft").glob("**/*.parquet"))


def test_another_error_is_no_divergence(tmp_path, told):
    ERRORS.append(BadInput("The validation split has no usable row."))
    done = materialize(tmp_path, "dapt", Raises())
    assert not done.success
    assert done.get_asset_check_evaluations() == []
    assert told == []


@pytest.mark.slow
def test_a_good_training_shows_curves_scores_samples_hashes_and_links(tmp_path, told):
    from mlflow import MlflowClient

    done = materialize(tmp_path, "sft", Tiny())
    assert done.success, [event for event in done.all_events if event.is_step_failure]
    (made,) = done.asset_materializations_for_node("adapters__sft")
    shown = made.metadata
    record = json.loads(Lake(str(tmp_path / "lake")).read("adapters/sft", "default")["record"][0])
    assert [row.data["epoch"] for row in shown["evaluations"].records] == ["1.0", "2.0"]
    assert {"tool_calls_exact", "perplexity", "no_call_accuracy"} <= set(shown["evaluations"].records[0].data)
    assert "**said:**" in shown["samples"].value
    assert shown["adapter_sha256"].value == record["adapter_sha256"]
    assert told == []
    (check,) = [each for each in done.get_asset_check_evaluations() if each.check_name == "training_converged"]
    assert check.passed

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    run = client.get_run(shown["mlflow_run_id"].value)
    assert len(client.get_metric_history(run.info.run_id, "epoch/validation_loss")) == 2
    assert client.get_metric_history(run.info.run_id, "system/process_rss_mib")
    assert run.data.metrics["system/peak_rss_mib"] > 100
    assert {tag.key: tag.value for tag in run.inputs.dataset_inputs[0].tags}["content_sha256"] == record["data_sha256"]
    assert {"recipe.yaml", "samples.md"} <= {item.path for item in client.list_artifacts(run.info.run_id)}
    version = client.get_model_version_by_alias("twainbot-tiny-default", "sft")
    assert version.tags["adapter_sha256"] == record["adapter_sha256"]
    assert version.tags["dagster.run_id"] == done.run_id
