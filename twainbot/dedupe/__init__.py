"""Near-duplicates: an engine finds candidate pairs, every pair is verified exactly, components give clusters.

texts -> flat.py: word and n-gram hashes -> engines.py, minhash.py: signatures -> buckets.py: candidates -> verify.py:
exact values -> groups.py: rows. pairs.py puts this together for texts, chunk_pairs.py for chunk rows; then clusters.py.
shingles.py says text by text what flat.py does at once. Splits keep a cluster together; which rows are left out of
training because they are copies is read off `is_canonical`.
"""

from __future__ import annotations

from twainbot.dedupe.chunk_pairs import Known, edges, known_scheme, signatures, text_names, to_join, update
from twainbot.dedupe.clusters import cluster, clusters
from twainbot.dedupe.decontaminate import contaminated, eval_overlaps
from twainbot.dedupe.minhash import ENGINES, DedupeSettings
from twainbot.dedupe.pairs import near_duplicates

__all__ = [
    "ENGINES",
    "DedupeSettings",
    "Known",
    "cluster",
    "clusters",
    "contaminated",
    "edges",
    "eval_overlaps",
    "known_scheme",
    "near_duplicates",
    "signatures",
    "text_names",
    "to_join",
    "update",
]
