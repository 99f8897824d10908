"""What this machine offers to a training: its device, its free memory, how fast it multiplies. Choosing is auto.py's.

Everything here is measured, in fractions of a second, and before any weights are loaded.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psutil
import torch

from training import processes

Precision: TypeAlias = str  # fp32 or bf16
Linears: TypeAlias = Mapping[tuple[int, int], int]  # features in and out of a linear to how many such a model has
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# bf16 rounds; where it is hardly faster, that is for nothing. Between 1 and 1.5 a busy core would decide by chance.
WORTHWHILE = 1.5
_PROBE_S = 0.1  # per precision
_LEAST_CALLS = 5  # of one product: on a busy machine a first one may wait for its turn
_PROBE_TOKENS = 512  # rows of the probe's products; below some 200 the figures fall


@dataclass(frozen=True)
class Machine:
    """Where a stage is about to train."""

    device: str  # cuda or cpu
    name: str  # for people
    free_bytes: int  # what is left for the model and all that training it takes
    held_bytes: int  # what this process has already, of the same memory


@dataclass(frozen=True)
class Speed:
    """Rates in one precision."""

    flops: float  # a second, in products of the model's shapes
    moved: float  # bytes a second, read and written, in an element-wise operation as large as a layer's


def here() -> Machine:
    """This process's GPU, or the CPU where there is none.

    Several processes must choose alike and cannot ask each other yet, so they count what there is instead of what is
    free: all of each GPU, and of the machine's memory an equal part.
    """
    several = processes.count()
    if torch.cuda.is_available():
        free, whole = torch.cuda.mem_get_info()
        room = free if several == 1 else whole
        return Machine("cuda", torch.cuda.get_device_name(), room, torch.cuda.memory_allocated())
    room = available() if several == 1 else psutil.virtual_memory().total // several
    return Machine("cpu", "this CPU", room, psutil.Process().memory_info().rss)


def available() -> int:
    """Bytes that this process may still take: of the machine, of its cgroup and of its own limit, the least."""
    room = [psutil.virtual_memory().available]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        room.append(limit - psutil.Process().memory_info().vms)
    room += cgroup_room(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return max(0, min(room))


def cgroup_room(membership: Path, root: Path) -> list[int]:
    """Bytes left under each memory limit of the process's cgroups (versions 1 and 2), file cache counted as left."""
    lines = membership.read_text().splitlines() if membership.is_file() else []
    room: list[int] = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        unified = number == "0" and not controllers
        if not unified and "memory" not in controllers.split(","):
            continue
        top = root if unified else root / "memory"
        names = ("memory.max", "memory.current") if unified else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        inner = top / path.strip("/")
        for folder in [inner, *inner.parents]:
            if folder.is_relative_to(top):  # inside a container the path may be the host's: then only the top exists
                room += _room_of(folder, *names)
    return room


def _room_of(folder: Path, limit_name: str, used_name: str) -> list[int]:
    with contextlib.suppress(OSError, ValueError):  # no limit here: no file, or `max`
        limit, used = (int((folder / name).read_text()) for name in (limit_name, used_name))
        return [limit - used + _file_cache(folder / "memory.stat")]
    return []


def _file_cache(stat: Path) -> int:
    if not stat.is_file():
        return 0
    figures = dict(line.split() for line in stat.read_text().splitlines() if len(line.split()) == 2)
    return int(figures.get("total_inactive_file", figures.get("inactive_file", 0)))


def faster(linears: Linears, device: str) -> Precision:
    """bf16 where a GPU has it, or where this CPU multiplies so much faster in it that the rounding is worth it.

    Several processes on a CPU take fp32: each would find a rate of its own, and they must choose alike.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if processes.count() > 1 or not has_bf16():
        return "fp32"
    speeds = {name: speed(linears, name, device).flops for name in DTYPES}
    return "bf16" if speeds["bf16"] > WORTHWHILE * speeds["fp32"] else "fp32"


def has_bf16() -> bool:
    """Whether this CPU has bf16 arithmetic of its own; where it has none, bf16 takes 15 times as long as fp32."""
    return torch.cpu._is_avx512_bf16_supported()


def speed(linears: Linears, precision: Precision, device: str) -> Speed:
    """The rates of products x W for all linears of a model, and of the MLP's element-wise step: the best of some tries."""
    dtype = DTYPES[precision]
    flops, seconds = 0.0, 0.0
    for (wide, out), count in linears.items():
        rows = torch.ones(_PROBE_TOKENS, wide, dtype=dtype, device=device)
        weights = torch.ones(out, wide, dtype=dtype, device=device)
        took = _best(lambda x=rows, w=weights: torch.nn.functional.linear(x, w), _PROBE_S / len(linears), device)
        flops += count * 2.0 * _PROBE_TOKENS * wide * out
        seconds += count * took
    widest = max(out for _, out in linears)
    gate = torch.ones(_PROBE_TOKENS, widest, dtype=dtype, device=device)
    took = _best(lambda: torch.nn.functional.silu(gate) * gate, _PROBE_S / len(linears), device)
    return Speed(flops / seconds, 5 * gate.nbytes / took)  # silu reads and writes once, the product reads twice


def _best(call: Callable[[], object], budget_s: float, device: str) -> float:
    """Seconds of the fastest call within the budget: what slows a call down is another process."""
    with torch.no_grad():
        call()
        until, best, calls = time.perf_counter() + budget_s, float("inf"), 0
        while calls < _LEAST_CALLS or time.perf_counter() < until:
            calls += 1
            begun = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - begun)
    return best


def forget_peak() -> None:
    """Start measuring the peaks anew; of the process, elsewhere than on Linux, its whole life counts."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Bytes: the most that was allocated on the GPU, or where there is none held by this process, since `forget_peak`."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_held()


def peak_held() -> int:
    """Bytes: the most that this process held since `forget_peak`."""
    with contextlib.suppress(OSError):
        found = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
        return int(found[0].split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
