"""Stage release: the data bundle, a partition per version, cut once. The model bundle and what both share: release.py.

Its tables are twainbot/release/snapshot.py's, its words data_card.py's.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import dataset_release as gates
from checks.gates import specs
from resources.bundles import write_tables
from resources.commit import commit_of
from resources.folders import Folders
from resources.lake import Lake, LakeResource
from resources.suites import eval_texts
from resources.views import Units
from twainbot.provenance import version_of
from twainbot_assets import data_versions, keys, sources
from twainbot_assets.partitions import DATA_VERSIONS, counted
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.publish import Published, publish
from twainbot_assets.release import SHARED, bundle_metadata, fresh, hashes, refuse_unfit, sealed

if TYPE_CHECKING:
    import polars as pl

    from twainbot.release.snapshot import Material

NAME = "twainbot-data"
DATASET = keys.key("release/dataset")
WHOLE = (
    "splits/dapt", "splits/sft", "splits/preferences", "splits/assignments", "curated/passages", "curated/rejects",
    "dialogues/screened", "corpora/rights",
)  # fmt: skip
PARTITIONED = (*(f"corpora/{source}" for source in SOURCES), "dialogues/contrastive", "dialogues/seeds")
SETTINGS = ("chunking", "screening", "dedupe", "dialogues", "generator", "splits")
CODE = version_of("twainbot.release.snapshot", "twainbot.release.data_card", "twainbot.release.manifest")


@dg.asset(
    key=DATASET,
    deps=[*(keys.key(table) for table in WHOLE),
          *(dg.AssetDep(keys.key(table), partition_mapping=dg.AllPartitionMapping()) for table in PARTITIONED)],
    partitions_def=DATA_VERSIONS, check_specs=specs(DATASET, gates.DATASET, DATA_VERSIONS), code_version=CODE, **SHARED,
)  # fmt: skip
def dataset(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders) -> Published:
    """The training data as a bundle: Parquet and JSON lines per split, origin of every row, dataset card, manifest."""
    opened, version = lake.open(), context.partition_key

    def make() -> "pl.DataFrame":
        refuse_unfit(context.instance, opened, "release/dataset", version)
        units = sources.registered(context.instance)
        parents = data_versions.parents(context.instance, opened, (*WHOLE, *PARTITIONED), SETTINGS, units)
        return cut(opened, fresh(Path(folders.work) / "release" / version), version, parents, units)

    yield from publish(context, make, gates.DATASET, bundle_metadata)


def cut(
    lake: Lake, bundle: Path, version: str, parents: Mapping[str, str], units: Units | None = None
) -> "pl.DataFrame":
    """Write the bundle into an empty folder, publish it, and describe it in one row with what its gates judge.

    units: those that count, by source; without, all that have a file.
    """
    import polars as pl

    from twainbot.release import data_card, snapshot

    found = material(lake, units)
    tables = snapshot.snapshot(found)
    write_tables(bundle, tables, data_card.configs())
    (bundle / "NOTICE.md").write_text(data_card.notice(tables), encoding="utf-8")
    told = data_card.card(
        found, tables, lake.read("corpora/rights"), version=version, rehearsal=current().rehearsal, parents=parents,
        files=hashes(bundle), made_with=made_with(),
    )  # fmt: skip
    (bundle / "README.md").write_text(told, encoding="utf-8")
    row = sealed(lake, "release/dataset", bundle, NAME, version, parents, [], made_with())
    return row.with_columns(
        rows=pl.lit(tables["provenance"].height),
        unexplained=pl.lit(json.dumps(snapshot.checked(tables))),
        eval_text=pl.lit(json.dumps(snapshot.of_evals(tables, eval_texts()))),
    )


def made_with() -> dict[str, Any]:
    """Profile, code version and commit; the settings' versions are parents."""
    profile = current()
    found = {"profile": profile.name, "code_version": CODE, "commit": commit_of()}
    return {name: value for name, value in found.items() if value is not None}


def material(lake: Lake, units: Units | None) -> "Material":
    """The lake's tables, whole; a file of a unit or batch that is no longer one is not read."""
    import polars as pl

    from twainbot.release.snapshot import Material

    def rows(table: str) -> pl.LazyFrame:
        return lake.scan_all(table, counted(table, units))

    works = [rows(f"corpora/{source}") for source in SOURCES]
    seeds = rows("dialogues/seeds").select("seed_id", "payload").collect()
    return Material(
        works=pl.concat(works, how="diagonal_relaxed").collect(),
        passages=lake.read("curated/passages"), rejects=lake.read("curated/rejects"),
        dialogues=lake.read("dialogues/screened"), pairs=rows("dialogues/contrastive").collect(),
        assignments=lake.read("splits/assignments"), dapt=lake.read("splits/dapt"), sft=lake.read("splits/sft"),
        preferences=lake.read("splits/preferences"),
        seeds={name: json.loads(payload) for name, payload in seeds.iter_rows()},
    )  # fmt: skip


assets = [dataset]
