"""Who speaks in `twainbot chat` and `twainbot serve`: a base, adapters and their names, out of the lake or a bundle.

The terminal is chat.py's, the server chat_server.py's; the tools beside them are tool_door.py's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.lake import Lake
from twainbot.dialogues import prompts
from twainbot.errors import BadInput, BadUse, MissingModel, TwainBotError, UnknownName
from twainbot.personas import Persona, join
from twainbot_assets import keys, tool_door

if TYPE_CHECKING:
    from resources.home import Home
    from resources.speaker import Speaker
    from resources.tool_client import ToolClient, Tools
    from twainbot.dialogues.routing import Router
    from twainbot_assets.profile import Profile

STAGES = keys.TRAINING_STAGES[::-1]  # the last one trained speaks
FINAL = STAGES[0]


@dataclass(frozen=True)
class Cast:
    """A base folder, an adapter folder per persona, and a router where there is one.

    `voices`: who an only adapter can speak as, by their system prompts. `about`: the model, for transcripts.
    """

    base: Path
    adapters: Mapping[str, Path] = field(default_factory=dict)
    router: Router | None = None
    voices: tuple[str, ...] = ()
    about: str = ""


def run(
    home: Home,
    profile: Profile,
    asked: Asked,
    weather: str | None,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Load and serve until Ctrl-C."""
    from twainbot_assets import chat_server

    if not host:
        raise BadUse("--host is empty, which would serve every address of this machine. Name one, such as 127.0.0.1.")
    chat_server.bound(host, port).close()  # a taken port should not cost the loading of a model
    cast, chosen = asked.cast(home, profile), tool_door.chosen(weather, home.profile)
    say(f"Loading {cast.about}; weather: {chosen}.")
    with opened(cast, chosen) as (speaker, tools):
        chat_server.serve(speaker, tools, host, port, say, tool_door.source_of(chosen))


@contextmanager
def opened(cast: Cast, weather: str) -> Iterator[tuple[Speaker, Tools | None]]:
    """The speaker of a cast and the tools of a weather, which come up meanwhile: each takes seconds."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        opening = pool.submit(tool_door.opened, weather)
        try:
            speaker = stack.enter_context(speaker_of(cast))
        except BaseException:
            _close(opening)
            raise
        tools = opening.result()
        if tools is not None:
            stack.callback(tools.close)
        yield speaker, tools


def _close(opening: Future[ToolClient | None]) -> None:
    """End tools that were opened for nothing."""
    try:
        found = opening.result()
    except TwainBotError:
        return
    if found is not None:
        found.close()


def speaker_of(cast: Cast) -> Speaker:
    """The speaker of a cast: an only adapter is merged, which is a quarter faster on a CPU."""
    from resources.speaker import Speaker

    return Speaker.load(cast.base, cast.adapters, cast.router, merged=len(cast.adapters) == 1, voices=cast.voices)


# --- out of the lake or a bundle ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What a command line says of who shall speak."""

    recipe: str | None = None
    bundle: Path | None = None
    base: Path | None = None

    def cast(self, home: Home, profile: Profile) -> Cast:
        """Its cast. Raises BadUse, UnknownName, MissingModel or BadInput in plain words."""
        if self.recipe and self.bundle:
            raise BadUse(f"--recipe {self.recipe} and --bundle {self.bundle} both name a model. Give one of them.")
        if self.base is not None and not (self.base / "base.json").is_file():
            raise BadUse(f"{self.base} is no base: it holds no base.json. Name the folder of one, or leave --base out.")
        if self.bundle is not None:
            return of_bundle(home, self.bundle, self.base)
        return of_recipe(home, profile, self.recipe, self.base)


def of_recipe(home: Home, profile: Profile, recipe: str | None, base: Path | None = None) -> Cast:
    """A recipe's adapter, or without a name each trained persona's, else the profile's first recipe's."""
    lake = Lake(home.lake)
    trained = sorted({key for stage in STAGES for key in lake.keys(f"adapters/{stage}")})
    if recipe is not None and recipe not in (*profile.trained, *trained):
        raise UnknownName(f"No recipe {recipe!r} in profile {profile.name}. Known: {', '.join(profile.trained)}.")
    folder = base or base_folder(home, lake)
    personas = [name for name in profile.personas if name in trained]
    made = [recipe] if recipe else personas or list(profile.trained[:1])
    if made[0] not in trained:
        raise MissingModel(
            f"No adapter of {made[0]} is in profile {profile.name} yet; trained are: {', '.join(trained) or 'none'}. "
            f"Run `twainbot run --profile {profile.name}`."
        )
    adapters = {persona_of(name): adapter_of(home, lake, name) for name in made}
    about = f"{folder.name} with {', '.join(made)}"
    return Cast(folder, adapters, stored_router(lake) if len(made) > 1 else None, voices_of(made), about)


