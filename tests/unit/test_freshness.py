"""What a check's latest execution says about its asset, what makes frozen seeds stale, and what a file that is gone does."""

import shutil

import dagster as dg
import polars as pl
import pytest
from dagster._core.events import AssetCheckEvaluationPlanned, DagsterEvent, DagsterEventType

from resources.home import current as current_home
from resources.lake import LakeIOManager, LakeResource
from tests import builders
from twainbot.errors import BadInput, LakeUnavailable, UnknownName
from twainbot_assets import boundaries, corpora, dedupe, dialogues, keys, warehouse
from twainbot_assets.freshness import FILE_GONE, LINEAGE_ONLY, Files, Freshness, Item, selected
from twainbot_assets.partitions import UNITS
from twainbot_assets.runner import Runner, failure_text, stale_items
from twainbot_assets.session import Session

NAME = "is_sound"


class Wanted(dg.Config):
    """How the check ends."""

    sound: bool = True


@dg.asset(check_specs=[dg.AssetCheckSpec(NAME, asset="table", blocking=True)])
def table(config: Wanted):
    """An asset whose check passes as its config says."""
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=config.sound, check_name=NAME)])


@pytest.fixture
def defs():
    return dg.Definitions(assets=[table])


def verdict_after(defs, instance, *, sound):
    """The verdict after a run."""
    config = {"ops": {"table": {"config": {"sound": sound}}}}
    defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, run_config=config, raise_on_error=False
    )
    return Freshness(defs, instance).failed_checks(Item("table"))


def test_a_passed_check_leaves_its_asset_fresh_and_a_failed_one_does_not(defs):
    with dg.DagsterInstance.ephemeral() as instance:
        assert Freshness(defs, instance).failed_checks(Item("table")) == []
        assert verdict_after(defs, instance, sound=True) == []
        assert verdict_after(defs, instance, sound=False) == [f"its check {NAME} failed"]


def test_a_check_whose_run_was_killed_before_it_ended_makes_its_asset_stale(defs):
    with dg.DagsterInstance.ephemeral() as instance:
        assert verdict_after(defs, instance, sound=True) == []
        job = defs.resolve_implicit_global_asset_job_def()
        run = instance.create_run_for_job(job)  # plans the check, and never executes it
        planned = AssetCheckEvaluationPlanned(asset_key=dg.AssetKey("table"), check_name=NAME)
        event = DagsterEvent(
            event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value, job_name=job.name,
            event_specific_data=planned, step_key="table",
        )  # fmt: skip
        instance.report_dagster_event(event, run.run_id)
        assert Freshness(defs, instance).failed_checks(Item("table")) == []  # at work, as far as anyone knows
        instance.report_run_failed(run)
        assert Freshness(defs, instance).failed_checks(Item("table")) == [f"its check {NAME} never ended"]


def test_neither_a_new_text_nor_a_new_unit_makes_frozen_seeds_stale():
    read = dialogues.seeds.asset_deps[dialogues.SEEDS]
    stale_by = {keys.table(key) for key in read if (dialogues.SEEDS, key) not in LINEAGE_ONLY}
    assert stale_by == {"sources/settings_dialogues", "sources/prompts"}


def test_the_warehouse_waits_for_the_audit_that_says_which_units_its_views_show():
    assert keys.key("corpora/audit") in warehouse.warehouse.asset_deps[warehouse.WAREHOUSE]


# --- files that left the lake ----------------------------------------------------------------------------------------


class Silent:
    """Progress that nobody watches."""

    def started(self, items):
        """Nothing."""

    def event(self, message):
        """Nothing."""

    def finished(self, items, seconds, faults):
        """Nothing."""


def stored(base):
    """Two units, and a table that stacks them, in a lake in this folder."""
    units = dg.StaticPartitionsDefinition(["river", "a/b"])
    kept = {"io_manager_key": "io_manager"}

    @dg.asset(key=["things", "parts"], partitions_def=units, **kept)
    def parts(context) -> dg.MaterializeResult:
        return dg.MaterializeResult(
            value=pl.DataFrame({"unit": [context.partition_key]}), data_version=dg.DataVersion("1")
        )

    @dg.asset(key=["things", "whole"], ins={"parts": dg.AssetIn(parts.key)}, **kept)
    def whole(parts) -> dg.MaterializeResult:
        return dg.MaterializeResult(value=parts.collect(), data_version=dg.DataVersion("1"))

    resources = {"io_manager": LakeIOManager(base=str(base)), "lake": LakeResource(base=str(base))}
    return dg.Definitions(assets=[parts, whole], resources=resources)


