"""The graph. Each stage is a module; definitions.py puts them together, runner.py builds them, cli.py is the door."""

from __future__ import annotations

import os
import warnings

# Partitioned checks are a preview and observable sources a beta of Dagster 1.13. The version is pinned; said once here
# instead of forty times at each start. By message: the command line must answer `--help` without importing Dagster.
warnings.filterwarnings("ignore", message=".* is currently in (beta|preview)")
# transformers warns of its own deprecated names each time peft touches a model
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")

# torch's threads wait for each other in a loop. Tokens/s of two trainings at once on two cores, and of one alone:
# 22 and 135 by default, 85 and 114 with OMP_WAIT_POLICY=PASSIVE, 81 and 142 with so many turns of the loop.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
