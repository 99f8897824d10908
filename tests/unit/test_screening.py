"""Screening: each decision follows from a reason in view, and nothing is dropped or scored in silence."""

from __future__ import annotations

import re
import textwrap
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.errors import BadUse
from twainbot.records import DECISIONS, RIGHTS, SCREENED, STYLES, TRAINABLE_RIGHTS
from twainbot.screening import NotScored, ScreeningSettings, lexical, screen
from twainbot.screening.cascade import miss_rate
from twainbot.screening.lexical import find
from twainbot.screening.quality import MAX_TOP_NGRAM, MIN_WORDS, quality_flags
from twainbot.screening.words import WordCounter

PROSE = (
    "The pilot took his pipe out of his mouth and looked at the river with an air of injury. It had risen a foot since "
    "breakfast, and nobody had asked him. He had known that river when it was a mere creek, he said, and it had manners "
    "then; it stayed where it was put, and did not go walking about the country at night to be introduced to strangers."
)


class FixedScorer:
    """Gives every text the same score and remembers what it was asked."""

    backend = "fixed@sha256:0"

    def __init__(self, value: float) -> None:
        self.value, self.asked = value, []

    def score(self, texts: list[str]) -> list[float | None]:
        self.asked += texts
        return [self.value] * len(texts)


def chunks(*texts: str, style: str = "twain", rights: str = "cc0") -> pl.DataFrame:
    rows = [
        {"chunk_id": f"w:{n}-{n + 1}", "work_id": "w", "text": text, "style": style, "copyright_status": rights}
        for n, text in enumerate(texts)
    ]
    return pl.DataFrame(rows)


def judged(text: str, *, style: str = "twain", rights: str = "cc0", scorer=None, config=None) -> dict[str, object]:
    rows = screen(chunks(text, style=style, rights=rights), scorer or NotScored(), config or ScreeningSettings())
    return rows.row(0, named=True)


def test_good_prose_is_kept_without_a_reason():
    row = judged(PROSE)
    assert (row["decision"], row["reasons"], row["lexical_flags"], row["quality_flags"]) == ("keep", [], [], [])


@pytest.mark.parametrize("rights", RIGHTS)
def test_only_rights_that_allow_training_pass(rights):
    row = judged(PROSE, rights=rights)
    assert (row["decision"] == "keep") == (rights in TRAINABLE_RIGHTS)
    if rights not in TRAINABLE_RIGHTS:
        assert row["reasons"] == [f"rights_{rights}"]


def test_rights_that_nobody_has_heard_of_are_unknown():
    assert judged(PROSE, rights="surely fine")["reasons"] == ["rights_unknown"]


def test_without_a_model_toxicity_is_null_and_says_not_scored():
    row = judged(PROSE)
    assert row["toxicity"] is None
    assert row["toxicity_backend"] == "not_scored"


@pytest.mark.parametrize(("score", "decision"), [(0.49, "keep"), (0.5, "review"), (0.89, "review"), (0.9, "reject")])
def test_a_score_decides_at_its_thresholds(score, decision):
    row = judged(PROSE, scorer=FixedScorer(score))
    assert (row["decision"], row["toxicity"], row["toxicity_backend"]) == (decision, score, "fixed@sha256:0")
    assert row["reasons"] == ([] if decision == "keep" else ["toxicity"])


def test_one_strong_word_is_reviewed_and_two_are_rejected():
    once, twice = f"{PROSE} Oh shit.", f"{PROSE} Oh shit, said the shitty pilot."  # 2 and 2 + 2 = 4
    assert (judged(once)["decision"], judged(once)["reasons"]) == ("review", ["profanity"])
    assert (judged(twice)["decision"], judged(twice)["reasons"]) == ("reject", ["profanity"])


@pytest.mark.parametrize(
    "text", ["a damned fool", "the devil's own ass of a mule", "what in hell", "Scunthorpe", "cockpit"]
)
def test_mild_oaths_and_innocent_words_are_not_flagged(text):
    assert find(text).flags == ()


def test_a_period_slur_goes_to_review_by_category_and_is_never_dropped():
    row = judged(f"{PROSE} The injun said no.")
    assert (row["decision"], row["reasons"]) == ("review", ["period_term:indigenous"])


def test_a_threat_in_fiction_is_reviewed_and_a_call_to_self_harm_rejected():
    assert judged(f'{PROSE} "I’ll kill you," he said.')["reasons"] == ["threat"]
    assert judged(f"{PROSE} Go and kill yourself.")["decision"] == "reject"


def test_a_sensitive_topic_is_recorded_and_only_some_ask_for_review():
    assert judged(f"{PROSE} Slavery was the law then.")["sensitive_topics"] == ["slavery"]
    assert judged(f"{PROSE} Slavery was the law then.")["decision"] == "keep"
    assert judged(f"{PROSE} He spoke of suicide.")["reasons"] == ["topic:self_harm"]


