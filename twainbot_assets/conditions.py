"""When the automation sensor asks for an asset: its data's or its code's change, never a mere re-materialization.

What a condition is made of is Dagster's; which assets have one, and what each waits for, stands here. docs/automation.md
says it for users, decision 0030 says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import dagster as dg

from resources.generator_settings import GRAMMAR, LOCAL
from twainbot.errors import BadConfig
from twainbot_assets.automation import on_request
from twainbot_assets.freshness import LINEAGE_ONLY
from twainbot_assets.profile import Profile
from twainbot_assets.schedules import policies_of

AC = dg.AutomationCondition
Condition: TypeAlias = Any  # the classes of composed conditions are private
Asset: TypeAlias = "dg.AssetsDefinition | dg.SourceAsset"
Partitions: TypeAlias = Mapping[dg.AssetKey, "dg.PartitionsDefinition[str] | None"]

SWITCH = "TWAINBOT_AUTOMATE"
TRAINING, GENERATION = "training", "generation"  # what the switch adds, separated by commas
TRAINED = ("adapters", "evals")  # stages that cost hours of a GPU
INTERVAL_S = 60  # between two looks of the sensor


def switched_on() -> frozenset[str]:
    """What TWAINBOT_AUTOMATE adds. Raises BadConfig on a word that it does not know."""
    named = frozenset(word.strip() for word in os.environ.get(SWITCH, "").split(",") if word.strip())
    unknown = sorted(named - {TRAINING, GENERATION})
    if unknown:
        raise BadConfig(f"{SWITCH} names {unknown}. Known: {TRAINING}, {GENERATION}, separated by a comma.")
    return named


def is_automatic(key: dg.AssetKey, profile: Profile, more: frozenset[str]) -> bool:
    """Whether automation may build this asset: nothing on request; trainings and paid words only where switched on."""
    if on_request(key):
        return False
    if key.path[0] in TRAINED:
        return TRAINING in more
    return key.path[0] != "dialogues" or GENERATION in more or not is_paid(profile)


def is_paid(profile: Profile) -> bool:
    """Whether a service that may cost money writes or judges the profile's dialogues."""
    return not {profile.dialogues.generator.backend, profile.dialogues.judge.backend} <= {GRAMMAR, LOCAL}


def on_change(spec: dg.AssetSpec, partitions: Partitions) -> Condition:
    """Wanted since its data or code changed, and nothing that it reads is missing, at work, or refused by a gate.

    A fan-in over partitions waits while one is at work, but not for one that is missing or was refused: it reads the last
    good file of each.
    """
    read = [dep.asset_key for dep in spec.deps]
    lineage = [key for key in read if (spec.key, key) in LINEAGE_ONLY]
    whole = [key for key in read if partitions.get(key) is None or partitions[key] == partitions[spec.key]]
    trained = [key for key in read if spec.key.path[0] in TRAINED and key.path[0] in TRAINED]
    changed = AC.missing().newly_true() | data_changed(lineage) | AC.code_version_changed()
    wanted = changed.since(handled([*lineage, *trained]))
    free = ~AC.any_deps_in_progress() & ~AC.in_progress()
    if whole:
        ready = dg.AssetSelection.assets(*whole)
        free = free & ~AC.any_deps_missing().allow(ready) & none_refused().allow(ready)
    return (wanted & free).with_label("on_change")


def none_refused() -> Condition:
    """No blocking check of what it reads failed, never ended or is at work. One that was never given, as an upgrade adds it,
    is none: freshness.py asks no more, and nothing else would give it to a table that is fresh."""
    fine = AC.check_passed() | AC.missing() | AC.will_be_requested()
    sound = AC.all_checks_match(fine, blocking_only=True).with_label("no_blocking_check_refused")
    return AC.all_deps_match(sound).with_label("none_refused")


def data_changed(lineage: Sequence[dg.AssetKey]) -> Condition:
    """Something that it reads has another data version, or is asked for in the same run; edges of lineage do not count."""
    found = AC.any_deps_match(AC.data_version_changed() | AC.will_be_requested())
    return (found.ignore(dg.AssetSelection.assets(*lineage)) if lineage else found).with_label("data_changed")


def handled(ignored: Sequence[dg.AssetKey]) -> Condition:
    """Asked for since, or made since by a run that cannot have missed the change."""
    reset = AC.newly_requested() | AC.initial_evaluation()
    overtaken = ((changed_elsewhere(ignored) | AC.code_version_changed()) & long_at_work()).since(reset)
    return (reset | (AC.newly_updated() & ~overtaken.with_label("overtaken"))).with_label("handled")


def changed_elsewhere(ignored: Sequence[dg.AssetKey]) -> Condition:
    """Something that it reads has another data version, and not by the very run that makes it as well.

    A named job that was started whole, as `dagster job execute` does, names no assets in its run, and looks like another
    run: what costs hours is ignored among itself, lest `train` train twice.
    """
    found = AC.any_deps_match(AC.data_version_changed() & ~AC.executed_with_root_target())
    return (found.ignore(dg.AssetSelection.assets(*ignored)) if ignored else found).with_label("changed_elsewhere")


def long_at_work() -> Condition:
    """At work at the last look already: what is new since then, its run may have read before."""
    return (AC.run_in_progress() & ~AC.run_in_progress().newly_true()).with_label("long_at_work")


def operated(assets: Sequence[Asset], profile: Profile) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """What makes a spec of these assets an operated one: a condition where automation may build it, a policy if it is live."""
    more = switched_on()
    partitions, policies = partitions_of(assets), policies_of(profile)

    def attributed(spec: dg.AssetSpec) -> dg.AssetSpec:
        wanted = on_change(spec, partitions) if is_automatic(spec.key, profile, more) else None
        return spec.replace_attributes(automation_condition=wanted, freshness_policy=policies.get(spec.key))

    return attributed


def partitions_of(assets: Sequence[Asset]) -> Partitions:
    """The partition set of each asset."""
    found: dict[dg.AssetKey, dg.PartitionsDefinition[str] | None] = {}
    for asset in assets:
        if isinstance(asset, dg.SourceAsset):
            found[asset.key] = asset.partitions_def
        else:
            found |= {spec.key: spec.partitions_def for spec in asset.specs}
    return found


sensor = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.STOPPED,
    minimum_interval_seconds=INTERVAL_S,
    description="Builds what depends on changed data or code. Switch it on after a first `twainbot run`.",
)
