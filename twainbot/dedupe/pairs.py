"""From texts or chunk rows to verified pairs. Sketching lives in minhash.py, components of pairs in clusters.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice, product
from typing import TypeAlias

import numpy as np
import polars as pl

from twainbot.dedupe.minhash import DedupeSettings, Signatures, bands_for, candidates, sketch
from twainbot.dedupe.shingles import Hashes, shingle_hashes, similarity, text_hash, words
from twainbot.errors import BadInput, StaleSchema
from twainbot.records import EDGE, SIGNATURE, conform, empty, frame

MAX_COPIES = 64  # of one text that are paired with all others; more are paired with the first copy only
Pair: TypeAlias = tuple[int, int, float, float]  # row numbers first < second, Jaccard, containment

_PAIR = {"a": pl.Int64, "b": pl.Int64, "jaccard": pl.Float64, "containment": pl.Float64}


def near_duplicates(
    texts: Sequence[str], threshold: float = 0.7, *, shingle: int = 3, permutations: int = 128, seed: int = 1
) -> pl.DataFrame:
    """Pairs of row numbers a < b whose word n-grams have a Jaccard similarity of at least `threshold`, sorted.

    `jaccard` and `containment` (shared n-grams over those of the shorter text) are exact, not estimates; MinHash only
    picks the pairs to verify. Texts without a word are nobody's duplicates. Raises BadUse on settings out of range.
    """
    settings = DedupeSettings(threshold, shingle, permutations, seed)
    worded = [words(text) for text in texts]
    shingles = [shingle_hashes(text_words, shingle) for text_words in worded]
    groups = _copies([text_hash(text_words) if text_words else None for text_words in worded])
    first = [group[0] for group in groups]
    matrix = sketch([shingles[row] for row in first], settings)
    pairs = _verified(matrix, lambda row: shingles[first[row]], settings)
    return pl.DataFrame(sorted(_expanded(pairs, groups)), schema=_PAIR, orient="row")


def signatures(chunks: pl.DataFrame, settings: DedupeSettings) -> pl.DataFrame:
    """One row of records.SIGNATURE per chunk, in order; needs the columns chunk_id, work_id and text."""
    worded = [words(text) for text in chunks["text"]]
    shingles = [shingle_hashes(text_words, settings.shingle) for text_words in worded]
    made = pl.DataFrame(
        {
            "chunk_id": chunks["chunk_id"],
            "work_id": chunks["work_id"],
            "text_hash": [text_hash(text_words) for text_words in worded],
            "shingle_count": [len(hashes) for hashes in shingles],
            "signature": pl.Series(list(sketch(shingles, settings)), dtype=pl.List(pl.UInt32)),
        },
    ).with_columns(scheme=pl.lit(settings.scheme))
    return conform(made, SIGNATURE, "dedupe/signatures")


def edges(signatures: pl.DataFrame, chunks: pl.DataFrame, settings: DedupeSettings) -> pl.DataFrame:
    """Verified near-duplicate pairs of chunks as rows of records.EDGE, sorted; chunk ids a < b.

    `chunks` gives the texts: chunk_id, work_id, start, end, text. Overlapping windows of one work are no duplicates.
    Raises StaleSchema where signatures were made by another scheme, BadInput where a signature's chunk is missing.
    """
    _require_scheme(signatures, settings)
    signed = signatures.filter(pl.col("shingle_count") > 0).sort("chunk_id")
    if signed.is_empty():
        return empty(EDGE)
    ids = signed["chunk_id"].to_list()
    groups = _copies(signed["text_hash"].to_list())
    first = [group[0] for group in groups]
    matrix = np.stack(signed["signature"].gather(first).to_list()).astype(np.uint32)
    place = _places(chunks, ids)
    shingles = _reader(chunks["text"], [place[ids[row]] for row in first], settings.shingle)
    pairs = _expanded(_verified(matrix, shingles, settings), groups)
    spans = [
        (row["work_id"], row["start"], row["end"]) for row in chunks.select("work_id", "start", "end").rows(named=True)
    ]
    rows = (
        {"a": ids[a], "b": ids[b], "jaccard": jaccard, "containment": containment}
        for a, b, jaccard, containment in pairs
        if not _overlap(spans[place[ids[a]]], spans[place[ids[b]]])
    )
    return frame(rows, EDGE).sort("a", "b")


def _require_scheme(signatures: pl.DataFrame, settings: DedupeSettings) -> None:
    others = sorted(set(signatures["scheme"].unique()) - {settings.scheme})
    if others:
        found = f"Signatures were made as {others[0]!r}, the settings ask for {settings.scheme!r}."
        raise StaleSchema(f"{found} Rematerialize dedupe/signatures of every source, then dedupe/edges.")


def _places(chunks: pl.DataFrame, ids: Sequence[str]) -> dict[str, int]:
    place = {chunk_id: row for row, chunk_id in enumerate(chunks["chunk_id"])}
    missing = [chunk_id for chunk_id in ids if chunk_id not in place]
    if missing:
        found = f"{len(missing)} signatures have no chunk, the first is {missing[0]!r}."
        raise BadInput(f"{found} Rematerialize dedupe/signatures from the same chunks.")
    return place


def _reader(texts: pl.Series, rows: Sequence[int], length: int) -> Callable[[int], Hashes]:
    """A function from the number of a signature to its shingles; only candidates' texts are ever shingled, once each."""
    known: dict[int, Hashes] = {}

    def read(number: int) -> Hashes:
        if number not in known:
            known[number] = shingle_hashes(words(texts[rows[number]]), length)
        return known[number]

    return read


def _copies(hashes: Sequence[str | None]) -> list[list[int]]:
    """Rows of equal hash together, in order of their first row; rows without a hash in none."""
    groups: dict[str, list[int]] = {}
    for row, value in enumerate(hashes):
        if value is not None:
            groups.setdefault(value, []).append(row)
    return list(groups.values())


def _verified(matrix: Signatures, shingles: Callable[[int], Hashes], settings: DedupeSettings) -> Iterator[Pair]:
    bands, rows = bands_for(settings.threshold, settings.permutations)
    for a, b in candidates(matrix, bands, rows).tolist():
        jaccard, containment = similarity(shingles(a), shingles(b))
        if jaccard >= settings.threshold:
            yield a, b, jaccard, containment


def _expanded(pairs: Iterator[Pair], groups: Sequence[Sequence[int]]) -> Iterator[Pair]:
    """Pairs of groups as pairs of their members, and the pairs within each group, which are exact copies."""
    for group in groups:
        for a, b in combinations(islice(group, MAX_COPIES), 2):
            yield a, b, 1.0, 1.0
        for copy in islice(group, MAX_COPIES, None):
            yield group[0], copy, 1.0, 1.0
    for one, other, jaccard, containment in pairs:
        members = product(islice(groups[one], MAX_COPIES), islice(groups[other], MAX_COPIES))
        yield from ((min(a, b), max(a, b), jaccard, containment) for a, b in members)


def _overlap(a: tuple[str, int, int], b: tuple[str, int, int]) -> bool:
    return a[0] == b[0] and max(a[1], b[1]) < min(a[2], b[2])