@pytest.mark.parametrize(
    ("text", "kind", "decision"),
    [
        ("Write to someone@example.org.", "email", "review"),
        ("Call (314) 555-0123 now.", "phone", "review"),
        ("His number is 123-45-6789.", "ssn", "reject"),
    ],
)
def test_personal_data_is_found_by_kind(text, kind, decision):
    row = judged(f"{PROSE} {text}")
    assert (row["decision"], row["reasons"]) == (decision, [f"personal_data:{kind}"])


def test_zone_codes_of_a_bulletin_are_no_personal_data():
    assert find("WIZ042-043-053-055-221815-\nARZ001-002-010-\n1884-85 and 000-12-3456").flags == ()


def test_an_offices_telephone_is_flagged_but_not_reviewed_in_a_bulletin():
    row = judged("FORECAST OFFICE TELEPHONE 816-555-0123. RAIN TODAY.", style="weather_fact")
    assert row["lexical_flags"] == ["personal_data:phone"]
    assert row["decision"] == "keep"


def test_a_passage_of_49_words_is_too_short_and_a_joke_is_not():
    text = " ".join(["The", "pilot", "and", "his", "mate"] * 10)
    assert MIN_WORDS == 50
    assert "too_few_words" not in quality_flags(text, "twain")
    assert "too_few_words" in quality_flags(text.removesuffix(" mate"), "twain")
    assert quality_flags("Why me? Because.", "joke") == []


DEBRIS = {
    "mojibake": PROSE + " caf\u00c3\u00a9",
    "placeholder_text": PROSE + " Lorem ipsum dolor.",
    "few_alphabetic_words": PROSE + " 12 34 56" * 10,
    "bullet_lines": "\n".join(f"- {line}" for line in textwrap.wrap(PROSE, 40)),
    "ellipsis_lines": "\n".join(f"the pilot and that mate number {'i' * n} of the boat..." for n in range(1, 12)),
    "duplicate_lines": "\n".join([PROSE, *["The same line of the same page."] * 3]),
    "no_sentences": "\n\n".join(f"The {'i' * n} Chapter of the Book and of Pilots" for n in range(1, 12)),
    "few_stop_words": "Qu'il prétendait faire son éducation; vous me croirez si vous voulez. " * 1
    + "Bonjour mon ami. " * 14,
    "repeated_ngrams": PROSE[:60] + " river pilot" * 40 + ".",
    "word_length": "the and " + "supercalifragilistic " * 60 + ".",
    "symbols": PROSE + " #" * 12,
}


@pytest.mark.parametrize("rule", DEBRIS)
def test_each_rule_fails_on_its_own_kind_of_debris(rule):
    assert rule in quality_flags(DEBRIS[rule], "twain")
    assert rule not in quality_flags(PROSE, "twain")


def test_one_failed_rule_is_reviewed_and_two_are_rejected():
    one = judged(DEBRIS["bullet_lines"])
    assert (one["quality_flags"], one["decision"], one["reasons"]) == (
        ["bullet_lines"],
        "review",
        ["quality:bullet_lines"],
    )
    two = judged(DEBRIS["few_stop_words"])
    assert len(two["quality_flags"]) >= 2
    assert two["decision"] == "reject"


def test_a_hard_rule_rejects_alone():
    assert judged(DEBRIS["mojibake"])["decision"] == "reject"


def test_rejecting_reasons_stand_first_and_each_once():
    row = judged(f"{PROSE} The injun said: shit, shit.", rights="unknown")
    assert row["reasons"] == ["rights_unknown", "profanity", "period_term:indigenous"]


def test_flagged_texts_are_always_scored_and_others_by_share():
    scorer = FixedScorer(0.1)
    flagged = f"{PROSE} The injun said no."
    rows = screen(chunks(PROSE, flagged, PROSE), scorer, ScreeningSettings(scored_share=0.0))
    assert scorer.asked == [flagged]
    assert rows["toxicity"].to_list() == [None, 0.1, None]
    assert rows["toxicity_backend"].to_list() == ["not_scored", "fixed@sha256:0", "not_scored"]


def test_the_scored_share_is_drawn_by_text_and_so_is_the_same_in_every_run():
    texts = [f"{PROSE} {number}" for number in range(200)]
    first, second = FixedScorer(0.1), FixedScorer(0.1)
    screen(chunks(*texts), first, ScreeningSettings(scored_share=0.25))
    screen(chunks(*reversed(texts)), second, ScreeningSettings(scored_share=0.25))
    assert set(first.asked) == set(second.asked)
    assert 25 <= len(first.asked) <= 75  # 50 expected; +-25 is four standard deviations of 6.1


