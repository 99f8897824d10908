"""All texts at once give the words, n-grams and copies that shingles.py finds text by text."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twainbot.dedupe import flat
from twainbot.dedupe.shingles import words

PINNED = 7076800322551794675  # computed once; another value means that stored signatures no longer join
LETTERS = "aZ9 _-'\n\t\r\0\x7f\x85éÉßÆ×÷ÿµªº²½¨´­  ‘’“”–—…‽′″‿​‌﻿ﬁ™İıſŒžКж中文字ｆ１́̈🙂👍🏽\ud800\udfff"
TEXTS = st.lists(st.text(alphabet=st.sampled_from(LETTERS), max_size=30), max_size=6)


def grams_of(text: str, length: int) -> set[tuple[str, ...]]:
    found = words(text)
    size = min(length, len(found))
    return {tuple(found[at : at + size]) for at in range(len(found) - size + 1)} if found else set()


def hashed(texts: list[str]) -> list[list[int]]:
    return [part.tolist() for block in flat.blocks(texts) for part in np.split(block.hashes, block.starts[1:-1])]


@settings(deadline=None)
@given(TEXTS)
@example(["É́x", "a⃝b", "x­y", "‘’", "straße STRASSE", "A\ud800B"])
@example(["", "one", "", "two words", ""])
def test_words_are_those_of_each_text_alone(texts):
    named = [words(text) for text in texts]
    found = hashed(texts)
    assert [len(row) for row in found] == [len(row) for row in named]
    meaning = {
        value: word
        for row, text_words in zip(found, named, strict=True)
        for value, word in zip(row, text_words, strict=True)
    }
    assert [[meaning[value] for value in row] for row in found] == named
    assert len(set(meaning.values())) == len(meaning), "and one word has one hash"


@pytest.mark.parametrize("code", [*range(0xA0, 0x100), *range(0x2000, 0x2040)])
@pytest.mark.parametrize("around", ["{}", "a{}b", "a{} b", "{}́", "É{}é"])
def test_every_character_that_is_read_by_table_is_read_rightly(code, around):
    text = around.format(chr(code))
    assert [len(row) for row in hashed([text, "x"])] == [len(words(text)), 1]
    assert hashed([text]) == hashed([" ".join(words(text))])


@settings(deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_ngrams_are_those_of_each_text_alone(texts, length):
    meaning: dict[int, tuple[str, ...]] = {}
    for block in flat.blocks(texts):
        grams = flat.gram_hashes(block, length)
        for text, row in zip(texts[block.first :], np.split(grams, block.starts[1:-1]), strict=False):
            expected = grams_of(text, length)
            assert len(set(row.tolist())) == len(expected)
            assert len(row) == len(words(text)), "the last places hold the first n-gram again"
            found = words(text)
            size = min(length, len(found))
            starts = range(len(found) - size + 1) if found else ()
            for at in starts:
                assert meaning.setdefault(int(row[at]), tuple(found[at : at + size])) == tuple(found[at : at + size])


@settings(deadline=None)
@given(TEXTS)
def test_copies_are_texts_of_equal_words_in_equal_order(texts):
    rows = [row for block in flat.blocks(texts) for row in map(tuple, flat.text_hashes(block).tolist())]
    named = [tuple(words(text)) for text in texts]
    assert len(set(zip(rows, named, strict=True))) == len(set(rows)) == len(set(named))
    assert all((row == (0, 0)) == (not text) for row, text in zip(rows, named, strict=True))


def test_words_of_any_length_are_told_apart_by_every_letter():
    lengths = [1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200]
    texts = ["a" * length for length in lengths]
    texts += [text[:at] + "b" + text[at + 1 :] for text in texts for at in (0, len(text) // 2, len(text) - 1)]
    assert len({row[0] for row in hashed(texts)}) == len(set(texts))


def test_a_long_line_read_in_pieces_has_the_words_of_the_whole(monkeypatch):
    text = "Rain, fog; “mud” and bells — " * 40
    whole = hashed([text])
    copy = [flat.text_hashes(block).tolist() for block in flat.blocks([text])]
    monkeypatch.setattr(flat, "BLOCK_CHARACTERS", 64)
    monkeypatch.setattr(flat, "SLICE", 10)
    assert hashed([text, "x"]) == [*whole, *hashed(["x"])]
    assert [flat.text_hashes(block).tolist() for block in flat.blocks([text])] == copy


def test_blocks_are_bounded_and_number_their_texts(monkeypatch):
    monkeypatch.setattr(flat, "BLOCK_CHARACTERS", 10)
    monkeypatch.setattr(flat, "BLOCK_TEXTS", 3)
    made = [
        (block.first, len(block.starts) - 1) for block in flat.blocks(["aaaa", "bbbb", None, "", "", "", "c" * 30, "d"])
    ]
    assert made == [(0, 3), (3, 3), (6, 1), (7, 1)]


def test_a_chosen_part_of_a_block_is_the_block_of_the_chosen_texts():
    (block,) = flat.blocks(["fog and mud", "", "bell", "rain"])
    (alone,) = flat.blocks(["fog and mud", "rain"])
    part = block.select(np.array([True, False, False, True]))
    assert part.hashes.tolist() == alone.hashes.tolist()
    assert part.starts.tolist() == alone.starts.tolist()


@pytest.mark.parametrize("seed", ["0", "1"])
def test_hashes_do_not_change_between_processes(root, seed):
    code = (
        "from twainbot.dedupe import flat;"
        "(block,) = flat.blocks(['The pilot rang the bell twice, and the extraordinarily thick fog lifted.']);"
        "print(int(flat.gram_hashes(block, 3).sum() ^ flat.text_hashes(block).sum()))"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed}
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=True)
    assert int(ran.stdout) == PINNED
