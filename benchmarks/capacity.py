"""What a chunk costs at 50,000, 200,000 and a million of them: the graph's own assets on a corpus that this script writes.

python benchmarks/capacity.py [--chunks 50000 200000 1000000] [--out FILE]     (after `make run`: it takes the base from there)

Each stage runs in a process of its own, unit by unit as `twainbot run` would: gates, data versions and metadata included.
CPU seconds are of that process after its imports; the peak is its resident memory. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    import dagster as dg
    import numpy as np
    import polars as pl

    from resources.lake import Lake

UNIT = 10_000  # chunks of a unit; a source may have 99 of them
COPIES = 0.08  # of all works: half of an earlier one in the unit, half of one of the unit before
CHANGED = 60  # words of a copy of which one is another, at least the last
COST_BAR, MEMORY_BAR = 1.3, 6.0  # times the cost of a chunk in the smallest corpus; GB
ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
TABLES = {  # stage -> its tables; {} stands for each source, whose units run one by one
    "chunks": ("chunks/{}",),
    "screening": ("screened/{}",),
    "dedupe: signatures": ("dedupe/signatures/{}",),
    "dedupe: edges": ("dedupe/edges",),
    "dedupe: clusters": ("dedupe/clusters",),
    "curated": ("curated/passages", "curated/rejects"),
    "splits": ("splits/assignments", "splits/dapt"),
}
BARRED = ("chunks", "screening", "dedupe", "splits")  # what the bar on the cost of a chunk names


@dataclass(frozen=True)
class Kind:
    """Works of one source: their share of all chunks, their words, and how many chunks one makes."""

    source: str
    style: str
    share: float
    words: tuple[int, int]
    chunks: float


# Shares by number of chunks. Lengths as in the sample corpus: bulletins of 900 characters, jokes of 165, aphorisms of 85.
KINDS = (
    Kind("gutenberg", "twain", 0.2, (60_000, 80_000), 210.0),
    Kind("weather", "weather_fact", 0.25, (90, 230), 1.0),
    Kind("jokes", "joke", 0.35, (15, 45), 1.0),
    Kind("local", "franklin", 0.2, (8, 24), 1.0),
)


# --- the corpus ------------------------------------------------------------------------------------------------------


class Writer:
    """Draws texts: words of the sample corpus by Zipf's law, and made-up ones behind them, to 60,000."""

    def __init__(self) -> None:
        import numpy as np

        self.words = np.array(vocabulary(), dtype=object)
        ranks = np.arange(len(self.words)) + 2.7
        self.cumulated = np.cumsum(ranks**-1.05) / np.sum(ranks**-1.05)

    def draw(self, random: np.random.Generator, count: int) -> list[str]:
        """So many words."""
        found: list[str] = self.words[self.cumulated.searchsorted(random.random(count))].tolist()
        return found

    def copy(self, random: np.random.Generator, words: Sequence[str]) -> list[str]:
        """The same words but one in CHANGED, and the last."""
        found = list(words)
        places = {*random.integers(0, len(found), len(found) // CHANGED).tolist(), len(found) - 1}
        for place, word in zip(sorted(places), self.draw(random, len(places)), strict=True):
            found[place] = word
        return found


def vocabulary(size: int = 60_000) -> list[str]:
    """Words, the frequent ones first."""
    import re
    from collections import Counter

    counted: Counter[str] = Counter()
    for path in sorted((ROOT / "samples").rglob("*.md")):
        counted.update(re.findall(r"[a-z]+", path.read_text(encoding="utf-8").lower()))
    known = [word for word, _ in counted.most_common()]
    first, last = (
        ("ba", "cor", "dun", "fel", "gar", "hol", "mer", "pen", "ros", "tam"),
        ("ing", "ed", "ton", "er", "ly", "ness"),
    )
    made = (
        f"{one}{two}{three}{end}" for one in first for two in first for three in (*first, "", "a", "i") for end in last
    )
    more = (f"{word}{end}" for end in last for word in known)
    return list(dict.fromkeys([*known, *made, *more]))[:size]


def prose(random: np.random.Generator, words: Sequence[str]) -> str:
    """The words as sentences of 6 to 24 words and paragraphs of 3 to 8 sentences."""
    lengths = random.integers(6, 25, len(words) // 6 + 1).tolist()
    breaks = random.integers(3, 9, len(lengths) // 3 + 1).tolist()
    parts, at, left = list[str](), 0, breaks.pop()
    for length in lengths:
        if at >= len(words):
            break
        sentence = " ".join(words[at : at + length])
        left -= 1
        parts.append(f"{sentence[0].upper()}{sentence[1:]}.{' ' if left else chr(10) * 2}")
        left, at = left or breaks.pop(), at + length
    return "".join(parts).strip()


def units(kind: Kind, chunks: int, writer: Writer) -> Iterator[tuple[str, list[str]]]:
    """Unit keys with the texts of their works. A unit holds about UNIT chunks, the last one what is left."""
    import numpy as np

    left, before, number = round(chunks * kind.share / kind.chunks), list[list[str]](), 0
    while left > 0:
        random = np.random.default_rng([1835, KINDS.index(kind), number])
        drawn = list[list[str]]()
        for row in range(min(left, max(1, round(UNIT / kind.chunks)))):
            chance = random.random()
            if chance < COPIES / 2 and row:
                drawn.append(writer.copy(random, drawn[int(random.integers(0, row))]))
            elif chance < COPIES and row < len(before):
                drawn.append(writer.copy(random, before[row]))
            else:
                drawn.append(writer.draw(random, int(random.integers(*kind.words))))
        yield f"{kind.source}-{number:02d}", [prose(random, words) for words in drawn]
        left, before, number = left - len(drawn), drawn, number + 1


def works(kind: Kind, unit: str, texts: Sequence[str]) -> pl.DataFrame:
    """Rows of records.WORK."""
    from twainbot.records import WORK, frame

    empty = dict.fromkeys(WORK)
    known = {
        "source": kind.source, "unit": unit, "author": "a script", "style": kind.style, "language": "en", "rights": "cc0",
        "license": "CC0-1.0", "rights_claim": "declared", "rights_rule": "declared", "url": unit, "edition": unit,
        "retrieved_at": "", "raw_sha256": sha256("\n".join(texts).encode()).hexdigest(), "normaliser_version": "",
        "repairs": "{}", "warnings": [], "extra": "{}",
    }  # fmt: skip
    rows = ({"work_id": f"{kind.source}/{unit}/{row:05d}", "title": f"{unit} {row}", "text": text}
            for row, text in enumerate(texts))  # fmt: skip
    return frame(({**empty, **known, **row} for row in rows), WORK)


def write_corpus(lake: Lake, instance: dg.DagsterInstance, chunks: int) -> None:
    """The works of every kind as the corpora stage would leave them, their units registered; no dialogues."""
    from twainbot import records
    from twainbot_assets.partitions import register

    writer = Writer()
    for kind in KINDS:
        written = list[str]()
        for unit, texts in units(kind, chunks, writer):
            lake.write(f"corpora/{kind.source}", unit, works(kind, unit, texts))
            written.append(unit)
        register(instance, kind.source, written)
    for table in ("dialogues/screened", "dialogues/pairs"):
        if not lake.exists(table):
            lake.write(table, None, records.empty(records.schema_of(table) or records.PREFERENCE))


# --- a stage, in a process of its own --------------------------------------------------------------------------------


def stage(name: str) -> dict[str, float]:
    """Run the assets of one stage, all units of them, and say what that took."""
    import dagster as dg

    from twainbot_assets import keys
    from twainbot_assets.definitions import defs
    from twainbot_assets.partitions import UNITS
    from twainbot_assets.runner import QUIET

    instance, job = (
        dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]),
        defs.resolve_implicit_global_asset_job_def(),
    )
    cpu, wall = time.process_time(), time.monotonic()
    for table in TABLES[name]:
        for source in [kind.source for kind in KINDS] if "{}" in table else [""]:
            partitions = instance.get_dynamic_partitions(UNITS[source].name or source) if source else [None]
            for partition in partitions:
                chosen = [keys.key(table.format(source))]
                done = job.execute_in_process(
                    instance=instance, asset_selection=chosen, partition_key=partition, run_config=QUIET,
                    raise_on_error=False,
                )  # fmt: skip
                if not done.get_asset_materialization_events():  # not `success`: no canary is planted here to be caught
                    sys.exit(f"{table.format(source)} [{partition}] was not committed.")
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall, "peak_gb": peak_gb()}


def peak_gb() -> float:
    """Resident memory at its peak; Linux counts what a child inherited into ru_maxrss, but not into VmHWM."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def prepare(chunks: int) -> dict[str, float]:
    """Write the corpus and the base's tokenizer."""
    import dagster as dg

    from resources.home import current
    from resources.lake import Lake
    from twainbot_assets import keys
    from twainbot_assets.definitions import defs
    from twainbot_assets.runner import QUIET

    instance = dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
    begun = time.monotonic()
    write_corpus(Lake(current().lake), instance, chunks)
    defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[keys.key("base/model"), keys.key("base/tokenizer")], run_config=QUIET
    )
    return {"wall_s": time.monotonic() - begun}


