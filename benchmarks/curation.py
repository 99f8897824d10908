"""Near-duplicates on real text, ours beside datasketch, rensa and daft: `python benchmarks/curation.py [--scale 8]`.

Corpus: windows of 300 words of the books in the folder that TWAINBOT_SHARED_DATA names (default ../shared/data), with
their old editions as natural near-duplicates, bulletins and jokes, and planted copies and hard negatives, all seeded.
`--scale N` adds N - 1 times the windows with their words in another order: the bytes of real text, like nothing else.
`--peers FOLDER`: where rensa and daft were installed with `pip install --no-deps --target`; one that cannot be imported
is reported as missing. Every method runs in a process of its own on one thread, from texts to edges and clusters; CPU
seconds include its imports. Truth: an exact all-pairs join that knows no hashing. Prints Markdown tables.
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
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
WINDOW, PLANTED, SHINGLE, THRESHOLD = 300, 1_000, 3, 0.7
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
    """All pairs at the threshold with their Jaccard similarity, by prefix filtering on the n-grams themselves."""
    from twainbot.dedupe.shingles import words

    number: dict[tuple[str, ...], int] = {}
    sets: list[list[int]] = []
    for text in texts:
        found = words(text)
        size = min(length, len(found))
        grams = zip(*(found[at:] for at in range(size)), strict=False)
        sets.append(list({number.setdefault(gram, len(number)) for gram in grams}))
    counts = Counter(gram for grams in sets for gram in grams)
    del number
    for grams in sets:
        grams.sort(key=lambda gram: (counts[gram], gram))
    return _joined(sets, threshold)


def _joined(sets: list[list[int]], threshold: float) -> dict[tuple[int, int], float]:
    pairs: dict[tuple[int, int], float] = {}
    index: defaultdict[int, list[int]] = defaultdict(list)
    order = sorted(range(len(sets)), key=lambda row: len(sets[row]))
    for row in order:
        grams, whole = sets[row], frozenset(sets[row])
        met: set[int] = set()
        for gram in grams[: len(grams) - int(np.ceil(threshold * len(grams))) + 1]:
            met.update(index[gram])
            index[gram].append(row)
        for other in met:
            if len(sets[other]) >= threshold * len(grams):
                shared = len(whole.intersection(sets[other]))
                jaccard = shared / (len(grams) + len(sets[other]) - shared)
                if jaccard >= threshold:
                    pairs[min(row, other), max(row, other)] = jaccard
    return pairs


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
    matrix = np.ascontiguousarray(column.flatten().to_numpy().reshape(-1, 128))
    found = [np.zeros(0, np.int64)]
    for band in range(16):
        keys = np.unique(
            np.ascontiguousarray(matrix[:, band * 8 : band * 8 + 8]).view("V32").ravel(), return_inverse=True
        )[1]
        order = np.argsort(keys, kind="stable")
        cuts = np.flatnonzero(np.diff(keys[order])) + 1
        for group in np.split(order, cuts):
            if len(group) > 1:
                a, b = np.triu_indices(len(group), 1)
                found.append(group[a] * len(texts) + group[b])
    coded = np.unique(np.concatenate(found))
    return coded // len(texts), coded % len(texts)


def _columns(pairs: list[tuple[int, int]]) -> Edges:
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


METHODS: dict[str, Callable[[list[str]], Edges]] = {
    "datasketch 2.0 bulk, 16x8, unverified": datasketch_bulk,
    "rensa 0.5 objects and LSH, 16x8, unverified": rensa_lsh,
    "daft 0.7 minhash, numpy join, 16x8, unverified": daft_minhash,
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
    """A full run, and one that adds 1 % to what is known of the rest: cost of each, and whether they are equal."""
    from twainbot.dedupe import DedupeSettings, Known, signatures, update

    chunks, settings = chunk_rows(pl.read_parquet(file)), DedupeSettings(THRESHOLD)
    old, new = chunks.head(int(chunks.height * 0.99)), chunks.tail(chunks.height - int(chunks.height * 0.99))
    stored = signatures(old, settings)
    update(stored, old, settings)[1].frame().write_parquet(file.with_name("known.parquet"))
    stored.write_parquet(file.with_name("signatures.parquet"))
    whole, full = _timed(lambda: update(signatures(chunks, settings), chunks, settings)[0])

    def add() -> pl.DataFrame:
        known = Known.of(pl.read_parquet(file.with_name("known.parquet")))
        light = [name for name in stored.columns if name != "signature"]  # those of known texts need not be read
        kept = pl.read_parquet(file.with_name("signatures.parquet"), columns=light)
        return update(pl.concat([kept, signatures(new, settings)], how="diagonal"), chunks, settings, known)[0]

    more, added = _timed(add)
    print(
        json.dumps(
            {"full": whole, "added": more, "share": more / whole, "equal": full.equals(added), "rows": new.height}
        )
    )


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


def report(file: Path, peers: Path | None, methods: Sequence[str], check_recall: bool) -> None:
    """Run all methods and print the tables."""
    rows = pl.read_parquet(file)
    size = rows["text"].str.len_bytes().sum() / 1e6
    true: dict[int, dict[tuple[int, int], float]] = {}
    if check_recall:
        wanted = {5 if "5-word" in name else SHINGLE for name in methods}
        true = {length: truth(rows["text"].to_list(), length, THRESHOLD) for length in sorted(wanted)}
        print(
            f"{rows.height:,} texts, {size:.0f} MB; pairs at {THRESHOLD}: " + str({n: len(t) for n, t in true.items()})
        )
    else:
        print(f"{rows.height:,} texts, {size:.0f} MB; truth not computed")
    lines, plants, first = [], {}, None
    for name in methods:
        cost = child(file, peers, "--method", name)
        if isinstance(cost, str):
            lines.append([name, f"not run: {cost}", *[""] * 8])
            continue
        first = first or cost["cpu"]
        found = judged(file, rows, true[5 if "5-word" in name else SHINGLE]) if check_recall else {}
        plants[name] = found.get("caught", {})
        shown = [f"{found[key]:.4f}" if found else "-" for key in ("recall", "recall_low", "precision")]
        rate = rows.height / cost["cpu"]
        lines.append([name, f"{cost['cpu']:.2f}", f"{rate:,.0f}", f"{first / cost['cpu']:.1f}", *shown,
                      str(found.get("wrong", "-")), f"{cost['peak']:.2f}", f"{cost['peak'] - cost['base']:.2f}"])  # fmt: skip
    head = [
        "method",
        "CPU s",
        "texts per CPU s",
        "times the first",
        "recall",
        "at 0.7-0.8",
        "precision",
        "hard negatives merged",
        "GB at peak",
        "GB less the input",
    ]
    print(table(head, lines))
    if check_recall:
        print(
            table(["caught", *plants], [[kind, *(f"{plants[name][kind]:.3f}" for name in plants)] for kind in PLANTS])
        )


def main() -> None:
    """Build the corpus and report, or do one step of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", help="methods whose names hold this")
    parser.add_argument("--no-truth", action="store_true", help="costs only; the all-pairs join takes a minute")
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    parser.add_argument("--incremental", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--digest", nargs=2, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.method:
        return measured(given.method, given.corpus)
    if given.incremental:
        return incremental(given.corpus)
    if given.digest:
        return digest_of(given.corpus, *given.digest)
    folder = Path(os.environ.get("TWAINBOT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"No real sources at {folder}: set TWAINBOT_SHARED_DATA.")
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "corpus.parquet"
        corpus(folder, given.scale).write_parquet(file)
        report(file, given.peers, [name for name in METHODS if (given.only or "") in name], not given.no_truth)
        print("Adding 1 %:", child(file, given.peers, "--incremental"))
        runs = [
            (str(seed), str(parts), hash_seed) for seed, parts, hash_seed in ((1, 1, "0"), (2, 7, "1"), (3, 40, "2"))
        ]
        digests = [
            child(file, given.peers, "--digest", seed, parts, hash_seed=hash_seed) for seed, parts, hash_seed in runs
        ]
        print(
            "Orders, partitions, hash seeds, processes:",
            "equal" if all(a == b for a, b in pairwise(digests)) else digests,
        )
    return None


if __name__ == "__main__":
    main()
