"""A speaker that says what a test wrote down, and a server in this process: for the endpoint and the web chat."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from resources.tool_client import ToolClient, Tools
from resources.turns import CANCELLED, STOP, Turn
from twainbot.errors import UnknownName
from twainbot_assets import chat_server


class ScriptedSpeaker:
    """Answers by a function from messages to pieces; an exception among them is told, or raised if it comes first."""

    voices = ("twain", "franklin", "__base__")

    def __init__(self, script: Callable[[Sequence[Any]], Sequence[Any]], pause_s: float = 0.0) -> None:
        self.script, self.pause_s = script, pause_s
        self.asked: list[dict[str, Any]] = []
        self.turns: list[Any] = []

    def stream(
        self, messages: Sequence[Any], tools: Any = None, *, persona: Any = None, sink: Any = None, **how: Any
    ) -> Turn:
        """A turn whose pieces come from a thread of its own."""
        if persona not in (None, "auto", *self.voices):
            raise UnknownName(f"Nobody here is called {persona!r}.")
        self.asked.append({"messages": messages, "tools": tools, "persona": persona, **how})
        pieces = list(self.script(messages))
        if pieces and isinstance(pieces[0], Exception):
            raise pieces[0]
        turn = Turn("twain" if persona in (None, "auto") else persona, 7, sink)
        self.turns.append(turn.progress)
        threading.Thread(target=self._speak, args=(turn.progress, pieces), daemon=True).start()
        return turn

    def _speak(self, progress: Any, pieces: Sequence[Any]) -> None:
        for piece in pieces:
            time.sleep(self.pause_s)
            if progress.cancelled:
                progress.finish = CANCELLED
                break
            progress.new_tokens += 1
            progress.tell(piece)
        progress.finish = progress.finish or STOP
        progress.tell(None)

    def load_now(self) -> dict[str, int]:
        """Nothing is going on."""
        return {"waiting": 0, "running": 0}


@contextlib.contextmanager
def served(speaker: Any, tools: Tools | None = None, source: str = "") -> Iterator[str]:
    """The endpoint on a free port of this machine; its URL."""
    with chat_server.bound("127.0.0.1", 0) as door:
        config = uvicorn.Config(
            chat_server.application(speaker, tools, source=source), log_level="warning", lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def simulated(call_s: float = 20.0) -> ToolClient:
    """The weather server's simulation in this process: `with simulated() as tools`. Its fault "die" ends the process."""
    from resources.weather_server import server
    from resources.weather_tools import MockBackend

    return ToolClient(server(MockBackend()), call_s=call_s)
