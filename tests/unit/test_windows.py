"""Windows cover the text, have exact spans and counts, never exceed their budget, and cut where a reader would."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.examples import examples
from tests.unit.test_counting import EVERY_KIND, byte_fallback_like, sentencepiece_like
from twainbot.chunks import Chunk, Chunker, chunk_works, windows
from twainbot.chunks.headings import find_headings
from twainbot.corpora.works import works_from_unit
from twainbot.errors import BadInput, BadUse
from twainbot.records import CHUNK, WORK, frame

SENTENCE = "The pilot looked at the water and said nothing at all. "


@cache
def tokenizer() -> Tokenizer:
    """A byte-level BPE that knows the words of SENTENCE."""
    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    built.train_from_iterator([SENTENCE * 3], trainer)
    return built


def tokens(text: str) -> int:
    return len(tokenizer().encode(text, add_special_tokens=False).ids)


def uncovered(text: str, chunks) -> list[int]:
    seen = {position for chunk in chunks for position in range(chunk.start, chunk.end)}
    return [i for i, character in enumerate(text) if i not in seen and not character.isspace()]


PIECES = [
    "pilot",
    " ",
    "\n\n",
    "\n",
    ". ",
    "The ",
    "x" * 30,
    " " * 40,
    "河" * 12,
    "\U0001f600",
    "é",
    "--",
    "CHAPTER I",
    "\x1c",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=60).map("".join)


@settings(max_examples=examples(200), deadline=None)
@given(text=TEXTS, size=st.integers(8, 60), part=st.floats(0, 0.5), floor=st.floats(0, 1))
def test_windows_cover_the_text_with_exact_spans_and_counts_within_the_budget(text, size, part, floor):
    chunks = windows(text, tokenizer(), size, int(size * part), min_tokens=int(size * floor))
    assert uncovered(text, chunks) == []
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text == chunk.text.strip()
        assert 0 < chunk.token_count == tokens(chunk.text) <= size
    starts, ends = [c.start for c in chunks], [c.end for c in chunks]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))


@settings(max_examples=examples(80), deadline=None)
@given(texts=st.lists(TEXTS, max_size=3), make=st.sampled_from(EVERY_KIND), size=st.integers(16, 60))
def test_windows_are_exact_under_every_kind_of_tokenizer_and_whatever_was_read_before(texts, make, size):
    chunker = Chunker(make(), size, size // 4)
    for text in texts:
        chunks = chunker.windows(text)
        assert uncovered(text, chunks) == []
        for chunk in chunks:
            exact = len(make().encode(chunk.text, add_special_tokens=False).ids)
            assert 0 < chunk.token_count == exact <= size
            assert chunk.text == text[chunk.start : chunk.end]
        assert chunks == windows(text, make(), size, size // 4)


@pytest.mark.parametrize("make", EVERY_KIND)
def test_an_added_token_in_a_text_is_counted_as_one(make):
    tokenizer = Tokenizer.from_str(make().to_str())
    tokenizer.add_special_tokens(["<|im_end|>"])
    text = (SENTENCE + "mate<|im_end|>the <|im_end|> ") * 9
    for chunk in windows(text, tokenizer, 40, 8):
        assert chunk.token_count == len(tokenizer.encode(chunk.text, add_special_tokens=False).ids) <= 40


def test_mixed_scripts_emoji_and_controls_lose_nothing():
    text = "河は高い。 Река высока! \U0001f600\U0001f3fd \x00 null, naïve e\u0301 नदी ऊँची है। نهر \u2028 " * 40
    chunks = windows(text, tokenizer(), 128, 16)
    assert uncovered(text, chunks) == []
    assert all(chunk.token_count == tokens(chunk.text) <= 128 for chunk in chunks)


def test_blocks_of_white_space_and_of_words_meet_without_a_seam(monkeypatch):
    text = (SENTENCE + "naïve “pilot”\n\n") * 30
    expected = windows(text, tokenizer(), 64, 16)
    for block in (1, 7, 64):
        monkeypatch.setattr("twainbot.chunks.words.BLOCK", block)
        monkeypatch.setattr("twainbot.chunks.words.WORDS_AT_ONCE", block)
        assert windows(text, tokenizer(), 64, 16) == expected


def test_a_work_without_a_text_is_refused_by_name():
    with pytest.raises(BadInput, match=r"neither a text nor a reject_reason \(first 'pg1'\)"):
        chunk_works(frame([work(text=None)], WORK), tokenizer(), 64, 8, 0)


@pytest.mark.parametrize("make", [sentencepiece_like, byte_fallback_like])
def test_a_long_text_is_counted_exactly_under_both_kinds_of_sentencepiece(make):
    text = "CHAPTER I\n\n" + (SENTENCE + "The naïve mate, 1874, said “河”.\n\n" + SENTENCE) * 60
    chunks = windows(text, make(), 128, 16)
    assert len(chunks) > 10
    assert uncovered(text, chunks) == []
    for chunk in chunks:
        assert chunk.token_count == len(make().encode(chunk.text, add_special_tokens=False).ids) <= 128


def test_empty_and_one_word_works_are_not_mixed_up():
    rows = [
        work(work_id="w/empty", text=""),
        work(work_id="w/blank", text=" \n"),
        work(work_id="w/word", text="Steamboat"),
    ]
    chunks = chunk_works(frame(rows, WORK), tokenizer(), 64, 8, 40)
    assert chunks["chunk_id"].to_list() == ["w/word:0-9"]
    assert chunks["text"].to_list() == ["Steamboat"]


def test_bytes_that_are_no_utf_8_reach_the_chunks_as_text_and_keep_their_spans():
    raw = b"The pilot's caf\xe9 \xff\xfe was shut. " * 40 + "The mate’s was not.".encode()
    works = works_from_unit("local", "cafes", raw)
    chunks = chunk_works(works, tokenizer(), 64, 8, 0)
    [text] = works["text"].to_list()
    assert "café" in text
    assert uncovered(text, [Chunk(start, end, "", 0) for start, end in chunks.select("start", "end").iter_rows()]) == []
    assert chunks["text"].to_list() == [text[start:end] for start, end in chunks.select("start", "end").iter_rows()]


@pytest.mark.slow
def test_one_line_of_100_megabytes_is_cut_into_windows_that_cover_it():
    line = " ".join(f"pilot{number % 5_000}" for number in range(200_000))
    text = " ".join([line] * (100_000_000 // len(line)))
    chunks = windows(text, tokenizer(), 512, 64)
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
    assert all(later.start <= earlier.end + 1 for earlier, later in pairwise(chunks))
    assert max(chunk.token_count for chunk in chunks) <= 512


def test_a_text_that_fits_is_one_window_without_its_outer_whitespace():
    (chunk,) = windows("\n  A short joke.\nIts punch line. \n", tokenizer(), 64, 8)
    assert (chunk.start, chunk.end) == (3, 32)
    assert chunk.text == "A short joke.\nIts punch line."


def test_blank_text_has_no_windows():
    assert windows(" \n\n ", tokenizer()) == []


def test_a_window_ends_at_the_paragraph_rather_than_at_a_later_sentence():
    # 12 tokens a sentence: 4 sentences fill 48 of 64 tokens (75 %), over the half from which a paragraph's end is taken
    assert tokens(SENTENCE.strip()) == 12
    text = SENTENCE * 3 + SENTENCE.strip() + "\n\n" + SENTENCE * 4
    first = windows(text, tokenizer(), 64, 0)[0]
    assert first.text == (SENTENCE * 4).strip()


def test_a_window_ends_at_a_sentence_where_no_paragraph_ends():
    chunks = windows(SENTENCE * 20, tokenizer(), 64, 0)
    assert {chunk.text[-1] for chunk in chunks} == {"."}
    assert chunks[0].token_count == 60  # 5 sentences of 12; a sixth would make 72


def test_a_title_before_a_name_ends_no_sentence():
    text = "It was all that Mr. Brown and Dr. Jones and St. Peter had said. " * 12
    assert {c.text.split()[-1] for c in windows(text, tokenizer(), 128, 0)} == {"said."}


def test_the_overlap_begins_at_a_sentence_and_is_near_the_wished_size():
    text = SENTENCE * 40
    chunks = windows(text, tokenizer(), 64, 24)
    shared = [tokens(text[b.start : a.end]) for a, b in pairwise(chunks)]
    assert set(shared) == {24}  # two sentences of 12
    assert all(chunk.text.startswith("The pilot") for chunk in chunks)


def test_without_overlap_no_character_is_in_two_windows():
    chunks = windows(SENTENCE * 40, tokenizer(), 64, 0)
    assert all(a.end <= b.start for a, b in pairwise(chunks))


@pytest.mark.slow
@pytest.mark.parametrize("line", ["x" * 100_000, "河" * 20_000, "ab" * 50_000])
def test_an_unbroken_line_is_still_cut(line):
    chunks = windows(line, tokenizer(), 512, 64)
    assert uncovered(line, chunks) == []
    assert max(chunk.token_count for chunk in chunks) <= 512
    total = tokens(line)
    assert total / 512 <= len(chunks) < 3 * total / (512 - 64), "windows are reasonably full"


def test_a_desert_of_blanks_between_two_words_swallows_no_window():
    text = "pilot" + " " * 30_000 + "water"
    assert [c.text for c in windows(text, tokenizer(), 32, 16)] == ["pilot", "water"]


def test_windows_of_two_editions_fall_in_step_after_a_difference():
    paragraphs = [f"Paragraph {n} says that {n} pilots saw {n * n} logs. {SENTENCE}" for n in range(120)]
    old, new = "\n\n".join(paragraphs), "\n\n".join(["A preface, new. " * 9, *paragraphs])
    shared = {c.text for c in windows(old, tokenizer(), 256, 0)} & {c.text for c in windows(new, tokenizer(), 256, 0)}
    assert len(shared) / len(windows(old, tokenizer(), 256, 0)) > 0.7


def test_a_short_last_window_begins_earlier():
    text = SENTENCE * 5 + SENTENCE * 1  # 60 tokens and a rest of 12
    plain, filled = windows(text, tokenizer(), 64, 0), windows(text, tokenizer(), 64, 0, min_tokens=30)
    assert plain[-1].token_count == 12
    assert 30 <= filled[-1].token_count <= 64
    assert filled[-1].end == plain[-1].end
    assert filled[0] == plain[0]


@pytest.mark.parametrize(
    ("size", "overlap", "least", "named"),
    [(4, 0, 0, "size=4"), (64, 33, 0, "overlap=33"), (64, -1, 0, "overlap=-1"), (64, 8, 65, "min_tokens=65")],
)
def test_contradicting_sizes_are_refused_by_name(size, overlap, least, named):
    with pytest.raises(BadUse, match=named):
        windows("text", tokenizer(), size, overlap, min_tokens=least)


def test_headings_are_lines_that_stand_alone():
    text = "CHAPTER I.\n\nThe river rose.\n\n## On Pilots\nText. CHAPTER II is not one\nhere.\n\nVII.\n\nMORE OF IT\n\nEnd."
    assert find_headings(text).names == ("CHAPTER I.", "On Pilots", "VII.", "MORE OF IT")


def test_a_heading_is_in_force_from_its_own_first_character():
    headings = find_headings("Intro.\n\nCHAPTER I.\n\nText.")
    assert [headings.at(position) for position in (0, 7, 8, 24)] == ["", "", "CHAPTER I.", "CHAPTER I."]


def test_a_window_carries_the_heading_of_its_first_new_text():
    text = "CHAPTER I.\n\n" + SENTENCE * 8 + "\n\nCHAPTER II.\n\n" + SENTENCE * 8
    chunks = windows(text, tokenizer(), 64, 24)
    assert chunks[0].heading == "CHAPTER I."
    assert chunks[-1].heading == "CHAPTER II."
    assert [c.heading for c in chunks] == sorted(c.heading for c in chunks)


def work(**changes):
    row = dict.fromkeys(WORK, "") | {
        "work_id": "pg1", "source": "gutenberg", "unit": "pg1", "title": "On Pilots", "author": "A. Writer", "style": "twain",
        "rights": "public_domain_us", "raw_sha256": "ab", "text": SENTENCE * 20, "warnings": [], "reject_reason": None,
    }  # fmt: skip
    return row | changes


def test_chunk_rows_are_complete_and_walk_back_to_the_work():
    works = frame([work()], WORK)
    chunks = chunk_works(works, tokenizer(), 64, 8, 0)
    assert chunks.columns == list(CHUNK)
    assert chunks.null_count().sum_horizontal().item() == 0
    for row in chunks.iter_rows(named=True):
        assert row["text"] == works["text"][0][row["start"] : row["end"]]
        assert row["chunk_id"] == f"pg1:{row['start']}-{row['end']}"
        assert row["copyright_status"] == "public_domain_us"
        assert json.loads(row["provenance"])["title"] == "On Pilots"


def test_recorded_rejects_are_skipped_and_short_works_stay_whole():
    rows = [
        work(work_id="jokes/1", style="joke", text="Why?\nBecause."),
        work(work_id="jokes/2", style="joke", text="", reject_reason="duplicate_work_id"),
    ]
    chunks = chunk_works(frame(rows, WORK), tokenizer(), 64, 8, 40)
    assert chunks["chunk_id"].to_list() == ["jokes/1:0-13"]


def test_no_works_give_an_empty_frame_of_the_right_columns():
    chunks = chunk_works(frame([], WORK), tokenizer(), 64, 8, 0)
    assert chunks.schema == pl.Schema(CHUNK)


@pytest.mark.shared
def test_a_real_book_is_covered_within_the_budget(shared_data):
    text = (shared_data / "gutenberg" / "pg102.txt").read_text(encoding="utf-8-sig")
    chunks = windows(text, tokenizer(), 512, 64)
    assert uncovered(text, chunks) == []
    assert max(chunk.token_count for chunk in chunks) <= 512
    whole = sum(chunk.text[-1] in ".!?\"'”’-*_" for chunk in chunks) / len(chunks)
    assert whole > 0.8, "four windows of five end where a sentence does"