def test_contradicting_thresholds_are_refused_by_both_names():
    with pytest.raises(BadUse, match=r"toxicity_review=0\.95.*toxicity_reject=0\.9"):
        ScreeningSettings(toxicity_review=0.95)
    with pytest.raises(BadUse, match="scored_share"):
        ScreeningSettings(scored_share=1.5)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.text(max_size=80), max_size=5), st.sampled_from(STYLES), st.sampled_from(RIGHTS))
def test_every_chunk_gets_one_row_in_order_and_a_reason_unless_kept(texts, style, rights):
    asked = chunks("dropped", *texts, style=style, rights=rights)[1:]
    rows = screen(asked, NotScored(), ScreeningSettings())
    assert rows.schema == pl.Schema(SCREENED)
    assert rows["chunk_id"].to_list() == asked["chunk_id"].to_list()
    for row in rows.iter_rows(named=True):
        assert row["decision"] in DECISIONS
        assert (row["decision"] == "keep") == (row["reasons"] == [])


def test_a_joke_of_unknown_rights_waits_for_its_rights_and_prose_does_not():
    joke = "Why did the almanac blush? It had seen the whole year coming."
    waiting = judged(joke, style="joke", rights="unknown")
    assert (waiting["decision"], waiting["reasons"]) == ("review", ["rights_unknown"])
    assert judged(PROSE, rights="unknown")["decision"] == "reject"
    assert judged(joke, style="joke", rights="restricted")["decision"] == "reject"


def test_each_period_term_is_shown_with_its_surroundings_and_how_often_it_stands_there():
    row = judged(f"{PROSE} The injun said no; the injun meant it. {PROSE}")
    [shown] = row["evidence"]
    assert shown.startswith("period_term:indigenous: injun (2): … ")
    assert "the injun said no; the injun meant it." in shown
    assert judged(PROSE)["evidence"] == []


def test_a_phrase_is_found_over_a_lines_end():
    assert find("He was deaf and\ndumb.").flags == ("period_term:disability",)


def test_what_no_one_may_be_taught_goes_to_review_and_politics_of_today_is_recorded():
    assert judged(f"{PROSE} He showed them how to make a bomb.")["reasons"] == ["topic:disallowed"]
    row = judged(f"{PROSE} They argued about Brexit.")
    assert (row["decision"], row["sensitive_topics"]) == ("keep", ["politics"])
    assert judged(f"{PROSE} The senator lost the election of 1876.")["sensitive_topics"] == []


FRENCH = "Il pleuvait depuis trois jours et personne ne savait plus quoi dire au pilote. " * 6


def test_a_foreign_passage_goes_to_review_and_a_short_line_is_left_unclear():
    row = judged(FRENCH)
    assert row["language"] == "other"
    assert "language:other" in row["reasons"]
    assert judged(PROSE)["language"] == "en"
    assert judged("Bonjour, monsieur.", style="joke")["language"] == "unclear"


def test_the_cascade_says_why_each_chunk_was_scored_and_estimates_what_it_misses():
    texts = [f"{PROSE} {number}" for number in range(100)] + [f"{PROSE} The injun said no."]
    config = ScreeningSettings(scored_share=0.5)
    rows = screen(chunks(*texts), FixedScorer(0.6), config)
    why = dict(rows["scored_because"].value_counts().iter_rows())
    assert why["flagged"] == 1
    assert why["sample"] + why["not_drawn"] == 100
    found = miss_rate(rows, 0.5)
    assert (found.drawn, found.missed) == (why["sample"], why["sample"])
    assert miss_rate(rows, 0.7).missed == 0
    assert str(miss_rate(screen(chunks(*texts), NotScored(), config), 0.5)).startswith("not estimated")
    assert set(screen(chunks(*texts), NotScored(), config)["scored_because"]) == {"no_model"}


def test_a_hundred_chunks_without_a_miss_leave_room_for_nearly_four():
    # Wilson's upper end for 0 of 100 is z^2 / (n + z^2) = 3.8415 / 103.8415; of none, nothing is known
    rows = screen(chunks(*(f"{PROSE} {number}" for number in range(100))), FixedScorer(0.1), ScreeningSettings())
    found = miss_rate(rows, 0.5)
    assert (found.drawn, found.low, round(found.high, 6)) == (100, 0.0, round(3.841459 / 103.841459, 6))
    assert (miss_rate(rows.clear(), 0.5).low, miss_rate(rows.clear(), 0.5).high) == (0.0, 1.0)


