"""The grounding judge against hand-labelled replies: python benchmarks/judge.py [development] [heldout] [--misses]

False positives are faithful replies in which the judge finds an error, recall is the share of faulty replies in which it
finds one. The development set is for tuning. The held-out set was committed by hash before it was scored; whoever mends
the judge after looking at its misses has spent it, and must write a new one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from twainbot.evals.grounding import ERRORS, Claim, judge
from twainbot.evals.statistics import clopper_pearson, rogan_gladen, upper_bound

FOLDER = Path(__file__).resolve().parent.parent / "samples" / "evals" / "judge"
SETS = {  # the files of each set
    "development": ("development", "development_more"),
    "heldout": ("heldout",),
    "development_third": ("development_third",),
    "second_heldout": ("second_heldout",),
}
CALL = "weather_api.get_forecast"


@dataclass(frozen=True)
class Judged:
    """A labelled reply and what the judge made of it. `kind`: the planted fault, or the form of a faithful reply."""

    id: str
    reply: str
    faulty: bool
    kind: str
    claims: tuple[Claim, ...]

    @property
    def flagged(self) -> bool:
        """Whether the judge calls the reply an error."""
        return any(claim.verdict in ERRORS for claim in self.claims)


def main(arguments: Sequence[str]) -> int:
    """Print the table of a set, and with --misses every reply that was judged wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=" or ".join(SETS))
    parser.add_argument("--misses", action="store_true", help="print every reply that was judged wrongly")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.sets if name not in SETS]:
        print(f"There is no set {unknown[0]!r}; there are {' and '.join(SETS)}.", file=sys.stderr)
        return 2
    for name in given.sets or SETS:
        found = judged(name)
        print("\n".join(table(name, found)))
        if given.misses:
            print("\n".join(misses(found)))
    return 0


def labelled(name: str) -> list[dict[str, Any]]:
    """Every reply of a set with its label, as it was written down."""
    files = [(FOLDER / f"{file}.jsonl").read_text("utf-8") for file in SETS[name]]
    return [json.loads(line) for text in files for line in text.splitlines()]


def judged(name: str) -> list[Judged]:
    """Every reply of a set beside the judge's claims."""
    contexts = yaml.safe_load((FOLDER / f"{name}_contexts.yaml").read_text("utf-8"))
    return [
        Judged(
            row["id"],
            row["reply"],
            row["label"] == "faulty",
            row.get("fault") or row["form"],
            tuple(claims(row["reply"], contexts[row["context"]])),
        )
        for row in labelled(name)
    ]


def claims(reply: str, context: dict[str, Any]) -> list[Claim]:
    """The judge's claims of one reply."""
    calls = [{"name": CALL, "arguments": arguments} for arguments in context.get("calls", ())]
    today = date.fromisoformat(context["today"]) if "today" in context else None
    return judge(reply, context["results"], calls=calls, today=today)


def table(name: str, found: Sequence[Judged]) -> list[str]:
    """Markdown: the two rates, the correction that they give, and both by kind."""
    faithful = [one for one in found if not one.faulty]
    faulty = [one for one in found if one.faulty]
    wrong, caught = sum(one.flagged for one in faithful), sum(one.flagged for one in faulty)
    covered = sum(any(claim.verdict != "skipped" for claim in one.claims) for one in faithful)
    lines = [
        f"{name}: {len(faithful)} faithful and {len(faulty)} faulty replies",
        "",
        "| measure | value |",
        "|---|---|",
        f"| false positives | {_rate(wrong, len(faithful))}; at most {upper_bound(wrong, len(faithful)):.1%} |",
        f"| recall | {_rate(caught, len(faulty))} |",
        f"| faithful replies with a judged claim | {_rate(covered, len(faithful))} |",
        "",
        "| observed error rate | corrected |",
        "|---|---|",
    ]
    fpr, recall = wrong / len(faithful), caught / len(faulty)
    lines += [f"| {seen:.0%} | {rogan_gladen(seen, fpr, recall):.1%} |" for seen in (0.02, 0.05, 0.10, 0.20)]
    lines += ["", "| planted fault | caught |", "|---|---|", *_by_kind(faulty)]
    return [*lines, "", "| form of a faithful reply | called an error |", "|---|---|", *_by_kind(faithful), ""]


def misses(found: Sequence[Judged]) -> list[str]:
    """Each reply that was judged wrongly, with the claims that decided it."""
    return [
        f"{one.id} {'MISSED' if one.faulty else 'FALSE POSITIVE'} {one.kind}: {one.reply}\n    "
        + "; ".join(
            f"{c.kind} {c.text!r} {c.verdict} ({c.reason})" for c in one.claims if one.faulty or c.verdict in ERRORS
        )
        for one in found
        if one.flagged != one.faulty
    ]


def _by_kind(rows: Sequence[Judged]) -> list[str]:
    sizes = Counter(one.kind for one in rows)
    flagged = Counter(one.kind for one in rows if one.flagged)
    return [f"| {kind} | {_rate(flagged[kind], size)} |" for kind, size in sorted(sizes.items())]


def _rate(k: int, n: int) -> str:
    low, high = clopper_pearson(k, n).low, clopper_pearson(k, n).high
    return f"{k} of {n}, {k / n:.1%} ({low:.1%} to {high:.1%})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
