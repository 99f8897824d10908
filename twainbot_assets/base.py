"""Stage base: the model that adapters sit on, converted once, and its tokenizer. How it is made is training/base_model's."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import base as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

MODEL, TOKENIZER = keys.key("base/model"), keys.key("base/tokenizer")


@dg.asset(
    key=MODEL,
    group_name="base",
    deps=[keys.settings("base"), keys.source("templates")],
    check_specs=specs(MODEL, gates.MODEL),
    code_version=version_of("training.base_model"),
    kinds={"huggingface"},
    pool="gpu",
)
def model(context: dg.AssetExecutionContext, folders: Folders) -> Published:
    """The base model's folder, converted to safetensors once and hashed by content; one row that says where it lies."""
    yield from publish(context, lambda: base_row(Path(folders.models)), gates.MODEL, base_metadata)


def base_row(models: Path) -> "pl.DataFrame":
    """One row about the profile's base model, made if it is not there yet."""
    import polars as pl

    from training import base_model

    wanted = current().base
    folder = base_model.prepare(
        wanted.name, models, template=wanted.template, revision=wanted.revision, texts=sample_texts(wanted.name)
    )
    info = base_model.describe(folder)
    return pl.DataFrame(
        [
            {
                "name": info.name,
                "source": info.source,
                "revision": info.revision,
                "license": info.license,
                "note": info.note,
                "folder": folder.name,
                "template": info.template,
                "template_sha256": info.template_sha256,
                "eos_token": info.eos_token,
                "files": json.dumps(info.files, sort_keys=True),
            }
        ]
    )


def sample_texts(name: str) -> list[str]:
    """Texts that a random base's tokenizer is trained on: the sample corpus; nothing for a real base."""
    from resources.home import PROJECT
    from training.base_model import TINY

    if name != TINY:
        return []
    return [path.read_text(encoding="utf-8") for path in sorted((PROJECT / "samples" / "local").glob("*.md"))]


def base_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """What a person wants to know of the base."""
    row = rows.row(0, named=True)
    return {name: row[name] for name in ("name", "revision", "license", "note", "template")}


@dg.asset(
    key=TOKENIZER,
    group_name="base",
    ins={"model": dg.AssetIn(MODEL)},
    check_specs=specs(TOKENIZER, gates.TOKENIZER),
    code_version=version_of("training.base_model", "training.render"),
    kinds={"huggingface"},
)
def tokenizer(context: dg.AssetExecutionContext, folders: Folders, model: Table) -> Published:
    """The base's tokenizer and chat template: their hashes, and proof that the template carries tools and tool calls."""

    def make() -> "pl.DataFrame":
        import polars as pl

        row = model.collect().row(0, named=True)
        folder = Path(folders.models) / row["folder"]
        return pl.DataFrame([{"folder": row["folder"], **gates.tokenizer_facts(folder)}])

    yield from publish(context, make, gates.TOKENIZER)


assets = [model, tokenizer]
