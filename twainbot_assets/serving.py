"""`twainbot serve`: which base and adapters speak, and under which names. The server is chat_server.py's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resources.lake import Lake
from twainbot.dialogues import prompts
from twainbot.errors import BadInput, MissingModel, UnknownName
from twainbot_assets import keys

if TYPE_CHECKING:
    from resources.home import Home
    from resources.speaker import Speaker
    from twainbot.dialogues.routing import Router
    from twainbot_assets.profile import Profile

FINAL = keys.TRAINING_STAGES[-1]


@dataclass(frozen=True)
class Cast:
    """A base folder, an adapter folder per persona, and a router where there is one."""

    base: Path
    adapters: Mapping[str, Path] = field(default_factory=dict)
    router: Router | None = None


def run(
    home: Home,
    profile: Profile,
    recipe: str | None,
    bundle: Path | None,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Load and serve until Ctrl-C."""
    from twainbot_assets import chat_server
    from twainbot_assets.tool_door import SimulatedWeather

    chat_server.bound(host, port).close()  # a taken port should not cost the loading of a model
    cast = of_bundle(home, bundle) if bundle else of_recipe(home, profile, recipe)
    say(f"Loading {cast.base.name} with {', '.join(cast.adapters)}.")
    with opened(cast) as speaker:
        chat_server.serve(speaker, SimulatedWeather(), host, port, say)


def opened(cast: Cast) -> Speaker:
    """The speaker of a cast: an only adapter is merged, which is a quarter faster on a CPU."""
    from resources.speaker import Speaker

    return Speaker.load(cast.base, cast.adapters, cast.router, merged=len(cast.adapters) == 1)


def of_recipe(home: Home, profile: Profile, recipe: str | None) -> Cast:
    """A recipe's adapter, or without a name each trained persona's, else the profile's first recipe's."""
    if recipe is not None and recipe not in profile.trained:
        raise UnknownName(f"No recipe {recipe!r} in profile {profile.name}. Known: {', '.join(profile.trained)}.")
    lake = Lake(home.lake)
    wanted = [recipe] if recipe else list(profile.personas or profile.trained[:1])
    made = [name for name in wanted if lake.exists(f"adapters/{FINAL}", name)]
    if not made or not lake.exists("base/model"):
        raise MissingModel(
            f"No adapter of {', '.join(wanted)} is in profile {profile.name} yet. Run `twainbot run --profile {profile.name}`."
        )
    rows = {name: lake.read(f"adapters/{FINAL}", name) for name in made}
    adapters = {persona_of(name): lake.fetch_folder(row["folder"][0], home.cache) for name, row in rows.items()}
    base = home.models / str(lake.read("base/model")["folder"][0])
    return Cast(base, adapters, stored_router(lake) if len(adapters) > 1 else None)


def stored_router(lake: Lake) -> Router | None:
    """The router that `adapters/router` made, where it did."""
    from twainbot.dialogues.routing import Router

    if not lake.exists("adapters/router"):
        return None
    return Router.from_json(str(lake.read("adapters/router")["router"][0]))


def of_bundle(home: Home, bundle: Path) -> Cast:
    """A released bundle's adapter on its base, which must be among the home's models. Raises BadInput for another folder."""
    from training.base_model import template_of

    adapter = bundle / "adapter"
    if not (adapter / "adapter_config.json").is_file():
        raise BadInput(f"{bundle} is no bundle: it holds no adapter/adapter_config.json. Name a released folder.")
    template = bundle / "chat_template.jinja"
    if not template.is_file():
        raise BadInput(
            f"{bundle} has lost its chat_template.jinja. Take the bundle again; `twainbot verify-bundle` checks it."
        )
    base = base_for(home, adapter)
    if template.read_text(encoding="utf-8") != template_of(base).text:
        raise BadInput(
            f"The chat template of {bundle} is not the one of its base in {base}. "
            "Rematerialize base/model with the release's code."
        )
    return Cast(base, {prompts.personas()[0]: adapter})


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
        f"No base in {home.models} fits the adapter.{found} `twainbot run --select base/model` makes one."
    )


def persona_of(recipe: str) -> str:
    """Whose voice a recipe's adapter has: its own name's, or the default persona's, as whom it was evaluated."""
    return recipe if recipe in prompts.personas() else prompts.personas()[0]
