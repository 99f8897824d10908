"""The offline grammar held to its bars: volume, time, memory, variety, grounding, calls, kinds, determinism.

`twainbot run --profile sample` first, then `python benchmarks/dialogues.py [--home data] [--profile sample]`: bulletins and
passages are that profile's curated ones. One process on the threads that polars takes; seconds are CPU seconds of it and
wall, memory its peak. Prints Markdown tables; ends with 1 where a bar that the grammar can reach alone is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.lines import Line, as_table  # noqa: E402
from checks import thresholds  # noqa: E402
from resources.suites import eval_texts  # noqa: E402
from twainbot.dialogues import rows, said, variety  # noqa: E402
from twainbot.dialogues.gather import gather_and_screen  # noqa: E402
from twainbot.dialogues.observations import observations  # noqa: E402
from twainbot.dialogues.quality import near_duplicates, questions, replies  # noqa: E402
from twainbot.dialogues.seeds import DialogueSettings, make_seeds  # noqa: E402
from twainbot.dialogues.talk import tool_calls  # noqa: E402
from twainbot.dialogues.tools import call_arguments, served_name  # noqa: E402
from twainbot.dialogues.transfer import style_transfer, voices  # noqa: E402
from twainbot.evals import grounding  # noqa: E402
from twainbot.evals.tool_calls import score  # noqa: E402
from twainbot.records import content_hash  # noqa: E402
from twainbot.screening import NotScored  # noqa: E402

STYLE, TOOLS, SEED = 2_000, 3_000, 1835
ASKED = {"style_transfer": 2_400, "tool_calls": 3_200}  # some fall at the gates
KIND_SHARE, NO_CALL_SHARE = 0.03, 0.20
# kinds of the brief by the scenarios that are one: a second call is one kind, by day or by place
KINDS = {
    "single turn": {"single"}, "clarifying question": {"clarify", "ambiguous"}, "second call": {"two_days", "two_places"},
    "follow-up without a call": {"follow_up", "thanks"}, "several calls at once": {"parallel"}, "small talk": {"no_tool"},
    "wrong or ambiguous place": {"unknown_place", "ambiguous"}, "tool error": {"tool_error"}, "timeout": {"timeout"},
    "stale result": {"stale"}, "missing fields": {"missing"}, "units": {"units"}, "dates from a stated today": {"dates"},
    "refusal to invent": {"refusal"}, "another tool": {"other_tool"},
}  # fmt: skip


def table(lake: Path, name: str) -> pl.DataFrame:
    """A table of the lake, all partitions."""
    found = sorted((lake / name).rglob("part-0.parquet"))
    if not found:
        sys.exit(f"{lake / name} holds no table. Run `twainbot run --profile sample` first.")
    return pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in found], how="diagonal_relaxed")


def written(passages: pl.DataFrame, bulletins: pl.DataFrame, counts: dict[str, int]) -> pl.DataFrame:
    """One batch of seeds turned into dialogues."""
    settings = DialogueSettings.model_validate({**counts, "contrastive": 0})
    seeds = make_seeds(passages, "b000", settings, SEED, observations(bulletins, passages))
    return pl.concat([style_transfer(seeds), tool_calls(seeds)], how="diagonal_relaxed")


def is_call(turn: dict[str, Any]) -> bool:
    """Whether the assistant calls a tool in this turn."""
    return bool(turn["tool_call"] and turn["tool_call"]["tool_name"])


def calling(turn: dict[str, Any]) -> dict[str, Any]:
    """A call as evaluators take it."""
    call = turn["tool_call"]
    return {"name": served_name(call["tool_name"]), "arguments": call_arguments(call)}


def called(row: dict[str, Any]) -> Iterable[Sequence[dict[str, Any]]]:
    """The calls of each assistant move, those in a row together."""
    group: list[dict[str, Any]] = []
    for turn in row["turns"]:
        if is_call(turn):
            group.append(calling(turn))
        elif group:
            yield group
            group = []


def refused_calls(kept: list[dict[str, Any]]) -> tuple[int, int]:
    """Gold calls that the BFCL-style checker refuses against the row's own tools, and all of them."""
    wrong = total = 0
    for row in kept:
        for group in called(row):
            gold = [{call["name"]: {name: [value] for name, value in call["arguments"].items()}} for call in group]
            total += len(group)
            wrong += len(group) * (not score(group, gold, json.loads(row["tools"])).strict)
    return wrong, total


