"""Gates of stage adapters: training stayed finite and helped, and what it left can be loaded and served."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import thresholds
from checks.gates import Finding, Gate, result
from twainbot.errors import Diverged

if TYPE_CHECKING:
    import polars as pl

CONVERGED = "training_converged"
HASHES = ("adapter_sha256", "data_sha256", "config_sha256", "code_sha256", "base_sha256", "template_sha256")


def record_of(rows: pl.DataFrame) -> dict[str, Any]:
    """The training record in an adapter's row."""
    record: dict[str, Any] = json.loads(rows["record"][0])
    return record


def finite(rows: pl.DataFrame) -> Finding:
    """Losses that are no finite number."""
    curve = [point["loss"] for point in record_of(rows)["loss_curve"]]
    odd = [loss for loss in curve if not math.isfinite(loss)]
    why = f"{len(curve)} steps, last loss {curve[-1]:.3f}, {len(odd)} not finite" if curve else "no step was taken"
    return Finding(bool(curve) and not odd, why, len(odd), 0)


def better_than_before(rows: pl.DataFrame) -> Finding:
    """Validation loss after against before the stage."""
    metrics = record_of(rows)["metrics"]
    before, after = metrics["validation_loss_before"], metrics["validation_loss_after"]
    gain = before - after
    return Finding(
        gain > thresholds.MIN_IMPROVEMENT, f"validation loss {before:.4f} before, {after:.4f} after", gain, 0.0
    )


def servable(rows: pl.DataFrame) -> Finding:
    """What in the adapter breaks the contract of vLLM, llama.cpp and Ollama."""
    from twainbot.release.contract import problems

    record, found = record_of(rows), json.loads(rows["tensors"][0])
    provenance = {
        "base_model_name_or_path": record["base"],
        "revision": record["base_revision"],
        "tokenizer_sha256": record["tokenizer_sha256"],
    }
    difference = rows["merge_difference"][0]
    faults = problems(
        json.loads(rows["config"][0]), found, provenance=provenance, merge_difference=difference,
        max_rank=thresholds.MAX_LORA_RANK,
    )  # fmt: skip
    why = faults[0] if faults else f"rank, targets and names fit; merged logits differ by {difference:.1e}"
    return Finding(not faults, why, len(faults), 0, faults)


def converged(rows: pl.DataFrame) -> Finding:
    """Whether the stage came to its end by itself. One that left the road never comes here: see `diverged`."""
    record = record_of(rows)
    early, lowered = record.get("ended_early"), record.get("lowered")
    if early:
        return Finding(False, early["why"], early["step"], record["plan"]["steps"])
    told = f" after a spike at step {lowered['step']} the rate was lowered once" if lowered else " no spike"
    return Finding(True, f"{record['steps']} steps,{told}", record["steps"], record["plan"]["steps"])


def diverged(error: Diverged, asset: dg.AssetKey, partition: str | None) -> dg.AssetCheckResult:
    """The failed check of a training that left the road, with step, loss and the last good checkpoint."""
    found = Finding(False, str(error), error.step, error=True)
    loss = "" if error.loss is None else f"{error.loss:.6g}"  # as text: nan is no number that the UI could show
    judged = result(_converged_gate(), found, True, asset, partition)
    more: dict[str, Any] = {**judged.metadata, "loss": loss, "last_good_checkpoint": error.checkpoint}
    return judged._replace(
        metadata={
            name: dg.MetadataValue.text(value) if isinstance(value, str) else value for name, value in more.items()
        }
    )


def _converged_gate() -> Gate:
    return next(gate for gate in GATES if gate.name == CONVERGED)


def hashed(rows: pl.DataFrame) -> Finding:
    """Hashes that the record lacks."""
    record = record_of(rows)
    absent = [name for name in HASHES if not record.get(name)]
    return Finding(not absent, f"{len(HASHES) - len(absent)} of {len(HASHES)} parents recorded", len(absent), 0, absent)


GATES = [
    Gate("loss_is_finite", "Every logged loss is a number.", finite),
    Gate("parents_recorded", "Config, data, code, base and template hashes.", hashed),
    Gate("loads_back_and_keeps_the_contract", "Loads, fits servers, merges within tolerance.", servable),
    Gate(CONVERGED, "No divergence, and no early end by a rising validation loss.", converged, blocking=False),
    Gate("better_than_before", "Validation loss fell in this stage.", better_than_before, blocking=False),
]


def tensor_shapes(adapter: Path) -> dict[str, list[int]]:
    """Names and shapes of an adapter's tensors, read from the header of its safetensors file."""
    raw = (adapter / "adapter_model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    return {name: list(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
