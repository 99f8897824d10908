"""Stage release: the model bundle, and what both kinds share. Data: dataset_release.py; cards, manifests: twainbot/release."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import release as gates
from checks.evals import unjudged
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Lake, LakeResource, Table
from resources.tracking import Tracker
from twainbot.errors import BadInput, BadUse
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.adapters import adapter_folder
from twainbot_assets.base import MODEL as BASE
from twainbot_assets.freshness import Freshness
from twainbot_assets.partitions import MODEL_VERSIONS
from twainbot_assets.profile import current, recipe_path
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

    from resources.bundling import Persona
    from twainbot.evals.verdicts import Verdict
    from twainbot.release.cards import ModelFacts

MODEL = keys.key("release/model")
RECIPE_TAG = "twainbot/recipe"
FORMS_TAG = "twainbot/forms"  # "adapters": without what holds the base's weights, as runs cut their rehearsals
STAGE = keys.TRAINING_STAGES[-1]
SHARED: dict[str, Any] = {"group_name": "release", "kinds": {"huggingface"}}


@dg.asset(
    key=MODEL, ins={"base": dg.AssetIn(BASE)},
    deps=[dg.AssetDep(keys.key(path), partition_mapping=dg.AllPartitionMapping())
          for path in (f"adapters/{STAGE}", "evals/scorecard")],
    partitions_def=MODEL_VERSIONS, check_specs=specs(MODEL, gates.MODEL, MODEL_VERSIONS),
    code_version=version_of("resources.bundling", "twainbot.release.cards", "twainbot.release.manifest"),
    pool="gpu", **SHARED,
)  # fmt: skip
def model(
    context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, tracker: Tracker, base: Table
) -> Published:
    """Adapters as a bundle: weights and their exports, template, prompts, scorecard, card, manifest. Only a pass releases."""
    opened, version = lake.open(), context.partition_key
    recipe = context.run.tags.get(RECIPE_TAG) or current().trained[0]

    def make() -> "pl.DataFrame":
        refuse_unfit(context.instance, opened, "release/model", version)
        info = base.collect().row(0, named=True)
        bundle = fresh(Path(folders.work) / "release" / version)
        from resources.bundling import write_model
        from twainbot.evals.verdicts import blockers

        personas = personas_of(opened, folders, recipe)
        made = write_model(
            bundle, personas, folders.model(info["folder"]), merged=context.run.tags.get(FORMS_TAG) != "adapters"
        )
        given = {each.recipe: verdicts_of(opened, each.recipe) for each in personas}
        facts = model_facts(info, made, personas, given, version)
        more = papers(bundle, opened, folders, facts, given)
        hindered = [why for each in given.values() for why in (*unjudged(v.gate for v in each), *blockers(each))]
        rows = sealed(opened, "release/model", bundle, "twainbot-lora", version, facts.parents, hindered)
        shutil.rmtree(bundle)  # published, and as large as its base twice over
        return with_load(rows, opened, folders, info["folder"], more)

    def metadata(rows: "pl.DataFrame") -> dict[str, Any]:
        return {**bundle_metadata(rows), **registered(tracker, rows, f"twainbot-{current().name}-{recipe}")}

    yield from publish(context, make, gates.MODEL, metadata)


def personas_of(lake: Lake, folders: Folders, recipe: str) -> "list[Persona]":
    """The adapter of a recipe first, then the profile's other personas that are trained and evaluated."""
    first = persona_of(recipe)
    others = [name for name in current().personas if name not in (first, recipe)]
    ready = [name for name in others if lake.exists(f"adapters/{STAGE}", name) and lake.exists("evals/scorecard", name)]
    return [one_persona(lake, folders, name) for name in (recipe, *ready)]


def persona_of(recipe: str) -> str:
    """Who speaks: the recipe's own persona, or the default one."""
    from twainbot.dialogues import prompts

    return recipe if recipe in prompts.personas() else prompts.personas()[0]


def one_persona(lake: Lake, folders: Folders, recipe: str) -> "Persona":
    """A recipe's adapter with what it was trained by. Raises BadInput where the recipe's file has changed since."""
    from resources.bundling import Persona
    from training.config import load_recipe

    rows = lake.read(f"adapters/{STAGE}", recipe)
    record, path = json.loads(rows["record"][0]), recipe_path(current().name, recipe)
    if load_recipe(path).stage_hash(STAGE) != record["config_sha256"]:
        raise BadInput(
            f"Recipe {recipe} is not the one that its adapter was trained by. Rematerialize adapters/{STAGE}."
        )
    return Persona(
        persona_of(recipe), recipe, adapter_folder(lake, folders, rows), record, path.read_text(encoding="utf-8")
    )


def papers(
    bundle: Path, lake: Lake, folders: Folders, facts: "ModelFacts", given: "Mapping[str, list[Verdict]]"
) -> dict[str, Any]:
    """Write scorecard and card. Returns the columns that judge the card."""
    from twainbot.release import figures, serving
    from twainbot.release.cards import model_card

    for number, recipe in enumerate(given):
        page = Path(folders.reports) / lake.read("evals/scorecard", recipe)["page"][0]
        shutil.copy(page, bundle / ("scorecard.html" if number == 0 else f"scorecard-{recipe}.html"))
    scorecard = figures.record(given, profile=current().name, base=facts.base_model, rehearsal=facts.rehearsal)
    (bundle / "scorecard.json").write_text(serving.pretty(scorecard), encoding="utf-8")
    card = model_card(facts)
    (bundle / "README.md").write_text(card, encoding="utf-8")
    return {"unsupported": json.dumps(figures.unsupported(card, scorecard))}


