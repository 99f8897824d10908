"""The lineage page of a home: the lake's tables and adapters handed to twainbot/lineage, and the asset that keeps it fresh.

Which rows an adapter learned from is drawn again by its recipe, as `twainbot trace` does (tracing.py).
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from checks import lineage as gates
from checks.gates import specs
from resources.folders import Folders
from resources.home import Home
from resources.lake import Lake, LakeResource
from resources.views import Units, registered
from twainbot.errors import BadInput
from twainbot.provenance import version_of
from twainbot_assets import keys, sources
from twainbot_assets.json_lines import require_place
from twainbot_assets.partitions import counted
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

    from twainbot.lineage.links import Links, Tables, Trained

LINEAGE = keys.key("warehouse/lineage")
PAGE = "lineage.html"
Uses: TypeAlias = tuple[set[str], bool, str]  # ids of rows, whether they are known, any doubt
LIMIT_BYTES = 20_000_000  # a page of more takes a phone's browser seconds to read
READS = [
    *(key for stage in ("corpora", "chunks") for key in keys.per_source(stage)),
    *map(keys.key, ("curated/rejects", "dedupe/clusters", "dialogues/contrastive", "dialogues/screened")),
    *(keys.key(f"splits/{name}") for name in ("assignments", "dapt", "sft", "preferences")),
    *(keys.key(f"adapters/{stage}") for stage in keys.TRAINING_STAGES),
    *([keys.key("adapters/mixture")] if current().mixtures else []),
]


@dg.asset(
    key=LINEAGE, group_name="warehouse", deps=READS, check_specs=specs(LINEAGE, gates.GATES),
    code_version=version_of("twainbot.lineage.links", "twainbot.lineage.page"), kinds={"polars", "html"},
)  # fmt: skip
def lineage(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders) -> Published:
    """One page that walks from an adapter to the characters it learned and back: rows at each level, and where it lies."""
    path, opened = Path(folders.reports) / PAGE, lake.open()

    def make() -> "pl.DataFrame":
        return levels(*write(opened, path, sources.registered(context.instance)))

    yield from publish(context, make, gates.GATES, lambda rows: metadata(rows, path))


def metadata(rows: "pl.DataFrame", path: Path) -> dict[str, Any]:
    """Where the page lies, its size, and what it shows of what there is."""
    from twainbot_assets.publish import counts_table

    return {
        "report": dg.MetadataValue.path(str(path)),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "levels": counts_table(rows.select("level", "total", "shown").to_dicts()),
    }


def write(lake: Lake, path: Path, units: Units | None) -> "tuple[Links, str]":
    """Write the page of what the lake holds of these units (None: of all); its links, and the hash of its bytes."""
    from resources.lake import replace_file
    from twainbot.lineage.links import join
    from twainbot.lineage.page import render

    links = join(tables(lake, units), LIMIT_BYTES)
    page = render(links, f"TwainBot lineage: {current().name}").encode()
    replace_file(path, lambda file: file.write_bytes(page))
    return links, hashlib.sha256(page).hexdigest()


def told(home: Home, out: Path | None) -> Iterator[str]:
    """Write the page where it is wanted; lines about it for people.

    Raises BadUse for a folder, a device or a pipe, BadInput where the file cannot be written.
    """
    path = (out or home.reports / PAGE).absolute()
    require_place(path, "--out")
    try:
        lake = Lake(home.lake)
        links, _ = write(lake, path, registered(lake))
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror or error}). Name another file with --out."
        ) from error
    yield f"{path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser."
    for level, total in links.totals.items():
        yield f"  {level}: {total:,}" + (
            f", of which {links.shown[level]:,} shown" if links.shown[level] < total else ""
        )
    if links.lost:
        yield f"{len(links.lost)} rows have lost what they were made of, the first {links.lost[0]}. Run `twainbot refresh`."
    if links.moved:
        yield f"{len(links.moved)} passages moved, the first {links.moved[0]}. Run `twainbot refresh`."


def levels(links: "Links", page_sha256: str) -> "pl.DataFrame":
    """One row per level: what the lake holds, what the page shows, and what does not join."""
    import polars as pl

    from twainbot.lineage.links import LEVELS

    faults = {"rows": links.lost, "passages": links.moved}
    return pl.DataFrame(
        [
            {"level": level, "total": links.totals[level], "shown": links.shown[level],
             "faults": list(faults.get(level, ())), "page": PAGE, "page_sha256": page_sha256}
            for level in LEVELS
        ],
        schema_overrides={"faults": pl.List(pl.String)},
    )  # fmt: skip


def tables(lake: Lake, units: Units | None) -> "Tables":
    """The lake's tables, read lazily; one that was never built has no rows, and one of units those of these units."""
    import polars as pl

    from twainbot.lineage.links import Tables
    from twainbot_assets.tracing import SPLIT_TABLES

    def every(*names: str) -> pl.LazyFrame:
        return pl.concat([table(lake, name, units) for name in names], how="diagonal_relaxed")

    written = ("dialogues/style_transfer", "dialogues/tool_calls")
    return Tables(
        works=every(*(f"corpora/{source}" for source in SOURCES)),
        chunks=every(*(f"chunks/{source}" for source in SOURCES)),
        rejects=table(lake, "curated/rejects"),
        clusters=table(lake, "dedupe/clusters"),
        dialogues=every(*(["dialogues/screened"] if lake.exists("dialogues/screened") else written)),
        pairs=table(lake, "dialogues/contrastive"),
        seeds=table(lake, "dialogues/seeds"),
        assignments=table(lake, "splits/assignments"),
        splits={name: table(lake, name) for name in SPLIT_TABLES.values()},
        adapters=list(trained(lake)),
    )


