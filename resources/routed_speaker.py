"""Today's models as speakers of a conversation (tool_loop.py): an adapter per persona, or one that knows all by prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resources.routing import BASE, RoutedModel
from twainbot.errors import BadInput

if TYPE_CHECKING:
    from resources.language_model import LanguageModel

_HALF_A_CHARACTER = "\ufffd"  # what a tokenizer writes for a token that ends inside one


class ModelSpeaker:
    """A LanguageModel, greedily, token by token. The persona stands in the system prompt and nowhere else."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def window(self) -> int:
        """Tokens that prompt and reply may have together."""
        return int(getattr(self.model.model.config, "max_position_embeddings", 0) or 0)

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        persona: str | None = None,  # noqa: ARG002 - one adapter for all
        max_new_tokens: int = 256,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[str]:
        """Pieces of one assistant turn. Raises BadInput where prompt and reply do not fit the window."""
        from training.render import render

        ids = render(messages, tools, self.model.tokenizer, self.model.template, add_generation_prompt=True)[0]
        if self.window and len(ids) + max_new_tokens > self.window:
            raise BadInput(
                f"The talk has {len(ids):,} tokens and the reply may take {max_new_tokens}, and the model's window holds "
                f"{self.window:,}. Begin a new talk (/new), or say less."
            )
        return self._pieces(ids, max_new_tokens, stop)

    def _pieces(self, ids: list[int], limit: int, stop: Callable[[], bool] | None) -> Iterator[str]:
        written: list[int] = []
        shown = 0
        for token in self._tokens(ids, limit):
            written.append(token)
            text = self.model.tokenizer.decode(written, skip_special_tokens=True)
            if not text.endswith(_HALF_A_CHARACTER) and len(text) > shown:
                yield text[shown:]
                shown = len(text)
            if stop is not None and stop():
                return

    def _tokens(self, ids: list[int], limit: int) -> Iterator[int]:
        import torch

        device = next(self.model.model.parameters()).device
        given, past = torch.tensor([ids], device=device), None
        for _ in range(limit):
            with torch.inference_mode():
                out = self.model.model(input_ids=given, past_key_values=past, use_cache=True, logits_to_keep=1)
            token = int(out.logits[0, -1].argmax())
            if token == self.model.eos_id:
                return
            yield token
            given, past = torch.tensor([[token]], device=device), out.past_key_values


class RoutedSpeaker:
    """A RoutedModel: the named persona's adapter speaks, the base alone for a persona without one."""

    def __init__(self, routed: RoutedModel) -> None:
        self.routed = routed
        self.inner = ModelSpeaker(routed.model)

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        persona: str | None = None,
        max_new_tokens: int = 256,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[str]:
        """Pieces of one assistant turn by that persona's adapter."""
        who = persona if persona in self.routed.personas else None
        if who is None and persona not in (None, BASE):
            raise BadInput(
                f"No adapter is loaded for the persona {persona!r}. There are: {', '.join(self.routed.personas)}. "
                "Choose one of them (/persona)."
            )
        if persona == BASE:
            with self.routed.model.model.disable_adapter():
                yield from self.inner.stream(messages, tools, max_new_tokens=max_new_tokens, stop=stop)
            return
        self.routed.model.model.set_adapter(who or self.routed.route([dict(each) for each in messages]).persona)
        yield from self.inner.stream(messages, tools, max_new_tokens=max_new_tokens, stop=stop)