def registered(tracker: Tracker, rows: "pl.DataFrame", adapters: str) -> dict[str, Any]:
    """A version of the model `twainbot-lora` in MLflow's registry for this release, linked from Dagster."""
    row = rows.row(0, named=True)
    sha256 = json.loads(row["parents"])["adapter_sha256"]
    with tracker.answering():
        version = tracker.release(
            "twainbot-lora", row["version"], of=(adapters, sha256), alias="rehearsal" if row["rehearsal"] else "released",
            tags={"manifest_id": row["manifest_id"], "folder": row["folder"]},
        )  # fmt: skip
    return {"mlflow_model": dg.MetadataValue.url(tracker.model_url(version))}


def refuse_twice(lake: Lake, table: str, version: str) -> None:
    """Raise BadUse where the version was cut before."""
    if lake.exists(table, version):
        raise BadUse(f"{version} was cut before and stays as it is. Choose the next version.")


def refuse_unsound(defs: dg.Definitions, instance: dg.DagsterInstance, table: str, version: str) -> None:
    """Raise BadInput where a blocking check of anything behind this table failed or never ended."""
    for item, failed in Freshness(defs, instance).unsound_behind(keys.key(table)).items():
        raise BadInput(
            f"{version} was not cut: {item}, which it is made of, is not known to be sound ({'; '.join(failed)}). "
            "Run `twainbot run`, which makes and judges it again with all that follows, then release again."
        )


def refuse_unfit(instance: dg.DagsterInstance, lake: Lake, table: str, version: str) -> None:
    """Raise BadUse or BadInput where no version may be cut: the UI asks none of this before its run begins."""
    from twainbot_assets.definitions import defs

    refuse_twice(lake, table, version)
    refuse_unsound(defs, instance, table, version)


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


def with_load(rows: "pl.DataFrame", lake: Lake, folders: Folders, base: str, more: Mapping[str, Any]) -> "pl.DataFrame":
    """The row with what a clean load of the published bundle measured, and other columns."""
    import polars as pl

    from resources.bundling import check
    from resources.merging import merge_difference

    bundle, own = lake.fetch_folder(rows["folder"][0], Path(folders.cache)), folders.model(base)
    said, problems = check(bundle, own)
    found = {
        "merge_difference": merge_difference(own, bundle / "adapter"),
        "verified": json.dumps(said),
        "verify_problems": json.dumps(problems),
    }
    return rows.with_columns(**{name: pl.lit(value) for name, value in {**found, **more}.items()})


def verdicts_of(lake: Lake, recipe: str) -> "list[Verdict]":
    """The verdicts that the recipe's scorecard shows."""
    from twainbot_assets.evals import EVALUATIONS
    from twainbot_assets.scorecards import verdicts

    return verdicts({f"eval_{name}": lake.read(f"evals/{name}", recipe) for name in EVALUATIONS})


def model_facts(
    info: Mapping[str, Any], made: Mapping[str, Any], personas: "Sequence[Persona]",
    given: "Mapping[str, list[Verdict]]", version: str,
) -> "ModelFacts":  # fmt: skip
    """What the model card says."""
    from twainbot.release import listing
    from twainbot.release.cards import ModelFacts

    first, *others = personas
    record, base = first.record, made["base"]
    wanted = ("base_sha256", "config_sha256", "data_sha256", "code_sha256", "adapter_sha256", "template_sha256")
    parents = {name: str(record[name]) for name in wanted}
    parents |= {f"adapter_sha256 {each.name}": str(each.record["adapter_sha256"]) for each in others}
    return ModelFacts(
        name="twainbot-lora", version=version.removeprefix("twainbot-lora-"), base_model=base.get("repository", info["name"]),
        base_revision=info["revision"], base_license=info["license"], license=info["license"],
        persona=f"Trained to speak as the system prompts of {', '.join(each.name for each in personas)} ask, and to call "
                "a weather tool before it states weather. How far it does either, the tables below say.",
        parents=parents, verdicts=given[first.recipe], base_note=f"{info['note']} {base['how']}",
        others={each.name: given[each.recipe] for each in others},
        training={"stages": ", ".join(keys.TRAINING_STAGES), "recipe": record["recipe"], **trained_as(record)},
        limits=["It imitates a manner of writing; it is nobody's own words, and it knows nothing of the author.",
                "Weather that it states without a tool's result is invention, and so may be what it states after one.",
                "English only. It has had no training to refuse, beyond its base's."],
        tags=["persona"], rehearsal=current().rehearsal, files=listing.files(made), not_exported=made["not_exported"],
        usage=listing.usage(made),
    )  # fmt: skip


def trained_as(record: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training that its record holds."""
    plan = record.get("plan") or {}
    known = {
        "seed": record.get("seed"),
        "steps of the last stage": record.get("steps"),
        "its tokens": plan.get("tokens"),
    }
    return {name: value for name, value in known.items() if value is not None}


def bundle_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """Where the bundle lies, and what it is called."""
    row = rows.row(0, named=True)
    return {name: row[name] for name in ("version", "folder", "files", "manifest_id")}


assets = [model]
