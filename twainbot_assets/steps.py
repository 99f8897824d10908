"""How the steps of a run that was launched from the UI, or by a backfill, get their processes.

From a fork server: it has imported the graph once, where Dagster's default imports it again for each step. And as a chain
that falls as a whole: a step dies with its fork server, and that with the run worker (resources/preload_guard.py).
`twainbot run` does not come here: it executes in its own process.
"""

from __future__ import annotations

import os
from typing import Any

import dagster as dg

from training.orphan_guard import RUN_WORKER

# In this order: what is imported before the guard is armed could outlive the run. Dagster's own module is named, for where
# it is missing Dagster puts it first, and the guard comes a second or two later.
PRELOADED = (
    "resources.preload_guard",
    "dagster._core.executor.multiprocess",
    "dagster",
    "twainbot_assets.definitions",
)
MULTIPROCESS: Any = dg.multiprocess_executor  # whose schema Dagster types otherwise than it takes one


def _guarded(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's executor; made in the run worker, whose id the fork server then finds in its environment."""
    os.environ[RUN_WORKER] = str(os.getpid())
    made: dg.Executor = MULTIPROCESS.executor_creation_fn(context)
    return made


executor = dg.ExecutorDefinition(
    name="guarded",
    config_schema=MULTIPROCESS.config_schema,
    requirements=dg.multiple_process_executor_requirements(),
    executor_creation_fn=_guarded,
).configured({"start_method": {"forkserver": {"preload_modules": list(PRELOADED)}}}, name="guarded_steps")
