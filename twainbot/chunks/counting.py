"""Exact token counts without encoding whole texts. Where a text is cut is windows.py's business."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import product
from typing import Any

from tokenizers import Tokenizer

from twainbot.errors import BadInput

LONGEST_KEPT = 64  # characters; longer pieces hardly recur, and would fill the memory with rubbish
MOST_KEPT = 1_000_000  # pieces; then what is known is forgotten: a text of endless new words must not fill the memory
# Models of the GPT-2 kind end a pre-token wherever white space follows a word. Later ones (Qwen, Llama 3) join a
# full stop with the line's end after it; none joins a word with the space after it. Python alone takes the four
# separators from U+001C on for white space.
SEPARATORS = "\x1c\x1d\x1e\x1f"
AT_SPACE = re.compile(rf"(?<=\S)(?=[^\S{SEPARATORS}])")
AT_WORD_END = re.compile(r"(?<=\S)(?= )|(?<=[A-Za-z0-9])(?=\s)")
_CONTEXT_FREE = {"ByteLevel", "Digits", "Sequence", "Split"}  # pre-tokenizers that may treat a piece alike anywhere
_LOCAL_NORMALIZERS = {"NFC"}  # change a word alike wherever it stands: white space composes with nothing
_NEVER = re.compile(r"(?!)")
# How pre-tokenizers of today's models split what English books are made of: ASCII, Latin-1 letters, typographic marks.
# Which of the rules a tokenizer follows is tried out.
_LETTERS, _MARKS = "A-Za-zÀ-ÖØ-öø-ÿ", "\u2010-\u2027"
_FAMILIAR = re.compile(rf"[\x00-\x7f{_LETTERS}{_MARKS}]*")
_CLOSING = '.,;:!?)]"”’'
_CONTRACTION = "'(?:s|t|re|ve|m|ll|d)"
_END = rf" ?[^\s{_LETTERS}0-9]+"
_RULES = tuple(
    re.compile(rule)
    for rule in (
        rf"{_CONTRACTION}| ?[{_LETTERS}]+| ?[0-9]+|{_END}|\s+(?!\S)|\s+",  # GPT-2
        rf"{_CONTRACTION}| ?[{_LETTERS}]+|[0-9]|{_END}|\s+(?=[0-9])|\s+(?!\S)|\s+",  # the same, each digit alone
        *(
            rf"(?i:{_CONTRACTION})|[^\r\n{_LETTERS}0-9]?[{_LETTERS}]+|{digits}|{_END}[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            for digits in ("[0-9]", "[0-9]{1,3}")  # Qwen, Llama 3
        ),
    )
)
_TAILS = ("a", "Z", "1", ".", '."', "-", "_", "é", "e\u0301", "河", "\u0967", "\U0001f600", "²")
_GAPS = (" ", "  ", "\n", "\n\n", "\n  ", " \n", "\t", "\r\n", "\r\n\r\n", "\u00a0", "\u3000", "\x1c", "\u2028")
_HEADS = ("b", "Q", "2", "'s", "/", '"', "é", "\u0301", "河", "-x", "\U0001f600")
_WORDS = (
    "a", "aB", "AbC", "it's", "IT'S", "I'll", "'tis", "d'you", "a1", "1874;", "12345.6", "1st", "--x", "x--y", '"Q"',
    "_a_", "(b)", "a/b", "...", "e.g.", "$5", "5%", "C3PO", "a'b'd", "'ve", "x\t", "\x00y", "~1~", "a-1b2", "''s", "1's",
    "“Q”", "don’t", "’tis", "a—b", "c…", "café", "Éa", "É1", "–é", "‘I", "a‑b", "’ve!", "ß's", "ÿØ",
)  # fmt: skip


class PretokenCounter:
    """Counts tokens exactly as `tokenizer.encode(text, add_special_tokens=False)` would, remembering what it has seen.

    A model of the `tokenizers` library sees one pre-token at a time. The byte-level pre-tokenizers of today's models
    end one wherever a space follows a word, so a text's count is the sum over the pieces between those places. Under
    other pre-tokenizers, and where the normaliser changes the text or an added token such as `<|im_end|>` occurs in
    it, the text is encoded whole: slower, and as exact.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """The tokenizer must not change afterwards. Where it truncates or pads, which would falsify counts, it is copied."""
        if tokenizer.truncation is not None or tokenizer.padding is not None:
            tokenizer = Tokenizer.from_str(tokenizer.to_str())  # 0.5 s for a vocabulary of 49k
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self._tokenizer = tokenizer
        added = [re.escape(token.content) for token in self._tokenizer.get_added_tokens_decoder().values()]
        self.added = re.compile("|".join(added)) if added else _NEVER
        self._cuts, self._rule = _rules_of(_described(self._tokenizer))
        self._known: dict[str, int] = {}
        self._pretokens: dict[str, int] = {}

    @property
    def sums_up(self) -> bool:
        """Whether the count of a text is the sum over its words; otherwise each text must be encoded whole."""
        return self._cuts is not None

    @property
    def joins_line_ends(self) -> bool:
        """Whether a pre-token may hold punctuation together with the line's end that follows it."""
        return self._cuts is AT_WORD_END

    def count(self, text: str) -> int:
        """Exact number of tokens in the text, special tokens of a template not included.

        Raises BadInput where the text holds a lone surrogate, which no encoding of Unicode can express.
        """
        known = self._known.get(text)
        if known is None:
            known = self._summed(text) if self._cuts is not None and self._is_plain(text) else self._encoded(text)
            self._keep(text, known)
        return known

    def cost(self, piece: str) -> int:
        """The count of a short piece that holds no added token, the cheap way where a rule is known."""
        if self._rule is None:
            return self.count(piece)
        known = self._pretokens
        cost = known.get(piece)
        if cost is None:
            if len(known) >= MOST_KEPT:
                known.clear()
            body = piece.rstrip(_CLOSING)
            if len(body) < len(piece) and body[-1:].isalpha():  # there every rule ends a pre-token
                return self.cost(body) + self.cost(piece[len(body) :])
            familiar = piece.isascii() or _FAMILIAR.fullmatch(piece)
            cost = known[piece] = self._by_pretokens(piece) if familiar else self._encoded(piece)
        return cost

    def _by_pretokens(self, piece: str) -> int:
        assert self._rule is not None
        known, tokenize = self._pretokens, self._tokenizer.model.tokenize
        total = 0
        pretokens = self._rule.findall(piece)
        if len(pretokens) == 1:
            return len(tokenize(piece.translate(_AS_BYTE_LEVEL)))
        for pretoken in pretokens:
            cost = known.get(pretoken)
            if cost is None:
                cost = known[pretoken] = len(tokenize(pretoken.translate(_AS_BYTE_LEVEL)))
            total += cost
        return total

    def _is_plain(self, text: str) -> bool:
        normalizer = self._tokenizer.normalizer
        return not self.added.search(text) and (normalizer is None or normalizer.normalize_str(text) == text)

    def _summed(self, text: str) -> int:
        total = 0
        assert self._cuts is not None
        for piece in self._cuts.split(text):
            known = self._known.get(piece)
            if known is None:
                known = self._encoded(piece)
                self._keep(piece, known)
            total += known
        return total

    def _keep(self, text: str, count: int) -> None:
        if len(text) <= LONGEST_KEPT:
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[text] = count

    def _encoded(self, text: str) -> int:
        try:
            return len(self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0])
        except (UnicodeEncodeError, TypeError) as error:
            raise _surrogate(text) from error


