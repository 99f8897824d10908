"""Gates of stage corpora: what came out of a raw unit is text, has known rights, and carries no wrapping."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from checks import thresholds
from checks.gates import Finding, Gate, named, share

if TYPE_CHECKING:
    import polars as pl

WRAPPING = re.compile(r"project gutenberg|\*\*\* ?(?:start|end) of th|small print!", re.IGNORECASE)
ODD = re.compile(r"[\ufffd\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


def gates(source: str) -> list[Gate]:
    """The gates of one source's works; only books have a smallest length and a wrapping, of which others may write."""
    found = [
        Gate("has_works", "At least one work could be used.", has_works),
        Gate("rights_are_of_the_closed_set", "Every work's rights are one of the known words.", rights_closed),
        Gate("work_ids_are_unique", "No two works share an id.", unique_ids),
        Gate("encoding_is_sane", "Hardly any replacement or control characters.", sane_encoding),
        Gate(
            "rights_are_known",
            "Works of unknown rights go no further; here they only warn.",
            known_rights,
            blocking=False,
        ),
        Gate("rejects_are_few", "Few rows of the unit were unusable.", few_rejects, blocking=False),
    ]
    if source == "gutenberg":
        found += [
            Gate("wrapping_is_gone", "No header, licence or trademark of the carrier is left in the text.", unwrapped),
            Gate("not_suspiciously_short", "A book is as long as a book.", long_enough),
        ]
    return found


def usable(rows: pl.DataFrame) -> pl.DataFrame:
    """The works that were not rejected."""
    return rows.filter(rows["reject_reason"].is_null())


def has_works(rows: pl.DataFrame) -> Finding:
    """At least one usable work."""
    count = usable(rows).height
    reasons = rows["reject_reason"].drop_nulls().unique().sort().to_list()
    why = f"{count} usable works" + (f"; rejected for {named(reasons)}" if reasons else "")
    return Finding(count > 0, why, count, 1)


def rights_closed(rows: pl.DataFrame) -> Finding:
    """Rights come from the closed set."""
    from twainbot.records import RIGHTS

    odd = rows.filter(~rows["rights"].is_in(list(RIGHTS), nulls_equal=True))
    return Finding(
        odd.is_empty(), f"{odd.height} works with rights outside the set", odd.height, 0, odd["work_id"].to_list()
    )


def unique_ids(rows: pl.DataFrame) -> Finding:
    """Work ids are unique among usable works."""
    ids = usable(rows)["work_id"]
    twice = ids.filter(ids.is_duplicated()).unique().sort().to_list()
    return Finding(not twice, f"{len(twice)} ids occur twice", len(twice), 0, twice)


def unwrapped(rows: pl.DataFrame) -> Finding:
    """No wrapping left in any text."""
    hits = []
    for work_id, text in usable(rows).select("work_id", "text").iter_rows():
        match = WRAPPING.search(text)
        if match:
            hits.append(f"{work_id}: {text[max(0, match.start() - 30) : match.end() + 30]!r}")
    return Finding(not hits, f"{len(hits)} works still hold header, licence or trademark text", len(hits), 0, hits)


def sane_encoding(rows: pl.DataFrame) -> Finding:
    """Share of odd characters, worst work."""
    worst, at = 0.0, ""
    for work_id, text in usable(rows).select("work_id", "text").iter_rows():
        odd = share(len(ODD.findall(text)), len(text))
        if odd > worst:
            worst, at = odd, work_id
    bound = thresholds.MAX_ODD_CHARACTERS
    return Finding(worst <= bound, f"at most {worst:.5f} of a work's characters are odd {at}".strip(), worst, bound)


def known_rights(rows: pl.DataFrame) -> Finding:
    """How many works have unknown rights."""
    unknown = usable(rows).filter(usable(rows)["rights"] == "unknown")["work_id"].to_list()
    return Finding(not unknown, f"{len(unknown)} works of unknown rights will be rejected", len(unknown), 0, unknown)


