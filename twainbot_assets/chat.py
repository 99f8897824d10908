"""`twainbot chat`: a terminal over a model and a weather. Who speaks, serving.py says; the loop between is tool_loop.py's."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twainbot.errors import BadUse, UnknownName

if TYPE_CHECKING:
    from resources.home import Home
    from resources.tool_loop import Conversation


@click.command(epilog='Example: twainbot chat --persona franklin; another tool server: --weather "python my_server.py"')
@click.option("--recipe", help="Whose adapter. Default: all personas that the profile trains, else its first recipe.")
@click.option("--bundle", type=click.Path(path_type=Path), help="A released model folder instead of a recipe.")
@click.option(
    "--base", type=click.Path(path_type=Path), help="The base's folder. Default: the one that the home holds."
)
@click.option(
    "--weather",
    help="nws, archive, mock, none, an MCP server's command or its URL. Default: nws; mock in tiny and sample.",
)
@click.option("--persona", help="Who answers. Default: the router's choice for each request, else the first.")
@click.option("--save", "file", type=click.Path(path_type=Path), help="Write the talk here at its end.")
@click.option(
    "--guardrails/--no-guardrails", default=True, show_default=True, help="Rules of humour in the system prompt."
)
@click.option("--profile", help="tiny, sample, laptop, full, or a file. Default: TWAINBOT_PROFILE, else sample.")
def chat(
    recipe: str | None,
    bundle: Path | None,
    base: Path | None,
    weather: str | None,
    persona: str | None,
    file: Path | None,
    guardrails: bool,
    profile: str | None,
) -> None:
    """Talk to it. Tool calls and results are shown; no weather is stated before a tool has said it."""
    if file is not None:
        unclaimed(file.expanduser())  # before a model is loaded and a talk held that could not be kept
    from rich.console import Console

    from resources.tool_client import unoffered
    from resources.tool_loop import Conversation
    from twainbot_assets import serving, tool_door
    from twainbot_assets.cli import prepared
    from twainbot_assets.profile import load
    from twainbot_assets.terminal import Screen, Session, piped, prompted

    home = prepared(profile)
    cast, chosen = (
        serving.Asked(recipe, bundle, base).cast(home, load(home.named)),
        tool_door.chosen(weather, home.profile),
    )
    console = Console(highlight=False)
    with serving.opened(cast, chosen) as (speaker, tools):
        if persona is not None and persona not in speaker.personas:
            raise UnknownName(f"No persona here is called {persona!r}. There are: {', '.join(speaker.personas)}.")
        today = datetime.now().astimezone().date()
        talk = Conversation(
            speaker,
            tools,
            persona=persona,
            route=lambda text: speaker.voice_for([{"role": "user", "content": text}], None),
            today=today,
            seed=today.toordinal(),
            guarded=guardrails,
        )
        session = Session(
            talk, Screen(console, speaker.personas), lambda kept, where: save(home, cast.about, kept, where)
        )
        session.screen.note(f"{cast.about}; weather: {chosen}; /help for commands")
        if left_out := unoffered(tools):
            session.screen.note(left_out, "yellow")
        try:
            session.run(prompted(console) if sys.stdin.isatty() else piped(sys.stdin))
        finally:  # whatever ended it
            if file is not None:
                session.screen.note(saved_at_its_end(home, cast.about, talk, file.expanduser()))


def saved_at_its_end(home: Home, about: str, talk: Conversation, path: Path) -> str:
    """Save a talk that is over: under this name, else beside it, else in the home. Says where, and why not as asked."""
    from twainbot_assets.terminal import unused

    if not talk.turns:
        return "nothing was said, so nothing is saved"
    said = ""
    for where in (lambda: path, lambda: unused(path.parent, path.stem), lambda: None):
        try:
            place = where()  # to look at a folder may fail as well as to write into it
            return said + save(home, about, talk, str(place) if place else None)
        except (BadUse, OSError) as error:
            said = f"{error} "
    raise BadUse(f"The talk could not be saved anywhere. {said.strip()}")


def unclaimed(path: Path) -> Path:
    """The path, where nothing is there yet. Raises BadUse where something is, or that cannot be seen."""
    try:
        taken = path.exists()
    except OSError as error:
        raise BadUse(f"{path} cannot be looked at: {error.strerror}. Name another file, or none.") from error
    if taken:
        raise BadUse(f"{path} exists already. Name another file, or none.")
    return path


def save(home: Home, about: str, talk: Conversation, where: str | None) -> str:
    """Write the talk with the model that it was with as one JSON line; says where. A file that exists is left alone."""
    from resources.lake import replace_file
    from twainbot_assets.terminal import unused

    if not talk.turns:
        raise BadUse("There is nothing to save yet.")
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = unclaimed(Path(where).expanduser() if where else unused(home.own / "transcripts", f"chat-{stamp}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    row = talk.record(f"chat-{stamp}", model=about)
    replace_file(path, lambda file: file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8"))
    return f"saved {len(talk.turns)} turns to {path}"
