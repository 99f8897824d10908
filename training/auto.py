"""What `auto` in a recipe becomes on this machine, and what the stage will then take, said before weights are loaded.

The recipe's text, and with it the run's fingerprint, stays as it is. What was chosen lies beside the checkpoints, and
a run that goes on from one of them goes on with it: a precision that changes half-way would be nobody's recipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from training import forecast, machine, processes, watch
from training.config import Lora, Stage
from training.forecast import Laid, Memory, Shape, Work
from training.machine import Machine
from training.preflight import Plan
from twainbot.errors import BadUse

AnyStage = TypeVar("AnyStage", bound=Stage)
CHOSEN = "chosen.json"  # beside the checkpoints
_NAMES = ("precision", "quantization", "micro_batch", "gradient_checkpointing")
# Share of the free memory that a choice may take. A CPU's is shared with whatever else runs; and there a second row at
# once gains nothing, as long as a line fills the cores.
_SHARE = {"cuda": 0.9, "cpu": 0.5}
_ENOUGH_ON_A_CPU = 2048  # tokens at once


@dataclass(frozen=True)
class Box(Generic[AnyStage]):
    """A stage's settings with nothing left to choose, and the part of its record that says so."""

    settings: AnyStage
    record: dict[str, Any]  # keys: chosen, forecast


def settle(
    stage: str,
    settings: AnyStage,
    lora: Lora,
    base: Path,
    lines: Sequence[Sequence[Laid]],
    checked: Sequence[Sequence[Laid]],
    planned: Plan,
    folder: Path,
    report: watch.Report,
) -> Box[AnyStage]:
    """Choose what the recipe leaves open, forecast memory and time, and report both in a line.

    lines, checked: what trains and what validates, rows by line. folder: of the run's checkpoints. Raises BadUse where
    even one row at once will not fit, with what would, or where several processes cannot share a step evenly.
    """
    before = _noted(folder)
    settings = dealt(settings.model_copy(update=before), processes.count())
    here, shape = machine.here(), forecast.shape_of(base)
    work = forecast.work_of(lines, checked, planned)
    if settings.precision == "auto":
        settings = settings.model_copy(update={"precision": machine.faster(shape.products, here.device)})
    chosen = _fitting(shape, work, settings, lora, here)
    memory = forecast.memory(shape, work, chosen, lora, here)
    least = chosen.model_copy(update={"micro_batch": 1})
    if forecast.memory(shape, work, least, lora, here).needed > here.free_bytes and not before:
        raise BadUse(_refusal(stage, shape, work, least, lora, here))
    speed = machine.speed(shape.products, chosen.precision, here.device)
    took_s = forecast.seconds(shape, work, chosen, lora, speed, here.device)
    note(folder, chosen)
    report(_sentence(stage, chosen, memory, took_s, here))
    return Box(chosen, {"chosen": _chosen(chosen), "forecast": forecast.noted(memory, took_s)})


def dealt(settings: AnyStage, count: int) -> AnyStage:
    """The settings with a micro batch that divides each process's share of a step, at most the recipe's; `auto` stays.

    Raises BadUse where a step's rows cannot be dealt out evenly.
    """
    if settings.effective_batch % count:
        fewer = max(number for number in range(1, count) if settings.effective_batch % number == 0)
        raise BadUse(
            f"effective_batch={settings.effective_batch} rows a step cannot be dealt out evenly to {count} processes. "
            f"Launch {fewer}, or make it a multiple of {count} in the recipe."
        )
    if settings.micro_batch == "auto":
        return settings
    share, asked = settings.effective_batch // count, settings.micro_batch
    size = max(number for number in range(1, min(share, asked) + 1) if share % number == 0)
    return settings if size == asked else settings.model_copy(update={"micro_batch": size})


def note(folder: Path, settings: Stage) -> None:
    """Leave what was chosen beside the checkpoints, for a run that goes on from them."""
    if not processes.first():
        return
    beside = folder / f".{CHOSEN}"
    beside.write_text(json.dumps(_chosen(settings)), encoding="utf-8")
    beside.replace(folder / CHOSEN)


def _noted(folder: Path) -> dict[str, Any]:
    """What the run chose that left a sealed checkpoint here; nothing where there is none."""
    path = folder / CHOSEN
    if watch.last_sealed(folder) is None or not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _chosen(settings: Stage) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _NAMES}


def _fitting(shape: Shape, work: Work, settings: AnyStage, lora: Lora, here: Machine) -> AnyStage:
    """The first of the candidates that fits into the share of free memory, or else the last and smallest."""
    candidate = settings
    for candidate in _candidates(settings, work, here):
        if forecast.memory(shape, work, candidate, lora, here).needed <= _SHARE[here.device] * here.free_bytes:
            break
    return candidate


def _candidates(settings: AnyStage, work: Work, here: Machine) -> Iterator[AnyStage]:
    """Many rows at once before few. With checkpointing, slower by a third, only where one row does not fit without."""
    asked = settings.gradient_checkpointing
    for checkpointing in (False, True) if asked == "auto" else (asked,):
        for rows in rows_at_once(settings, work, here) if settings.micro_batch == "auto" else (settings.micro_batch,):
            yield settings.model_copy(update={"micro_batch": rows, "gradient_checkpointing": checkpointing})


def rows_at_once(settings: Stage, work: Work, here: Machine) -> list[int]:
    """The numbers of rows that divide a step, the most first; several processes share the step evenly."""
    each = settings.effective_batch // processes.count()
    most = each if here.device == "cuda" else max(1, _ENOUGH_ON_A_CPU // work.width)
    return [rows for rows in range(each, 0, -1) if each % rows == 0 and rows <= most]


def _refusal(stage: str, shape: Shape, work: Work, settings: Stage, lora: Lora, here: Machine) -> str:
    """What is missing, and which single changes of the recipe would do."""
    changes: list[dict[str, Any]] = [
        {"gradient_checkpointing": True},
        {"quantization": "int8"},
        {"quantization": "nf4"},
        {"quantization": "nf4", "gradient_checkpointing": True},
    ]
    found = []
    for change in changes:
        memory = forecast.memory(shape, work, settings.model_copy(update=change), lora, here)
        if memory.needed <= here.free_bytes:
            words = " and ".join(f"{name}: {str(value).lower()}" for name, value in change.items())
            found.append(f"{words} ({_gib(memory.needed)})")
    memory = forecast.memory(shape, work, settings, lora, here)
    advice = f"These would fit: {'; '.join(found)}." if found else "Lower sequence_length, or take a larger machine."
    return (
        f"{stage} needs about {_gib(memory.needed)} for one row of {work.width} tokens at once, {_gib(memory.weights)} of "
        f"them for the weights, and {_gib(here.free_bytes)} are free on {here.name}. {advice}"
    )


def _sentence(stage: str, settings: Stage, memory: Memory, took_s: float, here: Machine) -> str:
    parts = {name: size for name, size in asdict(memory).items() if size >= 0.05 * memory.total}
    held = ", ".join(f"{name} {size / 2**30:.1f}" for name, size in parts.items())
    base = "" if settings.quantization == "none" else f", base in {settings.quantization}"
    again = ", checkpointing" if settings.gradient_checkpointing else ""
    each = f" in each of {processes.count()} processes" if processes.count() > 1 else ""
    how = f"{settings.precision}{base}, {settings.rows_at_once} of {settings.effective_batch} rows at once{each}{again}"
    return f"{stage}: {how}; forecast {_gib(memory.total)} ({held}), {took_s:.0f} s on {here.name}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
