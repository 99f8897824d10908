"""Variety counted by hand, exact against the plain definition, and one dull set against prose."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.boilerplate import strip_gutenberg
from twainbot.dialogues import variety


def test_distinct_3_of_two_texts_is_counted_by_hand():
    texts = [["the", "cat", "sat", "down"], ["the", "cat", "sat", "up"]]
    # trigrams: the cat sat, cat sat down / the cat sat, cat sat up: 3 distinct of 4
    assert variety.distinct(texts, 3) == 3 / 4
    assert variety.distinct([["a", "b"]], 3) == 0.0


def test_self_bleu_2_of_three_texts_is_computed_by_hand():
    texts = [["a", "b", "c"], ["a", "b", "d"], ["e", "f", "g"]]
    # "a b c" against the other two: 2 of 3 words, 1 of 2 pairs: sqrt(2/3 * 1/2); the same for "a b d".
    # "e f g": no word matches, so 0. All are of one length, so nothing is taken off for brevity.
    assert variety.self_bleu(texts, 2) == pytest.approx(2 * math.sqrt(2 / 3 * 1 / 2) / 3)


def test_a_size_without_a_match_counts_as_a_tenth_of_a_match():
    texts = [["a", "b", "c"], ["c", "b", "a"]]
    # 3 of 3 words, none of 2 pairs, of 1 trigram: (1 * 0.1/2 * 0.1/1) ** (1/3)
    assert variety.self_bleu(texts, 3) == pytest.approx((0.05 * 0.1) ** (1 / 3))


def test_a_text_shorter_than_the_others_loses_for_brevity():
    texts = [["a", "b"], ["a", "b", "c", "d"]]
    # "a b": precisions 1 and 1, exp(1 - 4/2). "a b c d": 2 of 4 and 1 of 3, longer than its reference
    assert variety.self_bleu(texts, 2) == pytest.approx((math.exp(-1) + math.sqrt(1 / 2 * 1 / 3)) / 2)


def test_equal_texts_have_a_self_bleu_of_one_and_a_single_text_of_none():
    assert variety.self_bleu([["a", "b", "c", "d"]] * 3) == 1.0
    assert variety.self_bleu([["a", "b", "c", "d"]]) == 0.0


def plain_self_bleu(texts: list[list[str]], size: int) -> float:
    """The definition, reference by reference."""
    total = 0.0
    for at, words in enumerate(texts):
        others = texts[:at] + texts[at + 1 :]
        shares = []
        for n in range(1, size + 1):
            own = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
            held = [Counter(tuple(o[i : i + n]) for i in range(len(o) - n + 1)) for o in others]
            matched = sum(min(count, max(other[gram] for other in held)) for gram, count in own.items())
            if own:
                shares.append((matched, own.total()))
        if not shares or not shares[0][0]:
            continue
        score = math.exp(sum(math.log(max(m, 0.1) / t) for m, t in shares) / len(shares))
        nearest = min((abs(len(o) - len(words)), len(o)) for o in others)[1]
        total += score * (1.0 if len(words) >= nearest else math.exp(1 - nearest / len(words)))
    return total / len(texts)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), min_size=2, max_size=7))
def test_self_bleu_is_what_comparing_every_pair_gives(texts):
    assert variety.self_bleu(texts) == pytest.approx(plain_self_bleu(texts, 4))


def test_spread_is_the_mean_cosine_distance_of_two_rows():
    # cosines of the three pairs: 1 (same direction), 0, 0: distances 0, 1, 1
    assert variety.spread(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 5.0]])) == pytest.approx(2 / 3)
    assert variety.spread(np.ones((1, 2))) == 0.0


def test_spread_is_not_run_where_there_is_no_embedding():
    assert variety.measure(["one two", "three four"]).spread is None
    assert variety.measure(["one two", "three four"], np.eye(2)).spread == 1.0


def test_peoples_words_are_matched_text_by_text():
    # wanted 3 and 2 words: the first takes two utterances and drops the rest of the second, the next begins anew
    assert variety.matched(["x y z", "x y"], ["a b", "c d", "e f g"]) == ["a b c", "e f"]
    assert variety.matched(["x y z", "x y"], ["a b", "c d", "e"]) == ["a b c"]


def test_a_comparison_is_made_at_the_largest_number_that_both_have():
    people = {2: (0.5, 0.5), 4: (0.25, 0.25), 9: (0.1, 0.9)}
    found = variety.against(["a b c d"] * 5, people)
    assert found is not None
    # 4 equal texts of two trigrams: 2 distinct of 8; self-BLEU 1
    assert (found.texts, found.distinct_3, found.self_bleu_4) == (4, 2 / 8, 1.0)
    assert (found.distinct_ratio, found.bleu_ratio) == (1.0, 4.0)
    assert variety.against(["a b c d"], people) is None


def test_the_same_seed_draws_the_same_texts_in_their_order():
    texts = [str(number) for number in range(50)]
    drawn = variety.sample(texts, 9, 3)
    assert drawn == variety.sample(texts, 9, 3) != variety.sample(texts, 9, 4)
    assert drawn == sorted(drawn, key=int)


def paragraphs(root: Path) -> list[str]:
    """Prose of the sample corpus, paragraph by paragraph."""
    pages = [page.read_text(encoding="utf-8") for page in sorted((root / "samples" / "local").glob("*.md"))]
    return [part for page in pages for part in re.split(r"\n\s*\n", page) if len(part.split()) >= 12 and part[0] != "#"]


def test_one_sentence_said_sixty_times_over_is_told_from_the_samples_prose(root):
    prose = paragraphs(root)
    dull = [f"I reckon the sky over town {number} will be as fair as a deacon on a Sunday." for number in range(60)]
    people = variety.matched(dull, prose)
    assert len(people) == 60
    theirs, ours = variety.measure(people), variety.measure(dull)
    assert abs(theirs.words - ours.words) <= 60  # "don't" and "half-way" are counted one way or the other
    assert ours.distinct_3 < 0.5 * theirs.distinct_3
    assert ours.self_bleu_4 > 1.3 * theirs.self_bleu_4
    assert variety.measure(people[:30]).self_bleu_4 < 0.2


def speeches(folder: Path) -> list[str]:
    """What people say in the books: paragraphs' quoted words, of five words or more."""
    found = []
    for book in sorted(folder.glob("pg*.txt")):
        text = strip_gutenberg(book.read_bytes()).text.replace("“", '"').replace("”", '"')
        for part in re.split(r"\n\s*\n", text):
            said = " ".join(re.findall(r'"([^"]+)"', " ".join(part.split()))) if part.count('"') % 2 == 0 else ""
            if len(said.split()) >= 5:
                found.append(said)
    return found


def test_the_recorded_figures_of_people_are_those_of_real_speeches(shared_data):
    from checks.thresholds import HUMAN_REPLIES

    said = variety.sample(speeches(shared_data / "gutenberg"), 2000, 1)
    found = variety.measure(variety.matched(["w " * 50] * 250, said))
    distinct_3, self_bleu_4 = HUMAN_REPLIES[250]
    assert found.distinct_3 == pytest.approx(distinct_3, abs=0.02)
    assert found.self_bleu_4 == pytest.approx(self_bleu_4, abs=0.04)
