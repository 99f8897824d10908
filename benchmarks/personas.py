"""The comparison of personas as Markdown, out of a lake: `python benchmarks/personas.py data/sample/lake`.

Nothing is measured here: `twainbot run --select evals/personas` does that, and the router's asset judges the router.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables and the router's; 2 where the lake has no comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake", nargs="?", type=Path, default=Path("data/sample/lake"))
    lake = parser.parse_args(argv).lake
    part = lake / "evals" / "personas" / "part-0.parquet"
    if not part.is_file():
        print(f"{part} is not there. Run `twainbot run --select evals/personas` first.", file=sys.stderr)
        return 2
    rows = pl.read_parquet(part)
    for line in (*by_arm(rows), "", *comparisons(rows), "", *routers(lake)):
        print(line)
    return 0


def by_arm(rows: pl.DataFrame) -> Iterator[str]:
    """A row a figure, a column an arm."""
    found = rows.filter(pl.col("kind") == "metric")
    arms = found["arm"].unique(maintain_order=True).to_list()
    yield f"| figure | n | {' | '.join(arms)} |"
    yield f"|---|--:|{'--:|' * len(arms)}"
    for name in found["name"].unique(maintain_order=True).to_list():
        own = {row["arm"]: row for row in found.filter(pl.col("name") == name).to_dicts()}
        n = "/".join(dict.fromkeys(str(row["n"]) for row in own.values()))
        cells = [f"{own[arm]['value']:.3f}" if arm in own else "" for arm in arms]
        yield f"| `{name}` | {n} | {' | '.join(cells)} |"


def comparisons(rows: pl.DataFrame) -> Iterator[str]:
    """A row a verdict."""
    yield "| comparison | n | gain | 95% interval | verdict |"
    yield "|---|--:|--:|---|---|"
    for text in rows.filter(pl.col("kind") == "verdict")["payload"]:
        verdict: dict[str, Any] = json.loads(text)
        value, interval = verdict["value"], verdict["interval"]
        shown = f"{interval['low']:+.3f} to {interval['high']:+.3f}" if interval else ""
        gain = "" if value is None else f"{value:+.3f}"
        yield f"| `{verdict['gate']}` | {verdict['n']} | {gain} | {shown} | {verdict['state'].replace('_', ' ')} |"


def routers(lake: Path) -> Iterator[str]:
    """A row a set of prompts."""
    part = lake / "adapters" / "router" / "part-0.parquet"
    if part.is_file():
        yield "| prompts | right | 95% interval | always the commonest | by lot |"
        yield "|---|--:|---|--:|--:|"
        for row in pl.read_parquet(part).to_dicts():
            shares = f"{row['low']:.0%} to {row['high']:.0%} | {row['majority']:.0%} | {row['chance']:.0%}"
            yield f"| {row['prompts'].replace('_', ' ')} | {row['right']} of {row['n']} | {shares} |"


if __name__ == "__main__":
    sys.exit(main())
