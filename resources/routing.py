"""One base, an adapter per persona, and for each request the right one. Choosing is twainbot/dialogues/routing's.

    python -m resources.routing --base DIR --adapter twain=DIR --adapter franklin=DIR --router FILE "PROMPT" ...

Adapters are switched, never merged: a reply is the one that its persona's adapter gives alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.dialogues import prompts
from twainbot.dialogues.routing import Route, Router, first_prompt
from twainbot.errors import BadInput, BadUse, TwainBotError, UnknownName

if TYPE_CHECKING:
    from resources.language_model import LanguageModel, Message, Tools

BASE = "__base__"  # as in peft: no adapter at all


@dataclass(frozen=True)
class Reply:
    """What was said, and by whom."""

    text: str
    persona: str


class RoutedModel:
    """A base with an adapter per persona, and a router for requests that name none."""

    def __init__(self, model: LanguageModel, personas: Sequence[str], router: Router | None = None) -> None:
        self.model = model
        self.personas = tuple(personas)
        self.router = router

    @classmethod
    def load(cls, base: Path, adapters: Mapping[str, Path], router: Router | None = None) -> RoutedModel:
        """Load a base folder and each persona's adapter folder. Raises BadInput for an adapter of another base."""
        from peft import PeftModel

        from resources.language_model import LanguageModel
        from training.base_model import describe
        from training.start import check_base

        if not adapters:
            raise UnknownName(f"No adapter to route to. Give one per persona: {', '.join(prompts.personas())}.")
        info = describe(base)
        for folder in adapters.values():
            check_base(folder, info)
        bare = LanguageModel.load(base)
        first, *others = adapters
        tuned: Any = PeftModel.from_pretrained(bare.model, str(adapters[first]), adapter_name=first)
        for persona in others:
            tuned.load_adapter(str(adapters[persona]), adapter_name=persona)
        model = LanguageModel(tuned.eval(), bare.tokenizer, bare.template, bare.eos_id, has_adapter=True)
        return cls(model, list(adapters), router)

    def route(self, conversation: Sequence[Message]) -> Route:
        """Who should answer: the router's choice by the first user turn; the first persona where it has no adapter."""
        chosen = self.router.route(first_prompt(conversation)) if self.router else Route(self.personas[0], 1.0)
        return chosen if chosen.persona in self.personas else Route(self.personas[0], 0.0)

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        tools: Tools | None = None,
        *,
        personas: Sequence[str | None] | None = None,
        max_new_tokens: int = 96,
        batch_size: int = 8,
    ) -> list[Reply]:
        """The next turn of each conversation, in order, each by its own persona's adapter.

        personas: who answers each conversation, `__base__` for nobody's adapter, None where the router shall say. A
        conversation without a system prompt gets its persona's. Requests of one persona are decoded together.
        """
        wanted = list(personas) if personas is not None else [None] * len(conversations)
        who = [
            self.route(talk).persona if name is None else self._known(name)
            for talk, name in zip(conversations, wanted, strict=True)
        ]
        replies = [Reply("", name) for name in who]
        for persona in dict.fromkeys(who):
            places = [place for place, name in enumerate(who) if name == persona]
            if persona != BASE:
                self.model.model.set_adapter(persona)
            texts = self.model.generate(
                [with_system(conversations[place], persona) for place in places],
                tools,
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                adapter=persona != BASE,
            )
            for place, text in zip(places, texts, strict=True):
                replies[place] = Reply(text, persona)
        return replies

    def _known(self, persona: str) -> str:
        if persona not in (*self.personas, BASE):
            raise UnknownName(f"No adapter is loaded for {persona!r}. There are: {', '.join((*self.personas, BASE))}.")
        return persona


def with_system(conversation: Sequence[Message], persona: str) -> list[Message]:
    """The conversation with the persona's system prompt where it has none and the persona has one."""
    if (conversation and conversation[0]["role"] == "system") or persona not in prompts.personas():
        return list(conversation)
    return [{"role": "system", "content": prompts.system_prompt(persona)}, *conversation]


def read_router(file: Path) -> Router:
    """The router in a file that `adapters/router` published. Raises BadInput where there is none."""
    try:
        return Router.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{file} cannot be read as a router: {error}. `adapters/router` says where its file lies."
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """A reply to each prompt, with who gave it: 0, 1 for what cannot be loaded, 2 for bad use."""
    given = parse(argv)
    pairs = [text.partition("=") for text in given.adapter]
    try:
        router = read_router(given.router) if given.router else None
        model = RoutedModel.load(given.base, {name: Path(folder) for name, _, folder in pairs}, router)
        talks: list[list[Message]] = [[{"role": "user", "content": prompt}] for prompt in given.prompt]
        who = [given.persona] * len(talks) if given.persona else None
        for reply in model.generate(talks, personas=who, max_new_tokens=given.max_new_tokens):
            print(f"{reply.persona}: {reply.text}")
    except TwainBotError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, BadUse) else 1
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's base, adapter (a list of PERSONA=DIR), router, persona and prompts; exits with 2 for a bad one."""
    parser = argparse.ArgumentParser(prog="python -m resources.routing")
    parser.add_argument("prompt", nargs="+", help="each is answered apart")
    parser.add_argument("--base", type=Path, required=True, help="base model folder")
    parser.add_argument("--adapter", action="append", default=[], metavar="PERSONA=DIR", help="once per persona")
    parser.add_argument(
        "--router", type=Path, help="router.json of adapters/router; without it the first persona answers"
    )
    parser.add_argument("--persona", help="who answers, whatever the router says; __base__ for no adapter")
    parser.add_argument("--max-new-tokens", type=int, default=96)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
