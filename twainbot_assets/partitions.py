"""Partition sets. Units and versions are dynamic: new works and releases need no code. Each set stays under 100 keys."""

from __future__ import annotations

import dagster as dg

from twainbot.errors import BadConfig
from twainbot_assets.profile import SOURCES, Profile, current

MAX_KEYS = 99  # from 100 upstream partitions on, Dagster does not check a fan-in's staleness

UNITS = {source: dg.DynamicPartitionsDefinition(name=f"{source}_units") for source in SOURCES}
DATA_VERSIONS = dg.DynamicPartitionsDefinition(name="data_versions")
MODEL_VERSIONS = dg.DynamicPartitionsDefinition(name="model_versions")


def batch_keys(profile: Profile) -> list[str]:
    """Generation batches of a profile: b000, b001, ..."""
    return [f"b{number:03d}" for number in range(profile.dialogues.batches)]


BATCHES = dg.StaticPartitionsDefinition(batch_keys(current()))
RECIPES = dg.StaticPartitionsDefinition(list(current().trained))
MIXTURES = dg.StaticPartitionsDefinition(list(current().mixtures))


def register(instance: dg.DagsterInstance, source: str, keys: list[str]) -> tuple[list[str], list[str]]:
    """Make the instance's unit keys equal to the source's. Returns the keys added and removed."""
    if len(keys) > MAX_KEYS:
        raise BadConfig(f"{source} has {len(keys)} units; at most {MAX_KEYS} work. Name the wanted ones under `only:`.")
    name = UNITS[source].name or source
    before, now = set(instance.get_dynamic_partitions(name)), set(keys)
    added, removed = sorted(now - before), sorted(before - now)
    if added:
        instance.add_dynamic_partitions(name, added)
    for key in removed:
        instance.delete_dynamic_partition(name, key)
    return added, removed
