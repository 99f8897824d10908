"""How long a refresh would take, by past steps; and that after one nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
import pytest

from twainbot_assets.data_versions import report_version
from twainbot_assets.estimates import Line, ahead, step_seconds, told
from twainbot_assets.freshness import Item
from twainbot_assets.runner import Runner, stale_items

UNITS = dg.StaticPartitionsDefinition(["hill", "river"])


class Silent:
    """Progress that nobody watches."""

    def started(self, items: Sequence[Item]) -> None:
        """Nothing."""

    def event(self, message: str) -> None:
        """Nothing."""

    def finished(self, items: Sequence[Item], seconds: float, faults: Sequence[Any]) -> None:
        """Nothing."""


def made(table: str, parent: str, version: Callable[[], str], partitions: Any = None) -> dg.AssetsDefinition:
    """An asset that reads one parent and whose content has this version."""

    @dg.asset(
        key=table.split("/"), deps=[parent.split("/")], partitions_def=partitions, check_specs=[
            dg.AssetCheckSpec("is_sound", asset=table.split("/"), blocking=True)
        ],
    )  # fmt: skip
    def asset() -> dg.MaterializeResult:
        passed = dg.AssetCheckResult(check_name="is_sound", passed=True)
        return dg.MaterializeResult(data_version=dg.DataVersion(version()), check_results=[passed])

    return asset


@pytest.fixture
def text() -> dict[str, str]:
    """What the one source says; the two stages that read it see the whole of it, the third only its first letter."""
    return {"now": "a flood"}


@pytest.fixture
def defs(text: dict[str, str]) -> dg.Definitions:
    @dg.observable_source_asset(name="local", key_prefix="sources")
    def source() -> dg.DataVersion:
        return dg.DataVersion(text["now"])

    return dg.Definitions(
        assets=[
            source,
            made("corpora/local", "sources/local", lambda: text["now"]),
            made("chunks/local", "corpora/local", lambda: text["now"]),
            made("dedupe/edges", "chunks/local", lambda: text["now"][0]),
            made("curated/passages", "dedupe/edges", lambda: text["now"][0]),
        ]
    )


@pytest.fixture
def instance() -> Any:
    with dg.instance_for_test() as made_here:
        yield made_here


def refresh(defs: dg.Definitions, instance: dg.DagsterInstance) -> list[str]:
    """What a refresh built."""
    return list(map(str, Runner(defs, instance, Silent()).bring_up_to_date().made))


@pytest.mark.slow
def test_a_refresh_ends_at_a_fixpoint_and_stops_where_content_came_out_the_same(
    defs: dg.Definitions, instance: dg.DagsterInstance, text: dict[str, str]
) -> None:
    report_version(instance, Item("sources/local"), text["now"])
    refresh(defs, instance)
    text["now"] = "a drought"
    report_version(instance, Item("sources/local"), text["now"])
    assert stale_items(defs, instance) == {Item("corpora/local"): ("sources/local changed",)}
    assert refresh(defs, instance) == ["corpora/local", "chunks/local", "dedupe/edges"]  # passages would read the same
    assert stale_items(defs, instance) == {}
    assert refresh(defs, instance) == []


@pytest.mark.slow
def test_an_estimate_is_the_median_of_past_steps_and_unknown_where_there_is_none(
    defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    assert step_seconds(instance, "chunks/local") is None
    refresh(defs, instance)
    seconds = step_seconds(instance, "chunks/local")
    assert seconds is not None
    assert 0 <= seconds < 60
    lines = ahead(instance, [Item("chunks/local")], [Item("dedupe/edges"), Item("splits/dapt")])
    assert [(line.table, line.stale, line.follow) for line in lines] == [
        ("chunks/local", ("",), ()), ("dedupe/edges", (), ("",)), ("splits/dapt", (), ("",)),
    ]  # fmt: skip
    assert lines[-1].seconds is None


def test_what_was_reported_without_a_run_has_no_duration(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key=["chunks", "local"]))
    assert step_seconds(instance, "chunks/local") is None


def test_the_sum_counts_partitions_and_leaves_out_what_is_unknown() -> None:
    lines = [
        Line("chunks/local", ("hill", "river"), (), 30.0),  # 2 x 30 s = 1 min, surely
        Line("splits/dapt", (), ("",), 90.0),  # 1.5 min more at most
        Line("adapters/sft", (), ("default",), None),
    ]
    found = list(told(lines))
    assert found[1].split() == ["chunks/local", "2", "0", "1.00", "hill,", "river"]
    assert found[3].split() == ["adapters/sft", "0", "1", "unknown", "default"]
    assert found[4].startswith("About 1.0 min for what is stale, at most 2.5 min")
    assert found[5] == "Not counted, as they never ran here - adapters/sft"


def test_many_partitions_are_named_by_a_few_and_counted() -> None:
    found = list(told([Line("chunks/local", tuple("abcdef"), (), 1.0)]))
    assert found[1].endswith("a, b, c, d and 2 more")


def test_nothing_ahead_says_nothing() -> None:
    assert list(told([])) == []
