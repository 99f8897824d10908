"""From the tables of `splits/` to token rows. Rendering is render.py's, packing packing.py's, refusing preflight.py's.

The data folder of a stage holds dapt.parquet, sft.parquet or preferences.parquet; what their columns mean stands in
twainbot/records.py. Nothing is cut silently: a dialogue too long for the row is left out and counted.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from tokenizers import Tokenizer

from training.config import Dapt, Sft, Stage, Weights
from training.render import IGNORED, Template, render
from twainbot import records
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadInput
from twainbot.evals.call_parsing import parse_calls

OPENING = "opening"  # column of chosen dialogues: whether only the opening is read
TABLES = {
    "dapt": ("dapt.parquet", records.DAPT_ROW),
    "sft": ("sft.parquet", records.SFT_ROW),
    "preference": ("preferences.parquet", records.PREFERENCE_ROW),
}


@dataclass(frozen=True)
class TokenRow:
    """One document or dialogue as tokens. labels: as long as ids, IGNORED where no loss is taken.

    stem: leading tokens without loss that other rows may begin with too, as dialogues do with system prompt and tools.
    """

    ids: list[int]
    labels: list[int]
    stem: int = 0
    cut: bool = False  # ends within a turn, so its end of turn is not trained

    @property
    def trained(self) -> int:
        """Tokens on which loss is taken. The first token of a row is predicted from nothing, so it never counts."""
        return sum(label != IGNORED for label in self.labels[1:])


@dataclass(frozen=True)
class PairRow:
    """A prompt with its chosen and its rejected reply; loss is taken on the replies."""

    chosen: TokenRow
    rejected: TokenRow
    other: TokenRow | None = None  # the same prompt with the chosen reply to another one

    @property
    def sides(self) -> tuple[TokenRow, ...]:
        """All that there are, chosen first."""
        return (self.chosen, self.rejected, *([self.other] if self.other else []))


@dataclass(frozen=True)
class Loaded:
    """Rows of one split, and the sample ids that were too long for a row, in order of the table."""

    rows: list[Any]  # TokenRow or PairRow
    too_long: list[str] = field(default_factory=list)

    @property
    def whole(self) -> list[TokenRow]:
        """The rows that no recipe cut."""
        return [row for row in self.rows if not row.cut]

    @property
    def too_long_share(self) -> float:
        """0..1 of all samples read."""
        total = len(self.rows) + len(self.too_long)
        return len(self.too_long) / total if total else 0.0


def read_table(stage: str, data_dir: Path) -> pl.DataFrame:
    """A stage's table, columns checked, ordered by sample id. Raises BadInput where it is missing or malformed."""
    name, schema = TABLES[stage]
    path = data_dir / name
    if not path.is_file():
        raise BadInput(f"{data_dir} holds no {name}. Materialize splits/ first, or point --data at its folder.")
    return records.conform(pl.read_parquet(path), schema, name).sort("sample_id")


def of_split(table: pl.DataFrame, split: str) -> pl.DataFrame:
    """The rows of `train`, `validation` or `test`."""
    return table.filter(pl.col("split") == split)


def held_out(table: pl.DataFrame, seed: int, limit: int | None, settings: Stage | None = None) -> pl.DataFrame:
    """Validation rows, drawn by hash: `limit` of them, or all; none of a name whose weight in the settings is 0."""
    rows = draw(of_split(table, "validation"), seed)
    for column, shares in (settings.shares if settings else {}).items():
        never = [name for name, share in shares.items() if share == 0]
        rows = rows.filter(~pl.col(column).is_in(never).fill_null(False))
    return rows if limit is None else rows.head(limit)


def choose_passages(table: pl.DataFrame, seed: int, settings: Dapt) -> pl.DataFrame:
    """The passages that their styles' shares let pass, each by its own hash, in drawn order."""
    shares = [settings.styles.get(style, 1.0) for style in table["style"]]
    return draw(_passing(table, seed, shares), seed)


def passages(table: pl.DataFrame, tokenizer: Tokenizer, length: int) -> Loaded:
    """Passages as token rows of at most `length` tokens; a longer passage becomes several rows, nothing is lost."""
    rows: list[TokenRow] = []
    for text in table["text"]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
        rows += [TokenRow(piece, piece) for piece in pieces if len(piece) > 1]
    return Loaded(rows)


def dialogues(
    table: pl.DataFrame, tokenizer: Tokenizer, template: Template, length: int, opening_tokens: int | None = None
) -> Loaded:
    """Dialogues as token rows; one longer than `length` tokens is left out and named, since a cut loses its ending.

    Only of openings the words, not a call, end after `opening_tokens`.
    """
    loaded = Loaded([])
    opening_of = functools.cache(functools.partial(_system_turn, tokenizer, template))
    for row in table.iter_rows(named=True):
        messages = _messages(row, "messages")
        ids, labels = render(messages, _tools(row), tokenizer, template)
        end = _end(labels, opening_tokens if row.get(OPENING) and not _calls(row) else None)
        if end > length:
            loaded.too_long.append(row["sample_id"])
        else:
            first = messages[0] if messages else {"role": None}
            opening = opening_of(first["content"], row.get("tools")) if first["role"] == "system" else []
            stem = len(opening) if ids[: len(opening)] == opening else 0
            loaded.rows.append(TokenRow(ids[:end], labels[:end], stem, cut=end < len(ids)))
    return loaded


