"""Which items share a run, in which order they come, and what a failed blocking check keeps from being built."""

import json

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.events import AssetCheckEvaluationPlanned, DagsterEvent, DagsterEventType

from resources.lake import LakeResource
from twainbot.errors import BadInput, BadUse
from twainbot_assets import definitions, engines, keys, releasing, runner
from twainbot_assets.partitions import DATA_VERSIONS, MODEL_VERSIONS
from twainbot_assets.profile import load
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
        ("splits/dapt", "waits for curated/passages: its check is_sound failed"),
    ]
    assert progress.runs[-1] == ["splits/alone"]
    assert {"curated/rejects", "splits/dapt"}.isdisjoint(map(str, report.made))


def test_what_was_kept_back_is_built_once_the_check_passes(instance):
    Runner(graph(sound=False), instance, Silent()).bring_up_to_date()
    report = Runner(graph(), instance, Silent()).bring_up_to_date()
    assert list(map(str, report.made)) == ["curated/passages", "curated/rejects", "splits/dapt"]
    assert report.faults == report.skipped == []


def selected(*tables):
    """Asset keys, as a selection on the command line gives them."""
    return [keys.key(table) for table in tables]


def kill_the_check_of_passages(defs, instance):
    """A run that planned the check of passages and was killed before it came to it."""
    job = defs.resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(job)
    planned = AssetCheckEvaluationPlanned(asset_key=keys.key("curated/passages"), check_name="is_sound")
    event = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value, job_name=job.name,
        event_specific_data=planned, step_key="curated__passages_is_sound",
    )  # fmt: skip
    instance.report_dagster_event(event, run.run_id)
    instance.report_run_failed(run)


def test_a_blocking_check_that_failed_in_another_invocation_keeps_back_what_reads_its_asset_and_fails_this_one(
    instance,
):
    Runner(graph(sound=False), instance, Silent()).bring_up_to_date()
    report = Runner(graph(), instance, Silent()).bring_up_to_date(selected("splits/dapt", "curated/rejects"))
    assert report.made == []
    assert {(str(fault.item), fault.why) for fault in report.skipped} == {
        (table, "waits for curated/passages: its check is_sound failed") for table in ("curated/rejects", "splits/dapt")
    }
    [fault] = report.faults  # once, however many wait for it
    assert str(fault.item) == "curated/passages"
    assert "Run `twainbot run --select curated/passages`" in fault.why


def test_a_blocking_check_that_a_kill_cut_off_keeps_back_what_reads_its_asset_until_it_is_made_again(instance):
    defs = graph()
    Runner(defs, instance, Silent()).bring_up_to_date()
    kill_the_check_of_passages(defs, instance)
    report = Runner(defs, instance, Silent()).bring_up_to_date(selected("splits/dapt"), force=True)
    assert [fault.why for fault in report.skipped] == ["waits for curated/passages: its check is_sound never ended"]
    report = Runner(defs, instance, Silent()).bring_up_to_date(selected("curated/passages"))
    assert [str(item) for item in report.made] == ["curated/passages"]
    report = Runner(defs, instance, Silent()).bring_up_to_date(selected("splits/dapt"), force=True)
    assert ([str(item) for item in report.made], report.faults) == (["splits/dapt"], [])


def test_nothing_joins_the_run_of_another_item_while_what_it_reads_is_not_sound(instance):
    Runner(graph(sound=False), instance, Silent()).bring_up_to_date(selected("curated/passages", "dedupe/edges"))
    Runner(graph(), instance, Silent()).bring_up_to_date(selected("dialogues/seeds"))
    progress = Silent()
    Runner(graph(), instance, progress).bring_up_to_date(selected("splits/alone", "splits/dapt"))
    assert progress.runs == [["splits/alone"]]


def partitioned(*, sound):
    """A partitioned asset with a check of its own after the commit, and one that reads the same partition."""

    @dg.asset_check(asset=keys.key("corpora/local"), blocking=True, partitions_def=UNITS)
    def reads_well(context) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=sound or context.partition_key != "one")

    made = [asset("corpora/local", partitions=UNITS), asset("chunks/local", "corpora/local", partitions=UNITS)]
    return dg.Definitions(assets=made, asset_checks=[reads_well])


def test_of_a_partitioned_asset_only_the_partition_whose_check_failed_keeps_back_its_reader(instance):
    Runner(partitioned(sound=False), instance, Silent()).bring_up_to_date(selected("corpora/local"))
    report = Runner(partitioned(sound=True), instance, Silent()).bring_up_to_date(selected("chunks/local"))
    assert list(map(str, report.made)) == ["chunks/local [two]"]
    assert [str(fault.item) for fault in report.skipped] == ["chunks/local [one]"]
    again = Runner(partitioned(sound=True), instance, Silent()).bring_up_to_date()
    assert list(map(str, again.made)) == ["corpora/local [one]", "chunks/local [one]"]


def gated(*, sound):
    """A partitioned asset whose gate stands before its commit, and one that reads the same partition."""

    @dg.asset(
        key=["corpora", "local"],
        partitions_def=UNITS,
        check_specs=[dg.AssetCheckSpec("gate", asset=keys.key("corpora/local"), blocking=True, partitions_def=UNITS)],
    )
    def made():
        yield dg.AssetCheckResult(passed=sound, check_name="gate")
        if not sound:
            raise dg.Failure("refused")
        yield dg.MaterializeResult()

    return dg.Definitions(assets=[made, asset("chunks/local", "corpora/local", partitions=UNITS)])  # fmt: skip


