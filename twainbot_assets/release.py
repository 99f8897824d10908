"""Stage release: the model bundle, and what both kinds share. Data: dataset_release.py; cards, manifests: twainbot/release."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import release as gates
from checks.evals import unjudged
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Lake, LakeResource, Table
from twainbot.errors import BadUse
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.adapters import adapter_folder
from twainbot_assets.base import MODEL as BASE
from twainbot_assets.partitions import MODEL_VERSIONS
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

    from twainbot.evals.verdicts import Verdict
    from twainbot.release.cards import ModelFacts

MODEL = keys.key("release/model")
RECIPE_TAG = "twainbot/recipe"
STAGE = keys.TRAINING_STAGES[-1]
SHARED: dict[str, Any] = {"group_name": "release", "kinds": {"huggingface"}}
USAGE = """```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}", dtype="float32")
model = PeftModel.from_pretrained(base, "adapter")
```"""


@dg.asset(
    key=MODEL, ins={"base": dg.AssetIn(BASE)},
    deps=[dg.AssetDep(keys.key(path), partition_mapping=dg.AllPartitionMapping())
          for path in (f"adapters/{STAGE}", "evals/scorecard")],
    partitions_def=MODEL_VERSIONS, check_specs=specs(MODEL, gates.MODEL, MODEL_VERSIONS),
    code_version=version_of("twainbot.release.cards", "twainbot.release.manifest"), pool="gpu", **SHARED,
)  # fmt: skip
def model(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, base: Table) -> Published:
    """The adapter as a bundle: weights, config, chat template, scorecard, model card, manifest. Only a pass releases."""
    opened, version = lake.open(), context.partition_key
    recipe = context.run.tags.get(RECIPE_TAG) or current().trained[0]

    def make() -> "pl.DataFrame":
        refuse_twice(opened, "release/model", version)
        info, trained = base.collect().row(0, named=True), opened.read(f"adapters/{STAGE}", recipe)
        card = opened.read("evals/scorecard", recipe)
        bundle = fresh(Path(folders.work) / "release" / version)
        shutil.copytree(adapter_folder(opened, folders, trained), bundle / "adapter")
        shutil.copy(folders.model(info["folder"]) / "chat_template.jinja", bundle / "chat_template.jinja")
        shutil.copy(Path(folders.reports) / card["page"][0], bundle / "scorecard.html")
        from twainbot.evals.verdicts import blockers
        from twainbot.release.cards import model_card

        given = verdicts_of(opened, recipe)
        record = json.loads(trained["record"][0])
        facts = model_facts(info, record, given, version)
        (bundle / "README.md").write_text(model_card(facts), encoding="utf-8")
        hindered = [*unjudged(verdict.gate for verdict in given), *blockers(given)]
        rows = sealed(opened, "release/model", bundle, "twainbot-lora", version, facts.parents, hindered)
        return with_load(rows, opened, folders, info["folder"])

    yield from publish(context, make, gates.MODEL, bundle_metadata)


def refuse_twice(lake: Lake, table: str, version: str) -> None:
    """Raise BadUse where the version was cut before."""
    if lake.exists(table, version):
        raise BadUse(f"{version} was cut before and stays as it is. Choose the next version.")


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def sealed(
    lake: Lake, table: str, bundle: Path, name: str, version: str, parents: Mapping[str, str], blockers: list[str],
    made_with: Mapping[str, Any] | None = None,
) -> "pl.DataFrame":  # fmt: skip
    """Write the manifest, check the bundle against it, publish the folder, and describe it in one row."""
    import polars as pl

    from twainbot.release import manifest

    rehearsal = current().rehearsal
    made = manifest.from_hashes(name, version, hashes(bundle), parents, rehearsal=rehearsal, made_with=made_with)
    (bundle / manifest.MANIFEST_NAME).write_bytes(manifest.to_json(made))
    folder = lake.publish_folder(table, bundle, made["manifest_id"][:12])
    row = {
        "version": version,
        "rehearsal": rehearsal,
        "folder": folder,
        "manifest_id": made["manifest_id"],
        "files": len(made["files"]),
        "parents": json.dumps(dict(parents), sort_keys=True),
        "blockers": json.dumps(blockers),
        "manifest_problems": json.dumps(manifest.verify(made, hashes(bundle))),
    }
    return pl.DataFrame([row])


def hashes(folder: Path) -> dict[str, tuple[str, int]]:
    """Hash and size of every file in a folder, by path inside it."""
    from twainbot.release.manifest import digest

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in files}


def with_load(rows: "pl.DataFrame", lake: Lake, folders: Folders, base: str) -> "pl.DataFrame":
    """The row with what a clean load of the published bundle measured."""
    import polars as pl

    from resources.merging import merge_difference

    bundle = lake.fetch_folder(rows["folder"][0], Path(folders.cache))
    return rows.with_columns(merge_difference=pl.lit(merge_difference(folders.model(base), bundle / "adapter")))


def verdicts_of(lake: Lake, recipe: str) -> "list[Verdict]":
    """The verdicts that the recipe's scorecard shows."""
    from twainbot_assets.evals import EVALUATIONS
    from twainbot_assets.scorecards import verdicts

    return verdicts({f"eval_{name}": lake.read(f"evals/{name}", recipe) for name in EVALUATIONS})


def model_facts(
    info: Mapping[str, Any], record: Mapping[str, Any], given: "list[Verdict]", version: str
) -> "ModelFacts":
    """What the model card says."""
    from twainbot.release.cards import ModelFacts

    wanted = ("base_sha256", "config_sha256", "data_sha256", "code_sha256", "adapter_sha256", "template_sha256")
    return ModelFacts(
        name="TwainBot", version=version, base_model=info["name"], base_revision=info["revision"],
        base_license=info["license"], license=info["license"],
        persona="Mark Twain's manner, Franklin's aphorisms, a satirist's eye; calls a weather tool before it states weather.",
        parents={name: str(record[name]) for name in wanted}, verdicts=given, base_note=info["note"],
        training={"stages": ", ".join(keys.TRAINING_STAGES), "seed": record["seed"], "recipe": record["recipe"]},
        limits=["It imitates a manner of writing of the nineteenth century; it is not Mark Twain, and knows nothing of him.",
                "Weather that it states without a tool call is invention."],
        tags=["lora", "persona", "tool-calling"], rehearsal=current().rehearsal, usage=USAGE.format(base=info["name"]),
    )  # fmt: skip


def bundle_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """Where the bundle lies, and what it is called."""
    row = rows.row(0, named=True)
    return {name: row[name] for name in ("version", "folder", "files", "manifest_id")}


assets = [model]
