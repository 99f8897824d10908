"""What the latest execution of a check says about its asset, and what makes frozen seeds stale."""

import dagster as dg
import pytest
from dagster._core.events import AssetCheckEvaluationPlanned, DagsterEvent, DagsterEventType

from twainbot_assets import dialogues, keys
from twainbot_assets.freshness import LINEAGE_ONLY, Freshness, Item

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
