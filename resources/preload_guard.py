"""Imported first by the fork server that starts the steps of a run, and by nothing else: whoever imports this dies with
its parent.

The fork server is a child of the run worker and outlives it while a step lives; a step is a child of the fork server. So
the server arms itself here, and each step arms itself right after its fork, which clears the setting. Both are told whose
child they are: the server by its environment (twainbot_assets/steps.py), a step by the memory that it inherits.
"""

from __future__ import annotations

import os

from training.orphan_guard import RUN_WORKER, die_with_parent


class _Guard:
    """Dies with the process that forked it, whichever that is: a step may fork in its turn."""

    def __init__(self) -> None:
        worker = os.environ.pop(RUN_WORKER, None)  # nobody below is that one's child
        die_with_parent(int(worker) if worker else None)
        self.pid = os.getpid()

    def forked(self) -> None:
        """In the child."""
        die_with_parent(self.pid)
        self.pid = os.getpid()


os.register_at_fork(after_in_child=_Guard().forked)
