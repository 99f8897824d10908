"""From chunk rows to signatures and verified pairs, and what one run can hand on to the next. Bare texts: pairs.py.

Every step works on distinct texts in the order of their hashes, so neither the order of rows nor their division into
partitions can show in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from twainbot.dedupe.buckets import candidates
from twainbot.dedupe.engines import Band, Values, bands, keys_of, signatures_of, thinned
from twainbot.dedupe.flat import Numbers, blocks, gram_hashes, offsets, text_digests
from twainbot.dedupe.groups import Groups
from twainbot.dedupe.minhash import DedupeSettings
from twainbot.dedupe.shingles import Hashes
from twainbot.dedupe.verify import Verified, gram_sets, verified
from twainbot.errors import BadInput, StaleSchema
from twainbot.records import EDGE, SIGNATURE, Schema, conform

_KNOWN_TEXT = {"high": pl.UInt64, "low": pl.UInt64, "keys": pl.Binary}
_KNOWN_PAIR = {"a": pl.Int64, "b": pl.Int64, "jaccard": pl.Float64, "containment": pl.Float64}


@dataclass(frozen=True)
class Known:
    """What an earlier run established, to be handed to the next one (`update`): pairs among these texts, and no others.

    `texts`: the two halves of each distinct text hash, sorted; `keys`: those on which each text is joined, as bytes;
    `pairs`: by place among the texts; `crowded`: whether some bucket was too large for all of its pairs, which makes the
    next run join everything again.
    """

    scheme: str
    texts: Hashes  # (texts, 2)
    keys: pl.Series
    pairs: Verified
    crowded: bool

    def frame(self) -> pl.DataFrame:
        """One row per text, then one per pair, with null for the text: for a Parquet file. `Known.of` reads it back."""
        halves = {"high": self.texts[:, 0], "low": self.texts[:, 1]}
        texts = pl.DataFrame({**halves, "keys": self.keys}, schema=_KNOWN_TEXT)
        values = (self.pairs.first, self.pairs.second, self.pairs.jaccard, self.pairs.containment)
        pairs = pl.DataFrame(dict(zip(_KNOWN_PAIR, values, strict=True)), schema=_KNOWN_PAIR)
        rows = pl.concat([texts, pairs], how="diagonal")
        return rows.with_columns(scheme=pl.lit(self.scheme), crowded=pl.lit(self.crowded))

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Known | None:
        """From the rows of `frame`; None where there are none, for then nothing is known."""
        if rows.is_empty():
            return None
        count = len(rows) - rows["high"].null_count()
        texts, pairs = rows.head(count), rows.tail(len(rows) - count)
        columns = (pairs[name].to_numpy() for name in _KNOWN_PAIR)
        halves = texts.select("high", "low").to_numpy()
        return cls(rows["scheme"][0], halves, texts["keys"], Verified(*columns), rows["crowded"][0])


def signatures(chunks: pl.DataFrame, settings: DedupeSettings) -> pl.DataFrame:
    """One row of records.SIGNATURE per chunk, in order; needs the columns chunk_id, work_id and text."""
    digests: list[bytes] = []
    words, values, lengths = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    for block in blocks(chunks["text"].to_list()):
        digests.append(text_digests(block))
        words.append(block.lengths)
        made, sizes = signatures_of(block, gram_hashes(block, settings.shingle), settings)
        values.append(made)
        lengths.append(sizes)
    hexed = b"".join(digests).hex()
    counts = np.concatenate(words)
    rows = pl.DataFrame(
        {
            "chunk_id": chunks["chunk_id"],
            "work_id": chunks["work_id"],
            "text_hash": [hexed[at : at + 32] for at in range(0, len(hexed), 32)],
            "shingle_count": np.where(counts > 0, np.maximum(1, counts - settings.shingle + 1), 0),
            "signature": _lists(np.concatenate(values), np.concatenate(lengths)),
        },
    ).with_columns(scheme=pl.lit(settings.scheme))
    return conform(rows, SIGNATURE, "dedupe/signatures")


def _lists(values: Values, lengths: Numbers) -> pl.Series:
    if len(lengths) and (lengths == lengths[0]).all() and lengths[0]:
        return pl.Series(values.reshape(len(lengths), -1)).arr.to_list()
    import pyarrow as pa  # lists of many lengths, which only fracminhash has

    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    made: Any = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values)))
    return made.cast(pl.List(pl.UInt32))


def edges(signatures: pl.DataFrame, chunks: pl.DataFrame, settings: DedupeSettings) -> pl.DataFrame:
    """Verified near-duplicate pairs of chunks as rows of records.EDGE, sorted; chunk ids a < b.

    `chunks` gives the texts: chunk_id, work_id, start, end, text. Overlapping windows of one work are no duplicates.
    Raises StaleSchema where signatures were made by another scheme, BadInput where a signature's chunk is missing or an
    id stands twice.
    """
    return update(signatures, chunks, settings)[0]


def update(
    signatures: pl.DataFrame, chunks: pl.DataFrame, settings: DedupeSettings, known: Known | None = None
) -> tuple[pl.DataFrame, Known]:
    """`edges`, given what an earlier run established: only texts that are new are joined and verified.

    Equal to a run without `known`, whatever came, changed or went since. `signatures` has a row for every chunk; those of
    known texts may have null for a signature, which need not be read then. The second value is what to hand in next time.
    Raises StaleSchema also where `known` comes from other settings.
    """
    scheme = f"{settings.scheme}/at{settings.threshold}"
    _require_scheme(signatures["scheme"].unique().to_list(), settings.scheme, "Signatures were")
    _require_scheme([known.scheme] if known else [], scheme, "Known pairs were")
    light = signatures.select("chunk_id", "text_hash", "shingle_count").with_row_index("row")
    signed = light.filter(pl.col("shingle_count") > 0).sort("chunk_id")
    places = _places(chunks, signed["chunk_id"])
    names, text_of_row = _named_texts(signed["text_hash"])
    groups = Groups.of(text_of_row, len(names))
    first = groups.rows[groups.starts[:-1]]
    place = np.full(len(names), -1, np.int64) if known is None else _found_texts(names, known.texts)
    fresh = place < 0
    keys = _keys(place, signatures["signature"].gather(signed["row"].gather(first[fresh])), settings, known)
    joined = thinned(bands(*_unpacked(keys), settings), len(names), settings)
    texts, rows_of_texts = chunks["text"], places[first]

    def check(one: Numbers, other: Numbers) -> Verified:
        words = signed["shingle_count"].gather(first).to_numpy() + settings.shingle - 1
        return verified(one, other, words, sets_of, settings.threshold)

    def sets_of(numbers: Numbers) -> tuple[Hashes, Numbers]:
        return gram_sets(texts.gather(rows_of_texts[numbers]).to_list(), settings.shingle)

    pairs, crowded = _pairs(joined, place, check, known)
    spans = [chunks[name].gather(places) for name in ("work_id", "start", "end")]
    made = _named(_not_overlapping(groups.expanded(pairs), *spans), signed["chunk_id"], EDGE)
    return made, Known(scheme, names, keys, pairs, crowded)


def _keys(place: Numbers, signatures: pl.Series, settings: DedupeSettings, known: Known | None) -> pl.Series:
    """The keys of each text: those known, at their place among the known ones, and those of the others' signatures."""
    fresh = place < 0
    if signatures.null_count():
        found = f"{signatures.null_count()} texts are new and have no signature."
        raise BadInput(f"{found} Hand in those of all texts that are not known.")
    made = _packed(*keys_of(*_values(signatures), settings))
    if known is None:
        return made
    place = place.copy()
    place[fresh] = np.arange(len(made)) + len(known.keys)
    return pl.concat([known.keys, made]).gather(place)


