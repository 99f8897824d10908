"""The corpora as a whole: what became of every unit, and which rights stand behind which uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from twainbot.corpora.rights import USES
from twainbot.records import AUDIT, RIGHTS_LINE

URLS = 3  # of a unit's documents in the audit; the works' rows have them all


def audit(
    works: pl.DataFrame, registered: Mapping[str, list[str]], not_taken: Mapping[str, Mapping[str, str]]
) -> pl.DataFrame:
    """One row per registered unit and per thing that was not taken, sorted by source and unit.

    `works`: all rows of stage corpora; `registered`: source to unit keys; `not_taken`: source to what and why.
    """
    rows = [_unit_row(source, unit, part) for (source, unit), part in _by_unit(works).items()]
    known = {(row["source"], row["unit"]) for row in rows}
    missing = ((source, unit) for source, units in registered.items() for unit in units if (source, unit) not in known)
    rows += [_bare_row(source, unit, "no good version", "see its last run") for source, unit in missing]
    rows += [
        _bare_row(source, what, "not taken", why)
        for source, reasons in not_taken.items()
        for what, why in reasons.items()
    ]
    return pl.DataFrame(rows, schema=dict(AUDIT)).sort("source", "unit", "state")


def _by_unit(works: pl.DataFrame) -> dict[tuple[str, str], pl.DataFrame]:
    parts = works.partition_by("source", "unit", as_dict=True, maintain_order=True)
    return {(str(key[0]), str(key[1])): part for key, part in parts.items()}


def _unit_row(source: str, unit: str, part: pl.DataFrame) -> dict[str, Any]:
    usable = part.filter(part["reject_reason"].is_null())
    return {
        "source": source,
        "unit": unit,
        "state": "works" if usable.height else "rejected",
        "works": usable.height,
        "rejects": part.height - usable.height,
        "characters": int(usable["text"].str.len_chars().sum() or 0),
        "reasons": _distinct(part["reject_reason"]),
        "warnings": _distinct(part["warnings"].explode()),
        "rights": _distinct(usable["rights"]),
        "raw_sha256": _distinct(part["raw_sha256"])[:URLS],
        "urls": _distinct(part["url"])[:URLS],
    }


def _bare_row(source: str, unit: str, state: str, why: str) -> dict[str, Any]:
    empty: dict[str, list[str]] = {name: [] for name in ("warnings", "rights", "raw_sha256", "urls")}
    counts = {"works": 0, "rejects": 0, "characters": 0}
    return {"source": source, "unit": unit, "state": state, "reasons": [why], **counts, **empty}


def _distinct(values: pl.Series) -> list[str]:
    return [str(value) for value in values.drop_nulls().unique().sort()]


def matrix(works: pl.DataFrame) -> pl.DataFrame:
    """Source x rights x licence of all usable works, who claims them under which rule, and what they allow."""
    grouped = (
        works.filter(pl.col("reject_reason").is_null())
        .group_by("source", "rights", "license", claim=pl.col("rights_claim"), rule=pl.col("rights_rule"))
        .agg(works=pl.len().cast(pl.Int64), characters=pl.col("text").str.len_chars().sum().cast(pl.Int64))
    )
    uses = [
        pl.col("rights").replace_strict({rights: allowed[use] for rights, allowed in USES.items()}).alias(use)
        for use in ("train", "release_text", "excerpt")
    ]
    return grouped.with_columns(uses).select(list(RIGHTS_LINE)).sort("source", "rights", "license", "claim", "rule")


def matrix_lines(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """The matrix as lines of a card's table: source, works, licence, rights, who says so, may be trained on."""
    return [(row["source"], row["works"], row["license"], row["rights"], claim_of(row), row["train"]) for row in rows]


def claim_of(row: Mapping[str, Any]) -> str:
    """Who says so, and the rule in plain words."""
    return f"{row['claim']}: {row['rule'].replace('_', ' ')}"
