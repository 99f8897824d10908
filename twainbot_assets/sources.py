"""Stage sources: what Dagster cannot see made visible. Raw units, settings, recipes, prompts and suites carry data versions.

An edited file shows here as a new version, and only what depends on it turns stale. Nothing is parsed here.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from resources.home import PROJECT
from resources.home import current as current_home
from resources.sources import Harvest, UnitSource
from resources.suites import problems_file
from twainbot import personas
from twainbot.errors import TwainBotError
from twainbot_assets import keys
from twainbot_assets.partitions import MIXTURES, RECIPES, UNITS, batch_keys, register
from twainbot_assets.profile import SOURCES, current, recipe_path

GROUP = "sources"
ABSENT = "none"

# Files whose text is data to some stage. A folder counts with all its files.
WATCHED = {
    "prompts": (
        "twainbot/personas.yaml",
        *(
            f"twainbot/dialogues/{name}"
            for name in ("grammars", "places.yaml", "prompts.yaml", "swaps.yaml", "topics.yaml")
        ),
    ),
    "generator_prompts": ("twainbot/dialogues/prompts",),
    "lexicon": ("twainbot/screening/lexicon.yaml",),
    "suites": ("samples/evals",),
    "templates": ("training/templates",),
}
WATCHED_HOW = {
    "prompts": "System prompts, grammars and places that dialogues are written from.",
    "generator_prompts": "Prompts and controls by which a language model words, repairs and judges dialogues.",
    "lexicon": "Terms of the lexical screen.",
    "suites": "Evaluation suites: prompts, expected calls, neutral text.",
    "templates": "Chat templates, one per base.",
}


def files_version(*paths: str) -> str:
    """16 hex digits over names and bytes of files, folders taken whole."""
    hasher = hashlib.sha256()
    for name in paths:
        root = PROJECT / name
        for file in sorted(path for path in (root.rglob("*") if root.is_dir() else [root]) if path.is_file()):
            if "__pycache__" not in file.parts:
                hasher.update(file.relative_to(PROJECT).as_posix().encode() + b"\0" + file.read_bytes())
    return hasher.hexdigest()[:16]


def file_version(path: Path) -> str:
    """16 hex digits over a file's bytes; `none` where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ABSENT


def ratings_version(path: Path) -> str:
    """The ratings file's version, and the rubric's: another rubric asks something else."""
    return f"{file_version(path)}-{files_version('twainbot/evals/rubric.yaml')}"


def unit_versions(harvest: Harvest, source: str) -> dict[str, str]:
    """Data version of every unit of a source."""
    door = harvest.door(source)
    if door is None:
        return {}
    wanted, skipped = harvest.looked_up(source)
    found = {unit: version_or_fault(door, unit) for unit in wanted}
    harvest.tell(source, {**skipped, **door.skipped})
    return found


def version_or_fault(door: UnitSource, unit: str) -> str:
    """A unit's version; for one at fault a version of its own, so that it turns stale and fails where people see it."""
    try:
        return door.version(unit)
    except TwainBotError as fault:
        door.skipped[unit] = str(fault)
        return f"fault-{hashlib.sha256(type(fault).__name__.encode()).hexdigest()[:8]}"


def recipe_versions(stage: str) -> dict[str, str]:
    """Data version of one stage's section, per recipe."""
    return {name: recipe_version(stage, name) for name in current().trained}


def recipe_version(stage: str, name: str) -> str:
    """Data version of one stage's section of one recipe."""
    from training.config import load_recipe

    return load_recipe(recipe_path(current().name, name)).stage_hash(stage)


def mixture_versions() -> dict[str, str]:
    """Data version of what each mixing recipe says about its mixture."""
    return {name: mixture_version(name) for name in current().mixtures}


def mixture_version(name: str) -> str:
    """Data version of what one mixing recipe says about its mixture."""
    from resources.merging import mix_hash
    from training.config import load_recipe

    return mix_hash(load_recipe(recipe_path(current().name, name)))


