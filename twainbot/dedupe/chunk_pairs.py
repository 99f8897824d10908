"""From chunk rows to signatures and verified pairs, and what one run can hand on to the next. Bare texts: pairs.py.

Every step works on distinct texts in the order of their hashes, so neither the order of rows nor their division into
partitions can show in the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from twainbot.dedupe.buckets import candidates
from twainbot.dedupe.engines import Band, Values, bands, fixed_keys, keys_of, signatures_of, thinned
from twainbot.dedupe.flat import Numbers, blocks, gram_hashes, offsets, text_digests
from twainbot.dedupe.groups import Groups
from twainbot.dedupe.minhash import DedupeSettings
from twainbot.dedupe.shingles import Hashes
from twainbot.dedupe.verify import Verified, gram_sets, verified
from twainbot.errors import BadInput, StaleSchema
from twainbot.records import EDGE, SIGNATURE, Schema, conform

_KNOWN_TEXT = {"high": pl.UInt64, "low": pl.UInt64}
_KNOWN_PAIR = {"a": pl.Int64, "b": pl.Int64, "jaccard": pl.Float64, "containment": pl.Float64}


@dataclass(frozen=True)
class Known:
    """What an earlier run established, to be handed to the next one (`update`): pairs among these texts, and no others.

    `texts`: the two halves of each distinct text hash, sorted; `pairs`: by place among the texts; `crowded`: whether some
    bucket was too large for all of its pairs, which makes the next run join everything again.
    """

    scheme: str
    texts: Hashes  # (texts, 2)
    pairs: Verified
    crowded: bool

    def frame(self) -> pl.DataFrame:
        """One row per text, then one per pair, with null for the text: for a Parquet file. `Known.of` reads it back."""
        texts = pl.DataFrame({"high": self.texts[:, 0], "low": self.texts[:, 1]}, schema=_KNOWN_TEXT)
        values = (self.pairs.first, self.pairs.second, self.pairs.jaccard, self.pairs.containment)
        pairs = pl.DataFrame(dict(zip(_KNOWN_PAIR, values, strict=True)), schema=_KNOWN_PAIR)
        rows = pl.concat([texts, pairs], how="diagonal")
        return rows.with_columns(scheme=pl.lit(self.scheme), crowded=pl.lit(self.crowded))

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Known | None:
        """From the rows of `frame`; None where there are none, for then nothing is known.

        Raises BadInput where they are the rows of something else.
        """
        if rows.is_empty():
            return None
        wanted = {**_KNOWN_TEXT, **_KNOWN_PAIR, "scheme": pl.String, "crowded": pl.Boolean}
        if dict(rows.schema) != wanted:
            raise BadInput(f"Known pairs have the columns {list(wanted)}, not {rows.columns}. Delete the file.")
        count = len(rows) - rows["high"].null_count()
        texts, pairs = rows.head(count), rows.tail(len(rows) - count)
        columns = (pairs[name].to_numpy() for name in _KNOWN_PAIR)
        halves = texts.select("high", "low").to_numpy()
        return cls(rows["scheme"][0], halves, Verified(*columns), rows["crowded"][0])

    def shared(self, names: Hashes) -> int:
        """How many of these texts, of `text_names`, are known."""
        return int(np.count_nonzero(_found_texts(names, self.texts) >= 0))


def text_names(signatures: pl.DataFrame) -> Hashes:
    """The distinct texts that signature rows are of: two halves of the hash of each, sorted; (texts, 2)."""
    return _named_texts(signatures.filter(pl.col("shingle_count") > 0)["text_hash"])[0]


def signatures(chunks: pl.DataFrame, settings: DedupeSettings) -> pl.DataFrame:
    """One row of records.SIGNATURE per chunk, in order; needs the columns chunk_id, work_id and text."""
    digests: list[bytes] = []
    words, values, lengths = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    keys = [pl.Series([], dtype=pl.Binary)]
    for block in blocks(chunks["text"].to_list()):
        digests.append(text_digests(block))
        words.append(block.lengths)
        made, sizes = signatures_of(block, gram_hashes(block, settings.shingle), settings)
        values.append(made)
        keys.append(_packed(*keys_of(made, sizes, settings)))
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
            "keys": pl.concat(keys),
        },
    ).with_columns(scheme=pl.lit(settings.scheme), key_scheme=pl.lit(settings.key_scheme))
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


def to_join(signatures: pl.LazyFrame, settings: DedupeSettings) -> pl.DataFrame:
    """What `update` needs of stored signatures: keys, and the signatures only where some row lacks these settings' keys.

    Reading 74,000 signatures of 128 values takes 190 ms, their keys 6.
    """
    rows = signatures.select(pl.exclude("signature", "work_id")).collect()
    return rows if _has_keys(rows, settings) else signatures.collect()


def known_scheme(settings: DedupeSettings) -> str:
    """Names all that pairs depend on."""
    return f"{settings.key_scheme}/at{settings.threshold}"


def update(
    signatures: pl.DataFrame, chunks: pl.DataFrame, settings: DedupeSettings, known: Known | None = None
) -> tuple[pl.DataFrame, Known]:
    """`edges`, given what an earlier run established: only texts that are new are joined and verified.

    Equal to a run without `known`, whatever came, changed or went since. `signatures` has a row for every chunk; the
    column `signature` is read only where a row has no `keys` of these settings. The second value is what to hand in next
    time. Raises StaleSchema also where `known` comes from other settings.
    """
    _require_scheme(signatures, chunks, settings.scheme)
    scheme = known_scheme(settings)
    if known is not None and known.scheme != scheme:
        found = f"Known pairs were made as {known.scheme!r}, the settings ask for {scheme!r}."
        raise StaleSchema(f"{found} Run without them.")
    signed = _with_words(signatures)
    places = _places(chunks, signatures["chunk_id"], signed)
    names, text_of_row = _named_texts(signed["text_hash"])
    groups = Groups.of(text_of_row, len(names))
    first = groups.rows[groups.starts[:-1]]
    place = np.full(len(names), -1, np.int64) if known is None else _found_texts(names, known.texts)
    texts, rows_of_texts = chunks["text"], places[first]

    def join() -> list[Band]:
        keys = _keys(signatures, signed["row"].to_numpy()[first], settings)
        return thinned(bands(*keys, settings), len(names), settings)

    def check(one: Numbers, other: Numbers) -> Verified:
        words = signed["shingle_count"].gather(first).to_numpy() + settings.shingle - 1
        return verified(one, other, words, sets_of, settings.threshold)

    def sets_of(numbers: Numbers) -> tuple[Hashes, Numbers]:
        return gram_sets(texts.gather(rows_of_texts[numbers]).to_list(), settings.shingle)

    pairs, crowded = _pairs(join, place, check, known)
    spans = [chunks[name].gather(places) for name in ("work_id", "start", "end")]
    made = _named(_not_overlapping(groups.expanded(pairs), *spans), signed["chunk_id"], EDGE)
    return made, Known(scheme, names, pairs, crowded)


def _with_words(signatures: pl.DataFrame) -> pl.DataFrame:
    """Row number, id, hash and n-grams of the texts that have words, by id. As they are stored, nothing is to be done."""
    rows = signatures.select("chunk_id", "text_hash", "shingle_count").with_row_index("row")
    if (rows["shingle_count"] == 0).any():
        rows = rows.filter(pl.col("shingle_count") > 0)
    return rows if rows["chunk_id"].is_sorted() else rows.sort("chunk_id")


def _has_keys(signatures: pl.DataFrame, settings: DedupeSettings) -> bool:
    """Whether each row's keys are stored, and made as these settings make them. Older files have none."""
    if not {"keys", "key_scheme"} <= set(signatures.columns) or signatures["keys"].null_count():
        return False
    return bool((signatures["key_scheme"] == settings.key_scheme).fill_null(value=False).all())