def few_rejects(rows: pl.DataFrame) -> Finding:
    """Share of rows that were rejected."""
    rejected = rows.filter(rows["reject_reason"].is_not_null())
    part, bound = share(rejected.height, rows.height), thresholds.MAX_REJECTED_ROWS
    listed = [f"{work_id}: {reason}" for work_id, reason in rejected.select("work_id", "reject_reason").iter_rows()]
    return Finding(part <= bound, f"{rejected.height} of {rows.height} rows rejected", part, bound, listed)


def long_enough(rows: pl.DataFrame) -> Finding:
    """Length of the shortest usable work, in characters."""
    shortest = int(usable(rows)["text"].str.len_chars().min() or 0)  # type: ignore[arg-type]
    bound = thresholds.MIN_BOOK_CHARACTERS
    return Finding(shortest >= bound, f"the shortest work has {shortest} characters", shortest, bound)


def uses_are_known(rows: pl.DataFrame) -> Finding:
    """Every line of the matrix says what its rights allow, by a claim and a rule."""
    said = ("claim", "rule", "train", "release_text", "excerpt")
    blank = [row["license"] for row in rows.iter_rows(named=True) if not all(row[name] for name in said)]
    return Finding(not blank, f"{len(blank)} lines say nothing of their uses", len(blank), 0, blank)


def rights_are_held(rows: pl.DataFrame) -> Finding:
    """No rights outside the trainable ones are marked for training."""
    from twainbot.records import TRAINABLE_RIGHTS

    wrong = rows.filter((rows["train"] == "yes") & ~rows["rights"].is_in(list(TRAINABLE_RIGHTS)))
    return Finding(wrong.is_empty(), f"{wrong.height} lines allow training without the rights", wrong.height, 0)


def states_have_reasons(rows: pl.DataFrame) -> Finding:
    """Whatever gave no work says why."""
    silent = rows.filter((rows["state"] != "works") & (rows["reasons"].list.len() == 0))
    listed = [f"{source}/{unit}" for source, unit in silent.select("source", "unit").iter_rows()]
    return Finding(not listed, f"{len(listed)} units gave no work and no reason", len(listed), 0, listed)


def units_have_versions(rows: pl.DataFrame) -> Finding:
    """Registered units of which no good version was ever committed."""
    bare = rows.filter(rows["state"] == "no good version")
    listed = [f"{source}/{unit}" for source, unit in bare.select("source", "unit").iter_rows()]
    return Finding(not listed, f"{len(listed)} units have no good version", len(listed), 0, listed)


RIGHTS = [
    Gate("uses_are_known", "Every line has a claim, a rule and its uses.", uses_are_known),
    Gate("only_trainable_rights_train", "Training needs rights.", rights_are_held),
]
AUDIT = [
    Gate("every_gap_has_a_reason", "A unit without a work says why.", states_have_reasons),
    Gate("every_unit_has_a_version", "All registered units were read.", units_have_versions, blocking=False),
]


def listing(rows: pl.DataFrame, most: int = 40) -> list[dict[str, Any]]:
    """The first works and rejects with what a person asks of each: title, rights and their rule, length, where from."""
    columns = ("work_id", "title", "author", "rights", "rights_rule", "url", "retrieved_at", "reject_reason")
    return [
        {**{name: row[name] for name in columns}, "characters": len(row["text"]), "raw_sha256": row["raw_sha256"][:12]}
        for row in rows.head(most).iter_rows(named=True)
    ]


def summary(rows: pl.DataFrame) -> dict[str, Any]:
    """Numbers that a person looks for first in the UI."""
    works = usable(rows)
    return {
        "works": works.height,
        "rejected": rows.height - works.height,
        "characters": int(works["text"].str.len_chars().sum() or 0),
        "rights": ", ".join(works["rights"].unique().sort().to_list()),
        "licence": ", ".join(works["license"].drop_nulls().unique().sort().to_list()),
        "edition": named(works["edition"].drop_nulls().unique().sort().to_list()),
        "raw_sha256": named([value[:12] for value in works["raw_sha256"].drop_nulls().unique().sort().to_list()]),
        "warnings": named(works["warnings"].explode().drop_nulls().unique().sort().to_list()) or "none",
    }
