"""Gates of stage splits: nothing crosses, shares are right, nothing without rights, enough of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks import thresholds
from checks.gates import Finding, Gate, given, share

if TYPE_CHECKING:
    import polars as pl


def assignment_gates(samples: pl.DataFrame | None, at_least: int, at_most: int) -> list[Gate]:
    """The gates of the assignment, given what was to be split (None: names only) and the profile's volume."""
    return [
        Gate(
            "nothing_crosses",
            "No cluster, work, dialogue seed, place or bulletin is in two splits.",
            lambda rows: no_leak(rows, samples),
        ),
        Gate(
            "every_sample_once",
            "Each sample is in exactly one split, or held back.",
            lambda rows: each_once(rows, samples),
        ),
        Gate("few_held_back", "At most 15 % of the dialogues straddle splits.", few_held_back, blocking=False),
        Gate("three_splits", "Train, validation and test all have samples.", all_splits),
        Gate("strata_balanced", "10-15 % validation in every stratum.", balanced, blocking=False),
        Gate(
            "volume",
            "As many samples as the profile wants.",
            lambda rows: volume(rows, at_least, at_most),
            blocking=False,
        ),
    ]


def no_leak(rows: pl.DataFrame, samples: pl.DataFrame | None) -> Finding:
    """Sentences about whatever crosses splits."""
    from twainbot.splits.leakage import leaks

    found = leaks(rows, given(samples))
    return Finding(
        not found, found[0] if found else "no cluster, work, seed, place or bulletin crosses", len(found), 0, found
    )


def each_once(rows: pl.DataFrame, samples: pl.DataFrame | None) -> Finding:
    """Samples missing from the assignment, or in it twice."""
    ids = rows["sample_id"].to_list()
    odd = sorted(set(ids) ^ set(given(samples)["sample_id"].to_list()))
    twice = len(ids) - len(set(ids))
    return Finding(
        not odd and not twice, f"{len(odd)} samples missing or unknown, {twice} twice", len(odd) + twice, 0, odd
    )


def few_held_back(rows: pl.DataFrame) -> Finding:
    """Share of dialogues that belong to no split, since they touch what lies in another."""
    from twainbot.records import HELD_BACK

    dialogues = rows.filter(rows["kind"] == "dialogue")
    held = dialogues.filter(dialogues["split"] == HELD_BACK)
    part, bound = share(held.height, dialogues.height), thresholds.MAX_HELD_BACK
    why = f"{held.height} of {dialogues.height} dialogues are held back ({part:.1%})"
    return Finding(part <= bound, why, part, bound, held["sample_id"].to_list())


def all_splits(rows: pl.DataFrame) -> Finding:
    """Splits without samples."""
    from twainbot.records import SPLITS

    absent = [split for split in SPLITS if rows.filter(rows["split"] == split).is_empty()]
    return Finding(not absent, f"{len(absent)} splits are empty", len(absent), 0, absent)


def balanced(rows: pl.DataFrame) -> Finding:
    """Strata whose validation share is out of bounds."""
    low, high = thresholds.VALIDATION_SHARE
    odd = []
    for stratum, group in rows.group_by("stratum"):
        part = share(group.filter(group["split"] == "validation").height, group.height)
        if group.height >= thresholds.MIN_STRATUM and not low <= part <= high:
            odd.append(f"{stratum[0]}: {part:.1%} of {group.height}")
    return Finding(not odd, f"{len(odd)} strata outside {low:.0%}-{high:.0%} validation", len(odd), 0, sorted(odd))


def volume(rows: pl.DataFrame, at_least: int, at_most: int) -> Finding:
    """Number of samples against the profile's bounds."""
    why = f"{rows.height} samples, wanted {at_least} to {at_most}"
    return Finding(at_least <= rows.height <= at_most, why, rows.height, f"{at_least}-{at_most}")


def complete(rows: pl.DataFrame) -> Finding:
    """Rows with an empty field, or a training split without rows."""
    import polars as pl

    empty = rows.filter(pl.any_horizontal(pl.all().is_null()))["sample_id"].to_list()
    train = rows.filter(rows["split"] == "train").height
    return Finding(not empty and train > 0, f"{train} training rows, {len(empty)} with an empty field", train, 1, empty)


TABLES = [Gate("has_training_rows", "The training split is not empty, and neither is any field.", complete)]
