"""The word n-grams of many texts at once, as one flat array of hashes. What they mean text by text: shingles.py.

The words are those of `shingles.words`, found in one pass over the bytes of a block of texts: ASCII, Latin-1 letters and
typographic marks by table, texts with anything else by `shingles.words` itself. A test holds both to the same words.
Hashes are fixed arithmetic, so they are the same in every process, version and machine; HASH_VERSION names them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from twainbot.dedupe.shingles import SHINGLES_VERSION, Hashes, words

HASH_VERSION = f"flat1-{SHINGLES_VERSION}"  # part of every signature's scheme; raise flat<n> when a hash changes
Numbers: TypeAlias = NDArray[np.int64]
_Bytes: TypeAlias = NDArray[np.uint8]

BLOCK_CHARACTERS = 1 << 19  # half a million: the arrays of a block stay in the cache; 4 times as many cost 15 % more
BLOCK_TEXTS = 1 << 13  # bounds a block's signatures to 4 MB
SLICE = 1 << 20  # words of one long text that are hashed at once

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing; n-grams are polynomials in it
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # MurmurHash3's 64-bit finaliser
_SHIFT = np.uint64(33)
_LANES = (np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F))  # the two halves of a text's hash
_LONG_WORD = 64  # bytes; longer ones are hashed by blake2b, so that a base64 blob costs no round per 8 bytes
_PADDING = 24  # zero bytes behind the last text: eight may be read past any word

_GAP = re.compile(r"[ \t\r\n]")
_LOWER = bytes(i + 32 if 65 <= i <= 90 else i if i >= 128 or chr(i).isalnum() else 0 for i in range(256))
_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)  # masks of the first `count` bytes


def _second_bytes(lead: int) -> _Bytes:
    """For each second byte of a two-byte character: 1 where the character is no letter, digit or part of one."""
    return np.array(
        [128 <= i < 192 and not words(bytes([lead, i]).decode()) for i in range(256)],
        np.uint8,
    )


_C2_GAPS, _C3_GAPS = (
    _second_bytes(0xC2),
    _second_bytes(0xC3),
)  # U+0080 to U+00BF; multiply and divide among U+00C0 to U+00FF
_C3_LOWER = np.array([i + 32 if 0x80 <= i < 0x9F else i for i in range(256)], np.uint8)
_SHARP_S = 0x9F


@dataclass(frozen=True)
class Block:
    """Hashes of the words of some texts in a row: those of text i are hashes[starts[i]:starts[i + 1]]."""

    first: int  # number of the block's first text
    hashes: Hashes
    starts: Numbers  # (texts + 1,)

    @property
    def lengths(self) -> Numbers:
        """Words of each text."""
        return np.diff(self.starts)

    def select(self, chosen: NDArray[np.bool_]) -> Block:
        """The block of the chosen texts only."""
        if chosen.all():
            return self
        lengths = self.lengths
        return Block(self.first, self.hashes[np.repeat(chosen, lengths)], offsets(lengths[chosen]))


def offsets(lengths: Numbers | NDArray[np.bool_]) -> Numbers:
    """Where each of these stretches starts when they lie one behind the other, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def spread(starts: Numbers, lengths: Numbers) -> Numbers:
    """The numbers start, start + 1, ... of each stretch, one stretch behind the other."""
    begin = offsets(lengths)
    return np.arange(begin[-1], dtype=np.int64) + np.repeat(starts - begin[:-1], lengths)


def mixed(values: Hashes) -> Hashes:
    """The values, every bit of each spread over all of its bits; changed in place."""
    values ^= values >> _SHIFT
    values *= _MIX_1
    values ^= values >> _SHIFT
    values *= _MIX_2
    values ^= values >> _SHIFT
    return values


def blocks(texts: Iterable[str | None]) -> Iterator[Block]:
    """The texts in order, block by block. A null has no words. A text longer than a block makes a block of its own."""
    _keep_memory()
    held: list[str] = []
    first = size = 0
    for number, given in enumerate(texts):
        text = given or ""
        if held and (size + len(text) > BLOCK_CHARACTERS or len(held) == BLOCK_TEXTS):
            yield _block(first, held)
            held.clear()
            first, size = number, 0
        held.append(text)
        size += len(text)
    if held:
        yield _block(first, held)


