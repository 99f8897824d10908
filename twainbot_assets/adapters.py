"""Stage adapters: one LoRA continued through the curriculum, a partition per recipe. Training itself is training/'s."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import adapters as gates
from checks.gates import plain, specs
from resources.alert_memory import told
from resources.alerts import alert
from resources.folders import Folders
from resources.lake import Lake, LakeResource, Table
from resources.tracking import Data, Origin, Tracker
from resources.trainer import Trainer
from training import fence
from twainbot.errors import Diverged, Fenced, TwainBotError
from twainbot.provenance import version_of
from twainbot_assets import alerting, keys
from twainbot_assets.base import MODEL
from twainbot_assets.partitions import RECIPES
from twainbot_assets.profile import current, recipe_path
from twainbot_assets.publish import Published, counts_table, plot, publish

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

DATA = {"dapt": "dapt", "sft": "sft", "preference": "preferences"}  # stage -> its table in splits/ and its file's name
BEFORE = {"dapt": None, "sft": "dapt", "preference": "sft"}
ABOUT = {
    "dapt": "The adapter after domain-adaptive pretraining on passages.",
    "sft": "The same adapter after supervised fine-tuning on dialogues: it calls the tool.",
    "preference": "The same adapter after direct preference optimisation.",
}

# Asks the model after each epoch and changes no weight: an edit of an evaluator trains nothing again.
WATCHES = frozenset({"training.epoch_scores"})
IDENTITY = ("recipe", "stage", "seed", "base", "config_sha256", "data_sha256", "code_sha256")


def adapter(stage: str) -> dg.AssetsDefinition:
    """The adapter that one stage leaves, one row per recipe that says where it lies and what it came from."""
    key, before = keys.key(f"adapters/{stage}"), BEFORE[stage]
    read = [DATA[each] for each in keys.TRAINING_STAGES[: keys.TRAINING_STAGES.index(stage) + 1]]
    ins = {name: dg.AssetIn(keys.key(f"splits/{name}")) for name in read} | {"model": dg.AssetIn(MODEL)}

    @dg.asset(
        key=key,
        group_name="adapters",
        ins=ins | ({"previous": dg.AssetIn(keys.key(f"adapters/{before}"))} if before else {}),
        deps=[keys.recipe(stage), keys.key("base/tokenizer")],
        partitions_def=RECIPES,
        check_specs=specs(key, gates.GATES, RECIPES),
        code_version=version_of(f"training.{stage}", without=WATCHES),
        kinds={"pytorch", "huggingface", "mlflow"},
        pool="gpu",
        description=ABOUT[stage],
    )
    def trained(
        context: dg.AssetExecutionContext,
        trainer: Trainer,
        tracker: Tracker,
        lake: LakeResource,
        folders: Folders,
        **tables: Table,
    ) -> Published:
        opened, recipe = lake.open(), context.partition_key
        base = folders.model(tables["model"].collect()["folder"][0])
        start = adapter_folder(opened, folders, tables["previous"].collect()) if before else None
        work = Path(folders.work) / recipe / stage

        def train() -> "pl.DataFrame":
            data = work / "data"  # earlier stages' rows too: what the adapter still knows of them is measured again
            for name in read:
                written(tables[name].collect(), data / f"{name}.parquet")
            path = recipe_path(current().name, recipe)
            record = trainer.train(context, stage, path, data, base, work, start)
            return adapter_row(opened, base, work / "adapter", record, recipe, stage)

        def metadata(made: "pl.DataFrame") -> dict[str, Any]:
            still_newest(work, made)  # before anything is tracked, and once more right before the commit
            record = gates.record_of(made)
            warned(context, record)
            found = {**track(context, tracker, made, opened), **curve(record), **heard(record)}
            still_newest(work, made)
            return found

        def refused(error: TwainBotError) -> list[dg.AssetCheckResult]:
            return diverged(context, error)

        yield from publish(context, train, gates.GATES, metadata, lambda made: made["fingerprint"][0], refused)

    return trained


def still_newest(work: Path, made: "pl.DataFrame") -> None:
    """Fail the step where another training was ordered in the folder since: this one's row is no longer to be committed."""
    try:
        fence.check_published(work, gates.record_of(made).get("token"))
    except Fenced as error:
        raise plain(error) from error


def written(rows: "pl.DataFrame", path: Path) -> None:
    """The rows as a Parquet file for the training process."""
    from resources.lake import replace_file

    replace_file(path, rows.write_parquet)


def adapter_row(
    lake: Lake, base: Path, folder: Path, record: dict[str, Any], recipe: str, stage: str
) -> "pl.DataFrame":
    """Publish an adapter's folder and describe it in one row."""
    import polars as pl

    from resources.merging import merge_difference

    digest = record["adapter_sha256"][:12]
    row = {
        "recipe": recipe,
        "stage": stage,
        "folder": lake.publish_folder(f"adapters/{stage}", folder, digest),
        "adapter_sha256": record["adapter_sha256"],
        "fingerprint": record["fingerprint"],
        "base": record["base"],
        "merge_difference": merge_difference(base, folder),
        "config": (folder / "adapter_config.json").read_text(encoding="utf-8"),
        "tensors": json.dumps(gates.tensor_shapes(folder)),
        "record": json.dumps(record, sort_keys=True),
    }
    return pl.DataFrame([row])


