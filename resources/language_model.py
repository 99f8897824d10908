"""A base model with or without its adapter, loaded once: it speaks, and it says how likely given text is.

Training lives in training/. Judging what was said is twainbot/evals' business. Prompts go through the base's own chat
template, the one that training used. torch and transformers are imported when a model is loaded, not before.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.errors import MissingModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from training.render import Template
    from training.rows import TokenRow

WINDOW = 512  # tokens scored at once; perplexities compare only at equal windows
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
    def load(cls, base: Path, adapter: Path | None = None) -> LanguageModel:
        """Load from a base folder (see training/base_model.py) and an adapter folder; bf16 on a GPU, fp32 on a CPU.

        Raises MissingModel where either folder is not what it should be.
        """
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging as transformers_logging

        from training.base_model import describe, template_of
        from training.render import tokenizer_of

        info = describe(base)
        transformers_logging.disable_progress_bar()
        gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if gpu else torch.float32
        model: Any = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=dtype)
        if adapter is not None:
            model = _adapted(model, adapter)
        model = model.to("cuda" if gpu else "cpu").eval()
        return cls(model, tokenizer_of(base), template_of(base), info.eos_id, has_adapter=adapter is not None)

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

        Conversations of like length share a batch. A turn ends at its end-of-turn token, which is left out, or after
        `max_new_tokens`. adapter=False lets the bare base speak.
        """
        from training.render import render

        prompts = [
            render(messages, tools, self.tokenizer, self.template, add_generation_prompt=True)[0]
            for messages in conversations
        ]
        order = sorted(range(len(prompts)), key=lambda number: (len(prompts[number]), number))
        replies = [""] * len(prompts)
        with self._adapter(adapter):
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                for number, reply in zip(
                    chosen, self._decode([prompts[n] for n in chosen], max_new_tokens), strict=True
                ):
                    replies[number] = reply
        return replies

    def perplexity(self, texts: Sequence[str], *, adapter: bool = True, window: int = WINDOW) -> Likelihood:
        """Token-weighted likelihood of texts, each cut into windows of so many tokens that see nothing before them.

        The first token of a window is not scored, as nothing predicts it; its bytes count all the same.
        """
        from training.rows import TokenRow

        rows: list[TokenRow] = []
        for text in texts:
            ids = self._ids(text)
            pieces = [ids[start : start + window] for start in range(0, len(ids), window)]
            rows += [TokenRow(piece, piece) for piece in pieces if len(piece) > 1]
        nll, tokens = self._score(rows, adapter)
        return Likelihood(nll, tokens, sum(len(text.encode()) for text in texts))

    def answer_loss(
        self, conversations: Sequence[tuple[Sequence[Message], Tools | None]], *, adapter: bool = True
    ) -> Likelihood:
        """Likelihood of what the assistant says in finished conversations, given as (messages, tools)."""
        from training.render import render
        from training.rows import TokenRow

        rows = [TokenRow(*render(messages, tools, self.tokenizer, self.template)) for messages, tools in conversations]
        spoken = [message.get("content") or "" for messages, _ in conversations for message in _assistant(messages)]
        nll, tokens = self._score(rows, adapter)
        return Likelihood(nll, tokens, sum(len(text.encode()) for text in spoken))

    def completion_nll(
        self, prompts: Sequence[str], completions: Sequence[str], *, adapter: bool = True
    ) -> list[Likelihood]:
        """Likelihood of each completion after its prompt, as raw text without any chat template, in order.

        Prompt and completion are tokenized apart, so that a completion's tokens do not depend on where its prompt ends.
        """
        from training.render import IGNORED
        from training.rows import TokenRow

        found = []
        for prompt, completion in zip(prompts, completions, strict=True):
            before, after = self._ids(prompt), self._ids(completion)
            row = TokenRow(before + after, [IGNORED] * len(before) + after)
            found.append(Likelihood(*self._score([row], adapter), len(completion.encode())))
        return found

    def count_tokens(self, text: str) -> int:
        """Tokens of a raw text, no special tokens."""
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _score(self, rows: Sequence[TokenRow], adapter: bool) -> tuple[float, int]:
        from training import engine

        longest = max((len(row.ids) for row in rows), default=0)
        lines = engine.pack(rows, max(_LINE, longest))
        with self._adapter(adapter):
            return engine.evaluate(self.model, lines, self.eos_id)

    def _decode(self, prompts: Sequence[list[int]], max_new_tokens: int) -> list[str]:
        """One left-padded batch, so that every prompt ends where its reply begins."""
        import torch

        width = max(len(prompt) for prompt in prompts)
        ids = torch.tensor([[self.eos_id] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                max_new_tokens=max_new_tokens,
                eos_token_id=self.eos_id,
                pad_token_id=self.eos_id,
            )
        return [
            self.tokenizer.decode(self._until_end(row), skip_special_tokens=True) for row in out[:, width:].tolist()
        ]

    def _until_end(self, ids: list[int]) -> list[int]:
        return ids[: ids.index(self.eos_id)] if self.eos_id in ids else ids

    def _adapter(self, on: bool) -> contextlib.AbstractContextManager[None]:
        if on or not self.has_adapter:
            return contextlib.nullcontext()
        disabled: contextlib.AbstractContextManager[None] = self.model.disable_adapter()
        return disabled


def _adapted(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    if not (adapter / "adapter_config.json").is_file():
        raise MissingModel(f"{adapter} holds no adapter_config.json, so it is no adapter. Rematerialize its stage.")
    return PeftModel.from_pretrained(model, str(adapter))


def _assistant(messages: Sequence[Message]) -> Iterator[Message]:
    return (message for message in messages if message["role"] == "assistant")
