"""A training record as trackers and readers want it: figures, curves over steps, a table per epoch, replies to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resources.tracking import Point

Record = Mapping[str, Any]
_TOKEN_STAGES = ("dapt", "sft")  # whose validation loss is a mean over tokens, so that exp of it is a perplexity
_SYSTEM = {"cpu_cores": "process_cpu_cores", "rss_mib": "process_rss_mib", "device_mib": "gpu_0_memory_mib"}


def figures(record: Record) -> dict[str, float]:
    """Single figures of a stage."""
    usage = record.get("usage") or {}
    peaks = {name: usage[name] for name in ("peak_rss_mib", "cpu_s", "device_peak_mib") if usage.get(name) is not None}
    speed = {name: record[name] for name in ("tokens_per_s", "tokens_per_cpu_s", "duration_s", "steps")}
    return {**record["metrics"], **speed, **{f"system/{name}": value for name, value in peaks.items()}}


def curves(record: Record) -> dict[str, list[Point]]:
    """Points of training, validation and the machine, by metric name; `system/` is where MLflow looks for the machine."""
    found: dict[str, list[Point]] = {}
    for name in ("loss", "learning_rate", "grad_norm"):
        points = [(int(each["step"]), float(each[name])) for each in record["loss_curve"] if name in each]
        found["train_loss" if name == "loss" else name] = [*points]
    for entry in record["evaluations"]:
        for name, value in scores_of(record, entry).items():
            found.setdefault(f"epoch/{name}", []).append((int(entry["step"]), float(value)))
    for sample in (record.get("usage") or {}).get("samples", []):
        for name, shown in _SYSTEM.items():
            if name in sample:
                point = (int(sample["step"]), float(sample[name]), int(sample["at"] * 1000))
                found.setdefault(f"system/{shown}", []).append(point)
    return {name: points for name, points in found.items() if points}


def scores_of(record: Record, entry: Mapping[str, Any]) -> dict[str, float]:
    """Validation loss, perplexity where it is one, and what else was scored after an epoch."""
    loss = float(entry["loss"])
    perplexity = {"perplexity": round(math.exp(loss), 4)} if record["stage"] in _TOKEN_STAGES else {}
    return {"validation_loss": loss, **perplexity, **(entry.get("scores") or {})}


def scores_table(record: Record) -> list[dict[str, Any]]:
    """One row per epoch, all with the same columns, in the order found."""
    rows = [
        {"epoch": entry["epoch"], "step": entry["step"], **scores_of(record, entry)} for entry in record["evaluations"]
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: _shown(row.get(name, "")) for name in names} for row in rows]


def to_read(record: Record) -> str:
    """The last epoch's sample replies beside what the dialogues say, as Markdown; empty without any."""
    entry = next((entry for entry in reversed(record["evaluations"]) if entry.get("samples")), None)
    if entry is None:
        return ""
    parts = [f"After epoch {entry['epoch']:g}, step {entry['step']}:"]
    for sample in entry["samples"]:
        parts += [f"**{name}:**\n\n{_quoted(sample[name])}" for name in ("asked", "wanted", "said")] + ["---"]
    return "\n\n".join(parts[:-1])


def pages(record: Record) -> dict[str, str]:
    """Artifacts of a run that are text, by path."""
    told = to_read(record)
    return {"samples.md": told} if told else {}


def _quoted(text: str) -> str:
    """As a block that no Markdown or HTML in a model's words can break out of."""
    return "\n".join(f"    {line}" for line in text.splitlines() or [""])


def _shown(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
