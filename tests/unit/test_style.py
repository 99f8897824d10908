"""The style classifier on made-up authors, and the copying check on made-up borrowings."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.errors import BadInput
from twainbot.evals.style import (
    StyleExample,
    ceiling,
    common_words,
    fit,
    longest_overlap,
    longest_overlaps,
    masked,
    report,
    shared_run_rates,
)

RIVER = [
    "I",
    "reckon",
    "the",
    "old",
    "steamboat",
    "warn't",
    "ever",
    "much",
    "for",
    "hurrying",
    "pilot",
    "allowed",
    "it",
    "suited",
]
OFFICE = [
    "committee",
    "subsequently",
    "determined",
    "that",
    "aforementioned",
    "provisions",
    "require",
    "further",
    "consideration",
]


def passages(vocabulary, work, is_target, count=8, seed=0):
    """Passages of thirty words drawn from a small vocabulary: two authors that no one could confuse."""
    rng = random.Random(f"{work}{seed}")
    return [StyleExample(" ".join(rng.choices(vocabulary, k=30)), is_target, work) for _ in range(count)]


EXAMPLES = [
    *(e for work in ("river-1", "river-2", "river-3") for e in passages(RIVER, work, True)),
    *(e for work in ("office-1", "office-2", "office-3") for e in passages(OFFICE, work, False)),
]
RIVER_REPLIES = [e.text for e in passages(RIVER, "unseen", True, 20, seed=9)]
OFFICE_REPLIES = [e.text for e in passages(OFFICE, "unseen", False, 20, seed=9)]


def test_two_unlike_authors_are_told_apart_on_unseen_works():
    limit = ceiling(EXAMPLES, seed=1)
    assert (limit.target_rate, limit.other_rate, limit.auc) == (1.0, 0.0, 1.0)
    assert (limit.works, limit.target_works) == (6, 3)


def test_one_author_under_two_labels_is_not_told_apart():
    same = [
        StyleExample(e.text, e.work in ("river-1", "river-2"), e.work) for e in EXAMPLES if e.work.startswith("river")
    ]
    same += [StyleExample(e.text, False, "river-4") for e in passages(RIVER, "river-4", True)]
    assert 0.2 < ceiling(same, seed=1).auc < 0.8


def test_the_report_sets_the_adapter_beside_the_base_and_the_ceiling():
    result = report(EXAMPLES, OFFICE_REPLIES, RIVER_REPLIES, seed=1)
    assert (result.base_rate, result.adapter_rate, result.relative, result.n) == (0.0, 1.0, 1.0, 20)
    assert result.rate_gain.mean == 1.0
    assert result.probability_gain.interval.low > 0


def test_an_adapter_equal_to_its_base_gains_nothing():
    result = report(EXAMPLES, RIVER_REPLIES, RIVER_REPLIES, seed=1)
    assert result.probability_gain.mean == 0.0
    assert result.probability_gain.interval.low == result.probability_gain.interval.high == 0.0


def test_the_same_examples_give_the_same_scores():
    assert fit(EXAMPLES)(RIVER_REPLIES).tolist() == fit(EXAMPLES)(RIVER_REPLIES).tolist()


def test_too_few_works_or_one_side_are_refused():
    with pytest.raises(BadInput, match="two on each side: 1"):
        ceiling([e for e in EXAMPLES if e.work not in ("river-1", "river-2")], seed=1)
    with pytest.raises(BadInput, match="and of others"):
        fit([e for e in EXAMPLES if e.is_target])
    with pytest.raises(BadInput, match="0 and 1 given"):
        report(EXAMPLES, [], ["a"], seed=1)


def test_a_borrowed_run_is_measured_in_words_whatever_its_case_and_punctuation():
    corpus = ["Nothing here.", "He said: the DOG, it seems, don't bark at night any more."]
    found = longest_overlap("And the dog it seems don’t bark -- at night I sleep.", corpus)
    # "the dog it seems dont bark at night" stands in both
    assert (found.words, found.text, found.source) == (8, "the dog it seems dont bark at night", 1)


def test_the_longest_of_several_runs_wins_and_runs_do_not_cross_documents():
    corpus = ["one two three four five", "six seven eight nine ten eleven"]
    assert longest_overlap("one two three four six seven eight nine ten", corpus).words == 5
    assert longest_overlap("three four five six seven", corpus).words == 3


def test_short_runs_are_exact_too_and_strangers_share_nothing():
    assert longest_overlap("a b c d", ["x b c y"]).words == 2
    assert longest_overlap("a b", ["c d"]) == longest_overlap("", ["c d"])
    assert longest_overlap("a b", []).source == -1


def naive(text, corpus):
    a, best = text.split(), 0
    for b in (document.split() for document in corpus):
        for i in range(len(a)):
            for j in range(len(b)):
                k = 0
                while i + k < len(a) and j + k < len(b) and a[i + k] == b[j + k]:
                    k += 1
                best = max(best, k)
    return best


SHORT = st.lists(st.sampled_from("abc"), max_size=14).map(" ".join)


@given(st.lists(SHORT, max_size=3), st.lists(SHORT, max_size=3))
def test_overlaps_agree_with_a_naive_search(texts, corpus):
    assert [found.words for found in longest_overlaps(texts, corpus)] == [naive(text, corpus) for text in texts]


def test_only_common_words_stay_and_all_else_is_a_star():
    kept = frozenset({"the", "of"})
    assert masked("The pilot of Missouri, 1857!", kept) == "the * of *, *!"


def test_a_curly_apostrophe_makes_no_other_word():
    assert common_words(["I don’t", "Don't I"], 1) == common_words(["don't"], 1) == {"don't"}
    assert masked("I don’t know", frozenset({"don't"})) == masked("I don't know", frozenset({"don't"})) == "* don't *"


def test_common_words_are_those_that_most_texts_hold():
    assert common_words(["a b", "a c", "a b d"], 2) == {"a", "b"}


def test_a_string_of_the_authors_nouns_is_no_voice():
    # both replies mask to the same stars, so the classifier cannot tell them apart
    kept = common_words([e.text for e in EXAMPLES])
    assert masked("catfish, sandbar, landing", kept) == masked("budget, ledger, meeting", kept) == "*, *, *"


def test_a_patchwork_shares_its_short_runs():
    corpus = ["one two three four five six seven eight nine ten", "red orange yellow green blue violet brown"]
    patched = "one two three four five six seven and red orange yellow green blue violet too"
    # 15 words have 10 runs of six; the first two stand in one text and one in the other
    assert shared_run_rates([patched, "short"], corpus) == [3 / 10, 0.0]


def test_the_gain_is_told_as_a_share_of_the_way_to_the_author():
    found = report(EXAMPLES, OFFICE_REPLIES, RIVER_REPLIES, seed=1).share_of_headroom
    assert found is not None
    assert found.mean == pytest.approx(1.0, abs=0.15)
    assert report(EXAMPLES, RIVER_REPLIES, RIVER_REPLIES, seed=1).share_of_headroom is None  # nowhere to go


def test_the_confusion_names_every_author():
    named = [StyleExample(e.text, e.is_target, e.work, "river" if e.is_target else "office") for e in EXAMPLES]
    limit = ceiling(named, seed=1)
    assert limit.passes_by_author == {"office": (0.0, 24), "river": (1.0, 24)}
    assert 0 <= limit.calibration_error < 0.1