def _pairs(
    joined: list[Band], place: Numbers, check: Callable[[Numbers, Numbers], Verified], known: Known | None
) -> tuple[Verified, bool]:
    """Verified pairs of all texts, those known and those of fresh texts; and whether there is a crowd."""
    if known is not None and not known.crowded:
        first, second, crowded = candidates(joined, len(place), place < 0)
        if not crowded:
            return _merged(_held(known, place), check(first, second)), False
    first, second, crowded = candidates(joined, len(place))
    return check(first, second), crowded


def _held(known: Known, place: Numbers) -> Verified:
    """The known pairs of texts that are still there, by their numbers now."""
    now = np.full(len(known.texts), -1, np.int64)
    old = np.flatnonzero(place >= 0)
    now[place[old]] = old
    a, b = now[known.pairs.first], now[known.pairs.second]
    there = (a >= 0) & (b >= 0)
    return Verified(a[there], b[there], known.pairs.jaccard[there], known.pairs.containment[there])


def _merged(one: Verified, other: Verified) -> Verified:
    first, second = np.concatenate([one.first, other.first]), np.concatenate([one.second, other.second])
    order = np.lexsort((second, first))
    jaccard = np.concatenate([one.jaccard, other.jaccard])[order]
    return Verified(first[order], second[order], jaccard, np.concatenate([one.containment, other.containment])[order])


