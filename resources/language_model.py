"""A base model with or without its adapter, loaded once: it speaks, and it says how likely given text is.

Training lives in training/. Judging what was said is twainbot/evals' business. Prompts go through the base's own chat
template, the one that training used. torch and transformers are imported when a model is loaded, not before.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.errors import MissingModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from training.base_model import BaseInfo
    from training.render import Template
    from training.rows import TokenRow

WINDOW = 512  # tokens scored at once; perplexities compare only at equal windows
_TAIL = 16  # tokens in which an ending is looked for: any marker of a few words fits
_LINE = 1024  # tokens packed to one line while scoring: fewer and longer lines cost more attention than they save

Message = Mapping[str, Any]
Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Likelihood:
    """How likely some text is: summed negative log-likelihood in nats, over how many tokens and UTF-8 bytes."""

    nll: float
    tokens: int
    bytes: int

    @property
    def loss(self) -> float:
        """Nats per token; nan for no tokens."""
        return self.nll / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp of the loss: 1 is certainty. Compares only between models with one tokenizer."""
        return math.exp(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """Bits per UTF-8 byte: compares between tokenizers too; nan for no bytes."""
        return self.nll / math.log(2) / self.bytes if self.bytes else math.nan


class LanguageModel:
    """A base folder's model and tokenizer, with one optional adapter that can be switched off per call."""

    def __init__(self, model: Any, tokenizer: Tokenizer, template: Template, eos_id: int, *, has_adapter: bool) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.eos_id = eos_id
        self.has_adapter = has_adapter

    @classmethod
    def load(cls, base: Path, adapter: Path | None = None, *, merged: bool = False) -> LanguageModel:
        """Load from a base folder (see training/base_model.py) and an adapter folder; bf16 on a GPU, fp32 on a CPU.

        merged=True folds the adapter into fp32 weights for good, which speaks a quarter faster on a CPU; bf16 weights
        would round it, so there it stays apart. Raises MissingModel where either folder is not what it should be,
        BadInput for an adapter of another base and for a base that TwainBot cannot speak with.
        """
        import torch
        from transformers.utils import logging as transformers_logging

        from training import attention, decoding
        from training.base_model import describe, template_of
        from training.render import tokenizer_of

        info = describe(base)
        transformers_logging.disable_progress_bar()
        gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if gpu else torch.float32
        model = attention.load(base, dtype)
        decoding.check(model, base.name)
        if adapter is not None:
            model = _adapted(model, adapter, info)
        merged = merged and adapter is not None and not gpu
        if merged:
            model = model.merge_and_unload()
        model = model.to("cuda" if gpu else "cpu").eval()
        return cls(
            model, tokenizer_of(base), template_of(base), info.eos_id, has_adapter=adapter is not None and not merged
        )

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        tools: Tools | None = None,
        *,
        max_new_tokens: int = 96,
        batch_size: int = 8,
        adapter: bool = True,
    ) -> list[str]:
        """The next assistant turn of each conversation, greedily decoded, in the order given; tool calls as text.

        A turn ends at its end-of-turn token, which is left out, or after `max_new_tokens`; `batch_size` turns are decoded
        at once. adapter=False lets the bare base speak.
        """
        from training.decoding import greedy
        from training.render import render

        prompts = [
            render(messages, tools, self.tokenizer, self.template, add_generation_prompt=True)[0]
            for messages in conversations
        ]
        with self._adapter(adapter):
            replies = greedy(
                self.model, prompts, eos_id=self.eos_id, max_new_tokens=max_new_tokens, batch_size=batch_size
            )
        return [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in replies]

    def complete(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        batch_size: int = 8,
        adapter: bool = True,
        ended: Callable[[str], bool] | None = None,
    ) -> list[str]:
        """What follows each raw text, greedily, without any chat template, in the order given.

        `ended`: whether the text so far needs no more; it is asked about the last tokens only (see _TAIL).
        """
        from training.decoding import greedy

        def over(ids: list[int]) -> bool:
            return ended is not None and ended(self.tokenizer.decode(ids[-_TAIL:], skip_special_tokens=True))

        rows = [self._ids(prompt) for prompt in prompts]
        with self._adapter(adapter):
            written = greedy(
                self.model,
                rows,
                eos_id=self.eos_id,
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                ended=over,
            )
        return [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in written]

    def perplexity(self, texts: Sequence[str], *, adapter: bool = True, window: int = WINDOW) -> Likelihood:
        """Token-weighted likelihood of texts together; see `likelihoods`."""
        parts = self.likelihoods(texts, adapter=adapter, window=window)
        return Likelihood(
            sum(part.nll for part in parts), sum(part.tokens for part in parts), sum(part.bytes for part in parts)
        )

    def likelihoods(self, texts: Sequence[str], *, adapter: bool = True, window: int = WINDOW) -> list[Likelihood]:
        """Likelihood of each text, in order, cut into windows of so many tokens that see nothing before them.

        The first token of a window is not scored, as nothing predicts it; its bytes count all the same.
        """
        from training.rows import TokenRow

        pieces: list[tuple[int, TokenRow]] = []
        for number, text in enumerate(texts):
            ids = self._ids(text)
            cut = [ids[start : start + window] for start in range(0, len(ids), window)]
            pieces += [(number, TokenRow(piece, piece)) for piece in cut if len(piece) > 1]
        nll, tokens = [0.0] * len(texts), [0] * len(texts)
        scores = self._score([row for _, row in pieces], adapter)
        for (number, row), score in zip(pieces, scores, strict=True):
            nll[number] += score
            tokens[number] += row.trained
        sizes = [len(text.encode()) for text in texts]
        return [Likelihood(*figures) for figures in zip(nll, tokens, sizes, strict=True)]

    def answer_loss(
        self, conversations: Sequence[tuple[Sequence[Message], Tools | None]], *, adapter: bool = True
    ) -> Likelihood:
        """Likelihood of what the assistant says in finished conversations together, given as (messages, tools)."""
        parts = self.answer_losses(conversations, adapter=adapter)
        return Likelihood(
            sum(part.nll for part in parts), sum(part.tokens for part in parts), sum(part.bytes for part in parts)
        )

    def answer_losses(
        self, conversations: Sequence[tuple[Sequence[Message], Tools | None]], *, adapter: bool = True
    ) -> list[Likelihood]:
        """Likelihood of what the assistant says in each finished conversation, in order."""
        from training.render import render
        from training.rows import TokenRow

        rows = [TokenRow(*render(messages, tools, self.tokenizer, self.template)) for messages, tools in conversations]
        spoken = [
            sum(len((message.get("content") or "").encode()) for message in _assistant(messages))
            for messages, _ in conversations
        ]
        scores = self._score(rows, adapter)
        return [Likelihood(nll, row.trained, size) for nll, row, size in zip(scores, rows, spoken, strict=True)]

    def completion_nll(
        self, prompts: Sequence[str], completions: Sequence[str], *, adapter: bool = True
    ) -> list[Likelihood]:
        """Likelihood of each completion after its prompt, as raw text without any chat template, in order.

        Prompt and completion are tokenized apart, so that a completion's tokens do not depend on where its prompt ends.
        """
        from training.render import IGNORED
        from training.rows import TokenRow

        rows: list[TokenRow] = []
        for prompt, completion in zip(prompts, completions, strict=True):
            before, after = self._ids(prompt), self._ids(completion)
            rows.append(TokenRow(before + after, [IGNORED] * len(before) + after))
        scores = self._score(rows, adapter)
        sizes = [len(completion.encode()) for completion in completions]
        return [Likelihood(nll, row.trained, size) for nll, row, size in zip(scores, rows, sizes, strict=True)]

    def count_tokens(self, text: str) -> int:
        """Tokens of a raw text, no special tokens."""
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _score(self, rows: Sequence[TokenRow], adapter: bool) -> list[float]:
        from training import engine

        with self._adapter(adapter):
            return engine.row_nll(self.model, rows, self.eos_id, _LINE)

    def _adapter(self, on: bool) -> contextlib.AbstractContextManager[None]:
        if on or not self.has_adapter:
            return contextlib.nullcontext()
        disabled: contextlib.AbstractContextManager[None] = self.model.disable_adapter()
        return disabled


def _adapted(model: Any, adapter: Path, info: BaseInfo) -> Any:
    from peft import PeftModel

    from training.start import check_base

    if not (adapter / "adapter_config.json").is_file():
        raise MissingModel(f"{adapter} holds no adapter_config.json, so it is no adapter. Rematerialize its stage.")
    check_base(adapter, info)
    return PeftModel.from_pretrained(model, str(adapter))


def _assistant(messages: Sequence[Message]) -> Iterator[Message]:
    return (message for message in messages if message["role"] == "assistant")
