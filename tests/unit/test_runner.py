"""Which items share a run, in which order they come, and what a failed blocking check keeps from being built."""

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository

from twainbot_assets import engines, runner
from twainbot_assets.runner import Runner

UNITS, BATCHES = dg.StaticPartitionsDefinition(["one", "two"]), dg.StaticPartitionsDefinition(["b0"])


class Silent:
    """Progress that nobody watches; remembers which items shared a run."""

    def __init__(self):
        self.runs = []

    def started(self, items):
        self.runs.append([str(item) for item in items])

    def event(self, message):
        """Nothing."""

    def finished(self, items, seconds, faults):
        """Nothing."""


def asset(table, *parents, partitions=None):
    """An asset that reads its parents by name only."""

    @dg.asset(
        key=table.split("/"), deps=[dg.AssetKey(parent.split("/")) for parent in parents], partitions_def=partitions
    )
    def made() -> None:
        return

    return made


def graph(*, sound=True):
    """A small graph with the house's stage names; `sound`: whether the blocking check of passages passes."""

    @dg.asset_check(asset=dg.AssetKey(["curated", "passages"]), blocking=True)
    def is_sound() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=sound)

    assets = [
        asset("corpora/local", partitions=UNITS),
        asset("chunks/local", "corpora/local", partitions=UNITS),
        asset("dedupe/edges", "chunks/local"),
        asset("curated/passages", "chunks/local", "dedupe/edges"),
        asset("curated/rejects", "curated/passages"),
        asset("dialogues/seeds", partitions=BATCHES),
        asset("splits/alone"),
        asset("splits/dapt", "dialogues/seeds", "curated/passages"),
    ]
    return dg.Definitions(assets=assets, asset_checks=[is_sound])


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:  # one on disk costs seconds for each run's own database
        yield made


def test_items_of_one_partition_share_a_run_and_those_without_join_only_while_they_follow_each_other(instance):
    progress = Silent()
    report = Runner(graph(), instance, progress).bring_up_to_date()
    assert progress.runs == [
        ["corpora/local [one]", "chunks/local [one]"],
        ["corpora/local [two]", "chunks/local [two]"],
        ["dedupe/edges", "curated/passages", "curated/rejects"],
        ["dialogues/seeds [b0]"],
        ["splits/alone", "splits/dapt"],
    ]
    assert len(report.made) == 10
    assert (report.faults, report.skipped) == ([], [])


def test_a_second_visit_builds_nothing(instance):
    Runner(graph(), instance, Silent()).bring_up_to_date()
    progress = Silent()
    assert Runner(graph(), instance, progress).bring_up_to_date().made == []
    assert progress.runs == []


def test_nothing_is_built_on_a_table_whose_blocking_check_failed_in_its_run_or_in_a_later_one(instance):
    progress = Silent()
    report = Runner(graph(sound=False), instance, progress).bring_up_to_date()
    assert [(str(fault.item), fault.why) for fault in report.faults] == [("curated/passages", "is_sound: failed")]
    assert [(str(fault.item), fault.why) for fault in report.skipped] == [
        ("curated/rejects", "waits for what failed in its run"),
        ("splits/dapt", "waits for curated/passages, whose blocking check failed"),
    ]
    assert progress.runs[-1] == ["splits/alone"]
    assert {"curated/rejects", "splits/dapt"}.isdisjoint(map(str, report.made))


def test_what_was_kept_back_is_built_once_the_check_passes(instance):
    Runner(graph(sound=False), instance, Silent()).bring_up_to_date()
    report = Runner(graph(), instance, Silent()).bring_up_to_date()
    assert list(map(str, report.made)) == ["curated/passages", "curated/rejects", "splits/dapt"]
    assert report.faults == report.skipped == []


unsound = graph(sound=False)  # by this name in its file an engine's process would look it up


@pytest.mark.slow
def test_a_run_that_an_engine_executes_is_reported_like_one_in_process(instance, monkeypatch):
    """dg.execute_job stands in for the engine: its steps reach the report through the event log alone."""
    stored = ReconstructableRepository.for_file(__file__, "unsound").get_reconstructable_job("__ASSET_JOB")
    monkeypatch.setattr(engines, "graph_job", lambda: stored)
    here = Runner(graph(sound=False), instance, Silent()).bring_up_to_date()
    monkeypatch.setattr(runner, "QUIET", {**runner.QUIET, "execution": {"config": {"in_process": {}}}})
    with dg.instance_for_test() as another:
        elsewhere = Runner(graph(sound=False), another, Silent())
        elsewhere.engine = "ray"
        there = elsewhere.bring_up_to_date()
        tags = [run.tags for run in another.get_runs()]
    assert (there.made, there.faults, there.skipped) == (here.made, here.faults, here.skipped)
    assert {tag.get("dagster/partition") for tag in tags} == {None, "one", "two", "b0"}
    assert all(runner.PID_TAG in tag for tag in tags)
