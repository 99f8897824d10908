"""What a training takes of its machine: a sample every few seconds, and the peaks. Whoever tracks runs makes curves of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from training import machine

_EVERY_S = 5.0
_MOST = 400  # samples; past it every other one is dropped and the pause doubled, so a week fits as well as a minute
_MIB = 2**20


@dataclass
class Usage:
    """Of this process, its threads included: CPU time from its start, peaks since the base was loaded (machine.py).

    A resumed run knows nothing of the process before.
    """

    peak_rss_mib: float
    cpu_s: float
    device_peak_mib: float | None  # None without a GPU
    samples: list[dict[str, float]] = field(
        default_factory=list
    )  # step, at (Unix time), cpu_cores, rss_mib, device_mib


class UsageWatch(TrainerCallback):
    """Samples the process after optimizer steps; reading takes less than a millisecond."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self.every_s = every_s
        self.samples: list[dict[str, float]] = []
        self.seen = (time.monotonic(), time.process_time())

    @override
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A sample, where the last one is old enough."""
        if time.monotonic() - self.seen[0] < self.every_s and state.global_step < state.max_steps:
            return
        wall, cpu = time.monotonic(), time.process_time()
        cores = (cpu - self.seen[1]) / max(wall - self.seen[0], 1e-9)
        self.seen = (wall, cpu)
        found = {"step": state.global_step, "at": time.time(), "cpu_cores": round(cores, 2), "rss_mib": rss_mib()}
        if torch.cuda.is_available():
            found["device_mib"] = round(torch.cuda.memory_allocated() / _MIB, 1)
        self.samples.append(found)
        if len(self.samples) > _MOST:
            self.samples, self.every_s = self.samples[::2], self.every_s * 2

    def usage(self) -> Usage:
        """The samples and the peaks so far."""
        device = torch.cuda.max_memory_allocated() / _MIB if torch.cuda.is_available() else None
        return Usage(
            # the system counts a peak a little late, so a sample may be above it
            peak_rss_mib=max([round(machine.peak_held() / _MIB, 1), *(sample["rss_mib"] for sample in self.samples)]),
            cpu_s=round(time.process_time(), 2),
            device_peak_mib=round(device, 1) if device is not None else None,
            samples=self.samples,
        )


def rss_mib() -> float:
    """Resident memory now."""
    return round(psutil.Process().memory_info().rss / _MIB, 1)
