"""Runs shared with passages: their exact length, what a quotation excuses, and that blocks and order do not matter."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.dialogues.copying import LEAST_RUN, Run, longest_runs

PASSAGE = "one two three four five six seven eight nine ten eleven twelve"


def test_a_run_is_counted_in_words_whatever_the_marks():
    said = "Well: THREE, four five six; seven eight nine ten eleven! And so on."
    assert longest_runs([said], ["nothing of it", PASSAGE]) == [Run(9, 1)]  # three to eleven


def test_a_run_shorter_than_the_least_is_common_speech():
    seven = "one two three four five six seven"
    assert LEAST_RUN == 8
    assert longest_runs([seven, f"{seven} eight"], [PASSAGE]) == [None, Run(8, 0)]


def test_two_runs_are_not_added_up():
    said = "one two three four five six seven eight, and then, five six seven eight nine ten eleven twelve"
    assert longest_runs([said], [PASSAGE]) == [Run(8, 0)]


def test_of_equal_runs_the_first_passage_is_named():
    assert longest_runs([PASSAGE], [f"x {PASSAGE}", PASSAGE]) == [Run(12, 0)]


def test_a_quotation_is_excused_and_what_goes_on_behind_it_is_not():
    quoted = "one two three four five six seven eight nine"
    assert longest_runs([PASSAGE], [PASSAGE], [quoted]) == [Run(10, 0)]  # 3 words beyond, told from 7 before them
    assert longest_runs([quoted], [PASSAGE], [quoted]) == [None]
    assert longest_runs([quoted, quoted], [PASSAGE], ["", quoted]) == [Run(9, 0), None]  # each its own


def test_no_texts_and_no_passages_share_nothing():
    assert longest_runs([], [PASSAGE]) == []
    assert longest_runs(["", PASSAGE], []) == [None, None]


def naive(text: list[str], passages: list[list[str]], least: int) -> int:
    best = 0
    for passage in passages:
        for i in range(len(text)):
            for j in range(len(passage)):
                n = 0
                while i + n < len(text) and j + n < len(passage) and text[i + n] == passage[j + n]:
                    n += 1
                best = max(best, n)
    return best if best >= least else 0


WORDS = st.lists(st.sampled_from(["ab", "cd", "ef"]), max_size=14)


@settings(max_examples=examples(80), deadline=None)
@given(WORDS, st.lists(WORDS, max_size=4))
def test_the_length_is_what_comparing_every_place_gives(text, passages):
    [found] = longest_runs([" ".join(text)], [" ".join(passage) for passage in passages], least=3)
    assert (found.words if found else 0) == naive(text, passages, 3)
