"""What every asset carries in the UI beside its own words: who owns it, what it is filtered by, where its code stands.

Put on in one pass when the code location loads. Descriptions, groups and the kinds of built assets are the stages' own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

# Dagster turns observed assets into this form itself, later, and then there is no place left for an owner.
from dagster._core.definitions.external_asset import create_external_asset_from_source_asset

from resources.home import PROJECT
from resources.home import current as current_home
from twainbot_assets.automation import on_request
from twainbot_assets.lineage import PAGE
from twainbot_assets.partitions import BATCHES, DATA_VERSIONS, MIXTURES, MODEL_VERSIONS, RECIPES

Asset: TypeAlias = dg.AssetsDefinition | dg.SourceAsset

# Who answers for a stage. Teams, not people: a fork names its own here.
OWNERS = {
    "sources": "team:corpus", "base": "team:training", "corpora": "team:corpus", "chunks": "team:corpus",
    "screened": "team:corpus", "dedupe": "team:corpus", "curated": "team:corpus", "dialogues": "team:dialogues",
    "splits": "team:dialogues", "adapters": "team:training", "evals": "team:evaluation", "release": "team:evaluation",
    "warehouse": "team:evaluation",
}  # fmt: skip
PARTITIONS = (
    (BATCHES, "batch"),
    (RECIPES, "recipe"),
    (MIXTURES, "mixture"),
    (DATA_VERSIONS, "version"),
    (MODEL_VERSIONS, "version"),
)
LINKED = ("curated", "dialogues", "splits", "adapters", "release")  # stages whose rows stand on the lineage page
CODE_URL = "TWAINBOT_CODE_URL"  # of the files in a repository; where it is unset, the link opens the reader's own file


def labelled(assets: Iterable[Asset], operated: Callable[[dg.AssetSpec], dg.AssetSpec]) -> list[dg.AssetsDefinition]:
    """The assets with owner, tags and code link; observed ones with a kind too, the others as `operated` makes them.

    In one pass, since Dagster builds an asset anew whenever its specs change.
    """
    base = os.environ.get(CODE_URL, "").rstrip("/")
    page = dg.MetadataValue.path(str(current_home().reports / PAGE))
    return [with_labels(asset, base, page, operated) for asset in assets]


def with_labels(
    asset: Asset, base: str, page: dg.PathMetadataValue, operated: Callable[[dg.AssetSpec], dg.AssetSpec]
) -> dg.AssetsDefinition:
    """One of them. base: URL of the repository's files, or nothing. page: where `twainbot lineage` writes."""
    observed = isinstance(asset, dg.SourceAsset)
    made = create_external_asset_from_source_asset(asset) if isinstance(asset, dg.SourceAsset) else asset
    function = asset.observe_fn if isinstance(asset, dg.SourceAsset) else body_of(asset)
    code: dict[str, Any] = {"dagster/code_references": code_of(function, base)}

    def label(spec: dg.AssetSpec) -> dg.AssetSpec:
        metadata = code | {"lineage_page": page} if spec.key.path[0] in LINKED else code
        kinds = {kind_of(spec.key.path[-1])} if observed else spec.kinds
        return (spec if observed else operated(spec)).merge_attributes(
            owners=[OWNERS[spec.key.path[0]]], tags=tags_of(spec, observed), metadata=metadata, kinds=kinds
        )

    return made.map_asset_specs(label)


def body_of(asset: dg.AssetsDefinition) -> Any:
    """The function that builds an asset."""
    compute: Any = asset.op.compute_fn
    return compute.decorated_fn


def kind_of(name: str) -> str:
    """What an observed asset is made of: settings and recipes are YAML, what people decided JSON lines, the rest files."""
    if name.startswith(("settings_", "recipe_")):
        return "yaml"
    return "json" if name in ("reviews", "ratings") else "file"


def tags_of(spec: dg.AssetSpec, observed: bool) -> dict[str, str]:
    """By what an asset is filtered: its partitions, and what makes a new version of it."""
    cut = spec.partitions_def
    kind = "none" if cut is None else next((word for definition, word in PARTITIONS if definition is cut), "unit")
    made = "observed" if observed else "on_request" if on_request(spec.key) else "refresh"
    return {"twainbot/partitions": kind, "twainbot/made_by": made}


def code_of(function: Any, base: str) -> dg.CodeReferencesMetadataValue:
    """A link to the line where the function begins; asked of the code object, since reading sources costs a second."""
    code = function.__code__
    path = Path(code.co_filename)
    relative = path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name
    if base:
        found = dg.UrlCodeReference(url=f"{base}/{relative}#L{code.co_firstlineno}", label=relative)
    else:
        found = dg.LocalFileCodeReference(file_path=str(path), line_number=code.co_firstlineno, label=relative)
    return dg.CodeReferencesMetadataValue(code_references=[found])
