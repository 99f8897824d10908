"""Near-duplicates on real text, ours beside datasketch, rensa, daft, text-dedup and datatrove.

    python benchmarks/curation.py [--peers FOLDER] [--small] [--whole-truth]

Corpus: windows of 300 words of the books in the folder that TWAINBOT_SHARED_DATA names (default ../shared/data), with
their old editions as natural near-duplicates, bulletins and jokes, and planted copies and hard negatives, all seeded.
The large one adds seven times the windows with their words in another order: the bytes of real text, like nothing else.
`--small` leaves it out; `--whole-truth` finds its truth, too (some minutes). `--peers FOLDER`: where the peers were
installed with `pip install --no-deps --target`; one that cannot be imported is reported as missing. Every method runs in
a process of its own on one thread, from texts to edges and clusters; CPU seconds include its imports. Truth: an exact
all-pairs join that knows no hashing. Prints Markdown tables, the bars last.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
WINDOW, PLANTED, SHINGLE, THRESHOLD = 300, 1_000, 3, 0.7
LARGE = 8  # times the windows; 74,000 texts
BOILERPLATE = (
    "This text was made available by volunteers for readers everywhere. You may copy it, give it away or use it again "
    "under the terms that came with it. Please report errors to the editors of the series, who will correct them."
)
OCR = {"e": "c", "l": "1", "o": "0", "i": "j", "h": "b", "n": "u", "s": "5", "t": "f", "a": "o", "m": "rn"}
ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
Edges = tuple[np.ndarray, np.ndarray]
WORD = re.compile(r"[^\W_]+")


# --- the corpus ------------------------------------------------------------------------------------------------------


def books(folder: Path) -> Iterator[list[str]]:
    """The words, with punctuation, of every book and old edition."""
    from twainbot.corpora.boilerplate import strip_gutenberg

    for path in [*sorted(folder.glob("gutenberg/*.txt")), *sorted(folder.glob("gutenberg/old/*.txt"))]:
        yield strip_gutenberg(path.read_bytes()).text.split(" ")


def short_items(folder: Path) -> Iterator[str]:
    """Bulletins and jokes, each whole."""
    for path in sorted(folder.glob("nws/products/*.txt")):
        yield path.read_bytes().decode("latin-1")
    for name in ("one_liner_joke_clean", "official_joke_api", "taivop_stupidstuff_sample"):
        for row in json.loads((folder / "jokes" / f"{name}.json").read_text()):
            yield row.get("body") or f"{row['setup']} {row['punchline']}"


def corpus(folder: Path, scale: int) -> pl.DataFrame:
    """Rows of (text, kind, of): kind is base or that of a plant, of the row number that a plant was made from."""
    rng = random.Random(4)
    read = list(books(folder))
    spans = [(book, at) for book, words in enumerate(read) for at in range(0, len(words), WINDOW)]
    texts = [" ".join(read[book][at : at + WINDOW]) for book, at in spans]
    rows = [(text, "base", -1) for text in [*texts, *short_items(folder)]]
    for _ in range(scale - 1):
        for text in texts:
            words = text.split(" ")
            rng.shuffle(words)
            rows.append((" ".join(words), "base", -1))
    long = [row for row, text in enumerate(texts) if text.count(" ") == WINDOW - 1]
    for kind, plant in PLANTS.items():
        for of in rng.sample(long, min(PLANTED, len(long))):
            book, at = spans[of]
            rows.append((plant(rng, texts[of], read[book], at, texts[rng.choice(long)]), kind, of))
    order = list(range(len(rows)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    shuffled = [(rows[old][0], rows[old][1], place.get(rows[old][2], -1)) for old in order]
    return pl.DataFrame(shuffled, schema={"text": pl.String, "kind": pl.String, "of": pl.Int64}, orient="row")


def edited(share: float) -> Callable[..., str]:
    """A plant with this share of the words replaced, dropped or doubled by another."""

    def plant(rng: random.Random, text: str, book: list[str], *_: object) -> str:
        made: list[str] = []
        for word in text.split(" "):
            chance = rng.random()
            if chance >= share:
                made.append(word)
            elif chance < share * 2 / 3:
                made += [rng.choice(book)] if chance < share / 3 else [word, rng.choice(book)]
        return " ".join(made)

    return plant


def misread(share: float) -> Callable[..., str]:
    """A plant with this share of some letters read as others."""

    def plant(rng: random.Random, text: str, *_: object) -> str:
        return "".join(OCR[letter] if letter in OCR and rng.random() < share else letter for letter in text)

    return plant


def shifted(share: float) -> Callable[..., str]:
    """A plant that begins this share of a window later in the book."""

    def plant(_: random.Random, __: str, book: list[str], at: int, ___: str) -> str:
        return " ".join(book[at + int(share * WINDOW) : at + int(share * WINDOW) + WINDOW])

    return plant


PLANTS: dict[str, Callable[..., str]] = {
    "exact": lambda _rng, text, *_: text,
    "case, marks, spaces": lambda _rng, text, *_: re.sub(r"[,;.]", " ! ", text.upper()).replace(" ", "  \n"),
    "boilerplate before": lambda _rng, text, *_: f"{BOILERPLATE}\n\n{text}",
    "edit 2 %": edited(0.02),
    "edit 5 %": edited(0.05),
    "edit 10 %": edited(0.10),
    "OCR 1 %": misread(0.01),
    "OCR 4 %": misread(0.04),
    "shift 10 %": shifted(0.10),
    "negative: shift 50 %": shifted(0.50),
    "negative: edit 40 %": edited(0.40),
    "negative: half and half": lambda _rng, text, _b, _a, other: f"{text[: len(text) // 2]} {other[len(other) // 2 :]}",
}


# --- the truth -------------------------------------------------------------------------------------------------------


def truth(texts: Sequence[str], length: int, threshold: float) -> dict[tuple[int, int], float]:
    """All pairs at the threshold with their Jaccard similarity, by prefix filtering on the n-grams themselves.

    n-grams are numbered, not hashed: two have one number exactly where they are of the same words.
    """
    rows, grams = numbered(texts, length)
    counts = np.bincount(grams)
    rank = np.empty(len(counts), np.int64)  # rarest first
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    packed = np.sort((rows << 32) | rank[grams])
    rows, ranks = packed >> 32, packed & 0xFFFFFFFF
    sizes = np.bincount(rows, minlength=len(texts))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    place = np.arange(len(rows)) - starts[rows]
    joined = (place <= sizes[rows] - np.ceil(threshold * sizes[rows])) & (np.sort(counts)[ranks] > 1)
    pairs: dict[tuple[int, int], float] = {}
    for a, b in zip(*met(ranks[joined], rows[joined], sizes, threshold), strict=True):
        one, other = ranks[starts[a] : starts[a + 1]], ranks[starts[b] : starts[b + 1]]
        shared = len(np.intersect1d(one, other, assume_unique=True))
        jaccard = shared / (len(one) + len(other) - shared)
        if jaccard >= threshold:
            pairs[a, b] = jaccard
    return pairs


def numbered(texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    """The row and the number of every n-gram of every text, each once a text; a shorter text is one n-gram."""
    from twainbot.dedupe.shingles import words

    number: dict[str, int] = {}
    short: dict[tuple[str, ...], int] = {}
    rows, found, lone = [], [], []
    for row, text in enumerate(texts):
        said = words(text)
        if 0 < len(said) < length:
            lone.append((row, short.setdefault(tuple(said), len(short))))
        elif said:
            found.append(np.fromiter((number.setdefault(word, len(number)) for word in said), np.int64, len(said)))
            rows.append(row)
    each = np.repeat(np.array(rows, np.int64), [len(ids) - length + 1 for ids in found])
    codes = np.concatenate([ids[: len(ids) - length + 1] for ids in found])
    for at in range(1, length):
        following = np.concatenate([ids[at : len(ids) - length + 1 + at] for ids in found])
        codes = np.unique(codes * len(number) + following, return_inverse=True)[1]
    codes += len(short)
    each = np.concatenate([each, np.array([row for row, _ in lone], np.int64)])
    codes = np.concatenate([codes, np.array([code for _, code in lone], np.int64)])
    packed = np.unique((each << 32) | codes)
    return packed >> 32, packed & 0xFFFFFFFF


def met(grams: np.ndarray, rows: np.ndarray, sizes: np.ndarray, threshold: float) -> tuple[list[int], list[int]]:
    """Distinct pairs of rows, a < b, that share one of these n-grams and whose sizes do not rule them out."""
    order = np.argsort(grams, kind="stable")
    grams, rows = grams[order], rows[order]
    found = np.zeros(0, np.int64)
    for reach in range(1, int(np.bincount(grams).max(initial=1))):  # each row with the one `reach` places behind
        a, b = rows[:-reach], rows[reach:]
        same = (grams[:-reach] == grams[reach:]) & (a != b)
        less, more = np.minimum(sizes[a], sizes[b]), np.maximum(sizes[a], sizes[b])
        same &= less >= threshold * more
        a, b = a[same], b[same]
        found = np.union1d(found, np.minimum(a, b) << 32 | np.maximum(a, b))
        crowded = np.flatnonzero(np.bincount(grams) > reach + 1)
        kept = np.isin(grams, crowded)
        grams, rows = grams[kept], rows[kept]
    return (found >> 32).tolist(), (found & 0xFFFFFFFF).tolist()


# --- the methods: texts in, edges out --------------------------------------------------------------------------------


def ours(engine: str, shingle: int = SHINGLE) -> Callable[[list[str]], Edges]:
    """Verified edges under one of our engines."""

    def run(texts: list[str]) -> Edges:
        from twainbot.dedupe import near_duplicates

        pairs = near_duplicates(texts, THRESHOLD, engine=engine, shingle=shingle)
        return pairs["a"].to_numpy(), pairs["b"].to_numpy()

    return run


def shingled(texts: list[str]) -> Iterator[set[str]]:
    """Word n-grams as a peer's user makes them; a cheaper normal form than ours, in the peers' favour."""
    for text in texts:
        words = WORD.findall(text.lower())
        yield {" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}


def datasketch_bulk(texts: list[str]) -> Edges:
    """datasketch 2.0 at its fastest: bulk, affine32, xxh32, an insertion session, 16 x 8."""
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    encoded = ([gram.encode() for gram in grams] for grams in shingled(texts))
    made = MinHash.bulk(encoded, num_perm=128, hashfunc=xxh32_intdigest, scheme="affine32")
    index = MinHashLSH(num_perm=128, params=(16, 8))
    with index.insertion_session() as session:
        for row, minhash in enumerate(made):
            session.insert(row, minhash)
    pairs = [(row, other) for row, minhash in enumerate(made) for other in index.query(minhash) if row < other]
    return _columns(pairs)


def rensa_lsh(texts: list[str]) -> Edges:
    """rensa's objects and index, 16 x 8."""
    import rensa

    made = rensa.RMinHash.from_token_sets((list(grams) for grams in shingled(texts)), 128, 42)
    index = rensa.RMinHashLSH(0.7, 128, 16)
    index.insert_many(made)
    pairs = [(row, other) for row, met in enumerate(index.query_all(made)) for other in met if row < other]
    return _columns(pairs)