def _keep_memory() -> None:
    """Allocate and free 31 MB, untouched: glibc then keeps what later arrays free instead of giving it back each time.

    Without it a fifth of all time goes into page faults (1.9 of 7.6 s on 74,000 texts; 0.2 with it).
    """
    np.empty(31 << 20, np.uint8)


def _block(first: int, texts: Sequence[str]) -> Block:
    if len(texts) > 1 or len(texts[0]) <= 2 * BLOCK_CHARACTERS:
        return Block(first, *word_hashes(texts))
    hashes = np.concatenate([word_hashes([piece])[0] for piece in _pieces(texts[0])])
    return Block(first, hashes, np.array([0, len(hashes)], np.int64))


def _pieces(text: str) -> Iterator[str]:
    """The text cut at white space, so that one line of 100 MB is never held as a list of words."""
    at = 0
    while at < len(text):
        gap = _GAP.search(text, at + BLOCK_CHARACTERS)
        cut = gap.start() if gap else len(text)
        yield text[at:cut]
        at = cut


def word_hashes(texts: Sequence[str]) -> tuple[Hashes, Numbers]:
    """Hashes of all words of the texts, and the number of the first word of each text, the total last."""
    raw, ends = _plain_bytes(texts)
    filled = raw != 0
    edges = np.flatnonzero(filled[1:] != filled[:-1])  # the last byte of each gap, of each word, in turn
    starts, stops = edges[0::2] + 1, edges[1::2] + 1
    return _hashed_words(raw, starts, stops), np.searchsorted(starts, ends).astype(np.int64)