def registered(instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """The unit keys of each source as the instance knows them."""
    return {source: sorted(instance.get_dynamic_partitions(UNITS[source].name or source)) for source in SOURCES}


def units_version(units: Mapping[str, list[str]]) -> str:
    """Data version of the set of all registered units: a removed unit must reach the fan-ins too."""
    return set_version(dict(sorted(units.items())))


def set_version(members: object) -> str:
    """16 hex digits over a set of partitions, as JSON. A fan-in does not notice that one of its partitions is gone."""
    return hashlib.sha256(json.dumps(members).encode()).hexdigest()[:16]


def plain_versions(units: Mapping[str, list[str]]) -> dict[str, str]:
    """Data versions of all unpartitioned source assets, by name. `units`: the registered ones of each source."""
    profile, home = current(), current_home()
    found = {f"settings_{section}": profile.section_hash(section) for section in keys.SETTINGS}
    found |= {name: files_version(*paths) for name, paths in WATCHED.items()}
    if profile.brought:
        found["prompts"] += f"-{personas.stamp()}"
    if (own := problems_file()) is not None:
        found["suites"] += f"-{file_version(own)}"
    found["units"] = units_version(units)
    found["batches"] = set_version(batch_keys(profile))
    found["recipes"] = set_version(list(profile.recipes))
    found["reviews"] = file_version(home.reviews)
    found["ratings"] = ratings_version(home.ratings)
    return found


def observe_units(source: str) -> dg.SourceAsset:
    """The observable asset of one source's raw units."""

    @dg.observable_source_asset(
        name=source,
        key_prefix="sources",
        group_name=GROUP,
        partitions_def=UNITS[source],
        description=f"Raw units of the source `{source}`: one partition each, version over bytes and what is known of them.",
    )
    def observed(context: dg.OpExecutionContext, harvest: Harvest) -> dg.DataVersionsByPartition:
        register(context.instance, source, harvest.units(source))
        return dg.DataVersionsByPartition(dict(unit_versions(harvest, source)))

    return observed


def observe_plain(name: str, description: str) -> dg.SourceAsset:
    """The observable asset of something unpartitioned."""

    @dg.observable_source_asset(name=name, key_prefix="sources", group_name=GROUP, description=description)
    def observed(context: dg.OpExecutionContext) -> dg.DataVersion:
        return dg.DataVersion(plain_versions(registered(context.instance))[name])

    return observed


def observe_recipe(stage: str) -> dg.SourceAsset:
    """The observable asset of one stage's recipe sections."""

    @dg.observable_source_asset(
        name=f"recipe_{stage}",
        key_prefix="sources",
        group_name=GROUP,
        partitions_def=RECIPES,
        description=f"The `{stage}` section of each recipe in training/configs/.",
    )
    def observed() -> dg.DataVersionsByPartition:
        return dg.DataVersionsByPartition(dict(recipe_versions(stage)))

    return observed


def observe_mixtures() -> dg.SourceAsset:
    """The observable asset of the mixing recipes."""

    @dg.observable_source_asset(
        name="recipe_mixture",
        key_prefix="sources",
        group_name=GROUP,
        partitions_def=MIXTURES,
        description="The `mix` section of each recipe that trains nothing.",
    )
    def observed() -> dg.DataVersionsByPartition:
        return dg.DataVersionsByPartition(dict(mixture_versions()))

    return observed


observed = [
    *(observe_units(source) for source in SOURCES),
    *(observe_plain(f"settings_{name}", f"Section `{name}` of the profile.") for name in keys.SETTINGS),
    *(observe_plain(name, how) for name, how in WATCHED_HOW.items()),
    observe_plain("reviews", "What people decided on the review queue (`twainbot decide`)."),
    observe_plain("ratings", "Blind ratings of sample dialogues, 1 to 5 (`twainbot review`), and the rubric."),
    observe_plain("units", "The set of all registered units: fan-ins turn stale when one is added or removed."),
    observe_plain(
        "batches", "The set of generation batches: what gathers them all turns stale when one is added or removed."
    ),
    observe_plain(
        "recipes", "The set of recipes, mixing ones too: what compares them turns stale when one is added or removed."
    ),
    *(observe_recipe(stage) for stage in keys.TRAINING_STAGES),
    *([observe_mixtures()] if current().mixtures else []),
]
assets = observed
