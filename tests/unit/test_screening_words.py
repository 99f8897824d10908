"""The counts and findings of whole tables equal those of one text looked at word by word, which is how they are defined."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.chunks import lookup
from twainbot.chunks.lookup import LONGEST, WordPlaces
from twainbot.records import STYLES
from twainbot.screening import NotScored, ScreeningSettings, lexical, screen, words
from twainbot.screening.lexical import Findings
from twainbot.screening.words import EDGE, ENGLISH, STOP_WORDS, WordCounter

ODD = (
    *(" ", "\n", "\n\n", "\r\n", "\x85", "\xa0", "\u2003", "\u2028", "\u3000", "\x1c", "\v", "\x00", "a\x00", "\u200b"),
    *("…", "...", "- ", "* ", "•", " . . . ", "#", "Ã©", "â€™", "\ufffd", "enable coo\u212aies", "LOREM IPSUM", "Terms of Use"),
    *("ſ", "İ", "ΑΣ", "ß", "ﬁ", "²", "½", "ª", "é", "河水", "مرحبا", "\U0001f600", "x" * 16, "x" * 17, "y" * 300),
    *("“Injun”", "injun’s", "half-breed", "n\u0301igger", "deaf\nand  dumb", "naked savages", "negro", "sh*t", "kill yourself"),
    *("go kill\nyourself", "i’ll kill you", "someone@example.org", "(314) 555-0123", "123-45-6789", "make a bomb", "trump"),
    *("vote for smith in 2024", "the", "the the the", "and--and", "don't", "DON’T", "1874", "3.5", "_italic_", "pilot."),
)  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(ODD), st.just(" the pilot "), st.text(max_size=6)), max_size=70).map("".join)
BREAKS = re.compile(r"\n\s*\n")


def table(texts: list[str | None], style: str = "twain") -> pl.DataFrame:
    rows = {"chunk_id": [f"w:{n}" for n in range(len(texts))], "work_id": "w", "text": texts, "style": style}
    return pl.DataFrame(
        {**rows, "copyright_status": "cc0"}, schema_overrides={"text": pl.String, "chunk_id": pl.String}
    )


def stems_of(text: str) -> list[str]:
    return [word.lower().replace("’", "'").strip(EDGE) for word in text.split()]


def top(stems: list[str], n: int) -> int:
    """Characters in all occurrences of the n-gram that repeats most."""
    grams = Counter(zip(*(stems[offset:] for offset in range(n)), strict=False))
    return max((count * sum(map(len, gram)) for gram, count in grams.items() if count > 1), default=0)


def has_letter(word: str) -> bool:
    return bool(re.search(r"[^\W\d_]", word))


def slow_flags(text: str, style: str) -> list[str]:
    """The quality rules as they are written down, one after the other, without any short cut."""
    found, stems = text.split(), stems_of(text)
    short, tabular = (
        style in ("joke", "satire", "weather_fact", "dialogue", "franklin"),
        style in ("weather_fact", "dialogue"),
    )
    n = len(found)
    mild = tabular or n < 50
    flags = {
        "too_few_words": n < (3 if short else 50),
        "mojibake": bool(re.search("\ufffd|Ã[\u0080-\u00bf©¨¢´¼¶]|â€[\u0080-\u02ff™œ\u009d]", text)),
        "placeholder_text": any(
            phrase in text.lower()
            for phrase in ("lorem ipsum", "javascript is disabled", "enable cookies", "terms of use")
        ),
        "few_alphabetic_words": n > 0
        and sum(stem.isalpha() or has_letter(word) for word, stem in zip(found, stems, strict=True)) / n
        < (0.4 if mild else 0.8),
        "symbols": text.count("#") + text.count("…") + text.count(". . .") > 0.1 * n,
    }
    if n >= 50:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        parts = [part.strip() for part in BREAKS.split(text) if part.strip()]
        closed = sum(
            part.rstrip("\"'”’)]_*")[-1:] in set(".!?:;,…—-") or part[-1] in "\"'”’" for part in parts
        )  # an empty string is in no set
        flags |= {
            "bullet_lines": sum(bool(re.match(r"[-*•‣]\s", line)) for line in lines) / len(lines) > 0.9,
            "ellipsis_lines": not tabular and sum(line.endswith(("...", "…")) for line in lines) / len(lines) > 0.3,
            "duplicate_lines": 1 - len(set(lines)) / len(lines) > 0.3,
            "no_sentences": not tabular and closed / len(parts) < 0.12,
            "word_length": not tabular and not 3 <= sum(map(len, found)) / n <= 10,
            "few_stop_words": not tabular and len(set(stems) & set(STOP_WORDS)) < 2,
            "repeated_ngrams": any(
                top(stems, size) / max(1, sum(map(len, stems))) > bound
                for size, bound in ((2, 0.2), (3, 0.18), (4, 0.16))
            ),
        }
    return sorted(name for name, failed in flags.items() if failed)


def slow_language(text: str) -> str:
    stems = stems_of(text)
    if len(stems) < 50:
        return "unclear"
    return "en" if sum(stem in ENGLISH for stem in stems) >= 0.12 * len(stems) else "other"


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.one_of(TEXTS, st.none()), max_size=6), st.sampled_from(STYLES))
@example(["the pilot said that " * 30, "# " * 60, "\n".join(["- the and"] * 60), "and so on...\n" * 40], "twain")
def test_a_table_is_screened_as_each_text_would_be_by_the_rules_as_they_are_written(texts, style):
    rows = screen(table(texts, style), NotScored(), ScreeningSettings())
    for row, text in zip(rows.iter_rows(named=True), [text or "" for text in texts], strict=True):
        found = lexical.find(text)
        assert row["quality_flags"] == slow_flags(text, style)
        assert row["language"] == slow_language(text)
        assert row["lexical_flags"] == list(found.flags)
        assert row["sensitive_topics"] == list(found.topics)
        assert row["evidence"] == list(found.evidence)


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_counts_of_a_block_are_sums_over_the_words_of_each_text(texts):
    counts = WordCounter(lexical.marks_of, lexical.candidates).count(texts)
    for number, text in enumerate(texts):
        stems = stems_of(text)
        marks = 0
        for stem in stems:
            marks |= lexical.marks_of(stem) if stem else 0
        assert counts.words[number] == len(stems)
        assert counts.characters[number] == sum(map(len, text.split()))
        assert counts.plain[number] == sum(map(len, stems))
        assert counts.english[number] == sum(stem in ENGLISH for stem in stems)
        assert counts.marks[number] == marks
        assert [counts.top2[number], counts.top3[number], counts.top4[number]] == [top(stems, n) for n in (2, 3, 4)]


@pytest.mark.parametrize("flag", lexical._lexicon().flags)
@settings(max_examples=examples(12), deadline=None)
@given(data=st.data())
def test_searching_around_marked_words_finds_what_searching_the_text_finds(flag, data):
    lexicon = lexical._lexicon()
    drawn = []
    for _ in range(data.draw(st.integers(1, 3))):
        pattern, _ = data.draw(st.sampled_from(lexicon.patterns[flag]))
        drawn.append(data.draw(st.from_regex(re.compile(pattern.pattern, re.ASCII), fullmatch=True)).lower())
    gaps = st.integers(0, 14).map(lambda n: " and so" * n + " ")  # nearer than the reach, and farther
    text = "".join(data.draw(gaps) + piece for piece in drawn) + data.draw(gaps)
    counts = WordCounter(lexical.marks_of, lexical.candidates, lexical.reach()).count(["", text])
    found = lexical.find_near(text, int(counts.marks[1]), counts.marked.get(1, []))
    whole = lexical.find(text)
    assert found == whole
    if any(match for match, _ in lexicon.hits(flag, " ".join(text.split()))):
        assert whole != Findings({}, (), ())


def test_a_cue_reaches_no_farther_than_the_spaces_in_it_allow():
    """`\\s`, `.`, negated classes and repeated spaces would let a cue run over more words than `reach` counts."""
    for listed in lexical._lexicon().patterns.values():
        for pattern, _ in listed:
            bare = re.sub(r"\(\?<?[=!][^)]*\)", "", pattern.pattern)  # what looks around takes in nothing
            outside = re.sub(r"\[[^\]]*\]", "[]", bare)
            assert not re.search(r" [*+{]|\\[sSWD]", bare)
            assert "[^" not in bare
            assert not re.search(r"(?<!\\)\.", outside)
            assert not re.search(r"\[[^\]]* [^\]]*\][*+{]", bare)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.text(max_size=8)), st.integers(1, 3))
def test_candidates_leave_out_no_word_that_has_marks(drawn, copies):
    listed = [word.lower() for word in drawn] + [
        "injun",
        "half-breed",
        "x--negro",
        "naïve—injun",
        "a.b@c",
        "3-4",
    ] * copies
    kept = set(lexical.candidates(listed))
    assert kept >= {word for word in listed if word and lexical.marks_of(word)}


BYTES = st.text(st.sampled_from("ab\x00é河x"), min_size=1, max_size=2 * LONGEST + 2).map(str.encode)


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.lists(BYTES, max_size=40), max_size=5))
def test_words_have_one_number_each_in_the_order_in_which_they_are_learned(rounds):
    places, learned = WordPlaces(), []
    for listed in rounds:
        data = b" ".join([*listed, b" " * LONGEST])
        sizes = np.array([len(word) for word in listed], np.int64)
        starts = np.cumsum(sizes + 1) - sizes - 1
        found = places.find(data, starts, starts + sizes, learned.extend)
        assert [learned[number] for number in found.tolist()] == listed
    assert len(learned) == len(set(learned)) == len(places)


def test_a_table_of_words_grows_and_keeps_what_it_holds():
    counter = WordCounter(lambda _: 0)
    listed = [f"w{number}" for number in range(40_000)]  # the table begins with room for 8,192
    first = counter.count([" ".join(listed)])
    again = counter.count([" ".join(reversed(listed))])
    assert first.words[0] == again.words[0] == 40_000
    assert first.characters[0] == again.characters[0] == sum(map(len, listed))


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.lists(TEXTS, max_size=3), max_size=4))
def test_what_was_read_before_changes_no_count(rounds):
    counter = WordCounter(lexical.marks_of, lexical.candidates)
    for texts in rounds:
        kept, fresh = counter.count(texts), WordCounter(lexical.marks_of, lexical.candidates).count(texts)
        for name in ("words", "characters", "alphabetic", "english", "stops", "marks", "plain", "top2", "layout"):
            assert (getattr(kept, name) == getattr(fresh, name)).all()


def test_a_long_word_met_again_is_learned_once():
    counter = WordCounter(lambda _: 0)
    for text in ("x" * 40, "x" * 40, "the"):
        assert counter.count([text]).plain.tolist() == [len(text)]


def test_what_was_learned_is_forgotten_when_it_is_too_much_and_counts_stay_the_same(monkeypatch):
    texts = [f"the {number} pilot {number}" for number in range(50)]
    whole = WordCounter(lexical.marks_of).count(texts)
    monkeypatch.setattr(words, "MOST_KEPT", 5)
    monkeypatch.setattr(lookup, "BLOCK_CHARACTERS", 40)
    monkeypatch.setattr(lookup, "SLICE", 3)
    parts = WordCounter(lexical.marks_of).count(texts)
    assert all(
        (getattr(whole, name) == getattr(parts, name)).all() for name in ("words", "plain", "top2", "marks", "stops")
    )


@pytest.mark.shared
def test_real_books_are_screened_by_the_rules_as_they_are_written(shared_data):
    raw = (shared_data / "gutenberg" / "pg102.txt").read_text("utf-8", "replace")
    texts = [raw[at : at + 1500] for at in range(0, len(raw), 1500)]
    rows = screen(table(texts), NotScored(), ScreeningSettings())
    assert rows["quality_flags"].to_list() == [slow_flags(text, "twain") for text in texts]
    assert rows["evidence"].to_list() == [list(lexical.find(text).evidence) for text in texts]
