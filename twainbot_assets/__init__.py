"""The graph. Each stage is a module; definitions.py puts them together, runner.py builds them, cli.py is the door."""

from __future__ import annotations

import warnings

# Partitioned checks are a preview and observable sources a beta of Dagster 1.13. The version is pinned; said once here
# instead of forty times at each start. By message: the command line must answer `--help` without importing Dagster.
warnings.filterwarnings("ignore", message=".* is currently in (beta|preview)")
# transformers warns of its own deprecated names each time peft touches a model
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