@pytest.fixture
def built(tmp_path):
    """A small graph, built whole: (its definitions, the instance, the lake's folder)."""
    with dg.DagsterInstance.ephemeral() as instance:
        defs = stored(tmp_path / "lake")
        assert len(Runner(defs, instance, Silent()).bring_up_to_date().made) == 3
        yield defs, instance, tmp_path / "lake"


def test_what_was_recorded_and_has_no_file_any_more_is_missing_and_made_again(built):
    defs, instance, lake = built
    shutil.rmtree(lake / "things/whole")
    (lake / "things/parts/partition=a%2Fb/part-0.parquet").unlink()  # the folder alone is no file
    gone = {Item("things/parts", "a/b"): (FILE_GONE,), Item("things/whole"): (FILE_GONE,)}
    assert stale_items(defs, instance) == gone
    assert Freshness(defs, instance).materialized() == ({Item("things/parts", "river")}, set(gone))
    report = Runner(defs, instance, Silent()).bring_up_to_date()
    assert (report.made, report.reasons) == (list(gone), gone)
    assert stale_items(defs, instance) == {}


def test_a_fan_in_is_not_made_without_a_partition_that_lost_its_file(built):
    defs, instance, lake = built
    shutil.rmtree(lake / "things/parts")
    report = Runner(defs, instance, Silent()).bring_up_to_date([keys.key("things/whole")], force=True)
    assert report.made == []
    assert [fault.why for fault in report.skipped] == ["waits for things/parts [river], whose file is gone"]
    report = Runner(defs, instance, Silent()).bring_up_to_date(force=True)
    assert (len(report.made), report.skipped) == (3, [])


def test_a_run_of_the_ui_makes_no_fan_in_without_a_partition_that_lost_its_file_and_one_without_what_was_never_made(
    built,
):
    defs, instance, lake = built
    whole, unit = keys.key("things/whole"), lake / "things/parts/partition=a%2Fb"
    unit.rename(lake / "aside")
    job = defs.resolve_implicit_global_asset_job_def()

    def run():
        return job.execute_in_process(instance=instance, asset_selection=[whole], raise_on_error=False)

    done = run()
    [failed] = [event for event in done.all_events if event.is_step_failure]
    assert failure_text(failed) == (
        f"things/parts [a/b] was made, and its file is gone from the lake {lake}: a table over all partitions would lack "
        "the rows. Run `twainbot run --select +things/parts`, then this again."
    )
    assert pl.read_parquet(lake / "things/whole/part-0.parquet").height == 2  # its last good version stays
    (lake / "aside").rename(unit)
    assert run().success
    shutil.rmtree(unit)
    instance.wipe_assets([keys.key("things/parts")])  # as if nothing of it had ever been made
    assert run().success
    assert pl.read_parquet(lake / "things/whole/part-0.parquet").height == 1


def test_a_table_that_reads_units_by_itself_is_not_made_without_one_that_lost_its_file(tmp_path):
    lake = LakeResource(base=str(tmp_path)).open()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(UNITS["local"].name, ["river", "tales", "never made"])
        for unit in ("river", "tales"):
            lake.write("corpora/local", unit, builders.works(builders.work(f"{unit}/one", unit=unit)))
            instance.report_runless_asset_event(dg.AssetMaterialization(keys.key("corpora/local"), partition=unit))
        assert corpora.all_works(lake, instance)["unit"].to_list() == ["river", "tales"]
        shutil.rmtree(tmp_path / "corpora/local/partition=tales")
        for read in (
            lambda: corpora.all_works(lake, instance),
            lambda: dedupe.registered(lake, instance, "corpora", "local"),
        ):
            with pytest.raises(BadInput, match=r"corpora/local \[tales\] was made, and its file is gone"):
                read()
        instance.delete_dynamic_partition(UNITS["local"].name, "tales")  # taken out, and its file deleted by hand
        assert corpora.all_works(lake, instance)["unit"].to_list() == ["river"]