def claims_without_ground(kept: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Claims contradicted or unsupported, claims judged, and replies that follow a tool result."""
    wrong = judged = answered = 0
    for row in kept:
        today: date | None = said.stated_today(row["turns"])
        for at, turn in enumerate(row["turns"]):
            results = rows.tool_results(row["turns"][:at])
            if turn["role"] != "assistant" or is_call(turn) or not results or "error" in results[-1]:
                continue
            answered += 1
            calls = [calling(before) for before in row["turns"][:at] if is_call(before)]
            claims = grounding.judge(turn["content"], results, calls=calls, today=today)
            judged += sum(claim.verdict != grounding.SKIPPED for claim in claims)
            wrong += sum(claim.verdict in grounding.ERRORS for claim in claims)
    return wrong, judged, answered


def variety_lines(name: str, texts: list[str], people: dict[int, tuple[float, float]]) -> list[Line]:
    """Distinct-3 and self-BLEU-4 beside people's, at the largest number of texts that has people's figures."""
    found = variety.against(texts, people)
    if found is None:
        return [Line(f"{name}: variety beside people's", f"not run: {len(texts)} texts")]
    bleu, distinct = found.bleu_ratio, found.distinct_ratio
    least, most = thresholds.MIN_DISTINCT_RATIO, thresholds.MAX_BLEU_RATIO
    return [
        Line(f"{name}: distinct-3 over people's, n={found.texts}", f"{distinct:.2f}", f">= {least}", distinct >= least),
        Line(f"{name}: self-BLEU-4 over people's, n={found.texts}", f"{bleu:.2f}", f"<= {most}", bleu <= most),
    ]


def share_lines(kept: list[dict[str, Any]]) -> list[Line]:
    """What part of the dialogues with tools each kind is."""
    spoken = [row for row in kept if row["kind"] in ("tool_calls", "no_tool")]
    silent = sum(not any(map(is_call, row["turns"])) for row in spoken) / len(spoken)
    shares = {name: sum(row["scenario"] in found for row in spoken) / len(spoken) for name, found in KINDS.items()}
    least = min(shares, key=lambda name: shares[name])
    listed = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    return [
        Line("no-call dialogues", f"{silent:.1%}", ">= 20 %", silent >= NO_CALL_SHARE),
        Line("the rarest kind", f"{least}, {shares[least]:.1%}", ">= 3 %", shares[least] >= KIND_SHARE),
        Line("kinds", listed),
    ]


@dataclass(frozen=True)
class Made:
    """A batch as it was written and what the gates made of it; seconds of both steps and the peak in GiB."""

    written: pl.DataFrame
    kept: list[dict[str, Any]]
    write_s: tuple[float, float]  # wall, CPU
    all_s: tuple[float, float]
    peak_gib: float

    def of(self, *, style: bool) -> list[dict[str, Any]]:
        """The kept style pieces, or all others."""
        return [row for row in self.kept if (row["kind"] == "style_transfer") == style]


def batch(passages: pl.DataFrame, bulletins: pl.DataFrame, no_transcripts: pl.DataFrame) -> Made:
    """Write and gate one batch, timed."""
    begun, spent = time.monotonic(), time.process_time()
    made = written(passages, bulletins, ASKED)
    write_s = time.monotonic() - begun, time.process_time() - spent
    judged = gather_and_screen(made, no_transcripts, passages, NotScored(), eval_texts())
    all_s = time.monotonic() - begun, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Made(made, judged.filter(pl.col("decision") == "keep").to_dicts(), write_s, all_s, peak)


def volume_lines(made: Made) -> list[Line]:
    """How many, how fast, in how much memory."""
    lines: list[Line] = []
    for what, style, least in (("style_transfer", True, STYLE), ("tool_calls", False, TOOLS)):
        kept = len(made.of(style=style))
        lines.append(
            Line(f"{what} that pass all gates", f"{kept:,} of {ASKED[what]:,}", f">= {least:,}", kept >= least)
        )
    return [
        *lines,
        Line("written", "{:.1f} s wall, {:.1f} s CPU".format(*made.write_s)),
        Line("written and gated", "{:.1f} s wall, {:.1f} s CPU".format(*made.all_s), "< 300 s", made.all_s[0] < 300),
        Line("peak memory", f"{made.peak_gib:.2f} GiB", "< 2", made.peak_gib < 2),
    ]


def truth_lines(made: Made) -> list[Line]:
    """Near-duplicates, claims, calls."""
    spoken = ["\n".join(replies(row)) for row in made.written.to_dicts()]
    repeated = len(near_duplicates(spoken)) / len(spoken)
    refused, calls = refused_calls(made.kept)
    wrong, claims, answered = claims_without_ground(made.kept)
    return [
        Line(
            "near-duplicates before the gate", f"{repeated:.2%}", "<= 2 %", repeated <= thresholds.MAX_NEAR_DUPLICATES
        ),
        Line("claims contradicted or unsupported", f"{wrong} of {claims:,} in {answered:,} replies", "0", wrong == 0),
        Line("gold calls that the checker refuses", f"{refused} of {calls:,}", "0", refused == 0),
    ]


def steady_lines(made: Made, passages: pl.DataFrame, bulletins: pl.DataFrame) -> list[Line]:
    """Whether a second writing gives the same bytes, and a smaller batch the same rows."""
    part = written(passages, bulletins, {kind: count // 4 for kind, count in ASKED.items()})
    same = content_hash(written(passages, bulletins, ASKED)) == content_hash(made.written)
    whole = made.written.filter(pl.col("conversation_id").is_in(part["conversation_id"].implode()))
    steady = content_hash(whole) == content_hash(part)
    return [
        Line("same seed, same bytes", "yes" if same else "no", "yes", same),
        Line("a batch of a quarter has the same rows", "yes" if steady else "no", "yes", steady),
    ]


def voice_lines(made: Made) -> list[Line]:
    """What share of the style pieces each persona has."""
    found = voices(pl.DataFrame(made.of(style=True)), DialogueSettings().personas)
    return [
        Line(
            f"voice of {row['persona']}",
            ", ".join(f"{name} {value}" for name, value in row.items() if name != "persona"),
        )
        for row in found
    ]


def main() -> None:
    """Write, gate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=ROOT / "data")
    parser.add_argument("--profile", default="sample")
    chosen = parser.parse_args()
    lake = chosen.home / chosen.profile / "lake"
    passages, bulletins = table(lake, "curated/passages").sort("chunk_id"), table(lake, "corpora/weather")
    made = batch(passages, bulletins, table(lake, "corpora/transcripts").head(0))
    spoken = made.of(style=False)
    asked = [text for row in spoken for text in questions(row)]
    lines = [
        *volume_lines(made),
        *truth_lines(made),
        *variety_lines("replies", ["\n".join(replies(row)) for row in made.kept], thresholds.HUMAN_REPLIES),
        *variety_lines("questions", asked, thresholds.HUMAN_QUESTIONS),
        *share_lines(made.kept),
        *steady_lines(made, passages, bulletins),
        *voice_lines(made),
    ]
    print(f"Seed {SEED}, profile {chosen.profile}: {passages.height:,} passages, {bulletins.height} bulletins.\n")
    print(as_table(lines), end="")
    sys.exit(any(line.holds is False and "people's" not in line.what for line in lines))


if __name__ == "__main__":
    main()