def _end(labels: list[int], tokens: int | None) -> int:
    """Where a row ends: an opening's words after so many tokens, for the first of them tells that they are no call."""
    first = next((place for place, label in enumerate(labels) if label != IGNORED), len(labels))
    return len(labels) if tokens is None else min(len(labels), first + tokens)


def _calls(row: dict[str, Any]) -> bool:
    return '"tool_calls"' in row["messages"]


def _system_turn(tokenizer: Tokenizer, template: Template, system: str, tools: str | None) -> list[int]:
    """Tokens of the system turn, which other dialogues share."""
    turn = {"role": "system", "content": system}
    return render([turn], _tools({"tools": tools}), tokenizer, template)[0]


def pairs(table: pl.DataFrame, tokenizer: Tokenizer, template: Template, length: int, sides: int = 2) -> Loaded:
    """Preference pairs as token rows; a pair with a side longer than `length` tokens is left out and named.

    A third side is the chosen reply of the row after, that of the first row for the last one.
    """
    loaded = Loaded([])
    others = [*table["chosen"][1:], *table["chosen"][:1]]
    for row, other in zip(table.iter_rows(named=True), others, strict=True):
        replies = (row["chosen"], row["rejected"], other)[:sides]
        rendered = [_completed(row, reply, tokenizer, template) for reply in replies]
        if max(len(side.ids) for side in rendered) > length:
            loaded.too_long.append(row["sample_id"])
        else:
            loaded.rows.append(PairRow(*rendered))
    return loaded


def _completed(row: dict[str, Any], reply: str, tokenizer: Tokenizer, template: Template) -> TokenRow:
    """Prompt and reply as one row whose only trained tokens are the reply's."""
    prompt = _messages(row, "prompt")
    tools = _prompt_tools(row)
    ids, labels = render([*prompt, _as_message(reply)], tools, tokenizer, template)
    start = len(render(prompt, tools, tokenizer, template, add_generation_prompt=True)[0])
    return TokenRow(ids, [IGNORED] * start + labels[start:])


def _as_message(reply: str) -> dict[str, Any]:
    """A reply as a message: one that is a tool call becomes one, so that it is written as the template writes calls."""
    calls, faults = parse_calls(reply)
    if not calls or faults:
        return {"role": "assistant", "content": reply}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": c} for c in calls]}


def choose_dialogues(
    table: pl.DataFrame, seed: int, max_rows: int | None, no_call_share: float | None, weights: Weights | None = None
) -> pl.DataFrame:
    """At most `max_rows` dialogues, of which `no_call_share` hold no tool call; drawn by hash, so edits move few rows.

    `weights` thins the dialogues first. The wanted share is reached by leaving out rows of the fuller side, never by
    repeating rows.
    """
    drawn = draw(thinned(table, seed, weights), seed)
    if no_call_share is not None:
        calls = drawn.filter(pl.col("messages").str.contains('"tool_calls"', literal=True))
        plain = drawn.filter(~pl.col("messages").str.contains('"tool_calls"', literal=True))
        total = _largest_total(calls.height, plain.height, no_call_share, max_rows)
        wanted_plain = round(total * no_call_share)
        drawn = draw(pl.concat([calls.head(total - wanted_plain), plain.head(wanted_plain)]), seed)
    return drawn if max_rows is None else drawn.head(max_rows)


def choose_for_sft(table: pl.DataFrame, seed: int, settings: Sft) -> pl.DataFrame:
    """What fine-tuning reads of the train dialogues: some whole, and of further ones the openings, in drawn order.

    Under a common system prompt an opening costs a question and a call (packing.py), which is where a small model that
    has few steps learns when to call. Each dialogue is read once at most.
    """
    whole = choose_dialogues(table, seed, settings.max_rows, settings.no_call_share, settings.weights)
    if not settings.openings:
        return whole
    others = table.filter(~pl.col("sample_id").is_in(whole["sample_id"].to_list()))
    more = choose_dialogues(others, seed, settings.openings, settings.openings_no_call_share, settings.weights)
    more = more.with_columns(opening(more["messages"]), pl.lit(True).alias(OPENING))
    return draw(pl.concat([whole.with_columns(pl.lit(False).alias(OPENING)), more]), seed)


def opening(messages: pl.Series) -> pl.Series:
    """Dialogues, as JSON, up to the end of their first assistant turn."""
    return pl.Series("messages", [_opening(text) for text in messages], dtype=pl.String)


def _opening(text: str) -> str:
    turns = json.loads(text)
    end = next((place for place, turn in enumerate(turns, 1) if turn["role"] == "assistant"), len(turns))
    return json.dumps(turns[:end], ensure_ascii=False)