def _require_scheme(found: Sequence[str], wanted: str, what: str) -> None:
    others = sorted(set(found) - {wanted})
    if others:
        said = f"{what} made as {others[0]!r}, the settings ask for {wanted!r}."
        raise StaleSchema(f"{said} Rematerialize dedupe/signatures of every source, then dedupe/edges.")


def _places(chunks: pl.DataFrame, ids: pl.Series) -> Numbers:
    """The row of each id among the chunks."""
    for table, column in (("chunks", chunks["chunk_id"]), ("signatures", ids)):
        if column.n_unique() < len(column):
            twice = column.filter(column.is_duplicated()).sort()[0]
            raise BadInput(f"The id {twice!r} stands twice among the {table}. Rematerialize the asset that wrote it.")
    place = _found(ids, chunks["chunk_id"])
    missing = ids.filter(pl.Series(place < 0))
    if len(missing):
        found = f"{len(missing)} signatures have no chunk, the first is {missing[0]!r}."
        raise BadInput(f"{found} Rematerialize dedupe/signatures from the same chunks.")
    return place


def _named_texts(hashes: pl.Series) -> tuple[Hashes, Numbers]:
    """The distinct hashes, sorted, as two halves each, and the place of each row's among them."""
    raw = bytes.fromhex("".join(hashes.to_list()))
    halves = np.frombuffer(raw, ">u8").astype(np.uint64).reshape(-1, 2)
    order = np.argsort(halves[:, 0])
    ordered = halves[order]
    if ((ordered[1:, 0] == ordered[:-1, 0]) & (ordered[1:, 1] != ordered[:-1, 1])).any():
        order = np.lexsort((halves[:, 1], halves[:, 0]))  # eight times as slow, and nearly never needed
    halves = halves[order]
    new = np.ones(len(halves), np.bool_)
    new[1:] = (halves[1:] != halves[:-1]).any(axis=1)
    number = np.empty(len(halves), np.int64)
    number[order] = np.cumsum(new) - 1
    return halves[new], number


def _found_texts(names: Hashes, known: Hashes) -> Numbers:
    """The place of each text among the known ones, -1 where it is not there; for one of two that share a half, too."""
    if not len(known):
        return np.full(len(names), -1, np.int64)
    near = np.minimum(np.searchsorted(known[:, 0], names[:, 0]), len(known) - 1)
    return np.where((known[near] == names).all(axis=1), near, -1)


def _found(values: pl.Series, names: pl.Series) -> Numbers:
    """The place of each value among the distinct names, -1 where it is not there."""
    numbered = pl.DataFrame({"name": names}).with_row_index("place")
    wanted = pl.DataFrame({"name": values}, schema={"name": names.dtype})
    joined = wanted.join(numbered, on="name", how="left", maintain_order="left")
    return joined["place"].cast(pl.Int64).fill_null(-1).to_numpy()


def _values(lists: pl.Series) -> tuple[Values, Numbers]:
    return lists.explode(empty_as_null=False).to_numpy(), lists.list.len().to_numpy().astype(np.int64)


def _packed(values: Values, lengths: Numbers) -> pl.Series:
    """Each text's values as bytes: reading 74,000 texts' keys from a file takes 4 ms so, and 40 ms as lists."""
    raw, ends = values.astype("<u4").tobytes(), (4 * offsets(lengths)).tolist()
    return pl.Series([raw[start:end] for start, end in pairwise(ends)], dtype=pl.Binary)


def _unpacked(packed: pl.Series) -> tuple[Values, Numbers]:
    held = packed.to_list()
    return np.frombuffer(b"".join(held), "<u4"), np.fromiter(map(len, held), np.int64, len(held)) // 4


def _not_overlapping(pairs: Verified, work: pl.Series, start: pl.Series, end: pl.Series) -> Verified:
    """Less the pairs of windows of one work that share characters: they are alike by construction."""
    a, b = pairs.first, pairs.second
    begin, stop = start.to_numpy(), end.to_numpy()
    same = (work.gather(a) == work.gather(b)).fill_null(value=False).to_numpy()
    apart = ~(same & (np.maximum(begin[a], begin[b]) < np.minimum(stop[a], stop[b])))
    return Verified(a[apart], b[apart], pairs.jaccard[apart], pairs.containment[apart])


def _named(pairs: Verified, names: pl.Series, schema: Schema) -> pl.DataFrame:
    values = (names.gather(pairs.first), names.gather(pairs.second), pairs.jaccard, pairs.containment)
    return pl.DataFrame(dict(zip(schema, values, strict=True)), schema=dict(schema))
