"""What the UI shows of dialogues: counts, rejects, variety beside people's, ten to read, the prompts behind them. Cost and
answers of a language model are writing.py's; handing tables over is publish.py's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from checks import thresholds
from resources.home import PROJECT
from twainbot.markdown import code, plain
from twainbot_assets.publish import bars, counts_table

if TYPE_CHECKING:
    import polars as pl

    from twainbot.dialogues.variety import Variety

Row: TypeAlias = Mapping[str, Any]

SHOWN = 10  # dialogues to read
RESULT_CHARACTERS = 260  # of a tool result
PROMPTS = "twainbot/dialogues/prompts.yaml"  # the system prompts of the personas


def written_report(rows: pl.DataFrame) -> dict[str, Any]:
    """Metadata of one batch: counts per kind and scenario, variety with a plot, ten dialogues, prompts."""
    replies, questions = _spoken(rows)
    return {
        "by_kind_and_scenario": counts_table(counts(rows, "kind", "scenario")),
        "by_persona": counts_table(counts(rows.with_columns(persona=_personas(rows)), "persona")),
        **_variety_report(replies, questions),
        "ten_to_read": dg.MetadataValue.md(to_read(rows)),
        "prompts": dg.MetadataValue.md(prompt_list(rows)),
    }


def screened_report(rows: pl.DataFrame) -> dict[str, Any]:
    """Metadata of all batches together: decisions per batch and kind, rejects per reason with a plot, variety, ten kept."""
    import polars as pl

    kept = rows.filter(pl.col("decision") == "keep")
    refused = reject_reasons(rows)
    batch = pl.col("conversation_id").str.extract(r"^(b\d+)/").fill_null("transcripts")
    replies, questions = _spoken(kept)
    return {
        "by_batch": counts_table(counts(rows.with_columns(batch=batch), "batch", "kind", "decision")),
        "kept_by_kind_and_scenario": counts_table(counts(kept, "kind", "scenario")),
        "rejects_per_reason": counts_table(
            [{"reason": reason, "dialogues": count} for reason, count in refused.items()]
        ),
        "rejects_plot": bars({reason: float(n) for reason, n in refused.items()}, "Rejects per reason")
        if refused
        else "nothing rejected",
        **_variety_report(replies, questions),
        "ten_to_read": dg.MetadataValue.md(to_read(kept)),
        "prompts": dg.MetadataValue.md(prompt_list(rows)),
    }


def counts(rows: pl.DataFrame, *columns: str) -> list[dict[str, Any]]:
    """Rows per combination of the columns with their share, in the columns' order."""
    import polars as pl

    counted = rows.group_by(*columns).agg(dialogues=pl.len()).sort(*columns)
    return [{**row, "share": f"{row['dialogues'] / rows.height:.1%}"} for row in counted.to_dicts()]


def reject_reasons(rows: pl.DataFrame) -> dict[str, int]:
    """Kind of reason to the number of rejected dialogues that have it, the most frequent first."""
    listed = rows.filter(rows["decision"] == "reject")["reasons"].to_list()
    counted = Counter(kind for reasons in listed for kind in {reason.partition(":")[0] for reason in reasons or []})
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _personas(rows: pl.DataFrame) -> pl.Series:
    import polars as pl

    from twainbot.dialogues.prompts import persona_of

    return pl.Series([persona_of(tags or []) for tags in rows["style_tags"].to_list()], dtype=pl.String)


def _spoken(rows: pl.DataFrame) -> tuple[list[str], list[str]]:
    """All replies and questions; empty turns left out."""
    from twainbot.dialogues.quality import questions, replies

    listed = rows.to_dicts()
    said = [reply for row in listed for reply in replies(row) if reply.strip()]
    return said, [text for row in listed for text in questions(row)]


# --- variety -------------------------------------------------------------------------------------------------------------


def _variety_report(replies: Sequence[str], questions: Sequence[str]) -> dict[str, Any]:
    from twainbot.dialogues.variety import measure

    if not replies:
        return {}
    compared = _against_people(replies, questions)
    return {
        "variety": counts_table(_figures(measure(replies))),
        "variety_against_people": counts_table(compared) if compared else "too few to compare",
        "variety_plot": bars(_side_by_side(compared), "Variety beside people's") if compared else "too few to compare",
    }


def _side_by_side(compared: Sequence[Row]) -> dict[str, float]:
    """Ours and people's figure in turn."""
    found: dict[str, float] = {}
    for row in compared:
        found |= {row["what"]: float(row["ours"]), f"{row['what']}, people": float(row["people"])}
    return found