def test_what_a_partitions_gate_refused_never_came_to_the_lake_so_its_last_good_version_is_built_on(instance):
    Runner(gated(sound=True), instance, Silent()).bring_up_to_date(selected("corpora/local"))
    refused = Runner(gated(sound=False), instance, Silent()).bring_up_to_date(selected("corpora/local"), force=True)
    assert len(refused.faults) == 2
    report = Runner(gated(sound=True), instance, Silent()).bring_up_to_date(selected("chunks/local"))
    assert list(map(str, report.made)) == ["chunks/local [one]", "chunks/local [two]"]


@pytest.mark.slow
def test_no_version_is_cut_while_a_blocking_check_behind_it_failed_or_never_ended(instance, monkeypatch, tmp_path):
    monkeypatch.setattr(definitions, "lake", LakeResource(base=str(tmp_path)))
    whole = graph()
    bundle = asset("release/dataset", "splits/dapt", partitions=DATA_VERSIONS)
    defs = dg.Definitions(assets=[*whole.assets, bundle], asset_checks=whole.asset_checks)
    Runner(graph(sound=False), instance, Silent()).bring_up_to_date()
    refused = r"data-v9\.0-rehearsal was not cut: curated/passages.*its check is_sound failed.*Run `twainbot run`"
    with pytest.raises(BadInput, match=refused):
        releasing.cut(Runner(defs, instance, Silent()), "data-v9.0-rehearsal", None)
    Runner(defs, instance, Silent()).bring_up_to_date()
    kill_the_check_of_passages(defs, instance)
    with pytest.raises(BadInput, match="its check is_sound never ended"):
        releasing.cut(Runner(defs, instance, Silent()), "data-v9.0-rehearsal", None)
    Runner(defs, instance, Silent()).bring_up_to_date()
    report = releasing.cut(Runner(defs, instance, Silent()), "data-v9.0-rehearsal", None)
    assert ([str(item) for item in report.made], report.faults) == (["release/dataset [data-v9.0-rehearsal]"], [])


def test_a_version_that_was_cut_stays_known_though_another_failed_before_it_in_the_same_run(
    instance, monkeypatch, tmp_path
):
    @dg.asset(key=["release", "dataset"], partitions_def=DATA_VERSIONS)
    def refused() -> None:
        raise BadInput("refused")

    monkeypatch.setattr(definitions, "lake", LakeResource(base=str(tmp_path)))
    work = Runner(
        dg.Definitions(assets=[refused, asset("release/model", partitions=MODEL_VERSIONS)]), instance, Silent()
    )
    for version in ("data-v0.1-rehearsal", "twainbot-lora-v0.1-rehearsal"):
        releasing.cut(work, version, None)
    assert [str(fault.item) for fault in work.report.faults] == ["release/dataset [data-v0.1-rehearsal]"]
    assert instance.get_dynamic_partitions(DATA_VERSIONS.name) == []
    assert instance.get_dynamic_partitions(MODEL_VERSIONS.name) == ["twainbot-lora-v0.1-rehearsal"]


def test_a_version_whose_cut_is_stopped_leaves_its_name_free(instance, monkeypatch, tmp_path):
    def stop(_items: object, _tags: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(definitions, "lake", LakeResource(base=str(tmp_path)))
    work = Runner(dg.Definitions(assets=[asset("release/dataset", partitions=DATA_VERSIONS)]), instance, Silent())
    monkeypatch.setattr(work, "execute", stop)
    with pytest.raises(KeyboardInterrupt):
        releasing.cut(work, "data-v0.1-rehearsal", None)
    assert instance.get_dynamic_partitions(DATA_VERSIONS.name) == []


def test_a_version_that_is_not_named_for_what_it_is_is_refused_before_anything_is_built():
    with pytest.raises(BadUse, match=r"makes rehearsals\. Write data-v1\.0-rehearsal"):
        releasing.require_name("data-v1.0")
    releasing.require_name("data-v1.0-rehearsal")


def test_one_run_cuts_every_adapter_that_no_bundle_holds_and_the_next_run_none(instance, monkeypatch, tmp_path):
    resource = LakeResource(base=str(tmp_path))
    lake, profile = resource.open(), load("tiny").model_copy(update={"recipes": ("default", "twain", "franklin")})
    for recipe in profile.recipes:
        lake.write("adapters/preference", recipe, pl.DataFrame({"adapter_sha256": [f"of {recipe}"]}))

    def cut(work, version, recipe, merged):
        """As the default persona is twain, a bundle holds what a recipe trained, and franklin's beside it."""
        asked.append((version, recipe))
        held = json.dumps({"adapter_sha256": f"of {recipe}", "adapter_sha256 franklin": "of franklin"})
        lake.write(releasing.table_of(version), version, pl.DataFrame({"parents": [held]}))

    monkeypatch.setattr(definitions, "lake", resource)
    monkeypatch.setattr(releasing, "current", lambda: profile)
    monkeypatch.setattr(releasing, "cut", cut)
    asked: list[tuple[str, str]] = []
    for _ in range(2):
        work = Runner(graph(), instance, Silent())
        releasing.cut_if_new(work, work.report)
        assert asked == [
            ("data-v0.1-rehearsal", "default"), ("twainbot-lora-v0.1-rehearsal", "default"),
            ("data-v0.2-rehearsal", "twain"), ("twainbot-lora-v0.2-rehearsal", "twain"),
        ]  # fmt: skip


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
