"""Adapters that nobody trains: those of other recipes of the profile, added up. There where the profile lists such a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import personas as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource, Table
from twainbot.errors import BadInput
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.adapters import WATCHES, adapter_folder, adapter_row
from twainbot_assets.base import MODEL
from twainbot_assets.partitions import MIXTURES
from twainbot_assets.profile import current, recipe_path
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

MIXTURE = keys.key("adapters/mixture")
LAST = keys.TRAINING_STAGES[-1]


def parts_by_stage() -> dict[str, dict[str, list[str]]]:
    """Training stage to its recipes that are mixed, and into which mixtures."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, mix in current().mixtures.items():
        of_stage = found.setdefault(mix.get("stage", LAST), {})
        for recipe in mix["adapters"]:
            of_stage.setdefault(recipe, []).append(name)
    return found


def mixture() -> dg.AssetsDefinition:
    """The asset over all mixing recipes of the profile."""
    parts = parts_by_stage()

    @dg.asset(
        key=MIXTURE,
        group_name="adapters",
        ins={"model": dg.AssetIn(MODEL)}
        | {
            stage: dg.AssetIn(keys.key(f"adapters/{stage}"), partition_mapping=dg.StaticPartitionMapping(into))
            for stage, into in parts.items()
        },
        deps=[keys.recipe("mixture")],
        partitions_def=MIXTURES,
        check_specs=specs(MIXTURE, gates.MIXTURE, MIXTURES),
        code_version=version_of("resources.merging", without=WATCHES),
        kinds={"pytorch", "huggingface"},
        pool="gpu",
        description="Adapters of other recipes added up as a recipe's `mix` says: nothing is trained.",
    )
    def mixed(
        context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, model: Table, **stages: Table
    ) -> Published:
        def make() -> "pl.DataFrame":
            base = folders.model(model.collect()["folder"][0])
            wanted = current().mixtures[context.partition_key]
            rows = stages[wanted.get("stage", LAST)].collect()
            found = {name: adapter_folder(lake.open(), folders, one) for name, one in by_recipe(rows, wanted).items()}
            return mixture_row(lake, base, found, Path(folders.work) / context.partition_key, context.partition_key)

        yield from publish(context, make, gates.MIXTURE, figures, lambda made: made["fingerprint"][0])

    return mixed


def by_recipe(rows: "pl.DataFrame", mix: dict[str, Any]) -> "dict[str, pl.DataFrame]":
    """Each part's row. Raises BadInput naming those that were never trained."""
    found = {name: rows.filter(rows["recipe"] == name) for name in mix["adapters"]} if rows.height else {}
    stage = mix.get("stage", LAST)
    absent = [name for name in mix["adapters"] if name not in found or found[name].is_empty()]
    if absent:
        runs = " and ".join(f"`twainbot run --select adapters --partition {name}`" for name in absent)
        raise BadInput(f"adapters/{stage} has no good version of {', '.join(absent)}, which is mixed here. Run {runs}.")
    return found


def mixture_row(lake: LakeResource, base: Path, parts: dict[str, Path], work: Path, recipe: str) -> "pl.DataFrame":
    """Mix, measure, publish, and describe the mixture in one row, as a trained adapter is."""
    import polars as pl

    from resources.merging import identity_difference, mix
    from training.config import load_recipe

    wanted = load_recipe(recipe_path(current().name, recipe))
    record = mix(base, parts, work, wanted)
    combination = wanted.mix.combination if wanted.mix else ""
    row = adapter_row(lake.open(), base, work / "adapter", record, recipe, "mixture")
    return row.with_columns(
        lost_share=pl.lit(record["lost_share"]),
        identity_difference=pl.lit(identity_difference(base, next(iter(parts.values())), combination)),
    )


def figures(made: "pl.DataFrame") -> dict[str, Any]:
    """What was mixed, and what the rank lost."""
    from checks.adapters import record_of

    record = record_of(made)
    weights = ", ".join(f"{name} {weight:g}" for name, weight in record["mix"]["adapters"].items())
    return {
        "mixed_of": f"{weights} ({record['mix']['combination']})",
        "rank": record["rank"],
        "lost_share": round(made["lost_share"][0], 4),
        "identity_difference": made["identity_difference"][0],
        "merge_difference": made["merge_difference"][0],
    }


assets = [mixture()] if current().mixtures else []