def _plain_bytes(texts: Sequence[str]) -> tuple[_Bytes, Numbers]:
    """The words' folded bytes with zero bytes between them, and where each text starts; texts lie one zero byte apart."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    raw, ends = _joined(encoded)
    high = np.flatnonzero(raw >= 0xC0)  # the first byte of every character beyond ASCII
    if not len(high):
        return raw, ends
    odd = high[~_is_simple(raw, high)]
    if len(odd):
        for number in np.unique(np.searchsorted(ends, odd, side="right") - 1).tolist():
            encoded[number] = " ".join(words(texts[number])).encode()
        raw, ends = _joined(encoded)
        high = np.flatnonzero(raw >= 0xC0)
    return _fold_simple(raw.copy(), high), ends


def _joined(encoded: Sequence[bytes]) -> tuple[_Bytes, Numbers]:
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded)) + 1
    size = int(lengths.sum())
    data = b"".join([b"\0", b"\0".join(encoded), bytes(_PADDING - size % 8)])
    return np.frombuffer(data.translate(_LOWER), np.uint8), offsets(lengths) + 1


def _is_simple(raw: _Bytes, high: Numbers) -> NDArray[np.bool_]:
    """Per character: a Latin-1 letter, or a mark that neither is part of a word nor joins with its neighbours."""
    lead, second = raw[high], raw[high + 1]
    return (lead == 0xC3) | ((lead == 0xC2) & (_C2_GAPS[second] == 1)) | ((lead == 0xE2) & (second == 0x80))


def _fold_simple(raw: _Bytes, high: Numbers) -> _Bytes:
    """Lower case for Latin-1 letters, gaps for marks. Characters of texts that are folded already stay as they are."""
    lead, second = raw[high], raw[high + 1]
    latin = high[lead == 0xC3]
    raw[latin[raw[latin + 1] == _SHARP_S]] = ord("s")
    raw[latin + 1] = np.where(raw[latin] == 0xC3, _C3_LOWER[raw[latin + 1]], ord("s"))
    gaps = high[((lead == 0xC2) & (_C2_GAPS[second] == 1)) | ((lead == 0xC3) & (_C3_GAPS[second] == 1))]
    raw[gaps] = raw[gaps + 1] = 0
    marks = high[(lead == 0xE2) & (second == 0x80)]
    raw[marks] = raw[marks + 1] = raw[marks + 2] = 0
    return raw


def _hashed_words(raw: _Bytes, starts: Numbers, stops: Numbers) -> Hashes:
    lengths = stops - starts
    # The eight bytes from every place on, without a copy: 7 ns a word, against 21 from aligned numbers and shifts.
    eights = np.ndarray((len(raw) - 8,), "<u8", buffer=raw.data, strides=(1,))
    state = _eight_bytes(eights, starts, lengths)
    more = np.flatnonzero(lengths > 8)
    done = 8
    while len(more):
        state[more] = mixed(state[more]) ^ _eight_bytes(eights, starts[more] + done, lengths[more] - done)
        done += 8
        more = more[lengths[more] > done] if done < _LONG_WORD else more[:0]
    for number in np.flatnonzero(lengths > _LONG_WORD).tolist():
        digest = hashlib.blake2b(raw[starts[number] : stops[number]].tobytes(), digest_size=8).digest()
        state[number] = int.from_bytes(digest, "little")
    return mixed(state)


def _eight_bytes(eights: Hashes, places: Numbers, lengths: Numbers) -> Hashes:
    """Up to eight bytes from each place as one number, the first one lowest."""
    taken = eights[places]
    taken &= _LOW_BYTES.take(lengths, mode="clip")
    return taken


def gram_hashes(block: Block, length: int) -> Hashes:
    """As many hashes per text as it has words; as a set, its word n-grams.

    A text of fewer words than `length` is one shorter n-gram. The last places of a text, where no n-gram begins, hold
    its first one again: leaving them out would cost a copy of the rest.
    """
    hashes, total = block.hashes, len(block.hashes)
    grams = np.full(total, length, np.uint64)  # the length comes first: "a" and "a b" never share an n-gram
    for place in range(length):
        grams *= _BASE
        grams[: max(0, total - place)] += hashes[place:]
    grams = mixed(grams)
    lengths, starts = block.lengths, block.starts[:-1]
    whole = lengths >= length
    for back in range(1, length):
        grams[block.starts[1:][whole] - back] = grams[starts[whole]]
        short = starts[lengths == back]
        if len(short):
            filled = _short_grams(hashes, short, back)
            for place in range(back):
                grams[short + place] = filled
    return grams


def _short_grams(hashes: Hashes, starts: Numbers, length: int) -> Hashes:
    grams = np.full(len(starts), length, np.uint64)
    for place in range(length):
        grams *= _BASE
        grams += hashes[starts + place]
    return mixed(grams)


def text_hashes(block: Block) -> NDArray[np.uint64]:
    """(texts, 2): 128 bits over the words of each text in order; all zero for a text without words.

    Each word is multiplied by a number that depends on its place, and the products are added: two texts that differ meet
    with p = 2**-64 in either half.
    """
    lengths = block.lengths
    made = np.zeros((len(lengths), 2), np.uint64)
    filled = np.flatnonzero(lengths)
    if not len(filled):
        return made
    begin, sums = block.starts[:-1][filled], _long_sum if len(block.hashes) > SLICE else _sums
    for lane, seed in enumerate(_LANES):
        made[filled, lane] = mixed(sums(block, begin, seed) + lengths[filled].astype(np.uint64))
    return made


def text_digests(block: Block) -> bytes:
    """16 bytes per text, its hash; their order is that of the hex digits."""
    return text_hashes(block).astype(">u8").tobytes()


def _sums(block: Block, begin: Numbers, seed: np.uint64) -> Hashes:
    lengths = block.lengths
    places = np.arange(len(block.hashes), dtype=np.int64) - np.repeat(block.starts[:-1], lengths)
    weighted = _weights(int(lengths.max()), seed, 0)[places]
    weighted *= block.hashes
    return np.add.reduceat(weighted, begin)


def _long_sum(block: Block, begin: Numbers, seed: np.uint64) -> Hashes:
    """The same for a block of one long text, a slice at a time."""
    total = np.zeros(len(begin), np.uint64)
    for at in range(0, len(block.hashes), SLICE):
        piece = block.hashes[at : at + SLICE]
        total += np.add.reduce(piece * _weights(len(piece), seed, at))
    return total


def _weights(count: int, seed: np.uint64, first: int) -> Hashes:
    """Pseudo-random odd numbers of the places first, first + 1, ..."""
    places = np.arange(first + 1, first + count + 1, dtype=np.uint64) * seed
    return mixed(places) | np.uint64(1)