def thinned(table: pl.DataFrame, seed: int, weights: Weights | None) -> pl.DataFrame:
    """The dialogues that their weights let pass: of those of weight w a share of w, each by its own hash.

    So a weight changed moves only the dialogues that it names. Raises BadInput on a name that no dialogue has, which
    would be a weight of nothing.
    """
    if weights is None or not any(weights.names.values()):
        return table
    for column, names in weights.names.items():
        if unknown := sorted(names - set(table[column].drop_nulls())):
            known = ", ".join(sorted(table[column].drop_nulls().unique()))
            raise BadInput(
                f"sft.weights.{column} names {unknown}, and the dialogues have: {known}. Correct the recipe."
            )
    return _passing(table, seed, [weights.of(*names) for names in table.select(*weights.names).iter_rows()])


def _passing(table: pl.DataFrame, seed: int, shares: Sequence[float]) -> pl.DataFrame:
    """Of the rows of one share about so many, each by its own hash: a share changed moves only the rows that have it."""
    chances = [_chance(f"{seed}:weight:{sample}") for sample in table["sample_id"]]
    passes = [chance < share for chance, share in zip(chances, shares, strict=True)]
    return table.filter(pl.Series(passes, dtype=pl.Boolean))


def _chance(text: str) -> float:
    """0 <= x < 1, from the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


@dataclass(frozen=True)
class Seen:
    """What a training reads of one persona, kind or scenario in one pass: dialogues, tokens, tokens with loss, and its
    share of the latter (0..1)."""

    by: str
    name: str
    dialogues: int
    tokens: int
    trained_tokens: int
    share: float


def seen(chosen: pl.DataFrame, loaded: Loaded) -> list[Seen]:
    """What is left of the chosen dialogues after rendering, by kind, persona, scenario, call or no call, whole or opening.

    `loaded`: of `dialogues(chosen, ...)`, whose rows are the chosen ones in order less those that were too long.
    """
    read = chosen.filter(~pl.col("sample_id").is_in(loaded.too_long))
    counted = read.with_columns(
        pl.Series("tokens", [len(row.ids) for row in loaded.rows], dtype=pl.Int64),
        pl.Series("trained_tokens", [row.trained for row in loaded.rows], dtype=pl.Int64),
        pl.when(pl.col("messages").str.contains('"tool_calls"', literal=True))
        .then(pl.lit("call"))
        .otherwise(pl.lit("no call"))
        .alias("call"),
        pl.when(pl.col(OPENING) if OPENING in read.columns else False)
        .then(pl.lit("opening"))
        .otherwise(pl.lit("whole"))
        .alias("read"),
    )
    total = max(1, int(counted["trained_tokens"].sum()))
    return [
        Seen(column, row[column] or "none", row["dialogues"], row["tokens"], row["trained"], row["trained"] / total)
        for column in ("kind", "call", "read", "persona", "scenario")
        for row in counted.group_by(column)
        .agg(dialogues=pl.len(), tokens=pl.col("tokens").sum(), trained=pl.col("trained_tokens").sum())
        .sort(column)
        .iter_rows(named=True)
    ]


def draw(table: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The rows in an order that looks random, depends on seed and sample ids only, and is the same everywhere."""
    keys = [hashlib.sha256(f"{seed}:{sample}".encode()).hexdigest() for sample in table["sample_id"]]
    return table.with_columns(pl.Series("_key", keys, dtype=pl.String)).sort("_key").drop("_key")


def _largest_total(calls: int, plain: int, share: float, limit: int | None) -> int:
    """The most rows with that share of plain ones: 60 calls and 10 plain at 0.2 give 50, of them 10 plain."""
    bounds = [calls + plain] if limit is None else [calls + plain, limit]
    if share > 0:
        bounds.append(int(plain / share))
    if share < 1:
        bounds.append(int(calls / (1 - share)))
    return min(bounds)


def _messages(row: dict[str, Any], column: str) -> list[dict[str, Any]]:
    messages = _json_list(row, column)
    nulls = [call for message in messages for call in message.get("tool_calls") or [] if _has_null(call)]
    if nulls:
        raise BadInput(
            f"Sample {row['sample_id']!r} has a null argument in a tool call: {json.dumps(nulls[0])[:120]}. "
            "Arguments that a call does not use must be absent; rebuild the table from JSON text, not from structs."
        )
    return messages


def _tools(row: dict[str, Any]) -> list[dict[str, Any]]:
    return _json_list(row, "tools") if row.get("tools") else []


def _prompt_tools(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The pair's own tools where the table names them; else the house's, which every dialogue here is offered."""
    return _tools(row) if row.get("tools") else TOOLS


def _json_list(row: dict[str, Any], column: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(row[column])
    except (TypeError, ValueError, RecursionError) as error:
        found = f"Sample {row['sample_id']!r}: column {column} is no JSON ({error})"
        raise BadInput(f"{found}. Rematerialize splits/.") from error
    if not isinstance(value, list):
        raise BadInput(f"Sample {row['sample_id']!r}: column {column} must be a JSON list. Rematerialize splits/.")
    return value


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_null(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_null(item) for item in value)
    return value is None