def adapter_folder(lake: Lake, folders: Folders, rows: "pl.DataFrame") -> Path:
    """The local folder of an adapter by its row."""
    return lake.fetch_folder(rows["folder"][0], Path(folders.cache))


def diverged(context: dg.AssetExecutionContext, error: TwainBotError) -> list[dg.AssetCheckResult]:
    """What a training that left the road leaves behind it: a failed check, and an alert. Of other errors nothing."""
    if not isinstance(error, Diverged):
        return []
    facts = {**error.details, **place_of(context)}
    if alert(f"{facts['asset']} [{facts['recipe']}] diverged", str(error), facts, context.log.warning):
        told_at_once(context, facts)
    return [gates.diverged(error, context.asset_key, context.partition_key)]


def warned(context: dg.AssetExecutionContext, record: dict[str, Any]) -> None:
    """An alert where a stage came to an end, though not by itself."""
    facts = place_of(context)
    for found in filter(None, (record.get("ended_early"), record.get("lowered"))):
        title = f"{facts['asset']} [{facts['recipe']}] was steered at step {found['step']}"
        if alert(title, found["why"], {"step": found["step"], "loss": found["loss"], **facts}, context.log.warning):
            told_at_once(context, facts)


def told_at_once(context: dg.AssetExecutionContext, facts: dict[str, Any]) -> None:
    """Keep the sensor of divergences from telling the same again."""
    subject = alerting.named(facts["asset"], facts["recipe"])
    told(context.instance, alerting.DIVERGENCE, subject, facts["dagster_run"])


def place_of(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Which training: asset, recipe and run."""
    return {
        "asset": context.asset_key.to_user_string(),
        "recipe": context.partition_key,
        "dagster_run": context.run.run_id,
    }


def track(context: dg.AssetExecutionContext, tracker: Tracker, made: "pl.DataFrame", lake: Lake) -> dict[str, Any]:
    """Log the stage to MLflow, register its adapter there, and link both."""
    from resources.training_curves import curves, figures, pages
    from training.config import load_recipe

    record = gates.record_of(made)
    stage, digest = record["stage"], record["adapter_sha256"]
    config = recipe_path(current().name, context.partition_key)
    params = {name: record[name] for name in IDENTITY} | {"config": load_recipe(config).model_dump(mode="json")}
    folder = lake.fetch_folder(made["folder"][0], Path()) if lake.is_local else None
    table = keys.key(f"splits/{DATA[stage]}").to_user_string()
    origin = Origin.of(context, record["fingerprint"][:16])
    with tracker.answering():
        run = tracker.log_run(
            f"{record['recipe']}/{stage}",
            params=params, metrics=figures(record), curves=curves(record), artifacts=[folder] if folder else [],
            texts={"recipe.yaml": config.read_text(encoding="utf-8"), **pages(record)},
            data=[Data(table, record["data_sha256"], table)], tags={"stage": stage, "adapter_sha256": digest}, origin=origin,
        )  # fmt: skip
        version = tracker.register(
            f"twainbot-{record['recipe'].replace('/', '-')}", run, folder.name if folder else f"lake://{made['folder'][0]}",
            alias=stage, sha256=digest, tags={"data_sha256": record["data_sha256"], "base": record["base"], **origin.tags()},
        )  # fmt: skip
    return {
        "mlflow_run": dg.MetadataValue.url(run.url),
        "mlflow_run_id": run.run_id,
        "mlflow_model": dg.MetadataValue.url(tracker.model_url(version)),
        **{name: record[name] for name in gates.HASHES},
    }


def curve(record: dict[str, Any]) -> dict[str, Any]:
    """The stage's figures and its loss curve."""

    def draw(axes: "Axes") -> None:
        points = record["loss_curve"]
        axes.plot(
            [point["step"] for point in points], [point["loss"] for point in points], color="#4f6d7a", label="train"
        )
        held = record["evaluations"]
        axes.plot(
            [point["step"] for point in held],
            [point["loss"] for point in held],
            "o",
            color="#c0392b",
            label="validation",
        )
        axes.set_xlabel("step")
        axes.legend(frameon=False)

    return {
        **{name: round(value, 4) for name, value in record["metrics"].items()},
        "steps": record["steps"],
        "tokens_per_s": round(record["tokens_per_s"], 1),
        "duration_s": round(record["duration_s"], 1),
        "resumed_from_step": record["resumed_from"],
        "loss_curve": plot(draw),
        **what_it_saw(record),
    }


def heard(record: dict[str, Any]) -> dict[str, Any]:
    """What was found after each epoch, as a table, and the last epoch's replies to be read."""
    from resources.training_curves import scores_table, to_read

    told = to_read(record)
    return {
        "evaluations": counts_table(scores_table(record)),
        **({"samples": dg.MetadataValue.md(told)} if told else {}),
    }


def what_it_saw(record: dict[str, Any]) -> dict[str, Any]:
    """Dialogues and tokens that the stage really read, by kind, call, persona and scenario; of other stages nothing."""
    sees = record.get("seen")
    if not sees:
        return {}
    rows = [{**row, "share": f"{row['share']:.1%}"} for row in sees["rows"]]
    return {"passes_over_the_dialogues": round(sees["passes"], 2), "what_it_saw": counts_table(rows)}


assets = [adapter(stage) for stage in keys.TRAINING_STAGES]
