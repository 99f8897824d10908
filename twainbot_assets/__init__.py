"""The graph. Each stage is a module; definitions.py puts them together, runner.py builds them, cli.py is the door."""

from __future__ import annotations

import warnings

from dagster import BetaWarning, PreviewWarning

# Partitioned checks are a preview and observable sources a beta of Dagster 1.13. The version is pinned; said once here
# instead of forty times at each start.
for _noise in (PreviewWarning, BetaWarning):
    warnings.filterwarnings("ignore", category=_noise)
# transformers warns of its own deprecated names each time peft touches a model
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