def _figures(found: Variety) -> list[dict[str, Any]]:
    spread = "not run: no static embedding" if found.spread is None else f"{found.spread:.3f}"
    return [
        {"figure": "replies", "value": str(found.texts)},
        {"figure": "words", "value": str(found.words)},
        *(
            {"figure": f"distinct-{size}", "value": f"{getattr(found, f'distinct_{size}'):.3f}"}
            for size in (1, 2, 3)
        ),
        {"figure": "self-BLEU-4", "value": f"{found.self_bleu_4:.3f}"},
        {"figure": "embedding spread", "value": spread},
    ]  # fmt: skip


def _against_people(replies: Sequence[str], questions: Sequence[str]) -> list[dict[str, Any]]:
    from twainbot.dialogues.variety import against

    rows: list[dict[str, Any]] = []
    for name, texts, people in (
        ("replies", replies, thresholds.HUMAN_REPLIES),
        ("questions", questions, thresholds.HUMAN_QUESTIONS),
    ):
        found = against(texts, people)
        if found is not None:
            distinct_3, self_bleu_4 = people[found.texts]
            rows += [
                {"what": f"{name}: distinct-3", "texts": found.texts, "ours": f"{found.distinct_3:.3f}",
                 "people": distinct_3, "ratio": f"{found.distinct_ratio:.2f}", "bar": f">= {thresholds.MIN_DISTINCT_RATIO}"},
                {"what": f"{name}: self-BLEU-4", "texts": found.texts, "ours": f"{found.self_bleu_4:.3f}",
                 "people": self_bleu_4, "ratio": f"{found.bleu_ratio:.2f}", "bar": f"<= {thresholds.MAX_BLEU_RATIO}"},
            ]  # fmt: skip
    return rows


# --- to read -------------------------------------------------------------------------------------------------------------


def to_read(rows: pl.DataFrame, count: int = SHOWN) -> str:
    """Dialogues as Markdown: one of each scenario in turn, by id, until there are `count`."""
    return "\n\n---\n\n".join(as_markdown(row) for row in spread(rows.to_dicts(), count)) or "no dialogues"


def spread(rows: Iterable[Row], count: int) -> list[Row]:
    """`count` rows, the first of each scenario, then the second of each, and so on."""
    ordered = sorted(rows, key=lambda row: (row["kind"], row["scenario"] or "", row["conversation_id"]))
    places: Counter[tuple[str, str | None]] = Counter()
    ranked: list[tuple[int, int, Row]] = []
    for at, row in enumerate(ordered):
        group = (row["kind"], row["scenario"])
        ranked.append((places[group], at, row))
        places[group] += 1
    return [row for _, _, row in sorted(ranked, key=lambda item: item[:2])[:count]]


def as_markdown(row: Row) -> str:
    """One dialogue: a heading, what wrote it, then a paragraph per turn; calls as code, tool results in short."""
    tags = ", ".join(row["style_tags"] or [])
    head = f"#### {code(row['conversation_id'])}\n\n*{plain(row['kind'])}: {plain(tags)}*"
    return "\n\n".join([head, *(_turn(turn) for turn in row["turns"] if turn["role"] != "system")])


def _turn(turn: Row) -> str:
    call, said = turn["tool_call"], plain(turn["content"] or "")
    if call is not None and call["tool_name"]:
        return f"**Assistant calls** {code(_as_call(call))}" + (f" {said}" if said else "")
    if turn["role"] == "tool":
        return f"**Tool** {code(_in_short(turn['content'] or ''))}"
    return f"**{turn['role'].capitalize()}:** {said}"


def _as_call(call: Row) -> str:
    from twainbot.dialogues.tools import call_arguments
    from twainbot.errors import BadInput

    try:
        arguments = call_arguments(call)
    except BadInput:
        return f"{call['tool_name']}({call['arguments']})"
    given = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return f"{call['tool_name']}({', '.join(given)})"


def _in_short(content: str) -> str:
    """A JSON object as `key value`, separated by dots; long ones are cut."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    text = " · ".join(_fields(value)) if isinstance(value, dict) else " ".join(content.split())
    return text if len(text) <= RESULT_CHARACTERS else f"{text[:RESULT_CHARACTERS]}…"


def _fields(value: Row) -> Iterator[str]:
    for name, item in value.items():
        bare = isinstance(item, (str, int, float)) and not isinstance(item, bool)
        yield f"{name} {item if bare else json.dumps(item, ensure_ascii=False)}"


def prompt_list(rows: pl.DataFrame) -> str:
    """The prompts behind the rows, by name and hash, with the dialogues that each has, and where their files lie."""
    counted: Counter[tuple[str, str]] = Counter()
    for origin in rows["origin"].to_list():
        told = json.loads(origin or "{}")
        counted[str(told.get("prompt") or "system prompt"), str(told.get("prompt_hash") or "none")] += 1
    lines = [f"- {plain(name)} {code(digest)}: {count} dialogues" for (name, digest), count in sorted(counted.items())]
    return "\n".join([*lines, "", f"[{PROMPTS}]({(PROJECT / PROMPTS).as_uri()})"])
