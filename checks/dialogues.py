"""Gates of stage dialogues: well formed, grounded, varied, clean. The rules themselves are twainbot/dialogues/quality's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks import thresholds
from checks.gates import Finding, Gate, share

if TYPE_CHECKING:
    import polars as pl


def faults_of(rows: pl.DataFrame) -> list[str]:
    """The first fault of each faulty dialogue, with its id."""
    from twainbot.dialogues.quality import problems

    return [f"{row['conversation_id']}: {found[0]}" for row in rows.to_dicts() if (found := problems(row))]


def well_formed_and_grounded(rows: pl.DataFrame) -> Finding:
    """Share of dialogues with a fault of form or a number that nothing in the dialogue supports."""
    faulty = faults_of(rows)
    part, bound = share(len(faulty), rows.height), thresholds.MAX_REJECTED_DIALOGUES
    return Finding(
        part <= bound, f"{len(faulty)} of {rows.height} dialogues malformed or ungrounded", part, bound, faulty
    )


def one_per_seed(rows: pl.DataFrame) -> Finding:
    """Conversation ids that occur twice."""
    ids = rows["conversation_id"]
    twice = ids.filter(ids.is_duplicated()).unique().sort().to_list()
    return Finding(not twice, f"{len(twice)} conversation ids occur twice", len(twice), 0, twice)


def labelled_synthetic(rows: pl.DataFrame) -> Finding:
    """Dialogues without disclaimer or origin."""
    bare = rows.filter((rows["disclaimer"].fill_null("") == "") | (rows["origin"].fill_null("") == ""))
    ids = bare["conversation_id"].to_list()
    return Finding(not ids, f"{len(ids)} dialogues do not say that they are synthetic, or by what", len(ids), 0, ids)


def varied(rows: pl.DataFrame) -> Finding:
    """Share of replies with an opening of their own."""
    from twainbot.dialogues.quality import replies, unique_openings

    if rows.is_empty():
        return Finding(True, "no dialogues to compare", 0.0)
    found = unique_openings([reply for row in rows.to_dicts() for reply in replies(row)])
    bound = thresholds.MIN_DISTINCT_OPENINGS
    return Finding(found >= bound, f"{found:.0%} of replies open in their own words", found, bound)


def few_near_duplicates(rows: pl.DataFrame) -> Finding:
    """Share of dialogues whose replies repeat those of an earlier one."""
    from twainbot.dialogues.quality import near_duplicates, replies

    listed = rows.to_dicts()
    repeated = near_duplicates(["\n".join(replies(row)) for row in listed])
    part, bound = share(len(repeated), rows.height), thresholds.MAX_NEAR_DUPLICATES
    names = [
        f"{listed[later]['conversation_id']} of {listed[first]['conversation_id']}" for later, first in repeated.items()
    ]
    return Finding(
        part <= bound, f"{len(repeated)} of {rows.height} dialogues repeat another ({part:.1%})", part, bound, names
    )


def kept_do_not_repeat(rows: pl.DataFrame) -> Finding:
    """The same among the kept dialogues, over all batches."""
    return few_near_duplicates(rows.filter(rows["decision"] == "keep"))


def replies_like_peoples(rows: pl.DataFrame) -> Finding:
    """Variety of the replies against as many speeches by people."""
    from twainbot.dialogues.quality import replies

    spoken = [reply for row in rows.to_dicts() for reply in replies(row) if reply.strip()]
    return _against_people(spoken, thresholds.HUMAN_REPLIES)


def questions_like_peoples(rows: pl.DataFrame) -> Finding:
    """Variety of the user turns against as many questions by people. A line given to be retold is no question."""
    from twainbot.dialogues.quality import questions

    return _against_people([text for row in rows.to_dicts() for text in questions(row)], thresholds.HUMAN_QUESTIONS)


def _against_people(texts: list[str], people: dict[int, tuple[float, float]]) -> Finding:
    from twainbot.dialogues.variety import against

    found = against(texts, people)
    if found is None:
        return Finding(True, f"{len(texts)} texts, too few to compare", len(texts), min(people))
    why = (
        f"of {found.texts} texts distinct-3 is {found.distinct_3:.2f}, {found.distinct_ratio:.2f} of people's "
        f"(least {thresholds.MIN_DISTINCT_RATIO}); self-BLEU-4 {found.self_bleu_4:.2f}, {found.bleu_ratio:.2f} of "
        f"people's (most {thresholds.MAX_BLEU_RATIO})"
    )
    varied_enough = (
        found.distinct_ratio >= thresholds.MIN_DISTINCT_RATIO and found.bleu_ratio <= thresholds.MAX_BLEU_RATIO
    )
    return Finding(varied_enough, why, round(found.bleu_ratio, 3), thresholds.MAX_BLEU_RATIO)


def frozen(rows: pl.DataFrame) -> Finding:
    """Seeds of more than one batch, or none at all."""
    batches = rows["batch"].unique().to_list()
    return Finding(
        len(batches) == 1 and rows.height > 0, f"{rows.height} seeds of {len(batches)} batches", rows.height, 1
    )


def differ(rows: pl.DataFrame) -> Finding:
    """Pairs whose two replies are the same, or whose flaw has no name."""
    alike = (rows["chosen"] == rows["rejected"]).fill_null(True)  # a reply that is not there differs from nothing
    same = rows.filter(alike | (rows["flaw"].fill_null("") == ""))["preference_id"].to_list()
    return Finding(not same, f"{len(same)} pairs do not differ or name no flaw", len(same), 0, same)


def in_range(rows: pl.DataFrame) -> Finding:
    """Ratings outside 1..5, or without rationale."""
    bad = 0
    for name in ("style", "humor", "factuality"):
        bad += rows.filter(~rows[name].is_between(1, 5).fill_null(False)).height
    bad += rows.filter(rows["rationale"].fill_null("") == "").height
    return Finding(bad == 0, f"{bad} ratings out of 1..5 or unexplained", bad, 0)


def known_decisions(rows: pl.DataFrame) -> Finding:
    """Dialogues without a decision, or refused without a reason."""
    from twainbot.records import DECISIONS

    odd = rows.filter(
        ~rows["decision"].is_in(list(DECISIONS), nulls_equal=True)
        | (rows["decision"].ne_missing("keep") & (rows["reasons"].list.len().fill_null(0) == 0))
    )["conversation_id"].to_list()
    return Finding(not odd, f"{len(odd)} dialogues are undecided or refused without a reason", len(odd), 0, odd)


def kept_are_sound(rows: pl.DataFrame) -> Finding:
    """Kept dialogues in which the rules still find a fault."""
    kept = rows.filter(rows["decision"] == "keep")
    faulty = faults_of(kept)
    return Finding(not faulty, f"{len(faulty)} of {kept.height} kept dialogues have a fault", len(faulty), 0, faulty)


def enough(rows: pl.DataFrame) -> Finding:
    """Kept dialogues against the brief's volume."""
    kept = rows.filter(rows["decision"] == "keep").height
    return Finding(kept >= thresholds.MIN_DIALOGUES, f"{kept} dialogues kept", kept, thresholds.MIN_DIALOGUES)


