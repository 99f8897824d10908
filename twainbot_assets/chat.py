"""`twainbot chat`: a recipe's adapters or a bundle, a weather server and a terminal. The loop between is tool_loop.py's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twainbot.errors import BadInput, BadUse, MissingModel, UnknownName

if TYPE_CHECKING:
    from resources.home import Home
    from resources.lake import Lake
    from resources.tool_client import ToolClient
    from resources.tool_loop import Conversation, Speaker
    from twainbot.dialogues.routing import Router

STAGES = ("preference", "sft", "dapt")  # the last one trained speaks
OFFLINE = ("tiny", "sample")  # profiles that ask nobody over the net, their chats no more than their runs


@dataclass(frozen=True)
class Cast:
    """Who speaks. `route`: a person's words to a persona, None where one adapter does it all; `model` for the transcript."""

    speaker: Speaker
    personas: tuple[str, ...]
    route: Callable[[str], str] | None
    model: str


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
@click.option("--profile", help="tiny, sample, laptop or full. Default: TWAINBOT_PROFILE, else sample.")
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
    from rich.console import Console

    from resources.tool_loop import Conversation
    from twainbot_assets.cli import prepared
    from twainbot_assets.terminal import Screen, Session, prompted

    home = prepared(profile)
    console = Console(highlight=False)
    chosen = weather or ("mock" if home.profile in OFFLINE else "nws")
    with ThreadPoolExecutor(1) as pool:  # a server takes seconds to come up, a model too
        opening = pool.submit(open_tools, chosen)
        try:
            cast = open_cast(home, recipe, bundle, base)
        except BaseException:
            close(opening)
            raise
        tools = opening.result()
    try:
        if persona is not None and persona not in cast.personas:
            raise UnknownName(f"No persona here is called {persona!r}. There are: {', '.join(cast.personas)}.")
        today = datetime.now().astimezone().date()
        talk = Conversation(
            cast.speaker,
            tools,
            persona=persona,
            route=cast.route,
            today=today,
            seed=today.toordinal(),
            guarded=guardrails,
        )
        session = Session(talk, Screen(console, cast.personas), lambda kept, where: save(home, cast, kept, where))
        session.screen.note(f"{cast.model}; weather: {chosen}; /help for commands")
        session.run(prompted(console) if sys.stdin.isatty() else sys.stdin)
        if file is not None:
            session.screen.note(save(home, cast, talk, str(file)))
    finally:
        if tools is not None:
            tools.close()


def close(opening: Any) -> None:
    """End tools that were being opened for nothing."""
    try:
        found = opening.result()
    except BadInput:
        return
    if found is not None:
        found.close()


def open_tools(weather: str) -> ToolClient | None:
    """The tools that `--weather` names; None for none."""
    from resources.tool_client import ToolClient, own_server
    from resources.weather_tools import BACKENDS

    if weather == "none":
        return None
    if weather in BACKENDS:
        return ToolClient(own_server(weather), own=True)
    return ToolClient(weather)


# --- who speaks -----------------------------------------------------------------------------------------------------------


def open_cast(home: Home, recipe: str | None, bundle: Path | None, base: Path | None) -> Cast:
    """The speaker that the command line asks for. Raises BadUse, UnknownName or MissingModel in plain words."""
    from resources.lake import Lake

    if recipe and bundle:
        raise BadUse(f"--recipe {recipe} and --bundle {bundle} both name a model. Give one of them.")
    if bundle is not None:
        return of_bundle(home, bundle, base)
    from twainbot_assets.profile import load

    chosen, lake = load(home.profile), Lake(home.lake)
    folder = base or base_folder(home, lake)
    if recipe is None and len(chosen.personas) > 1:
        return of_personas(home, lake, folder, list(chosen.personas))
    name = recipe or chosen.recipes[0]
    return alone(folder, adapter_of(home, lake, name), f"{folder.name} with recipe {name}")