def daft_minhash(texts: list[str]) -> Edges:
    """daft's MinHash expression over normalised text, bands joined by sorting, 16 x 8."""
    import daft
    from daft.functions import minhash

    normal = [" ".join(WORD.findall(text.lower())) for text in texts]
    made = daft.from_pydict({"text": normal}).select(
        minhash(daft.col("text"), num_hashes=128, ngram_size=SHINGLE, seed=42, hash_function="xxhash3_64")
    )
    column = made.to_arrow().column(0).combine_chunks()
    return _joined_bands(column.flatten().to_numpy().reshape(-1, 128))


def text_dedup_minhash(texts: list[str]) -> Edges:
    """text-dedup's own signatures and its stars of each bucket, 16 x 8; without the datasets layer around them."""
    from text_dedup.minhash import embed_func
    from text_dedup.utils import xxh3_32hash

    most, prime = np.uint32((1 << 32) - 1), np.uint32((1 << 32) - 5)
    drawn = np.random.RandomState(42)
    permutations = (
        drawn.randint(1, prime, size=(128,), dtype=np.uint32),
        drawn.randint(0, prime, size=(128,), dtype=np.uint32),
    )
    tables: list[defaultdict[bytes, list[int]]] = [defaultdict(list) for _ in range(16)]
    for row, text in enumerate(texts):
        made = embed_func(
            " ".join(WORD.findall(text.lower())), row, num_perm=128, ngram_size=SHINGLE, min_length=0,
            hashranges=[(at, at + 8) for at in range(0, 128, 8)], permutations=permutations, hash_func=xxh3_32hash,
            dtype=np.uint32, max_hash=most, modulo_prime=prime,
        )  # fmt: skip
        for table, key in zip(tables, made["__signatures__"], strict=True):
            table[key].append(row)
    return _columns(list({(met[0], row) for table in tables for met in table.values() for row in met[1:]}))