def base_folder(home: Home, lake: Lake) -> Path:
    """The folder of the profile's base. Raises MissingModel where there is none."""
    if not lake.exists("base/model"):
        raise MissingModel(
            f"Profile {home.profile} has no base yet. Run `twainbot run --profile {home.named}` first, or give --bundle."
        )
    folder = home.models / str(lake.read("base/model")["folder"][0])
    if not folder.is_dir():
        raise MissingModel(f"{folder} is not there. Run `twainbot run --select base/model --force`.")
    return folder


def adapter_of(home: Home, lake: Lake, recipe: str) -> Path:
    """The folder of the recipe's last trained stage."""
    stage = next(stage for stage in STAGES if lake.exists(f"adapters/{stage}", recipe))
    return lake.fetch_folder(str(lake.read(f"adapters/{stage}", recipe)["folder"][0]), home.cache)


def stored_router(lake: Lake) -> Router | None:
    """The router that `adapters/router` made, where it did."""
    from twainbot.dialogues.routing import Router

    if not lake.exists("adapters/router"):
        return None
    return Router.from_json(str(lake.read("adapters/router")["router"][0]))


def of_bundle(home: Home, bundle: Path, base: Path | None = None) -> Cast:
    """A released bundle's adapters on their base: the one given, the bundle's own or the home's. Its hashes are checked first.

    Raises BadUse where the folder is no bundle, BadInput for one that is harmed or holds no model, MissingModel without base.
    """
    from training.base_model import describe, template_of
    from training.start import check_base
    from twainbot_assets.tools import verify_folder

    verify_folder(bundle)
    adapters, recipes = adapters_in(bundle)
    template = bundle / "chat_template.jinja"
    if not template.is_file():
        raise BadInput(
            f"{bundle} has lost its chat_template.jinja. Take the bundle again; `twainbot verify-bundle` checks it."
        )
    own = bundle / "base"
    folder = base or (own if own.is_dir() else base_for(home, next(iter(adapters.values()))))
    for adapter in adapters.values():
        check_base(adapter, describe(folder))
    if template.read_text(encoding="utf-8") != template_of(folder).text:
        raise BadInput(
            f"The chat template of {bundle} is not the one of its base in {folder}. "
            "Rematerialize base/model with the release's code."
        )
    version = json.loads((bundle / "manifest.json").read_bytes())["version"]
    router = stored_router(Lake(home.lake)) if len(adapters) > 1 else None
    return Cast(folder, adapters, router, voices_of(recipes), f"{version} from {bundle.name}")


def adapters_in(bundle: Path) -> tuple[dict[str, Path], list[str]]:
    """The adapter folder of each persona in a bundle, the default one's first, and their recipes.

    bundle.json lists them; a bundle of before it has the default persona's alone. Raises BadInput where one is not there.
    """
    listed = bundle / "bundle.json"
    default = prompts.personas()[0]
    told: Any = {"personas": {default: {"adapter": "adapter", "recipe": default}}}
    try:
        told = json.loads(listed.read_bytes()) if listed.is_file() else told
        first = told.get("default_persona", default)
        names = sorted(told["personas"], key=lambda name: name != first)
        found = {str(name): bundle / told["personas"][name]["adapter"] for name in names}
        recipes = [str(told["personas"][name].get("recipe", name)) for name in names]
        join(Persona.model_validate(each) for each in told.get("own_personas", ()))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadInput(f"{listed} does not list personas with their adapters. Take the bundle again.") from error
    for name, folder in found.items():
        if name not in prompts.personas():
            raise BadInput(f"{bundle} has a persona {name[:40]!r}, and known are {', '.join(prompts.personas())}.")
        inside = folder.resolve().is_relative_to(bundle.resolve())
        if not inside or not (folder / "adapter_config.json").is_file():
            where = folder.relative_to(bundle) if inside else folder
            raise BadInput(
                f"{bundle} is no model's bundle: it holds no {where}/adapter_config.json. Name another folder."
            )
    if not found:
        raise BadInput(f"{listed} lists no persona. Take the bundle again.")
    return found, recipes


def base_for(home: Home, adapter: Path) -> Path:
    """The base folder that an adapter was trained on. Raises MissingModel where the home has none that fits."""
    from training.base_model import describe
    from training.start import check_base

    faults: list[str] = []
    for folder in sorted(path.parent for path in home.models.glob("*/base.json")):
        try:
            check_base(adapter, describe(folder))
        except BadInput as error:
            faults.append(str(error))
        else:
            return folder
    found = f" {faults[0]}" if faults else ""
    raise MissingModel(
        f"No base in {home.models} fits the adapter.{found} Give its folder (--base DIR); "
        "`twainbot run --select base/model` makes one."
    )


def persona_of(recipe: str) -> str:
    """Whose voice a recipe's adapter has first: its own name's, or the default persona's, as whom it was evaluated."""
    return recipe if recipe in prompts.personas() else prompts.personas()[0]


def voices_of(recipes: list[str]) -> tuple[str, ...]:
    """Who adapters can speak as: their own personas; an only one that was trained on all, every persona by its prompt."""
    alone = len(recipes) == 1 and recipes[0] not in prompts.personas()
    return prompts.personas() if alone else tuple(map(persona_of, recipes))