def _keys(signatures: pl.DataFrame, rows: Numbers, settings: DedupeSettings) -> tuple[Values, Numbers]:
    """The keys of these rows: those stored with the signatures, else made from them."""
    if _has_keys(signatures, settings):
        return _unpacked(signatures["keys"], rows, settings)
    if "signature" not in signatures.columns or signatures["signature"].null_count():
        found = f"Some of {len(signatures)} texts have neither a signature nor keys made as {settings.key_scheme!r}."
        raise BadInput(f"{found} Rematerialize dedupe/signatures of every source, then dedupe/edges.")
    return keys_of(*_values(signatures["signature"].gather(rows)), settings)


def _pairs(
    join: Callable[[], list[Band]], place: Numbers, check: Callable[[Numbers, Numbers], Verified], known: Known | None
) -> tuple[Verified, bool]:
    """Verified pairs of all texts, those known and those of fresh texts; and whether there is a crowd."""
    if known is not None and not known.crowded and (place >= 0).all():
        return _held(known, place), False
    joined = join()
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
    order = np.argsort((first << 32) | second, kind="stable")
    jaccard = np.concatenate([one.jaccard, other.jaccard])[order]
    return Verified(first[order], second[order], jaccard, np.concatenate([one.containment, other.containment])[order])


def _require_scheme(signatures: pl.DataFrame, chunks: pl.DataFrame, wanted: str) -> None:
    """Raise StaleSchema naming the first partition whose signatures are of another scheme, and how to make them again."""
    right = (signatures["scheme"] == wanted).fill_null(value=False)
    if right.all():
        return
    others = signatures.filter(~right)
    first = others.row(0, named=True)
    named = (
        chunks.filter(pl.col("chunk_id") == first["chunk_id"]) if {"source", "unit"} <= set(chunks.columns) else None
    )
    where, repair = "", "Rematerialize dedupe/signatures of every source, then dedupe/edges."
    if named is not None and len(named):
        source, unit = named["source"][0], named["unit"][0]
        where = f" of {source} [{unit}]"
        command = f"twainbot run --force --select dedupe/signatures/{source} --partition {unit}"
        repair = f"Rematerialize dedupe/signatures/{source} [{unit}] (`{command}`), then dedupe/edges."
    said = f"Signatures{where} were made as {first['scheme']!r}, the settings ask for {wanted!r}"
    raise StaleSchema(f"{said}; so are {len(others)} of {len(signatures)} rows. {repair}")


