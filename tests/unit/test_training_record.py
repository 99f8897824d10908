"""record.json: every parent named, written last, and refused where it does not fit its adapter."""

from __future__ import annotations

import json

import polars as pl
import pytest
from tiny_training import base, write_data

from training import record, rows
from training.config import CONFIGS, load_recipe
from twainbot.errors import BadInput

RECIPE = load_recipe(CONFIGS / "tiny" / "default.yaml")


class Adapter:
    """Writes what peft writes."""

    def __init__(self, weights: bytes) -> None:
        self.weights = weights

    def save_pretrained(self, folder: str) -> None:
        from pathlib import Path

        made = Path(folder)
        made.mkdir(parents=True)
        (made / "adapter_model.safetensors").write_bytes(self.weights)
        config = {"base_model_name_or_path": "/tmp/somewhere", "r": 4, "target_modules": ["v_proj", "k_proj", "q_proj"]}
        (made / "adapter_config.json").write_text(json.dumps(config))
        (made / "README.md").write_text("empty card")


def parents(tmp_path, **changes):
    table = rows.read_table("sft", write_data(tmp_path / "data"))
    given = {"stage": "sft", "recipe": RECIPE, "table": table, "base": base(), "init_adapter": None, **changes}
    return record.parents(**given)


def test_equal_parents_have_equal_fingerprints(tmp_path):
    assert parents(tmp_path) == parents(tmp_path)


def test_recipe_data_stage_and_start_each_change_the_fingerprint(tmp_path):
    table = rows.read_table("sft", write_data(tmp_path / "data"))
    Adapter(b"start").save_pretrained(str(tmp_path / "start"))
    sft = RECIPE.sft.model_copy(update={"learning_rate": 0.1})
    found = [
        parents(tmp_path),
        parents(tmp_path, recipe=RECIPE.model_copy(update={"sft": sft})),
        parents(tmp_path, recipe=RECIPE.model_copy(update={"seed": 99})),
        parents(tmp_path, table=table.with_columns(pl.col("messages").str.replace("71", "72"))),
        parents(tmp_path, init_adapter=tmp_path / "start"),
        parents(tmp_path, stage="dapt"),
    ]
    assert len({item["fingerprint"] for item in found}) == len(found)


def test_the_order_of_the_rows_does_not_change_the_fingerprint(tmp_path):
    table = rows.read_table("sft", write_data(tmp_path / "data"))
    assert parents(tmp_path, table=table.reverse())["fingerprint"] == parents(tmp_path)["fingerprint"]


def test_published_weights_and_record_belong_together(tmp_path):
    done = record.publish(Adapter(b"one"), tmp_path, {"base": "tiny", "base_revision": "r1"})
    assert record.read(tmp_path) == done
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_the_adapter_names_its_base_and_no_path_of_this_machine(tmp_path):
    record.publish(Adapter(b"one"), tmp_path, {"base": "tiny", "base_revision": "r1"})
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("tiny", "r1")


def test_the_set_of_module_names_that_peft_writes_in_any_order_is_sorted(tmp_path):
    record.publish(Adapter(b"one"), tmp_path, {"base": "tiny", "base_revision": "r1"})
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["target_modules"] == ["k_proj", "q_proj", "v_proj"]


def test_publishing_again_replaces_the_adapter_and_clears_checkpoints(tmp_path):
    record.publish(Adapter(b"one"), tmp_path, {"base": "tiny", "base_revision": "r1"})
    (tmp_path / "checkpoints" / "abc").mkdir(parents=True)
    record.publish(Adapter(b"two"), tmp_path, {"base": "tiny", "base_revision": "r1"})
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "record.json"]


def test_a_kill_between_adapter_and_record_is_noticed(tmp_path, monkeypatch):
    record.publish(Adapter(b"one"), tmp_path, {"base": "tiny", "base_revision": "r1"})
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"two")
    with pytest.raises(BadInput, match="not the one"):
        record.read(tmp_path)


def test_a_folder_without_record_or_weights_is_unfinished(tmp_path):
    with pytest.raises(BadInput, match=r"no record\.json"):
        record.read(tmp_path)
    with pytest.raises(BadInput, match="adapter_model"):
        record.weights_of(tmp_path)


def test_the_environment_names_versions_device_and_threads():
    found = record.environment()
    assert set(record.PACKAGES) == set(found["packages"])
    assert found["threads"] >= 1
    assert found["device"]
