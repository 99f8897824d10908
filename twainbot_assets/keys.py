"""Asset keys in one place, so that stages name their inputs without importing each other."""

from __future__ import annotations

import dagster as dg

from twainbot_assets.profile import SOURCES

STAGES = (
    "sources", "base", "corpora", "chunks", "screened", "dedupe", "curated",
    "dialogues", "splits", "adapters", "evals", "release", "warehouse",
)  # fmt: skip
SETTINGS = ("base", "chunking", "screening", "dedupe", "dialogues", "generator", "judge", "splits", "evaluation")
TRAINING_STAGES = ("dapt", "sft", "preference")


def key(path: str) -> dg.AssetKey:
    """An asset key from its path: `key("chunks/local")`."""
    return dg.AssetKey(path.split("/"))


def table(asset: dg.AssetKey) -> str:
    """The lake path of an asset."""
    return "/".join(asset.path)


def source(name: str) -> dg.AssetKey:
    """An observed source or settings asset."""
    return key(f"sources/{name}")


def settings(section: str) -> dg.AssetKey:
    """The observed settings of one section of the profile."""
    return key(f"sources/settings_{section}")


def recipe(stage: str) -> dg.AssetKey:
    """The observed recipe section of one training stage."""
    return key(f"sources/recipe_{stage}")


def per_source(stage: str) -> list[dg.AssetKey]:
    """One key per source of a stage."""
    return [key(f"{stage}/{name}") for name in SOURCES]