def table(lake: Lake, name: str, units: Units | None = None) -> "pl.LazyFrame":
    """A table of the lake, partitioned or not, with its schema's columns even where nothing was built.

    A file of a unit or batch that is no longer one is not read.
    """
    from twainbot.records import schema_of

    rows = lake.scan(name) if lake.exists(name) else lake.scan_all(name, counted(name, units))
    missing = sorted(set(schema_of(name) or {}) - set(rows.collect_schema().names()))
    if missing:
        raise BadInput(f"Table {name} lacks the columns {missing}. Run `twainbot refresh`, which builds it anew.")
    return rows


def trained(lake: Lake) -> "Iterator[Trained]":
    """The adapters that lie in the lake, earlier stages first, mixtures last."""
    from twainbot_assets.tracing import SPLIT_TABLES, Tables, adapters, learned

    names: dict[str, str] = {}  # by the hash of the weights
    for stage in (*keys.TRAINING_STAGES, "mixture"):
        for row in adapters(Tables(lake), stage):
            record = json.loads(row.get("record") or "{}")
            names[row["adapter_sha256"]] = name_of(row)
            yield adapter(row, record, names, learned(lake, row, stage) if stage in SPLIT_TABLES else (set(), True, ""))


def name_of(row: dict[str, Any]) -> str:
    """An adapter by stage and recipe."""
    return f"adapters/{row['stage']} [{row['recipe']}]"


def adapter(row: dict[str, Any], record: dict[str, Any], names: dict[str, str], uses: Uses) -> "Trained":
    """An adapter for the page."""
    from twainbot.lineage.links import Trained
    from twainbot_assets.tracing import SPLIT_TABLES

    rows, sure, doubt = uses
    told = {"weights": row["adapter_sha256"], "steps": record.get("steps"), "reading": doubt}
    facts = {name: row[name] for name in ("recipe", "base", "folder", "fingerprint")} | told
    listed = [(name, str(value)) for name, value in facts.items() if value is not None]
    table = SPLIT_TABLES.get(row["stage"], "")
    return Trained(name_of(row), table, frozenset(rows), listed, list(before(record, names)), sure)


def before(record: dict[str, Any], names: dict[str, str]) -> Iterator[str]:
    """The adapters that this one began from or was mixed of; by hash where the lake has them no more."""
    if (began := record.get("init_adapter_sha256")) is not None:
        yield names.get(began, f"an adapter of weights {began[:12]}")
    mix = record.get("mix") or {}
    stage = mix.get("stage") or keys.TRAINING_STAGES[-1]
    yield from (f"adapters/{stage} [{recipe}]" for recipe in mix.get("adapters") or ())


assets = [lineage]
