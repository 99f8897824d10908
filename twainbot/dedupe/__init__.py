"""Near-duplicates: MinHash finds candidate pairs, every pair is verified exactly, components give clusters.

Splits keep a cluster together; which rows are left out of training because they are copies is read off `is_canonical`.
"""

from __future__ import annotations

from twainbot.dedupe.clusters import cluster, clusters
from twainbot.dedupe.decontaminate import contaminated
from twainbot.dedupe.minhash import DedupeSettings
from twainbot.dedupe.pairs import edges, near_duplicates, signatures

__all__ = ["DedupeSettings", "cluster", "clusters", "contaminated", "edges", "near_duplicates", "signatures"]
