"""Do the personas' adapters differ, do mixtures stand between them, does routing bring the voice asked for? Never blocking."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import personas as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Lake, LakeResource, Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.adapters import adapter_folder
from twainbot_assets.base import MODEL, TOKENIZER
from twainbot_assets.evals import FINAL, loaded
from twainbot_assets.mixtures import MIXTURE
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, counts_table, publish
from twainbot_assets.routing import ROUTER

if TYPE_CHECKING:
    import polars as pl

    from resources.speaking import Limits

PERSONAS = keys.key("evals/personas")
INS = {
    "model": MODEL, "passages": keys.key("splits/dapt"), "dialogues": keys.key("splits/sft"), "router": ROUTER,
    "trained": keys.key(f"adapters/{FINAL}"), **({"mixed": MIXTURE} if current().mixtures else {}),
}  # fmt: skip


@dg.asset(
    key=PERSONAS,
    group_name="evals",
    ins={name: dg.AssetIn(key) for name, key in INS.items()},
    deps=[*map(keys.source, ("suites", "prompts", "recipes")), keys.settings("evaluation"), TOKENIZER],
    check_specs=specs(PERSONAS, gates.PERSONAS),
    code_version=version_of("resources.voices", "training.render"),
    kinds={"polars", "parquet"},
    pool="gpu",
)
def personas(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, **tables: Table) -> Published:
    """Base, each persona's adapter, mixtures and the routed model on the same items: style, loss, calls, verdicts with n."""
    yield from publish(
        context,
        lambda: compared({name: rows.collect() for name, rows in tables.items()}, lake.open(), folders),
        gates.PERSONAS,
        figures,
    )


def compared(frames: "dict[str, pl.DataFrame]", lake: Lake, folders: Folders) -> "pl.DataFrame":
    """Rows of records.EVAL over every adapter that is there; what the profile lists and nobody made reads `not run`."""
    from resources import voices
    from twainbot.dialogues.routing import Router
    from twainbot.evals.personas import evaluate

    chosen, found = current().evaluation, final_adapters(frames, lake, folders)
    wanted = {name: f"adapters/{FINAL} [{name}] was never materialized." for name in current().personas}
    wanted |= {name: f"adapters/mixture [{name}] was never materialized." for name in current().mixtures}
    missing = {name: why for name, why in wanted.items() if name not in found}
    weights = {name: mix["adapters"] for name, mix in current().mixtures.items()}
    given, contexts = voices.material(frames["passages"], frames["dialogues"], chosen.personas, weights, missing)
    arms = []
    for name, folder in {"base": None, **found}.items():
        spoken = loaded(folders, frames["model"], folder, merged=True)
        arms.append(voices.measured(name, spoken, given, contexts, limits()))
        del spoken
    own = {name: folder for name, folder in found.items() if name in current().personas}
    asked = voices.asking_prompts(frames["dialogues"], list(own), chosen.personas)
    base = folders.model(frames["model"]["folder"][0])
    router = Router.from_json(frames["router"]["router"][0])
    return evaluate(arms, given, voices.routed(base, own, router, asked, limits()) if own else [])


def final_adapters(frames: "dict[str, pl.DataFrame]", lake: Lake, folders: Folders) -> dict[str, Path]:
    """Recipe to adapter folder: the personas that are trained, in the profile's order, then mixtures."""
    rows = [frames["trained"], *([frames["mixed"]] if "mixed" in frames else [])]
    by_name = {row["recipe"]: frame for frame in rows if frame.height for row in frame.to_dicts()}
    listed = [name for name in (*current().personas, *current().mixtures) if name in by_name]
    return {
        name: adapter_folder(lake, folders, by_name[name].filter(by_name[name]["recipe"] == name)) for name in listed
    }


def limits() -> "Limits":
    """How much each arm says."""
    from resources.speaking import Limits

    chosen = current().evaluation
    calls = min(chosen.personas, chosen.tool_calls or chosen.personas)
    return Limits(calls, None, None, chosen.max_new_tokens, chosen.batch_size)


def figures(rows: "pl.DataFrame") -> dict[str, Any]:
    """Every comparison with its interval, then every arm's figures."""
    verdicts = [
        {"comparison": row["gate"], "state": row["state"], "n": row["n"], "value": row["value"],
         "interval": row["interval"] and f"{row['interval']['low']:+.3f} to {row['interval']['high']:+.3f}", "why": row["why"]}
        for row in gates.payload_of(rows)
    ]  # fmt: skip
    measured = rows.filter(rows["kind"] == "metric").select("name", "arm", "value", "n").to_dicts()
    return {"comparisons": counts_table(verdicts), "by_arm": counts_table(measured)}


assets = [personas] if len(current().personas) > 1 else []