def of_personas(home: Home, lake: Lake, base: Path, names: list[str]) -> Cast:
    """An adapter per persona and the router, where the lake has them."""
    from resources.routed_speaker import RoutedSpeaker
    from resources.routing import RoutedModel

    found = {name: adapter_of(home, lake, name) for name in names}
    router = router_of(lake)
    model = RoutedModel.load(base, found, router)

    def route(text: str) -> str:
        return model.route([{"role": "user", "content": text}]).persona

    return Cast(RoutedSpeaker(model), tuple(found), route, f"{base.name} with {', '.join(found)}")


def alone(base: Path, adapter: Path | None, about: str) -> Cast:
    """One adapter that knows every persona by its system prompt."""
    from resources.language_model import LanguageModel
    from resources.routed_speaker import ModelSpeaker
    from twainbot.dialogues import prompts

    return Cast(ModelSpeaker(LanguageModel.load(base, adapter, merged=True)), prompts.personas(), None, about)


def of_bundle(home: Home, bundle: Path, base: Path | None) -> Cast:
    """A released folder, every file checked first. Raises MissingModel where its base is not at hand."""
    from twainbot_assets.tools import verify_folder

    verify_folder(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return alone(base or base_of(home, manifest), bundle / "adapter", f"{manifest['version']} from {bundle.name}")


def base_of(home: Home, manifest: dict[str, Any]) -> Path:
    """The home's base with the hash that a bundle was trained on."""
    wanted = str(manifest["parents"].get("base_sha256", ""))
    found = next((path for path in sorted(home.models.glob(f"*-{wanted[:12]}")) if wanted and path.is_dir()), None)
    if found is None:
        raise MissingModel(
            f"{home.models} holds no base {wanted[:12]}, which {manifest['version']} was trained on. "
            "Give its folder (--base DIR), or run `twainbot run --select base`."
        )
    return found


def base_folder(home: Home, lake: Lake) -> Path:
    """The folder of the profile's base."""
    if not lake.exists("base/model"):
        raise MissingModel(
            f"Profile {home.profile} has no base yet. Run `twainbot run` first, or give --base and --bundle."
        )
    folder = home.models / str(lake.read("base/model")["folder"][0])
    if not folder.is_dir():
        raise MissingModel(f"{folder} is not there. Run `twainbot run --select base/model --force`.")
    return folder


def adapter_of(home: Home, lake: Lake, recipe: str) -> Path:
    """The folder of the recipe's last trained stage. Raises UnknownName, listing what there is."""
    for stage in STAGES:
        if lake.exists(f"adapters/{stage}", recipe):
            return lake.fetch_folder(str(lake.read(f"adapters/{stage}", recipe)["folder"][0]), home.cache)
    trained = sorted({key for stage in STAGES for key in lake.keys(f"adapters/{stage}")})
    raise UnknownName(
        f"Recipe {recipe!r} has no adapter in {home.lake}. Trained are: {', '.join(trained) or 'none'}. "
        "Train it with `twainbot run`."
    )


def router_of(lake: Lake) -> Router | None:
    """The lake's router; None where none was fitted."""
    from twainbot.dialogues.routing import Router

    return Router.from_json(lake.read("adapters/router")["router"][0]) if lake.exists("adapters/router") else None


# --- what is kept ---------------------------------------------------------------------------------------------------------


def save(home: Home, cast: Cast, talk: Conversation, where: str | None) -> str:
    """Write the talk as one JSON line; says where. A file that exists is left alone."""
    from resources.lake import replace_file
    from twainbot_assets.terminal import unused

    if not talk.turns:
        raise BadUse("There is nothing to save yet.")
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = Path(where).expanduser() if where else unused(home.own / "transcripts", f"chat-{stamp}")
    if path.exists():
        raise BadUse(f"{path} exists already. Name another file, or none.")
    path.parent.mkdir(parents=True, exist_ok=True)
    row = talk.record(f"chat-{stamp}", model=cast.model)
    replace_file(path, lambda file: file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8"))
    return f"saved {len(talk.turns)} turns to {path}"