def _places(chunks: pl.DataFrame, signed: pl.Series, rows: pl.DataFrame) -> Numbers:
    """The place among the chunks of each of these rows of the signatures, which are all of `signed`."""
    _require_distinct(chunks["chunk_id"], "chunks")
    if signed.equals(chunks["chunk_id"]):  # as signatures are made; a join takes 20 ms for 74,000
        return rows["row"].cast(pl.Int64).to_numpy()
    _require_distinct(signed, "signatures")
    ids = rows["chunk_id"]
    place = _found(ids, chunks["chunk_id"])
    missing = ids.filter(pl.Series(place < 0))
    if len(missing):
        found = f"{len(missing)} signatures have no chunk, the first is {missing[0]!r}."
        raise BadInput(f"{found} Rematerialize dedupe/signatures from the same chunks.")
    return place


def _require_distinct(ids: pl.Series, table: str) -> None:
    if ids.n_unique() < len(ids):
        twice = ids.filter(ids.is_duplicated()).sort()[0]
        raise BadInput(f"The id {twice!r} stands twice among the {table}. Rematerialize the asset that wrote it.")


def _named_texts(hashes: pl.Series) -> tuple[Hashes, Numbers]:
    """The distinct hashes, sorted, as two halves each, and the place of each row's among them."""
    raw = bytes.fromhex(hashes.str.join("").item()) if len(hashes) else b""
    high, low = np.frombuffer(raw, ">u8").astype(np.uint64).reshape(-1, 2).T.copy()
    order = np.argsort(high)
    same_high, same_low = _repeats(high[order]), _repeats(low[order])
    if (same_high & ~same_low).any():
        order = np.lexsort((low, high))  # eight times as slow, and nearly never needed
        same_high, same_low = _repeats(high[order]), _repeats(low[order])
    new = ~(same_high & same_low)
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(new) - 1
    first = order[new]
    return np.stack([high[first], low[first]], axis=1), number


def _repeats(values: Hashes) -> NDArray[np.bool_]:
    """Whether each value is the one before it."""
    made = np.zeros(len(values), np.bool_)
    made[1:] = values[1:] == values[:-1]
    return made


def _found_texts(names: Hashes, known: Hashes) -> Numbers:
    """The place of each text among the known ones, -1 where it is not there; for one of two that share a half, too."""
    if not len(known):
        return np.full(len(names), -1, np.int64)
    high, low = known.T.copy()
    near = np.minimum(np.searchsorted(high, names[:, 0]), len(known) - 1)
    return np.where((high[near] == names[:, 0]) & (low[near] == names[:, 1]), near, -1)


def _found(values: pl.Series, names: pl.Series) -> Numbers:
    """The place of each value among the distinct names, -1 where it is not there."""
    numbered = pl.DataFrame({"name": names}).with_row_index("place")
    wanted = pl.DataFrame({"name": values}, schema={"name": names.dtype})
    joined = wanted.join(numbered, on="name", how="left", maintain_order="left")
    return joined["place"].cast(pl.Int64).fill_null(-1).to_numpy()


def _values(lists: pl.Series) -> tuple[Values, Numbers]:
    return lists.explode(empty_as_null=False).to_numpy(), lists.list.len().to_numpy().astype(np.int64)


def _packed(values: Values, lengths: Numbers) -> pl.Series:
    """Each text's values as bytes: reading 74,000 texts' keys from a file takes 6 ms so, and 40 ms as lists."""
    raw, ends = values.astype("<u4").tobytes(), (4 * offsets(lengths)).tolist()
    return pl.Series([raw[start:end] for start, end in pairwise(ends)], dtype=pl.Binary)


def _unpacked(packed: pl.Series, rows: Numbers, settings: DedupeSettings) -> tuple[Values, Numbers]:
    """The values of these rows, one row's behind the other's, and how many each has."""
    width = fixed_keys(settings)
    if width is not None and len(packed):
        matrix = packed.bin.reinterpret(dtype=pl.Array(pl.UInt32, width), endianness="little").to_numpy()
        return matrix.take(rows, axis=0).reshape(-1), np.full(len(rows), width, np.int64)
    held = packed.gather(rows).to_list()
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
