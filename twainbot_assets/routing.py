"""Who answers whom: the router over the personas' adapters. There where the profile trains two personas at least."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import personas as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource, Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, counts_table, publish

if TYPE_CHECKING:
    import polars as pl

ROUTER = keys.key("adapters/router")
FILE = "router.json"


@dg.asset(
    key=ROUTER,
    group_name="adapters",
    ins={"dialogues": dg.AssetIn(keys.key("splits/sft"))},
    deps=[keys.source("suites")],
    check_specs=specs(ROUTER, gates.ROUTER),
    code_version=version_of("twainbot.dialogues.routing"),
    kinds={"scikitlearn"},
)
def router(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, dialogues: Table) -> Published:
    """Prompt to persona, fitted on training prompts, judged on held-out ones and on requests in other words."""
    work = Path(folders.work) / "router"

    def make() -> "pl.DataFrame":
        import hashlib

        import polars as pl

        from resources.lake import replace_file
        from resources.suites import routing_prompts
        from twainbot.dialogues import routing

        text, judged = routing.fitted_and_judged(dialogues.collect(), routing_prompts())
        replace_file(work / FILE, lambda path: path.write_text(text, encoding="utf-8"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        folder = lake.open().publish_folder("adapters/router", work, digest)
        return pl.DataFrame([{**row, "file": f"{folder}/{FILE}", "router": text} for row in judged])

    yield from publish(context, make, gates.ROUTER, figures)


def figures(rows: "pl.DataFrame") -> dict[str, Any]:
    """How it was judged, and where the file lies."""
    return {"judged": counts_table(rows.drop("router", "file").to_dicts()), "file": rows["file"][0]}


assets = [router] if len(current().personas) > 1 else []