def _surrogate(text: str) -> BadInput:
    found = next((f"U+{ord(letter):04X}" for letter in text if "\ud800" <= letter <= "\udfff"), "no character at all")
    return BadInput(
        f"The text holds {found}, a lone surrogate, which is no Unicode text. Decode it anew, or replace it."
    )


def _byte_level() -> dict[int, str]:
    """How byte-level tokenizers write a familiar character: a printable byte as itself, the others from U+0100 on."""
    printable = {*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    written = [chr(byte if byte in printable else next(others)) for byte in range(0x100)]
    familiar = filter(_FAMILIAR.fullmatch, map(chr, range(0x2028)))
    return {ord(letter): "".join(written[byte] for byte in letter.encode()) for letter in familiar}


_AS_BYTE_LEVEL = _byte_level()


def _described(tokenizer: Tokenizer) -> str:
    """The tokenizer without its vocabulary, as JSON: what decides how it splits a text."""
    parts = {
        name: json.loads(part.__getstate__()) if part is not None else None
        for name, part in (("normalizer", tokenizer.normalizer), ("pre_tokenizer", tokenizer.pre_tokenizer))
    }
    dropout = getattr(tokenizer.model, "dropout", None)
    return json.dumps({**parts, "model": type(tokenizer.model).__name__, "dropout": dropout})


@lru_cache(maxsize=8)
def _rules_of(described: str) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Where pre-tokens end whatever stands around them, and how familiar text is split; None where no rule of ours holds."""
    from tokenizers import models

    parts = json.loads(described)
    if parts["pre_tokenizer"] is None or parts["dropout"] or not _is_local(parts["normalizer"]):
        return None, None
    kinds = parts["pre_tokenizer"].get("pretokenizers", [parts["pre_tokenizer"]])
    if any(kind["type"] not in _CONTEXT_FREE or kind.get("add_prefix_space") for kind in kinds):
        return None, None
    shell = Tokenizer(models.BPE())
    settings = {**json.loads(shell.to_str()), "pre_tokenizer": parts["pre_tokenizer"]}
    splitter = Tokenizer.from_str(json.dumps(settings)).pre_tokenizer
    cuts = next((rule for rule in (AT_SPACE, AT_WORD_END) if _cuts_agree(splitter, rule)), None)
    byte_level = parts["model"] == "BPE" and kinds[-1]["type"] == "ByteLevel"
    rule_of_words = next((rule for rule in _RULES if _rule_agrees(splitter, rule)), None)
    return cuts, rule_of_words if cuts is not None and byte_level else None


def _is_local(normalizer: dict[str, Any] | None) -> bool:
    return normalizer is None or normalizer["type"] in _LOCAL_NORMALIZERS


def _cuts_agree(splitter: Any, rule: re.Pattern[str]) -> bool:
    """Whether pre-tokens are the same with and without the cuts, for every kind of word end, gap and word start."""
    text = " ".join(f"x{tail}{gap}{head}y" for tail, gap, head in product(_TAILS, _GAPS, _HEADS))
    whole = [piece for piece, _ in splitter.pre_tokenize_str(text)]
    return whole == [piece for part in rule.split(text) for piece, _ in splitter.pre_tokenize_str(part)]


def _rule_agrees(splitter: Any, rule: re.Pattern[str]) -> bool:
    texts = [gap + word for gap in ("", " ", "\n", "\n\n", "  ", "\t", " \n ") for word in _WORDS]
    return all(
        [span for _, span in splitter.pre_tokenize_str(text)] == [match.span() for match in rule.finditer(text)]
        for text in texts
    )
