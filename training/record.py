"""record.json: what a finished stage did and from what. It is written last, so a folder without one is unfinished."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from training import fence, processes, start
from training.base_model import describe, file_sha256
from training.config import Recipe, digest
from training.engine import Fitted
from training.preflight import Plan
from twainbot import records
from twainbot.errors import BadInput

PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "polars")
_CODE = (
    "config",
    "render",
    "rows",
    "packing",
    "losses",
    "engine",
    "attention",
    "preflight",
    "start",
    "divergence",
    "watch",
    "auto",
    "machine",
    "forecast",
)  # modules whose text changes what an adapter becomes
_CODE_OF = {"preference": ("preference_loss",)}  # and those of one stage beside its script


def parents(stage: str, recipe: Recipe, table: pl.DataFrame, base: Path, init_adapter: Path | None) -> dict[str, Any]:
    """Everything that the adapter is a function of, as hashes and names, and their common `fingerprint`."""
    info = describe(base)
    found: dict[str, Any] = {
        "stage": stage,
        "recipe": f"{recipe.profile}/{recipe.name}",
        "config_sha256": recipe.stage_hash(stage),
        "data_sha256": records.content_hash(table),
        "code_sha256": code_sha256(stage),
        "seed": recipe.seed,
        "base": info.name,
        "base_revision": info.revision,
        "base_sha256": digest(info.files),
        "tokenizer_sha256": info.files["tokenizer.json"],
        "template": info.template,
        "template_sha256": info.template_sha256,
        "strategy": recipe.strategy if init_adapter else None,
        "init_adapter_sha256": file_sha256(weights_of(init_adapter)) if init_adapter else None,
    }
    return {**found, "fingerprint": digest(found)}


def compose(
    parents: dict[str, Any], planned: Plan, fitted: Fitted, metrics: dict[str, float], box: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The record of a stage, all but the adapter's hash. box: what auto.py chose and forecast."""
    return {
        **parents,
        "environment": environment(),
        "plan": asdict(planned),
        **(box or {}),
        **asdict(fitted),
        "metrics": metrics,
    }


def code_sha256(stage: str) -> str:
    """64 hex digits over the text of the modules that the stage's result depends on."""
    folder = Path(__file__).parent
    texts = [(folder / f"{module}.py").read_bytes() for module in (*_CODE, stage, *_CODE_OF.get(stage, ()))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def environment() -> dict[str, Any]:
    """Package versions, Python, device and threads."""
    import torch

    gpu = torch.cuda.is_available()
    return {
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "threads": torch.get_num_threads(),
    }


def weights_of(adapter: Path) -> Path:
    """The weight file of an adapter folder; BadInput where it is missing."""
    path = adapter / "adapter_model.safetensors"
    if not path.is_file():
        raise BadInput(f"{adapter} holds no adapter_model.safetensors. Train the stage before this one first.")
    return path


def publish(model: Any, out: Path, record: dict[str, Any], under: Path | None = None) -> dict[str, Any]:
    """Write `out/adapter/`, then `out/record.json` with the weights' sha256; checkpoints are removed. Returns the record.

    Raises Fenced, with nothing changed, where a newer training was ordered in `out`. Of several processes the first
    publishes; the others return the record as it is.

    `under`: an adapter that was merged into the weights before training; what is published is both together.
    The adapter is written beside and renamed. A kill in between leaves a record that does not fit, which `read`
    refuses, or none; training again repairs it.
    """
    if not processes.first():
        return record
    adapter, beside, old = out / "adapter", out / ".adapter-new", out / ".adapter-old"
    for leftover in (beside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    model.save_pretrained(str(beside))
    if under:
        start.stack(under, beside)
    (beside / "README.md").unlink(missing_ok=True)  # peft's empty card; the release writes the real one
    _name_base(beside / "adapter_config.json", record)
    finished = {**record, "adapter_sha256": file_sha256(weights_of(beside)), "token": fence.token()}
    with fence.publishing(out):
        if adapter.exists():
            adapter.rename(old)
        beside.rename(adapter)
        shutil.rmtree(old, ignore_errors=True)
        _write_json(out / "record.json", finished)
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return finished


def read(out: Path) -> dict[str, Any]:
    """The record of a finished stage. BadInput where there is none, or where it does not fit the adapter beside it."""
    path = out / "record.json"
    if not path.is_file():
        raise BadInput(f"{out} holds no record.json, so no training finished there. Rematerialize its adapter.")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if file_sha256(weights_of(out / "adapter")) != record["adapter_sha256"]:
        raise BadInput(f"The adapter in {out} is not the one that record.json describes. Rematerialize it.")
    return record


def _name_base(path: Path, record: dict[str, Any]) -> None:
    """peft notes the folder that the base was loaded from; a name and revision travel better than this machine's path.

    Its sets of module names have another order in each process: sorted, equal adapters have equal files.
    """
    config = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = record["base"]
    config["revision"] = record["base_revision"]
    _write_json(path, config)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    beside = path.with_name(f".{path.name}")
    with beside.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
