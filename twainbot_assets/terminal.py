"""A conversation on a terminal: what is shown of its events, and the commands of a person. The talk is tool_loop.py's."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from resources.tool_loop import (
    Call,
    Conversation,
    Event,
    Refusal,
    Reply,
    Result,
    Speaking,
    TextDelta,
    Trouble,
    Withdrawn,
)
from twainbot.errors import TwainBotError, UnknownName

if TYPE_CHECKING:
    from twainbot.dialogues.tool_results import Outcome

COLOURS = ("cyan", "green", "magenta", "blue")
LONGEST_VALUE = 120  # characters of one value of a result
HELP = (
    "/persona NAME   who answers from now on; /persona auto lets the router choose",
    "/tools          the tools that may be called",
    "/save [FILE]    write the talk in the dialogue schema, ready for corpora/transcripts",
    "/new            begin anew",
    "/quit           leave (as Ctrl-D does)",
)


@dataclass
class Screen:
    """Shows events. `personas`: who may answer, for colours and for /persona."""

    console: Console
    personas: Sequence[str]
    _open: bool = field(default=False)  # a reply stands on the current line
    _persona: str = ""
    _column: int = 0  # of the open reply

    def show(self, event: Event) -> None:
        """One event, in order."""
        if isinstance(event, Speaking):
            self._persona = event.persona
        elif isinstance(event, TextDelta):
            self._said(event.text)
        elif isinstance(event, Withdrawn):
            self.note("taken back: what followed could not stand", "yellow")
        elif isinstance(event, Call):
            self.note(f"→ {event.name}  {pairs(event.arguments)}", "bold")
        elif isinstance(event, Result):
            self._result(event.outcome)
        elif isinstance(event, Refusal):
            self.note(f"✗ {event.what} not let through: {event.why}", "yellow")
        elif isinstance(event, Trouble):
            self.note(f"! {event.why}", "red")
        elif isinstance(event, Reply):
            self._end()

    def note(self, text: str, style: str = "dim") -> None:
        """A line of ours, set in from the talk."""
        self._end()
        self.console.print(Padding(Text(readable(text), style=style), (0, 0, 0, 4)))

    def line(self, text: str) -> None:
        """A plain line."""
        self._end()
        self.console.print(Text(readable(text)))

    def _said(self, text: str) -> None:
        if not self._open:
            self.console.print(Text(f"{self._persona}  ", style=f"bold {self._colour()}"), end="")
            self._open, self._column = True, len(self._persona) + 2
            text = text.lstrip()
        self.console.print(Text(self._wrapped(readable(text))), end="", soft_wrap=True)

    def _wrapped(self, text: str) -> str:
        """More of the open reply, broken between words at the terminal's edge; a pipe has none."""
        if not self.console.is_terminal:
            return text
        made = ""
        for piece in re.findall(r"\S+|[^\S\n]+|\n", text):
            if piece == "\n" or (not piece.isspace() and self._column + len(piece) > self.console.width):
                made, self._column = made.rstrip(" ") + "\n", 0
            if piece != "\n" and not (piece.isspace() and self._column == 0):
                made, self._column = made + piece, self._column + len(piece)
        return made

    def _result(self, outcome: Outcome) -> None:
        if outcome.failed:
            self.note(f"← {outcome.fault}: {outcome.words}", "red")
        else:
            self.note(f"← {pairs(json.loads(outcome.content))}", "dim")
        for withheld in outcome.withheld:
            self.note(f"  it said, and was not obeyed: “{withheld[:200]}”", "yellow")

    def _colour(self) -> str:
        known = self._persona in self.personas
        return COLOURS[self.personas.index(self._persona) % len(COLOURS)] if known else COLOURS[0]

    def _end(self) -> None:
        if self._open:
            self.console.print()
            self._open = False


def pairs(values: Any) -> str:
    """`name: value` of an object, what is null left out; other data as JSON."""
    if not isinstance(values, Mapping):
        return json.dumps(values, ensure_ascii=False)[:LONGEST_VALUE]
    known = {name: value for name, value in values.items() if value is not None}
    return " · ".join(f"{name}: {_short(value)}" for name, value in known.items())


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def readable(text: str) -> str:
    """The text without characters that steer a terminal: whatever a model or a tool says, it moves no cursor."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


@dataclass
class Session:
    """A person at a terminal, or a pipe, in a talk. `save`: writes the talk to a file and says where."""

    conversation: Conversation
    screen: Screen
    save: Callable[[Conversation, str | None], str]

    def run(self, lines: Iterable[str]) -> None:
        """Answer line after line until they end, or until /quit."""
        for line in lines:
            if line.strip() and not self.answer(line.strip()):
                return

    def answer(self, line: str) -> bool:
        """One line of the person's; whether to go on. An interrupted or failed turn is forgotten, and the talk goes on."""
        if line.startswith("/"):
            return self._command(*line[1:].split(maxsplit=1))
        try:
            for event in self.conversation.say(line):
                self.screen.show(event)
        except KeyboardInterrupt:
            self.screen.note("interrupted; the turn is forgotten", "yellow")
        return True

    def _command(self, name: str = "", argument: str = "") -> bool:
        actions = {"persona": self._switch, "tools": self._tools, "save": self._save, "new": self._new}
        if name in ("quit", "exit", "q"):
            return False
        if name not in actions:
            for text in (*([] if name in ("help", "") else [f"There is no /{name}."]), *HELP):
                self.screen.note(text)
            return True
        try:
            actions[name](argument.strip())
        except (TwainBotError, OSError) as error:
            self.screen.note(f"! {error}", "red")
        return True

    def _switch(self, name: str) -> None:
        if name and name != "auto" and name not in self.screen.personas:
            raise UnknownName(
                f"No persona here is called {name!r}. There are: {', '.join(self.screen.personas)}, auto."
            )
        if name:
            self.conversation.persona = None if name == "auto" else name
        self.screen.note(f"{self.conversation.persona or 'whoever the router chooses'} answers")

    def _tools(self, _argument: str) -> None:
        for tool in self.conversation.schemas():
            function = tool["function"]
            names = ", ".join(function["parameters"].get("properties", ()))  # a tool may take nothing
            self.screen.note(f"{function['name']}({names}): {function['description']}")
        if not self.conversation.schemas():
            self.screen.note("no tools: no weather will be stated")

    def _save(self, file: str) -> None:
        self.screen.note(self.save(self.conversation, file or None))

    def _new(self, _argument: str) -> None:
        self.conversation.forget()
        self.screen.note("a new talk")


def prompted(console: Console) -> Iterable[str]:
    """Lines typed at a prompt, until the input ends; an interrupt at the prompt leaves too."""
    while True:
        try:
            yield console.input(Text("you  ", style="bold"))
        except (EOFError, KeyboardInterrupt):
            console.print()
            return


def piped(stream: TextIO) -> Iterable[str]:
    """Lines of a pipe, as UTF-8 whatever the locale says: a byte that is none becomes the sign of what cannot be read."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")
    return stream


def unused(folder: Path, stem: str) -> Path:
    """A file in the folder that does not exist yet: stem.jsonl, stem-2.jsonl..."""
    number = 1
    while (path := folder / f"{stem}{'' if number == 1 else f'-{number}'}.jsonl").exists():
        number += 1
    return path
