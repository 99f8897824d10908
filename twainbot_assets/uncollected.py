"""Imported first by the code location: no garbage is collected while the graph is defined, for all that it makes stays.

Each collection walks every object of Dagster's again. definitions.py switches collecting on at its end.
"""

from __future__ import annotations

import gc

gc.disable()