def totals() -> dict[str, float]:
    """What came of it, off the lake."""
    import polars as pl

    from resources.home import current
    from resources.lake import Lake

    lake = Lake(current().lake)
    cut = pl.concat([lake.scan_all(f"chunks/{kind.source}").select("text", "token_count") for kind in KINDS])
    found = cut.select(
        pl.len(), pl.col("token_count").sum(), pl.col("text").str.len_bytes().sum().alias("bytes")
    ).collect()
    count, tokens, size = found.row(0)
    counted = {table: lake.scan(table).select(pl.len()).collect().item() for table in
               ("dedupe/edges", "curated/passages", "splits/assignments")}  # fmt: skip
    clusters = lake.scan("dedupe/clusters").select(pl.col("cluster_id").n_unique()).collect().item()
    return {"chunks": count, "tokens": tokens, "bytes": size, "clusters": clusters, **counted}


# --- the report ------------------------------------------------------------------------------------------------------


def child(home: Path, *words: str) -> dict[str, float]:
    """This script with these words, in a home of its own; the JSON that it prints last."""
    dropped = ("DAGSTER_HOME", "DAGSTER_STATE_DIR", "DAGSTER_LOG_DIR", "TWAINBOT_LAKE", "MLFLOW_TRACKING_URI")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    own = {"TWAINBOT_HOME": str(home), "TWAINBOT_PROFILE": "sample", "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, __file__, *words],
        env={**kept, **ONE_THREAD, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        sys.exit(f"{' '.join(words)} ended with {ran.returncode}:\n{ran.stdout[-1500:]}\n{ran.stderr[-3000:]}")
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def measured(chunks: int, models: Path) -> dict[str, Any]:
    """One corpus through all stages."""
    with tempfile.TemporaryDirectory(prefix="twainbot-capacity-") as folder:
        home = Path(folder)
        (home / "sample" / "dagster" / "logs").mkdir(parents=True)
        if models.is_dir():
            (home / "models").symlink_to(models.resolve())
        said("corpus", chunks, child(home, "--prepare", str(chunks)))
        costs = {}
        for name in TABLES:
            costs[name] = child(home, "--stage", name)
            said(name, chunks, costs[name])
        found = {"asked": chunks, "costs": costs, **child(home, "--totals")}
    said("done", chunks, {key: value for key, value in found.items() if key != "costs"})
    return found


def said(what: str, chunks: int, figures: dict[str, float]) -> None:
    """A line for whoever waits."""
    shown = ", ".join(f"{name} {value:,.2f}" for name, value in figures.items())
    print(f"{time.strftime('%H:%M:%S')} {chunks:,}: {what}: {shown}", file=sys.stderr, flush=True)


def rows_of(runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row per stage and corpus, and one per corpus for what the bar names."""
    least, rows = runs[0], []
    for name in [*TABLES, "all that the bar names"]:
        for run in runs:
            cpu, first = spent(run, name, "cpu_s"), spent(least, name, "cpu_s") / least["chunks"]
            each, wall = cpu / run["chunks"], spent(run, name, "wall_s")
            peak = max(run["costs"][part]["peak_gb"] for part in parts(name))
            rows.append([
                name, f"{run['chunks']:,}", f"{cpu:,.1f}", f"{wall:,.1f}", f"{run['chunks'] / cpu:,.0f}", f"{each * 1e3:.3f}",
                f"{cpu / run['tokens'] * 1e6:.2f}", f"{peak:.2f}", f"{each / first:.2f}",
            ])  # fmt: skip
    return rows


def parts(name: str) -> list[str]:
    """The stages of a row."""
    return [name] if name in TABLES else [stage for stage in TABLES if stage.startswith(BARRED)]


def spent(run: dict[str, Any], name: str, unit: str) -> float:
    """Seconds of a row."""
    return sum(run["costs"][part][unit] for part in parts(name))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def report(runs: Sequence[dict[str, Any]]) -> str:
    """The tables, and the bars."""
    head = ["stage", "chunks", "CPU s", "wall s", "chunks per CPU s", "CPU s per 1k chunks", "CPU s per 1M tokens",
            "GB at peak", "cost of a chunk over that of the smallest"]  # fmt: skip
    corpora = [[f"{run['chunks']:,}", f"{run['tokens']:,}", f"{run['bytes'] / 1e6:,.0f}", *(f"{run[name]:,}" for name in
                ("dedupe/edges", "clusters", "curated/passages", "splits/assignments"))] for run in runs]  # fmt: skip
    ratio = float(rows_of(runs)[-1][-1])
    peak = max(cost["peak_gb"] for run in runs for cost in run["costs"].values())
    bars = [["cost of a chunk, largest corpus over smallest", f"{COST_BAR}", f"{ratio:.2f}"],
            ["GB at peak", f"{MEMORY_BAR:g}", f"{peak:.2f}"]]  # fmt: skip
    return "\n\n".join([
        table(["chunks", "tokens", "MB", "edges", "clusters", "passages", "assigned"], corpora),
        table(head, rows_of(runs)), table(["what", "bar", "measured"], bars),
    ])  # fmt: skip


def main() -> None:
    """Measure and print, or do one step of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--models", type=Path, default=Path(os.environ.get("TWAINBOT_HOME", ROOT / "data")) / "models")
    parser.add_argument("--out", type=Path, help="also write the tables here")
    for hidden in ("--prepare", "--stage"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--totals", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare or given.stage or given.totals:
        from resources.home import current, export

        export(current())
        steps = prepare(int(given.prepare)) if given.prepare else stage(given.stage) if given.stage else totals()
        return print(json.dumps(steps))
    text = report([measured(chunks, given.models) for chunks in sorted(given.chunks)])
    print(text)
    if given.out:
        given.out.write_text(f"{text}\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
