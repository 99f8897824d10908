"""When and under which name a release is cut, and what a run says at its end. What a bundle holds is release.py's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from checks.release import SUFFIX
from twainbot.errors import BadUse, UnknownName
from twainbot_assets.alerting import numbers_of
from twainbot_assets.freshness import Item
from twainbot_assets.partitions import DATA_VERSIONS, MODEL_VERSIONS
from twainbot_assets.profile import current
from twainbot_assets.release import FORMS_TAG, RECIPE_TAG, STAGE, refuse_unsound

if TYPE_CHECKING:
    import dagster as dg

    from resources.home import Home
    from resources.lake import Lake
    from twainbot_assets.runner import Report, Runner

PREFIXES = {"data-v": ("release/dataset", DATA_VERSIONS), "twainbot-lora-v": ("release/model", MODEL_VERSIONS)}

# a partition key, and a folder's name
VERSION = re.compile(r"(?:data|twainbot-lora)-v\d+\.\d+(?:\.\d+)?(?:-rehearsal)?$")


def table_of(version: str) -> str:
    """The table of a version's kind. Raises BadUse on a name of no kind."""
    return kind_of(version)[0]


def kind_of(version: str) -> tuple[str, dg.DynamicPartitionsDefinition]:
    """Table and partitions of a version's kind. Raises BadUse on a name of no kind."""
    for prefix, kind in PREFIXES.items():
        if version.startswith(prefix) and VERSION.fullmatch(version):
            return kind
    raise BadUse(f"{version!r} is no version. Versions read data-v1.0 or twainbot-lora-v0.1, with -rehearsal for one.")


def require_name(version: str) -> None:
    """Raise BadUse where a version is not named for what the profile makes, before minutes go into a bundle."""
    if version.endswith(SUFFIX) != current().rehearsal:
        what = "rehearsals" if current().rehearsal else "real releases"
        right = f"{version}{SUFFIX}" if current().rehearsal else version.removesuffix(SUFFIX)
        raise BadUse(f"{version} is not named for what it is: profile {current().name} makes {what}. Write {right}.")


def cut(work: Runner, version: str, recipe: str | None, merged: bool = True) -> Report:
    """Cut one version; merged: a model's with merged weights.

    Raises BadUse on a name of no kind, on one that is not for this profile and on a version cut before, UnknownName on a
    recipe, BadInput where a blocking check of what it is made of failed or never ended.
    """
    table, partitions = kind_of(version)
    if recipe is not None and recipe not in current().trained:
        raise UnknownName(f"No recipe {recipe!r}. Recipes of this profile: {', '.join(current().trained)}.")
    require_name(version)
    from twainbot_assets.definitions import lake

    if lake.open().exists(table, version):
        raise BadUse(f"{version} was cut before and stays as it is. Choose the next version.")
    refuse_unsound(work.defs, work.instance, table, version)
    name = partitions.name or ""
    known = work.instance.get_dynamic_partitions(name)
    if version not in known:
        work.instance.add_dynamic_partitions(name, [version])
    tags = {RECIPE_TAG: recipe or current().trained[0], **({} if merged else {FORMS_TAG: "adapters"})}
    try:
        work.execute([Item(table, version)], tags)
    finally:  # stopped by Ctrl-C too
        made = Item(table, version) in work.report.made or lake.open().exists(table, version)
        if not made and version not in known:
            work.instance.delete_dynamic_partition(name, version)  # nothing was cut, so the name stays free
    return work.report


def cut_if_new(work: Runner, report: Report) -> None:
    """Cut the next rehearsal of each recipe whose adapter no bundle holds yet; a real release is cut by hand only."""
    if not current().rehearsal:
        return
    from twainbot_assets.definitions import lake

    opened = lake.open()
    for recipe in current().trained:
        if opened.read(f"adapters/{STAGE}", recipe)["adapter_sha256"][0] not in bundled(opened):
            number = next_number(opened)
            for version in (f"data-v0.{number}-rehearsal", f"twainbot-lora-v0.{number}-rehearsal"):
                cut(work, version, recipe, merged=False)  # each run would leave twice the base's size
    report.made += work.report.made
    report.faults += work.report.faults


def bundled(lake: Lake) -> set[str]:
    """Hashes of the adapters that bundles hold: those of further personas too, which lie beside the first."""
    return {
        digest
        for key in lake.keys("release/model")
        for name, digest in json.loads(lake.read("release/model", key)["parents"][0]).items()
        if name.startswith("adapter_sha256")
    }


def next_number(lake: Lake) -> int:
    """The first number that no bundle of either kind bears: a data bundle may have been cut before its model failed."""
    taken = [*lake.keys("release/dataset"), *lake.keys("release/model")]
    numbers = [int(found[1]) for version in taken if (found := re.search(r"-v0\.(\d+)", version))]
    return max(numbers, default=0) + 1


def closing_lines(home: Home, failed: bool) -> list[str]:
    """Where the report and the adapter are, and what to do next."""
    from twainbot_assets.definitions import lake

    opened, lines = lake.open(), list[str]()
    for recipe in current().trained:
        report = home.reports / f"scorecard-{recipe}.html"
        if report.is_file():
            lines.append(f"report   {report}")
        if opened.exists(f"adapters/{STAGE}", recipe):
            folder = opened.read(f"adapters/{STAGE}", recipe)["folder"][0]
            lines.append(f"adapter  {Path(opened.base) / folder if opened.is_local else f'{opened.base}/{folder}'}")
    for version in sorted(opened.keys("release/model"), key=numbers_of)[-1:]:
        folder = opened.read("release/model", version)["folder"][0]
        lines.append(
            f"bundle   {Path(opened.base) / folder if opened.is_local else f'{opened.base}/{folder}'}  ({version})"
        )
    following = "mend what failed or is missing, then run again" if failed else f"make ui PROFILE={home.named}"
    lines.append(f"next     {following}")
    return lines