def test_another_seed_draws_another_sample():
    texts = [f"{PROSE} {number}" for number in range(200)]
    drawn = []
    for seed in (1, 2):
        scorer = FixedScorer(0.1)
        screen(chunks(*texts), scorer, ScreeningSettings(scored_share=0.25, sample_seed=seed))
        drawn.append(set(scorer.asked))
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("flag", lexical._lexicon().flags)
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_no_match_of_any_cue_is_kept_from_the_search_by_looking_at_words_first(flag, data):
    lexicon = lexical._lexicon()
    pattern, _ = data.draw(st.sampled_from(lexicon.patterns[flag]))
    drawn = data.draw(st.from_regex(re.compile(pattern.pattern, re.ASCII), fullmatch=True)).lower()
    before = data.draw(st.sampled_from([" ", "--", "“", "("]))
    text = f"he said{before}{drawn} and so"
    if pattern.search(" ".join(text.split())):
        marks = int(WordCounter(lexical.marks_of).count([text]).marks[0])
        found = lexical.find_marked(text, marks)
        assert found == find(text)
        assert flag in found.flags or flag.removeprefix("topic:") in found.topics


def _top_share(lowered: list[str], n: int) -> float:
    """Share of all characters that lie in repeats of the most frequent n-gram; 0 where none occurs twice."""
    grams = Counter(zip(*(lowered[offset:] for offset in range(n)), strict=False))
    shares = [count * sum(map(len, gram)) for gram, count in grams.items() if count > 1]
    return max(shares, default=0) / max(1, sum(map(len, lowered)))


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "river", "pilot.", "\n", "the"]), min_size=50, max_size=90))
def test_the_quick_look_at_pairs_never_hides_a_repetition(words):
    text = " ".join(words)
    stems = [word.lower().strip(".") for word in text.split()]
    exact = any(_top_share(stems, n) > bound for n, bound in MAX_TOP_NGRAM.items())
    assert ("repeated_ngrams" in quality_flags(text, "twain")) == (exact and len(stems) >= MIN_WORDS)


def test_screening_is_the_same_in_any_order_and_in_any_blocks(monkeypatch):
    texts = [PROSE, FRENCH, f"{PROSE} The injun said: shit.", *DEBRIS.values(), "", "one", "\x00 \U0001f600 é"]
    whole = screen(chunks(*texts), NotScored(), ScreeningSettings())
    monkeypatch.setattr("twainbot.screening.decide.BLOCK", 3)
    assert screen(chunks(*texts), NotScored(), ScreeningSettings()).equals(whole)
    turned = screen(chunks(*texts)[::-1], NotScored(), ScreeningSettings())
    assert turned[::-1].equals(whole)


def test_a_chunk_without_a_text_is_rejected_and_not_lost():
    rows = screen(chunks("x", PROSE).with_columns(text=pl.Series([None, PROSE])), NotScored(), ScreeningSettings())
    assert rows["decision"].to_list() == ["reject", "keep"]
    assert rows["reasons"][0].to_list() == ["quality:too_few_words"]


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "word", "\U0001f600", "河", "\ufeff", "\u200d"])
def test_next_to_nothing_is_too_few_words_and_nothing_worse(text):
    row = judged(text)
    assert (row["decision"], row["language"]) == ("reject", "unclear")
    assert "quality:too_few_words" in row["reasons"]


@pytest.mark.parametrize(
    "text",
    [
        "Река была высока, и лоцман молчал. " * 20,
        "河は高く、水先人は黙っていた。 " * 60,
        "كان النهر عاليا والملاح صامتا. " * 20,
        "नदी ऊँची थी और नाविक चुप था। " * 20,
    ],
)
def test_another_script_goes_to_review_by_its_language(text):
    row = judged(text)
    assert row["language"] == "other"
    assert "language:other" in row["reasons"]


def test_emoji_and_a_few_foreign_words_in_english_prose_do_not_change_the_decision():
    row = judged(f"{PROSE} \U0001f600\U0001f3fd The word is река, or 河, or نهر.")
    assert (row["decision"], row["language"]) == ("keep", "en")


def test_what_could_not_be_decoded_is_rejected_as_mojibake():
    raw = f"{PROSE} caf".encode() + b"\xe9."
    assert judged(raw.decode("utf-8", "replace"))["reasons"] == ["quality:mojibake"]


def test_a_table_of_no_chunks_gives_a_table_of_no_rows():
    assert screen(chunks("x")[:0], NotScored(), ScreeningSettings()).schema == pl.Schema(SCREENED)


@pytest.mark.slow
def test_one_line_of_100_megabytes_is_screened_like_any_other():
    line = " ".join(f"pilot{number % 5_000} and the" for number in range(100_000))
    text = " ".join([line] * (100_000_000 // len(line)))
    row = judged(text + " injun")
    assert row["language"] == "en"  # two words of three
    assert row["lexical_flags"] == ["period_term:indigenous"]
    assert "no_sentences" in row["quality_flags"]


@pytest.mark.slow
def test_a_word_of_100_megabytes_is_one_word():
    assert "too_few_words" in judged("x" * 100_000_000)["quality_flags"]