def test_what_was_gathered_before_the_first_partition_is_made_again_when_there_is_one(tmp_path):
    defs, whole = stored(tmp_path / "lake"), [keys.key("things/whole")]
    with dg.DagsterInstance.ephemeral() as instance:
        Runner(defs, instance, Silent()).bring_up_to_date(whole)
        assert Freshness(defs, instance).of(Item("things/whole")).state == "fresh"  # of nothing, and there is nothing
        Runner(defs, instance, Silent()).bring_up_to_date([keys.key("things/parts")])
        reasons = {Item("things/whole"): ("things/parts was first made after it",)}
        assert stale_items(defs, instance) == reasons
        assert Runner(defs, instance, Silent()).bring_up_to_date().reasons == reasons
        assert stale_items(defs, instance) == {}
    assert pl.read_parquet(tmp_path / "lake/things/whole/part-0.parquet").height == 2


def test_a_lake_of_another_place_has_none_of_what_was_recorded(built, tmp_path):
    _, instance, _ = built
    elsewhere = stored(tmp_path / "another")
    assert len(stale_items(elsewhere, instance)) == 3
    assert len(Runner(elsewhere, instance, Silent()).bring_up_to_date().made) == 3
    assert (tmp_path / "another/things/whole/part-0.parquet").is_file()


def test_status_says_that_a_file_is_gone_and_of_what_was_never_made_only_that_it_is_missing(
    built, monkeypatch, tmp_path
):
    defs, instance, lake = built
    shutil.rmtree(lake / "things/whole")
    monkeypatch.setenv("TWAINBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("twainbot_assets.session.defs", defs)
    told = list(Session(current_home("tiny"), instance, [], []).status_lines())
    assert f"    things/whole: {FILE_GONE}" in told
    with dg.DagsterInstance.ephemeral() as new:
        told = list(Session(current_home("tiny"), new, [], []).status_lines())
    assert [line.split() for line in told[:2]] == [["things/parts", "missing", "2"], ["things/whole", "missing", "1"]]


def test_each_table_is_listed_once_for_all_its_items(built, monkeypatch):
    defs, _, lake = built
    shutil.rmtree(lake / "things/parts/partition=a%2Fb")
    asked = []
    monkeypatch.setattr("twainbot_assets.freshness.files_of", lambda _, table: asked.append(table) or {"river"})
    files = Files(defs.resources["lake"].open())
    assert [files.has(Item("things/parts", unit)) for unit in ("river", "a/b", "river")] == [True, False, True]
    files.add([Item("things/parts", "a/b")])
    assert files.has(Item("things/parts", "a/b"))
    assert asked == ["things/parts"]


def test_what_another_process_makes_after_the_listing_is_not_taken_for_gone(built):
    defs, instance, lake = built
    made, aside = lake / "things/parts/partition=a%2Fb", lake / "aside"
    made.rename(aside)
    files, late = Files(defs.resources["lake"].open()), Item("things/parts", "a/b")
    assert Freshness(defs, instance, files).of(late).state == "missing"
    aside.rename(made)
    assert Freshness(defs, instance, files).of(late).state == "fresh"


def test_where_no_lake_is_named_dagsters_record_is_believed(built):
    _, instance, _ = built
    nowhere = dg.Definitions(assets=[dg.AssetSpec(["things", "whole"])])
    assert Files(None).has(Item("things/whole"))
    assert Freshness(nowhere, instance).files.lake is None


def test_a_lake_that_cannot_be_listed_is_one_sentence(built):
    defs, instance, lake = built
    shutil.rmtree(lake)
    lake.write_text("a file, where a folder is expected")
    with pytest.raises(LakeUnavailable, match="cannot be used"):
        Freshness(defs, instance).of(Item("things/whole"))


def test_a_unit_without_a_file_at_any_of_the_stages_that_curation_reads_is_named_by_the_first(tmp_path):
    lake = LakeResource(base=str(tmp_path))
    row = pl.DataFrame({"n": [1]})
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(UNITS["local"].name, ["river", "tales", "whole"])
        for stage, units in {
            "corpora": "tales whole",
            "chunks": "river whole",
            "screened": "river tales whole",
        }.items():
            for unit in units.split():
                part = lake.open().part(f"{stage}/local", unit)
                part.parent.mkdir(parents=True)
                row.write_parquet(str(part))
        found = boundaries.every_unit_present(dg.build_asset_check_context(instance=instance), lake)
    assert not found.passed
    assert found.description == "2 units have no good version: corpora/local [river], chunks/local [tales]"


@pytest.mark.parametrize("selection", ["group:nothing", "table and not table", "nope/nope", "table or"])
def test_a_selection_of_nothing_is_refused_and_runs_nothing(defs, selection):
    with pytest.raises(UnknownName, match=r"select.*Known: stages \("):
        selected(defs, selection)
    assert selected(defs, 'key:"table"') == [table.key]