def datatrove_minhash(texts: list[str]) -> Edges:
    """datatrove's own signatures, bands joined by sorting, 16 x 8; words cut by str.split, in its favour: spaCy is slow."""
    from datatrove.pipeline.dedup import minhash
    from datatrove.utils.hashing import HashConfig

    class Split:
        """In the place of spaCy's tokenizer, which takes 97 % of the time."""

        word_tokenize = staticmethod(str.split)

    minhash.load_word_tokenizer = lambda _language: Split()
    config = minhash.MinhashConfig(
        n_grams=SHINGLE, num_buckets=16, hashes_per_bucket=8, hash_config=HashConfig(hash_fc="sha1")
    )  # with xxhash 4 its default hash fails on str
    with tempfile.TemporaryDirectory() as folder:
        step = minhash.MinhashDedupSignature(folder, config)
        made = np.zeros((len(texts), 128), np.uint64)
        for row, text in enumerate(texts):
            shingles = step.get_shingles(text)
            made[row] = np.concatenate(step.get_signature(shingles)) if len(shingles) else row
    return _joined_bands(made)


def _joined_bands(matrix: np.ndarray) -> Edges:
    """All pairs of each bucket of 16 bands of 8 values."""
    found = [np.zeros(0, np.int64)]
    for band in range(16):
        columns = np.ascontiguousarray(matrix[:, band * 8 : band * 8 + 8])
        keys = np.unique(columns.view(f"V{columns.itemsize * 8}").ravel(), return_inverse=True)[1]
        order = np.argsort(keys, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            if len(group) > 1:
                a, b = np.triu_indices(len(group), 1)
                found.append(group[a] * len(matrix) + group[b])
    coded = np.unique(np.concatenate(found))
    return coded // len(matrix), coded % len(matrix)


def _columns(pairs: list[tuple[int, int]]) -> Edges:
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


METHODS: dict[str, Callable[[list[str]], Edges]] = {
    "datasketch 2.0 bulk, 16x8, unverified": datasketch_bulk,
    "rensa 0.5 objects and LSH, 16x8, unverified": rensa_lsh,
    "daft 0.7 minhash, numpy join, 16x8, unverified": daft_minhash,
    "text-dedup 0.4 signatures and stars, 16x8, unverified": text_dedup_minhash,
    "datatrove 0.10 signatures, str.split, numpy join, 16x8, unverified": datatrove_minhash,
    "ours, minhash, verified": ours("minhash"),
    "ours, fracminhash, verified": ours("fracminhash"),
    "ours, simhash, verified": ours("simhash"),
    "datasketch as our engine, verified": ours("datasketch"),
    "ours, minhash, 5-word n-grams": ours("minhash", 5),
}


def measured(name: str, file: Path) -> None:
    """Run one method in this process; write its edges and labels beside the corpus, print what it cost."""
    texts = pl.read_parquet(file)["text"].to_list()
    base, start = _memory(), time.process_time()
    a, b = METHODS[name](texts)
    labels = _labels(len(texts), a, b)
    cpu = time.process_time() - start
    np.savez(file.with_name("made.npz"), a=a, b=b, labels=np.array(labels, np.int64))
    print(json.dumps({"cpu": cpu, "base": base, "peak": _memory()}))


def _labels(count: int, a: np.ndarray, b: np.ndarray) -> list[int]:
    from twainbot.dedupe import cluster

    return cluster(count, pl.DataFrame({"a": a, "b": b}, schema={"a": pl.Int64, "b": pl.Int64}))


def _memory() -> float:
    """GB at peak. Linux counts what a child inherited into ru_maxrss, but not into VmHWM."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


# --- incremental, order, partitions ----------------------------------------------------------------------------------


def chunk_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """The corpus as chunks, each a work of its own."""
    ids = [f"w{row:07d}:0-1" for row in range(rows.height)]
    return pl.DataFrame({"chunk_id": ids, "work_id": ids, "text": rows["text"]}).with_columns(start=0, end=1)


def incremental(file: Path) -> None:
    """A full run, and one that adds 1 % to what is known of the rest: cost of each, and whether they are equal.

    Both sign what is new to them, store that, read all keys, and store what is known for the next run.
    """
    from twainbot.dedupe import DedupeSettings, Known, signatures, to_join, update

    chunks, settings = chunk_rows(pl.read_parquet(file)), DedupeSettings(THRESHOLD)
    old, new = chunks.head(int(chunks.height * 0.99)), chunks.tail(chunks.height - int(chunks.height * 0.99))

    def run(rows: pl.DataFrame, known: bool, parts: Sequence[str], of: pl.DataFrame) -> pl.DataFrame:
        signatures(rows, settings).write_parquet(file.with_name(f"{parts[-1]}.sig"))
        held = Known.of(pl.read_parquet(file.with_name("known.sig"))) if known else None
        signed = pl.concat([pl.scan_parquet(file.with_name(f"{part}.sig")) for part in parts])
        made, found = update(to_join(signed, settings), of, settings, held)
        found.frame().write_parquet(file.with_name("known.sig"))
        return made

    whole, full = _timed(lambda: run(chunks, False, ["all"], chunks))
    spent = []
    for _ in range(3):
        run(old, False, ["old"], old)
        more, added = _timed(lambda: run(new, True, ["old", "new"], chunks))
        spent.append(more)
    more = sorted(spent)[1]
    found = {"full": whole, "added": more, "share": more / whole, "equal": full.equals(added), "rows": new.height}
    print(json.dumps(found))


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    made = run()
    return time.process_time() - start, made


def digest_of(file: Path, seed: int, parts: int) -> None:
    """A hash of edges and clusters, the rows in an order by `seed` and signed in `parts` partitions."""
    import hashlib

    from twainbot.dedupe import DedupeSettings, clusters, edges, signatures

    settings = DedupeSettings(THRESHOLD)
    chunks = chunk_rows(pl.read_parquet(file)).sample(fraction=1, shuffle=True, seed=seed)
    step = -(-chunks.height // parts)
    signed = pl.concat([signatures(chunks[at : at + step], settings) for at in range(0, chunks.height, step)])
    made = edges(signed.sample(fraction=1, shuffle=True, seed=seed + 1), chunks, settings)
    named = clusters(chunks.with_columns(source=pl.lit("x"), copyright_status=pl.lit("cc0"), token_count=1), made)
    print(json.dumps([hashlib.sha256(rows.write_csv().encode()).hexdigest()[:16] for rows in (made, named)]))


# --- memory and bad input --------------------------------------------------------------------------------------------

TEMPLATE = (
    "the office at station {} reports that rain fell over all of the county from early morning until late at night"
)
INPUTS: dict[str, Callable[[], list[str]]] = {
    "a million texts of 18 words, 1 % of them near copies": lambda: short_texts(1_000_000),
    "a million identical texts": lambda: ["It rained on the river."] * 1_000_000,
    "a template with one word changed, 100,000 times": lambda: [TEMPLATE.format(row) for row in range(100_000)],
    "two lines of 112 MB, one word apart": lambda: long_lines(),
}


def short_texts(count: int) -> list[str]:
    """Texts of 18 of 50,000 words, seeded; every hundredth is the one before it less its last word (J = 15/16)."""
    drawn = np.random.default_rng(3).integers(0, 50_000, (count, 18))
    texts = [" ".join(f"w{word}" for word in row) for row in drawn.tolist()]
    return [texts[row - 1].rpartition(" ")[0] if row % 100 == 99 else text for row, text in enumerate(texts)]


def long_lines() -> list[str]:
    """Two texts of 112 MB."""
    line = " ".join(f"w{number}" for number in np.random.default_rng(4).integers(0, 1_000_000, 14_300_000).tolist())
    return [line, f"{line} more"]


def hostile(name: str) -> None:
    """Run ours on one of INPUTS in this process; print what it cost and found."""
    from twainbot.dedupe import cluster, near_duplicates

    texts = INPUTS[name]()
    base = _memory()
    cpu, pairs = _timed(lambda: near_duplicates(texts, THRESHOLD))
    more, labels = _timed(lambda: cluster(len(texts), pairs))
    found = {"cpu": cpu + more, "base": base, "peak": _memory(), "edges": pairs.height, "clusters": len(set(labels))}
    print(json.dumps(found))


# --- the report ------------------------------------------------------------------------------------------------------


def child(file: Path, peers: Path | None, *arguments: str, hash_seed: str = "0") -> dict[str, Any] | str:
    """The JSON that this script prints in a process of its own, or the last line of what went wrong."""
    path = os.pathsep.join(map(str, [ROOT, *([peers] if peers else [])]))
    env = {**os.environ, **ONE_THREAD, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
    ran = subprocess.run(
        [sys.executable, __file__, "--corpus", str(file), *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        return (ran.stderr.strip().splitlines() or ["no message"])[-1]
    return json.loads(ran.stdout.splitlines()[-1])


def judged(file: Path, rows: pl.DataFrame, true: dict[tuple[int, int], float]) -> dict[str, Any]:
    """Recall, precision and the plants of the edges and labels that a method left."""
    made = np.load(file.with_name("made.npz"))
    labels = made["labels"]
    pairs = list(zip(made["a"].tolist(), made["b"].tolist(), strict=True))
    same = [labels[a] == labels[b] for a, b in true]
    edge = [labels[a] == labels[b] for (a, b), jaccard in true.items() if jaccard < 0.8]
    right = sum(pair in true for pair in pairs)
    plants = rows.with_row_index("row").filter(pl.col("of") >= 0)
    caught = {
        kind[0]: float(np.mean(labels[group["row"].to_numpy()] == labels[group["of"].to_numpy()]))
        for kind, group in plants.group_by("kind", maintain_order=True)
    }
    whole = np.array(_labels(rows.height, *_columns(list(true))))
    negative = plants.filter(pl.col("kind").str.starts_with("negative"))
    a, b = negative["row"].to_numpy(), negative["of"].to_numpy()
    return {
        "wrong": int(np.count_nonzero((labels[a] == labels[b]) & (whole[a] != whole[b]))),
        "recall": float(np.mean(same)),
        "recall_low": float(np.mean(edge)),
        "precision": right / max(1, len(pairs)),
        "edges": len(pairs),
        "caught": caught,
    }


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def report(file: Path, peers: Path | None, methods: Sequence[str], check_recall: bool) -> dict[str, dict[str, Any]]:
    """Run all methods, print the tables, and return what each cost and found."""
    rows = pl.read_parquet(file)
    size = rows["text"].str.len_bytes().sum() / 1e6
    true: dict[int, dict[tuple[int, int], float]] = {}
    if check_recall:
        wanted = {5 if "5-word" in name else SHINGLE for name in methods}
        true = {length: truth(rows["text"].to_list(), length, THRESHOLD) for length in sorted(wanted)}
    found = {n: len(pairs) for n, pairs in true.items()}
    print(f"\n{rows.height:,} texts, {size:.0f} MB; pairs at {THRESHOLD}: {found or 'not counted'}\n")
    costs: dict[str, dict[str, Any]] = {}
    lines: list[list[str]] = []
    for name in methods:
        cost = child(file, peers, "--method", name)
        if isinstance(cost, str):
            lines.append([name, f"not run: {cost}", *[""] * 8])
            continue
        costs[name] = cost | (judged(file, rows, true[5 if "5-word" in name else SHINGLE]) if check_recall else {})
        costs[name]["times"] = next(iter(costs.values()))["cpu"] / cost["cpu"]
        lines.append(line_of(name, costs[name], rows.height))
    head = ["method", "CPU s", "texts per CPU s", "times the first", "recall", "at 0.7-0.8", "precision",
            "hard negatives merged", "GB at peak", "of that, input"]  # fmt: skip
    print(table(head, lines))
    if check_recall:
        caught = [[kind, *(f"{cost['caught'][kind]:.3f}" for cost in costs.values())] for kind in PLANTS]
        print("\n" + table(["caught", *costs], caught))
    return costs


def line_of(name: str, cost: dict[str, Any], count: int) -> list[str]:
    """A method's row of the table."""
    shown = [f"{cost[key]:.4f}" if key in cost else "-" for key in ("recall", "recall_low", "precision")]
    spent = [f"{cost['cpu']:.2f}", f"{count / cost['cpu']:,.0f}", f"{cost['times']:.1f}"]
    return [name, *spent, *shown, str(cost.get("wrong", "-")), f"{cost['peak']:.2f}", f"{cost['base']:.2f}"]


def bars(file: Path, peers: Path | None, costs: dict[str, dict[str, Any]]) -> list[list[str]]:
    """The bars, with what was measured on one corpus."""
    count = pl.scan_parquet(file).select(pl.len()).collect().item()
    own = costs.get("ours, minhash, verified")
    rows = []
    if own:
        rows.append([f"texts per CPU second against datasketch bulk, {count:,} texts", "5", f"{own['times']:.1f}"])
        rows.append([f"GB at peak, {count:,} texts", "1.2 at 74,000", f"{own['peak']:.2f}"])
        if "recall" in own:
            rows.append(["recall, precision", "0.999, 1.000", f"{own['recall']:.4f}, {own['precision']:.4f}"])
            rows.append(["hard negatives merged", "0", str(own["wrong"])])
    more = child(file, peers, "--incremental")
    said = more if isinstance(more, str) else f"{more['share']:.1%}, {more['added']:.2f} of {more['full']:.2f} CPU s"
    equal = "" if isinstance(more, str) else "; equal to a full run" if more["equal"] else "; NOT equal to a full run"
    rows.append([f"adding 1 % to {count:,} texts", "5 % of a full run", f"{said}{equal}"])
    runs = [("1", "1", "0"), ("2", "7", "1"), ("3", "40", "2")]
    digests = [child(file, peers, "--digest", seed, parts, hash_seed=hash_seed) for seed, parts, hash_seed in runs]
    same = "equal" if all(a == b for a, b in pairwise(digests)) else str(digests)
    rows.append([f"bytes of other orders, partitions, hash seeds and processes, {count:,} texts", "equal", same])
    return rows


def inputs(file: Path, peers: Path | None) -> list[list[str]]:
    """Rows on memory and bad input."""
    rows = []
    for name in INPUTS:
        cost = child(file, peers, "--input", name)
        if isinstance(cost, str):
            rows.append([name, f"not run: {cost}", *[""] * 4])
        else:
            spent = [f"{cost['cpu']:.1f}", f"{cost['peak']:.2f}", f"{cost['base']:.2f}"]
            rows.append([name, *spent, f"{cost['edges']:,}", f"{cost['clusters']:,}"])
    return rows


def main() -> None:
    """Build the corpora and report, or do one step of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", help="methods whose names hold this")
    parser.add_argument("--small", action="store_true", help="the small corpus only, and no rows on memory")
    parser.add_argument("--whole-truth", action="store_true", help="the truth of the large corpus, too")
    for hidden in ("--corpus", "--method", "--input"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--incremental", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--digest", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.corpus:
        return step(given, Path(given.corpus))
    folder = Path(os.environ.get("TWAINBOT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"No real sources at {folder}: set TWAINBOT_SHARED_DATA.")
    methods = [name for name in METHODS if (given.only or "") in name]
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "corpus.parquet"
        rows: list[list[str]] = []
        for scale in (1,) if given.small else (1, LARGE):
            corpus(folder, scale).write_parquet(file)
            rows += bars(file, given.peers, report(file, given.peers, methods, scale == 1 or given.whole_truth))
        if not given.small:
            head = ["input", "CPU s", "GB at peak", "of that, input", "edges", "clusters"]
            print("\n" + table(head, inputs(file, given.peers)))
        print("\n" + table(["what", "bar", "measured"], rows))
    return None


def step(given: argparse.Namespace, file: Path) -> None:
    """What one child does."""
    if given.method:
        measured(given.method, file)
    elif given.input:
        hostile(given.input)
    elif given.digest:
        digest_of(file, *given.digest)
    else:
        incremental(file)


if __name__ == "__main__":
    main()
