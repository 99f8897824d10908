"""Exact token counts without encoding whole texts. Where a text is cut is windows.py's business."""

from __future__ import annotations

import json
import re

from tokenizers import Tokenizer

LONGEST_KEPT = 64  # characters; longer pieces hardly recur, and would fill the memory with rubbish
# Some models join a full stop with the line's end after it, none joins a word with the space after it.
_WORD_END = re.compile(r"(?<=\S)(?= )|(?<=[A-Za-z0-9])(?=\s)")
_PROBE = "a b  c\nd\n\ne\t f 1 2\n3\r\nIt's 4th, x.\n\n y\u00a0z! -- \u201cQ\u201d \u00e9 (5) ... 6 "
_CONTEXT_FREE = {
    "ByteLevel",
    "Digits",
    "Sequence",
    "Split",
}  # pre-tokenizers that treat a piece alike anywhere in a text


class PretokenCounter:
    """Counts tokens exactly as `tokenizer.encode(text, add_special_tokens=False)` would, remembering what it has seen.

    A model of the `tokenizers` library sees one pre-token at a time. The byte-level pre-tokenizers of today's models
    end one wherever a space follows a word, so a text's count is the sum over the pieces between those places. Under
    other pre-tokenizers, and where the normaliser changes the text or an added token such as `<|im_end|>` occurs in
    it, the text is encoded whole: slower, and as exact.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Keeps a private copy of the tokenizer, without truncation or padding: both would falsify counts."""
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = [re.escape(token.content) for token in self._tokenizer.get_added_tokens_decoder().values()]
        self._added = re.compile("|".join(added) or r"(?!)")
        self._sums_up = _ends_pretokens_at_words(self._tokenizer)
        self._known: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Exact number of tokens in the text, special tokens of a template not included."""
        known = self._known.get(text)
        if known is None:
            known = self._summed(text) if self._sums_up and self._is_plain(text) else self._encoded(text)
            self._keep(text, known)
        return known

    def _is_plain(self, text: str) -> bool:
        normalizer = self._tokenizer.normalizer
        return not self._added.search(text) and (normalizer is None or normalizer.normalize_str(text) == text)

    def _summed(self, text: str) -> int:
        total = 0
        for piece in _WORD_END.split(text):
            known = self._known.get(piece)
            if known is None:
                known = self._encoded(piece)
                self._keep(piece, known)
            total += known
        return total

    def _keep(self, text: str, count: int) -> None:
        if len(text) <= LONGEST_KEPT:
            self._known[text] = count

    def _encoded(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _ends_pretokens_at_words(tokenizer: Tokenizer) -> bool:
    """Whether pre-tokens, whatever stands around them, end where `_WORD_END` says."""
    if tokenizer.pre_tokenizer is None:
        return False
    described = json.loads(tokenizer.to_str())["pre_tokenizer"]
    parts = described.get("pretokenizers", [described])
    if any(part["type"] not in _CONTEXT_FREE or part.get("add_prefix_space") for part in parts):
        return False
    whole = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(_PROBE)]
    apart = [piece for part in _WORD_END.split(_PROBE) for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(part)]
    return whole == apart
