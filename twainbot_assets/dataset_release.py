"""Stage release: the data bundle, a partition per version, cut once. The model bundle and what both share: release.py."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import release as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource, Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.partitions import DATA_VERSIONS
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, publish
from twainbot_assets.release import SHARED, bundle_metadata, fresh, refuse_twice, sealed

if TYPE_CHECKING:
    import polars as pl

    from twainbot.release.cards import DatasetFacts

DATASET = keys.key("release/dataset")
TABLES = {"dapt": "splits/dapt", "sft": "splits/sft", "preferences": "splits/preferences"}


@dg.asset(
    key=DATASET,
    ins={name: dg.AssetIn(keys.key(path)) for name, path in TABLES.items()}
    | {name: dg.AssetIn(keys.key(f"curated/{name}")) for name in ("passages", "rejects")}
    | {"dialogues": dg.AssetIn(keys.key("dialogues/screened")), "rights": dg.AssetIn(keys.key("corpora/rights"))},
    partitions_def=DATA_VERSIONS, check_specs=specs(DATASET, gates.DATASET, DATA_VERSIONS),
    code_version=version_of("twainbot.release.cards", "twainbot.release.manifest"), **SHARED,
)  # fmt: skip
def dataset(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, **tables: Table) -> Published:
    """The training data as a bundle: Parquet per split, dataset card, manifest."""
    opened, version = lake.open(), context.partition_key
    frames = {name: rows.collect() for name, rows in tables.items()}

    def make() -> "pl.DataFrame":
        refuse_twice(opened, "release/dataset", version)
        bundle = fresh(Path(folders.work) / "release" / version)
        for name in TABLES:
            for split in ("train", "validation", "test"):
                path = bundle / name / f"{split}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                frames[name].filter(frames[name]["split"] == split).write_parquet(path)
        from twainbot.corpora.inventory import matrix_lines
        from twainbot.records import content_hash
        from twainbot.release.cards import dataset_card

        parents = {name: content_hash(frames[name]) for name in TABLES}
        facts = dataset_facts(frames, version, parents, matrix_lines(frames["rights"].to_dicts()))
        (bundle / "README.md").write_text(dataset_card(facts), encoding="utf-8")
        return sealed(opened, "release/dataset", bundle, "twainbot-data", version, parents, [])

    yield from publish(context, make, gates.DATASET, bundle_metadata)


def dataset_facts(
    frames: "Mapping[str, pl.DataFrame]", version: str, parents: Mapping[str, str], rights: Sequence[Sequence[Any]]
) -> "DatasetFacts":
    """What the dataset card says."""
    import polars as pl

    from twainbot.release.cards import DatasetFacts, SourceFacts

    passages, rejects, dialogues = frames["passages"], frames["rejects"], frames["dialogues"]
    by_source = passages.group_by("source", "license", "copyright_status").agg(
        works=pl.col("work_id").n_unique(), chunks=pl.len()
    )
    splits = {
        split: {name: frames[name].filter(pl.col("split") == split).height for name in TABLES}
        for split in ("train", "validation", "test")
    }
    generators = sorted({json.loads(text).get("generator", "") for text in dialogues["origin"].unique().to_list()})
    reasons = rejects["reasons"].explode().drop_nulls().str.split(":").list.first().value_counts(sort=True)
    return DatasetFacts(
        name="TwainBot data", version=version, license="other",
        description="Passages, dialogues and preference pairs that a TwainBot adapter was trained on.",
        sources=[SourceFacts(row["source"], row["works"], row["chunks"], row["license"], row["copyright_status"])
                 for row in by_source.sort("source", "license").to_dicts()],
        splits=splits, rejects=dict(reasons.iter_rows()), parents=parents,
        synthetic=f"Dialogues are written by {', '.join(generators)}; each row's origin gives prompt hash, seed and parents.",
        toxicity_backend=", ".join(sorted(dialogues["toxicity_backend"].unique().to_list())),
        configs={name: {split: f"{name}/{split}.parquet" for split in splits} for name in TABLES},
        rehearsal=current().rehearsal, rights=rights,
    )  # fmt: skip


assets = [dataset]
