"""A process that must not outlive its parent. Standard library only; nothing happens at import.

Linux clears the setting on fork and keeps it through exec, which is what with_parent.py uses. A Python process needs 50 to
100 ms until it can ask for it, in which its parent may be gone already: so whoever starts one tells it whose child it is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

RUN_WORKER = "TWAINBOT_RUN_WORKER"  # in a fork server's environment: the process id of the run worker that started it
ORPHANED = 137  # exit code, as after the SIGKILL that came too early
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def die_with_parent(parent: int | None = None, sig: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `sig` to this process when its parent thread ends; exit 137 if that is already gone.

    parent: its process id, as the parent itself told it. Without it a parent that died before this line goes unnoticed.
    Elsewhere than on Linux nothing is asked: there only the IO manager's fence keeps late writes out.
    Raises OSError where the kernel refuses.
    """
    if parent is None:
        parent = os.getppid()
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the kernel knew whom to tell
        os._exit(ORPHANED)