SEEDS = [Gate("one_batch_frozen", "All seeds are of this batch.", frozen)]
WRITTEN = [
    Gate("well_formed_and_grounded", "Roles, calls and every number in order.", well_formed_and_grounded),
    Gate("ids_are_unique", "No two dialogues share an id.", one_per_seed),
    Gate("labelled_synthetic", "Every dialogue says what wrote it.", labelled_synthetic),
    Gate("varied", "Replies do not all open alike.", varied, blocking=False),
    Gate("few_near_duplicates", "At most 2 % repeat another dialogue's replies.", few_near_duplicates, blocking=False),
    Gate("replies_like_peoples", "Replies vary as people's speech does.", replies_like_peoples, blocking=False),
    Gate("questions_like_peoples", "Questions vary as people's do.", questions_like_peoples, blocking=False),
]
PAIRS = [Gate("pairs_differ", "Chosen and rejected differ by a named flaw.", differ)]
RATINGS = [Gate("ratings_in_range", "1 to 5, each with its rationale.", in_range)]
SCREENED = [
    Gate("every_dialogue_is_decided", "A decision each, and a reason unless kept.", known_decisions),
    Gate("kept_dialogues_are_sound", "No kept dialogue has a fault of form or an unsupported number.", kept_are_sound),
    Gate("ids_are_unique", "No two dialogues share an id.", one_per_seed),
    Gate("kept_do_not_repeat", "At most 2 % of the kept repeat another, over all batches.", kept_do_not_repeat),
    Gate("replies_like_peoples", "Replies vary as people's speech does.", replies_like_peoples, blocking=False),
    Gate("enough_dialogues", "The brief's volume.", enough, blocking=False),
]
