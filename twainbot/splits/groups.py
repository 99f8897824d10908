"""What must stay together: samples that share a cluster, a work, a seed or a place, however indirectly. Where a group goes is
decided in assign.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from twainbot.dedupe import cluster

# columns whose values tie samples; each a text, a list of texts, or null
TIES = ("cluster_id", "work_id", "seed_id", "place_id")
