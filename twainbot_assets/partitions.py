"""Partition sets. Units and versions are dynamic: new works and releases need no code. Each set stays under 100 keys."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

import dagster as dg

from resources.views import Units, units_of
from twainbot.errors import BadConfig
from twainbot_assets.profile import SOURCES, Profile, current

MAX_KEY = 200  # characters, percent-encoded: a folder `partition=<key>` may have 255 bytes
UNUSABLE = ("...", "\a", "\b", "\f", "\n", "\r", "\t", "\v", "\0")  # what Dagster takes in no key
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


def counted(table: str, units: Units | None) -> Collection[str] | None:
    """The partition keys of a table that still are units, batches, recipes or mixtures; None where all of its files count.

    units: as views.registered or sources.registered give them; None: all count.
    """
    if table.startswith("dialogues/"):
        return batch_keys(current())
    if table.startswith(("adapters/", "evals/")):
        return current().mixtures if table == "adapters/mixture" else current().trained
    return units_of(table, units)


def require_usable(source: str, key: str) -> None:
    """Raise BadConfig for a key that Dagster refuses or that is too long for a folder's name. Keys are names of files."""
    odd = next((mark for mark in UNUSABLE if mark in key), None)
    if not key.strip() or odd is not None or not key.isprintable():
        found = repr(odd) if odd else "a character that cannot be printed" if key.strip() else "no letter"
        raise BadConfig(f"The unit {key[:60]!r} of {source} has {found} in its name. Rename its file or its entry.")
    if len(quote(key, safe=" ")) > MAX_KEY:
        raise BadConfig(
            f"The unit {key[:60]!r} of {source} has a name of {len(quote(key, safe=' '))} characters as a folder's; "
            f"{MAX_KEY} are possible. Rename its file or its entry."
        )


def register(instance: dg.DagsterInstance, source: str, keys: list[str]) -> tuple[list[str], list[str]]:
    """Make the instance's unit keys equal to the source's. Returns the keys added and removed."""
    if len(keys) > MAX_KEYS:
        raise BadConfig(f"{source} has {len(keys)} units; at most {MAX_KEYS} work. Name the wanted ones under `only:`.")
    for key in keys:
        require_usable(source, key)
    name = UNITS[source].name or source
    before, now = set(instance.get_dynamic_partitions(name)), set(keys)
    added, removed = sorted(now - before), sorted(before - now)
    if added:
        instance.add_dynamic_partitions(name, added)
    for key in removed:
        instance.delete_dynamic_partition(name, key)
    return added, removed
