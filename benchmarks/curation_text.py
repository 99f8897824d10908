"""Chunking, tagging and screening beside peers, in CPU seconds: python benchmarks/curation_text.py TOKENIZER_JSON [FOLDER]

FOLDER holds plain texts (*.txt; without it the sample corpus is read). Peers that are not installed are left out and named.
One core: the tokenizers library is held to one thread. CPU seconds on a busy machine grow with what runs beside, so each
peer runs in the same process, and ratios are what counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

os.environ.update({"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"})
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import polars as pl
from tokenizers import Tokenizer

from twainbot.chunks import Chunker
from twainbot.chunks.cues import CueReader
from twainbot.chunks.tags import tag, tags_of
from twainbot.screening import NotScored, ScreeningSettings, screen

SIZE, OVERLAP = 512, 64
ROUNDS = 3  # the best is taken: what runs beside can only slow one down
Result = TypeVar("Result")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", help="a tokenizer.json")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent / "samples" / "local"
    )
    given = parser.parse_args()
    tokenizer, folder = Tokenizer.from_file(given.tokenizer), given.folder
    texts = [file.read_text("utf-8", "replace") for file in sorted([*folder.glob("*.txt"), *folder.glob("*.md")])]
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts)} texts, {size:.1f} MB, load {os.getloadavg()[0]:.1f}")
    found = chunking(tokenizer, texts, size)
    tagging(found)
    screening(found)


def chunking(tokenizer: Tokenizer, texts: list[str], size: float) -> pl.DataFrame:
    """MB per CPU-second, and whether the counts are the same."""
    peer, encodings = cpu(lambda: tokenizer.encode_batch(texts, add_special_tokens=False), 1)
    whole = sum(map(len, encodings))
    del encodings
    print("\n| chunking | MB per CPU-second | against the peer |\n|---|---|---|")
    print(f"| tokenizers `encode_batch` with offsets | {size / peer:.2f} | 1.0 |")
    kept = Chunker(tokenizer, SIZE, OVERLAP)
    once, windows = cpu(lambda: [kept.windows(text) for text in texts], 1)
    print(f"| ours, no word met before | {size / once:.2f} | {peer / once:.1f} |")
    again, _ = cpu(lambda: [kept.windows(text) for text in texts], ROUNDS)
    print(f"| ours, every word met before | {size / again:.2f} | {peer / again:.1f} |")
    found = [chunk for listed in windows for chunk in listed]
    exact = map(len, tokenizer.encode_batch([chunk.text for chunk in found], add_special_tokens=False))
    wrong = sum(count != chunk.token_count for count, chunk in zip(exact, found, strict=True))
    print(f"\n{len(found)} windows over {whole} tokens; {wrong} counts differ from the peer's.")
    rows = [
        {"chunk_id": f"t:{number}", "work_id": "t", "text": chunk.text, "style": "twain", "copyright_status": "cc0"}
        for number, chunk in enumerate(found)
    ]
    return pl.DataFrame(rows)


def tagging(chunks: pl.DataFrame) -> None:
    """Chunks per CPU-second, one by one and all at once; the tags are the same."""
    texts, styles = chunks["text"].to_list(), chunks["style"].to_list()
    alone, one_by_one = cpu(lambda: list(map(tag, texts, styles)), 1)
    once, together = cpu(lambda: tags_of(texts, styles, CueReader()), ROUNDS)
    print("\n| tagging | chunks per CPU-second |\n|---|---|")
    print(
        f"| one by one | {chunks.height / alone:,.0f} |\n| together, no word met before | {chunks.height / once:,.0f} |"
    )
    print(f"\n{sum(a != b for a, b in zip(one_by_one, together, strict=True))} chunks are tagged otherwise.")


def screening(chunks: pl.DataFrame) -> None:
    """Chunks per CPU-second without a neural model, beside a bare loop that shows how fast the core is just now."""
    loop, _ = cpu(lambda: sum(range(10_000_000)), ROUNDS)
    spent, _ = cpu(lambda: screen(chunks, NotScored(), ScreeningSettings()), ROUNDS)
    print("\n| screening | chunks per CPU-second |\n|---|---|")
    print(f"| ours: lexicon, quality rules, language | {chunks.height / spent:,.0f} |")
    for name, check in peers():
        part = chunks.head(50)["text"].to_list()
        took, _ = cpu(lambda check=check, part=part: list(map(check, part)), 1)
        print(f"| {name} | {len(part) / took:,.0f} |")
    print(f"\nsum(range(10 M)) takes {loop:.2f} CPU seconds here.")


def peers() -> list[tuple[str, Callable[[str], object]]]:
    """Profanity checkers that are installed; none of them knows quality rules or languages."""
    try:
        from better_profanity import profanity
    except ImportError:
        print("\nbetter-profanity is not installed: left out.")
        return []
    return [("better-profanity, profanity alone", profanity.contains_profanity)]


def cpu(work: Callable[[], Result], rounds: int) -> tuple[float, Result]:
    """CPU seconds of the quickest of so many rounds, and the last result."""
    spent = []
    for _ in range(rounds):
        before = time.process_time()
        result = work()
        spent.append(time.process_time() - before)
    return min(spent), result


if __name__ == "__main__":
    main()
