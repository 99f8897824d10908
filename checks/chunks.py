"""Gates of stage chunks: spans are exact, counts in bounds, tags from the closed vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checks.gates import Finding, Gate, given

if TYPE_CHECKING:
    import polars as pl


def chunk_gates(works: pl.DataFrame | None, size: int) -> list[Gate]:
    """The gates of one unit's chunks, given the works they were cut from (None: names only) and the size in tokens."""
    return [
        Gate(
            "spans_equal_text", "text == work.text[start:end], for every chunk.", lambda rows: exact_spans(rows, works)
        ),
        Gate("token_counts_in_bounds", "1 to `size` tokens.", lambda rows: counts_in_bounds(rows, size)),
        Gate("tags_from_closed_vocabulary", "Style, tone, topic, rights and era are known words.", closed_tags),
        Gate("works_are_covered", "No word of a work is lost.", lambda rows: covered(rows, works)),
    ]


def exact_spans(rows: pl.DataFrame, works: pl.DataFrame | None) -> Finding:
    """Every chunk's text is what its span says."""
    works = given(works)
    texts = dict(works.select("work_id", "text").iter_rows())
    wrong = [
        chunk_id
        for chunk_id, work_id, start, end, text in rows.select(
            "chunk_id", "work_id", "start", "end", "text"
        ).iter_rows()
        if texts.get(work_id, "")[start:end] != text
    ]
    return Finding(not wrong, f"{len(wrong)} of {rows.height} chunks differ from their span", len(wrong), 0, wrong)


def counts_in_bounds(rows: pl.DataFrame, size: int) -> Finding:
    """Token counts lie in 1..size."""
    wrong = rows.filter(~rows["token_count"].is_between(1, size).fill_null(False))["chunk_id"].to_list()
    longest = rows["token_count"].max() if rows.height else 0
    return Finding(
        not wrong, f"longest chunk has {longest} tokens, {len(wrong)} out of bounds", str(longest), size, wrong
    )


def closed_tags(rows: pl.DataFrame) -> Finding:
    """Tags are of the closed vocabularies."""
    from twainbot.chunks.cues import ERAS
    from twainbot.chunks.tags import TONES, TOPICS, UNDATED
    from twainbot.personas import styles
    from twainbot.records import RIGHTS

    allowed = {"style": styles(), "tone": TONES, "topic": TOPICS, "copyright_status": RIGHTS, "era": (*ERAS, UNDATED)}
    wrong = [
        f"{column}={value!r}"
        for column, values in allowed.items()
        for value in rows[column].unique().sort().to_list()
        if value not in values
    ]
    return Finding(not wrong, f"{len(wrong)} values outside the vocabularies", len(wrong), 0, wrong)


def covered(rows: pl.DataFrame, works: pl.DataFrame | None) -> Finding:
    """Characters other than white space that lie in no chunk, over all usable works."""
    works = given(works)
    spans: dict[str, list[tuple[int, int]]] = {}
    for work_id, start, end in rows.select("work_id", "start", "end").iter_rows():
        spans.setdefault(work_id, []).append((start, end))
    usable = works.filter(works["reject_reason"].is_null()).select("work_id", "text")
    lost = {
        work_id: count for work_id, text in usable.iter_rows() if (count := uncovered(text, spans.get(work_id, [])))
    }
    listed = [f"{work_id}: {count}" for work_id, count in sorted(lost.items())]
    return Finding(
        not lost, f"{sum(lost.values())} characters of {len(lost)} works lie in no chunk", len(lost), 0, listed
    )


def uncovered(text: str, spans: list[tuple[int, int]]) -> int:
    """Characters other than white space outside all spans."""
    count, at = 0, 0
    for start, end in sorted(spans):
        if start > at:
            count += sum(not letter.isspace() for letter in text[at:start])
        at = max(at, end)
    return count + sum(not letter.isspace() for letter in text[at:])


def summary(rows: pl.DataFrame) -> dict[str, Any]:
    """Numbers that a person looks for first in the UI."""
    return {
        "tokens": int(rows["token_count"].sum() or 0),
        "styles": ", ".join(rows["style"].unique().sort().to_list()),
        "tones": _counted(rows, "tone"),
        "topics": _counted(rows, "topic"),
        "eras": _counted(rows, "era"),
        "reading_grade_median": _median(rows["readability"]),
        "tagger": ", ".join(rows["tagger"].drop_nulls().unique().sort().to_list()),
        "weather_relevance_mean": round(float(rows["weather_relevance"].mean() or 0.0), 3),  # type: ignore[arg-type]
    }


def _counted(rows: pl.DataFrame, column: str) -> str:
    counts = rows[column].drop_nulls().value_counts(sort=True).sort("count", column, descending=[True, False])
    return ", ".join(f"{value} {count}" for value, count in counts.iter_rows()) or "none"


def _median(grades: pl.Series) -> float | None:
    middle = grades.median()
    return round(float(middle), 1) if isinstance(middle, float) else None
