"""How the steps of a run that was launched from the UI, or by a backfill, get their processes.

From a fork server: it has imported the graph once, where Dagster's default imports it again for each step. And as a chain
that falls as a whole: a step dies with its fork server, and that with the run worker (resources/preload_guard.py).
`twainbot run` does not come here: it executes in its own process.
"""

from __future__ import annotations

import dagster as dg

# In this order: what is imported before the guard is armed could outlive the run.
PRELOADED = ("resources.preload_guard", "dagster", "twainbot_assets.definitions")

executor = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": list(PRELOADED)}}}, name="guarded_steps"
)
