"""A process that must not outlive its parent. Standard library only; nothing happens at import.

Linux clears the setting on fork and keeps it through exec, which is what with_parent.py uses.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def die_with_parent(sig: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `sig` to this process when its parent thread ends; exit 137 if it already has.

    Elsewhere than on Linux it does nothing: there only the IO manager's fence keeps late writes out.
    Raises OSError where the kernel refuses.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # the parent died between the two lines
        os._exit(137)
