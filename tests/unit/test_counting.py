"""Token counts equal those of encoding, for tokenizers that allow the short cut and for those that do not."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.examples import examples
from twainbot.chunks.counting import PretokenCounter
from twainbot.errors import BadInput

PROSE = "The river was high, and the pilot said so. It's 1874; nobody minded the fog.\n\nSo we tied up. " * 4
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained(pre_tokenizer: pre_tokenizers.PreTokenizer | None, normalizer: normalizers.Normalizer | None = None):
    """A small byte-level BPE over our own prose, with one added token."""
    tokenizer = Tokenizer(models.BPE())
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer


@cache
def gpt2_like() -> Tokenizer:
    return trained(pre_tokenizers.ByteLevel(add_prefix_space=False))


@cache
def qwen_like() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return trained(pre_tokenizers.Sequence([split, byte_level]), normalizers.NFC())


LLAMA_SPLIT = QWEN_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)


@cache
def llama_like() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(LLAMA_SPLIT), behavior="isolated")
    return trained(pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))


@cache
def smollm_like() -> Tokenizer:
    return trained(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    )


@cache
def sentencepiece_like() -> Tokenizer:
    """Unigram under Metaspace, as T5 and the like: no piece can be counted alone."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator([PROSE] * 4, trainer)
    return tokenizer


@cache
def byte_fallback_like() -> Tokenizer:
    """SentencePiece's BPE as Llama 2 and Gemma have it: spaces become letters, unknown ones bytes, nothing is split before."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=tokens, show_progress=False, max_token_length=8)
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer


@cache
def wordpiece_like() -> Tokenizer:
    """WordPiece under BERT's normaliser and splitter."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer


EVERY_KIND = (gpt2_like, qwen_like, llama_like, smollm_like, sentencepiece_like, byte_fallback_like, wordpiece_like)


@cache
def with_prefix_space() -> Tokenizer:
    return trained(pre_tokenizers.ByteLevel(add_prefix_space=True))


def encoded(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


PIECES = [
    "river",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    ".",
    '."',
    "é",
    "e\u0301",
    "\u00a0",
    "1874",
    "'s",
    "…",
    "河",
    "<|im_end|>",
    "/usr",
    "IT'S",
    "don’t",
    "“Q”",
    "\U0001f600",
    "\x1c",
    "\u2028",
    "\x00",
]
ODD_TEXT = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=30).map("".join)


@settings(max_examples=examples(150), deadline=None)
@given(ODD_TEXT)
def test_counts_equal_encoding_for_every_kind_of_pretokenizer(text):
    for tokenizer in (*(make() for make in EVERY_KIND), with_prefix_space()):
        counter = PretokenCounter(tokenizer)
        assert counter.count(text) == encoded(tokenizer, text)
        assert counter.count(text) == encoded(tokenizer, text), "the second count comes from memory"


def test_the_short_cut_is_taken_only_where_words_can_be_counted_alone():
    assert PretokenCounter(gpt2_like()).sums_up
    assert PretokenCounter(qwen_like()).sums_up
    assert PretokenCounter(llama_like()).sums_up
    assert PretokenCounter(smollm_like()).sums_up
    assert not PretokenCounter(sentencepiece_like()).sums_up
    assert not PretokenCounter(wordpiece_like()).sums_up
    assert not PretokenCounter(with_prefix_space()).sums_up
    assert not PretokenCounter(trained(None)).sums_up


def test_a_lower_casing_normaliser_does_not_falsify_counts():
    tokenizer = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.Lowercase())
    assert PretokenCounter(tokenizer).count("THE RIVER was high") == encoded(tokenizer, "the river was high")


def test_an_added_token_inside_a_text_counts_as_one():
    counter = PretokenCounter(gpt2_like())
    assert counter.count("river<|im_end|>") == counter.count("river") + 1


def test_truncation_set_on_the_tokenizer_does_not_cut_the_count():
    tokenizer = Tokenizer.from_str(gpt2_like().to_str())
    tokenizer.enable_truncation(4)
    assert PretokenCounter(tokenizer).count(PROSE) == encoded(gpt2_like(), PROSE) > 4
    assert encoded(tokenizer, PROSE) == 4, "the caller's tokenizer keeps its setting"


def test_no_text_has_no_tokens():
    assert PretokenCounter(gpt2_like()).count("") == 0


@settings(max_examples=examples(150), deadline=None)
@given(st.text(max_size=12), st.sampled_from(["", " ", "\n", "  ", "\n\n"]))
def test_the_cheap_way_to_count_a_piece_is_exact_too(word, gap):
    for make in EVERY_KIND:
        piece = gap + "".join(word.split())
        assert PretokenCounter(make()).cost(piece) == encoded(make(), piece)


def test_every_word_of_an_odd_text_costs_the_same_the_cheap_way():
    text = "It's IT'S 'tis a1 1874; 12345.6 x--y \"Q\" _a_ a/b ... $5 C3PO ''s “Q” don’t a—b c… café É1 ‘I ’ve! 1's é's"
    for make in EVERY_KIND:
        counter = PretokenCounter(make())
        for word in text.split():
            assert counter.cost(f" {word}") == encoded(make(), f" {word}"), word


def test_a_memory_that_is_full_is_emptied_and_counts_stay_exact(monkeypatch):
    monkeypatch.setattr("twainbot.chunks.counting.MOST_KEPT", 2)
    counter = PretokenCounter(gpt2_like())
    words = [f"w{number}, and" for number in range(40)]
    assert [counter.cost(word) for word in words] == [encoded(gpt2_like(), word) for word in words]


def test_a_lone_surrogate_is_refused_by_its_code():
    with pytest.raises(BadInput, match=r"U\+D800, a lone surrogate"):
        PretokenCounter(gpt2_like()).count("half a pair: \ud800")
