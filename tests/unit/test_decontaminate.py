"""Evaluation text is found in training text, with the longest shared run in words."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from twainbot.dedupe import contaminated, eval_overlaps
from twainbot.dedupe.decontaminate import OVERLAP
from twainbot.dedupe.shingles import words

QUESTION = "how many inches of rain fell on the town of Hannibal during the flood"  # 14 words: 7 runs of 8


def test_a_copied_question_is_found_whole():
    rows = contaminated(
        ["Some lead-in. How many inches of RAIN fell on the town of Hannibal during the flood?"], {"q1": QUESTION}
    )
    assert rows.rows() == [(0, "q1", 14, 1.0)]


def test_nine_shared_words_are_two_of_seven_runs():
    rows = contaminated(["He asked how many inches of rain fell on the town, and left."], {"q1": QUESTION})
    assert rows.rows() == [(0, "q1", 9, 2 / 7)]  # "how ... town": 9 words; runs of 8 begin at its first two


def test_seven_shared_words_are_no_hit():
    assert contaminated(["inches of rain fell on the town"], {"q1": QUESTION}).is_empty()


def test_an_item_shorter_than_n_counts_only_where_it_occurs_whole():
    items = {"short": "the pilot rang the bell"}
    assert contaminated(["So the pilot rang the bell twice."], items).rows() == [(0, "short", 5, 1.0)]
    assert contaminated(["So the pilot rang the gong."], items).is_empty()


def test_an_item_of_three_words_is_not_looked_for():
    assert contaminated(["will it rain"], {"tiny": "Will it rain?"}).is_empty()


def test_two_runs_that_meet_only_in_the_text_are_not_one_run():
    # both halves occur in the item, but not after each other: 8 + 8 words make two runs of 8, not one of 16
    halves = ["one two three four five six seven eight", "alpha beta gamma delta epsilon zeta eta theta"]
    rows = contaminated([" ".join(halves)], {"q": f"{halves[1]} middle {halves[0]}"})
    assert rows["matched"].to_list() == [8]


def test_rows_and_items_are_sorted_and_no_text_gives_no_rows():
    rows = contaminated([QUESTION, "clean", QUESTION], {"b": QUESTION, "a": QUESTION})
    assert rows.select("row", "item").rows() == [(0, "a"), (0, "b"), (2, "a"), (2, "b")]
    assert contaminated([], {"a": QUESTION}).columns == ["row", "item", "matched", "fraction"]


# by text, suite and item ----------------------------------------------------------------------------------------------


def test_an_overlap_names_text_suite_and_item_and_shows_the_words_as_the_text_has_them():
    text = "He asked:\n“How many inches of RAIN fell\non the town?” And left."
    (row,) = eval_overlaps({"t/1:0-60": text}.items(), {"suite/q/1": QUESTION}).to_dicts()
    assert (row["text_id"], row["suite"], row["item_id"], row["words"], row["share"]) == (
        "t/1:0-60",
        "suite",
        "q/1",
        9,
        2 / 7,
    )
    assert row["excerpt"] == "“How many inches of RAIN fell on the town?”"
    assert text[row["start"] : row["end"]] == "“How many inches of RAIN fell\non the town?”"


def test_the_longest_run_is_shown_where_there_are_two():
    first, second = (" ".join(QUESTION.split()[part]) for part in (slice(0, 8), slice(4, 14)))
    (row,) = eval_overlaps({"t": f"{first}, said he, {second}."}.items(), {"s/q": QUESTION}).to_dicts()
    assert (row["words"], row["excerpt"]) == (10, f"{second}.")


def test_a_long_excerpt_loses_its_middle_and_keeps_both_ends():
    text = " ".join(f"word{number}" for number in range(100))
    (row,) = eval_overlaps({"t": text}.items(), {"s/q": text}).to_dicts()
    assert row["words"] == 100
    assert row["excerpt"].startswith("word0 word1 ")
    assert row["excerpt"].endswith(" word98 word99")
    assert len(row["excerpt"]) <= 303  # 300 and " … "
    assert (row["start"], row["end"]) == (0, len(text))


def test_no_overlap_gives_an_empty_table_with_its_columns():
    assert eval_overlaps({}.items(), {"s/q": QUESTION}).columns == list(OVERLAP)
    assert eval_overlaps({"t": "clean"}.items(), {"q": QUESTION}).schema == pl.Schema(OVERLAP)


ODD = st.lists(
    st.sampled_from(["Rain", "snow;", "ﬂood", "Straße", "_ice_", "½", "--", "wind-mill", "…", "don’t"]), max_size=20
)


@given(ODD, ODD, st.sampled_from([" ", "\n", " \u00a0 "]))
def test_the_span_of_an_overlap_holds_its_words_and_the_row_agrees_with_the_plain_search(before, after, gap):
    item = "the pilot rang the bell and nobody came"
    text = gap.join([*before, *item.title().split(" "), *after])
    (row,) = eval_overlaps({"t": text}.items(), {"s/q": item}).to_dicts()
    assert " ".join(words(item)) in " ".join(words(text[row["start"] : row["end"]]))
    assert contaminated([text], {"s/q": item}).rows() == [(0, "s/q", row["words"], row["share"])]


TEXT = st.lists(st.sampled_from("abc"), max_size=14).map(" ".join)


@given(TEXT, TEXT.filter(lambda text: len(words(text)) >= 4))
def test_the_match_equals_the_longest_common_run_of_words(text, item):
    left, right = words(text), words(item)
    runs = [
        size
        for size in range(1, len(right) + 1)
        for i in range(len(left) - size + 1)
        if any(left[i : i + size] == right[j : j + size] for j in range(len(right) - size + 1))
    ]
    longest = max(runs, default=0)
    rows = contaminated([text], {"item": item}, n=4)
    assert rows["matched"].to_list() == ([longest] if longest >= 4 else [])
