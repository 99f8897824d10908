"""Header and footer stripping on real books, ours beside three packages: `python benchmarks/gutenberg.py [--peers FOLDER]`.

The books are those of the folder that TWAINBOT_SHARED_DATA names (default ../shared/data); none of their text is kept.
gutenberg_truth.csv holds, per file, hashes of the first and the last eight words of the author, as a person found them by
reading. `--peers` names a folder into which the packages were installed with `pip install --no-deps --target`:
gutenbergpy 0.4.0, gutenberg-cleaner 0.1.6 (which needs nltk) and gutenberg 0.8.2. A package that cannot be imported is
reported as missing. Prints Markdown tables: a summary, and what each tool did with each file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from twainbot.corpora.boilerplate import strip_gutenberg
from twainbot.corpora.decoding import decode
from twainbot.corpora.normalize import fold

ROOT = Path(__file__).resolve().parent.parent
TRUTH = Path(__file__).with_name("gutenberg_truth.csv")
WORDS = 8  # of the author at either end
HEAD, TAIL = 20_000, 12_000  # words of an output in which they are looked for: a list of contents may stand before them
RUNS = 3
MEMORY_ROUNDS = 3
RESIDUE = re.compile(
    r"project\W+gutenb|gutenberg[\W_]?tm|gutenberg\.(?:org|net)|pglaf|pgdp|proofread|\be-?texts?\b|\be-?books?\b|small print\b"
    r"|\bftp\b|https?:|www\.|michael (?:s\. )?hart|501\(c\)|tax deductible|\blicen[sc]e agreement"
    r"|^\W*(?-i:Produced|Scanned|Transcribed|Prepared) (?:by|from) (?-i:[A-Z\"])"
    r"|^\W*(?:release|posting) date|^\W*character set encoding"
    r"|transcriber['’]?s?['’]? note",
    re.IGNORECASE,
)
Strip = Callable[[bytes, str], str]


@dataclass(frozen=True)
class Result:
    """What one tool made of one file."""

    residue: int  # lines of header, licence, credits or trademark that are left
    first: bool
    last: bool
    seconds: float
    fault: str = ""

    @property
    def clean(self) -> bool:
        """True where nothing is left that should go, and nothing is lost that should stay."""
        return not self.fault and not self.residue and self.first and self.last


def books(folder: Path) -> list[Path]:
    """Every book of the folder, old editions behind the current ones."""
    return [*sorted(folder.glob("*.txt")), *sorted((folder / "old").glob("*.txt"))]


def tools() -> tuple[dict[str, Strip], list[str]]:
    """The tools that can be imported, ours first, and a line for each that cannot."""
    found: dict[str, Strip] = {"twainbot": lambda raw, _text: strip_gutenberg(raw).text}
    missing: list[str] = []
    for name, (module, function, call) in PEERS.items():
        try:
            found[name] = partial(_peer, call, getattr(import_module(module), function))
        except ImportError as error:
            missing.append(f"{name}: missing, not measured ({error})")
    return found, missing


def _peer(call: Callable[[Any, str], str], function: Any, _raw: bytes, text: str) -> str:
    return call(function, text)


# name: module, function, and how it is called. super_cleaner without its token counts, which need nltk's data: its
# documentation offers min_token=-1.
PEERS: dict[str, tuple[str, str, Callable[[Any, str], str]]] = {
    "gutenbergpy 0.4.0": ("gutenbergpy.textget", "strip_headers", lambda strip, text: strip(text.encode()).decode()),
    "gutenberg 0.8.2": ("gutenberg.cleanup", "strip_headers", lambda strip, text: strip(text)),
    "gutenberg-cleaner 0.1.6, simple": ("gutenberg_cleaner", "simple_cleaner", lambda strip, text: strip(text)),
    "gutenberg-cleaner 0.1.6, super": (
        "gutenberg_cleaner",
        "super_cleaner",
        lambda strip, text: strip(text, min_token=-1),
    ),
}


def words_of(text: str) -> list[str]:
    """Words in the compared form: case, typography and line breaks folded away."""
    return re.findall(r"[^\W_]+", fold(text))


def digest(words: list[str]) -> str:
    """A short hash of a few words, which does not give them away."""
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


def holds(words: list[str], wanted: str) -> bool:
    """True where some run of WORDS words has the wanted hash."""
    return any(digest(words[at : at + WORDS]) == wanted for at in range(len(words) - WORDS + 1))


def judge(strip: Strip, path: Path, truth: dict[str, str]) -> Result:
    """One tool on one file: best of RUNS for the time, the last output for the rest."""
    raw = path.read_bytes()
    text = decode(raw).text
    best, out = float("inf"), ""
    for _ in range(RUNS):
        start = time.process_time()
        try:
            out = strip(raw, text)
        except Exception as error:  # whatever a peer raises is its result
            return Result(0, first=False, last=False, seconds=0.0, fault=type(error).__name__)
        best = min(best, time.process_time() - start)
    words = words_of(out)
    return Result(
        residue=sum(bool(RESIDUE.search(line)) for line in out.splitlines()),
        first=holds(words[:HEAD], truth["first"]),
        last=holds(words[-TAIL:], truth["last"]),
        seconds=best,
    )


def summary(results: dict[str, dict[str, Result]], size: int) -> list[str]:
    """One Markdown row a tool."""
    rows = [
        "| tool | clean and whole | files with residue | lines of it | first paragraph lost | last lost | failed | MB/s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for tool, files in results.items():
        done = [result for result in files.values() if not result.fault]
        seconds = sum(result.seconds for result in done)
        counts = (
            f"{sum(r.clean for r in done)} of {len(files)}",
            sum(r.residue > 0 for r in done),
            sum(r.residue for r in done),
            sum(not r.first for r in done),
            sum(not r.last for r in done),
            len(files) - len(done),
            f"{size / seconds / 1e6:.0f}" if len(done) == len(files) else "-",
        )
        rows.append(f"| {tool} | {' | '.join(map(str, counts))} |")
    return rows


def details(results: dict[str, dict[str, Result]]) -> list[str]:
    """One Markdown row a file: what each tool left or lost there, "." where it did neither."""
    names = list(results)
    rows = [f"| file | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    files = next(iter(results.values()))
    return rows + [f"| {file} | {' | '.join(_in_words(results[name][file]) for name in names)} |" for file in files]


def _in_words(result: Result) -> str:
    if result.fault:
        return result.fault
    said = [f"{result.residue} left"] if result.residue else []
    said += [f"{end} lost" for end, kept in (("first", result.first), ("last", result.last)) if not kept]
    return ", ".join(said) or "."


def memory(paths: list[Path]) -> list[str]:
    """Peak memory after each round over all books: flat where nothing is kept from one work to the next."""
    peaks: list[str] = []
    for _ in range(MEMORY_ROUNDS):
        for path in paths:
            strip_gutenberg(path.read_bytes())
        peaks.append(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return peaks


def main() -> None:
    """Run all tools on all books and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder with the other packages")
    options = parser.parse_args()
    sys.path[:] = [
        entry for entry in sys.path if Path(entry).resolve() != TRUTH.parent
    ]  # this file hides a peer's name
    if options.peers:
        sys.path.append(str(options.peers.resolve()))
    folder = Path(os.environ.get("TWAINBOT_SHARED_DATA", ROOT.parent / "shared" / "data")) / "gutenberg"
    paths = books(folder)
    if not paths:
        sys.exit(f"There are no books at {folder}. Set TWAINBOT_SHARED_DATA.")
    with TRUTH.open(encoding="utf-8", newline="") as file:
        truth = {row["file"]: row for row in csv.DictReader(file)}
    print(f"Peak memory after each of {MEMORY_ROUNDS} rounds over {len(paths)} works: {', '.join(memory(paths))}\n")
    found, missing = tools()
    results = {
        name: {path.name: judge(strip, path, truth[path.name]) for path in paths} for name, strip in found.items()
    }
    size = sum(path.stat().st_size for path in paths)
    print(*summary(results, size), "", *details(results), "", *missing, sep="\n")


if __name__ == "__main__":
    main()
