"""The processes of one training: which of them this is, and the little that they do together.

torchrun and `accelerate launch` start several and number them in RANK, LOCAL_RANK and WORLD_SIZE. All compute alike; the
first alone holds the folder, speaks, validates and writes, and the others wait for it where they next exchange something.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from typing import TypeVar

from training.orphan_guard import ORPHANED, die_with_parent

T = TypeVar("T")
_TRIES_S = (0.5, 1.0, 0.0)  # seconds after each refused connection


def count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def first() -> bool:
    """Whether this is the process that writes."""
    return os.environ.get("RANK", "0") == "0"


def join() -> None:
    """Make this process one of several: it dies with its launcher, and "cuda" means the GPU that is its own.

    A launcher killed with SIGKILL leaves its processes behind, and they would train on and publish.
    """
    if count() == 1:
        return
    die_with_parent()
    if not _launcher_answers():  # it died while this process was still starting, too early for the kernel to tell
        with contextlib.suppress(OSError):  # the launcher's pipe may be gone too
            print("The launcher of this training is gone: it ends here.", file=sys.stderr, flush=True)
        os._exit(ORPHANED)
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def _launcher_answers() -> bool:
    """Whether the launcher's store, over which its processes find each other, is there; True where it keeps none."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    for pause in _TRIES_S:
        try:
            with socket.create_connection(address, timeout=30):
                return True
        except OSError:  # on a loaded machine one refused connection proves nothing
            time.sleep(pause)
    return False


def wait() -> None:
    """Return once every process is here; at once where there is one."""
    if count() > 1:
        import torch

        torch.distributed.barrier()


def total(value: float) -> float:
    """The sum of every process's value."""
    if count() == 1:
        return value
    import torch

    values: list[float | None] = [None] * count()
    torch.distributed.all_gather_object(values, value)
    return sum(found for found in values if found is not None)


def told_by_first(value: T) -> T:
    """The first process's value, everywhere."""
    if count() == 1:
        return value
    import torch

    values: list[T] = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]


def leave() -> None:
    """End the processes' connection, where there is one, so that none complains of another's silence at exit."""
    if count() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
