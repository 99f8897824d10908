"""Each alert sensor on a real instance where the thing really happened: a failed run, a warning, a check that never ran."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from resources import alert_memory, alerts
from resources.alert_memory import Happening, Memory, Teller, recall
from resources.alerts import Message, Outcome
from resources.budget import Budget, Spend
from resources.home import Home
from resources.sources import Harvest
from tests.receivers import hooks
from twainbot.evals.statistics import Interval
from twainbot.evals.verdicts import Verdict
from twainbot.release import figures
from twainbot.release.regressions import fallen_behind
from twainbot_assets import alerting, schedules
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import load
from twainbot_assets.runner import PID_TAG, reconcile

pytestmark = pytest.mark.slow

RECIPES = dg.StaticPartitionsDefinition(["default", "franklin"])
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    for name in (alerts.URL, alerts.URLS, alerts.UI):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def instance():
    """One for all tests: each looks at what happens after its own beginning."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dagster")


@pytest.fixture(scope="module")
def on_disk(folder):
    """SQLite, whose events lie in a file per run."""
    with dg.DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}}) as made:
        yield made


class Kept:
    """As much of an instance as the cooldown uses."""

    def __init__(self):
        self.run_storage = self
        self.values: dict[str, str] = {}

    def get_cursor_values(self, keys):
        return {key: self.values[key] for key in keys if key in self.values}

    def set_cursor_values(self, pairs):
        self.values.update(pairs)


@pytest.fixture
def kept():
    return Kept()


def asset(
    passed: bool = True, severity: dg.AssetCheckSeverity = WARN, name: str = "has_words", table: str = "chunks/local",
    error: Exception | None = None, **metadata: Any,
) -> dg.AssetsDefinition:  # fmt: skip
    """An asset with one check of its own, which comes to this; then the error, if there is one."""
    key = dg.AssetKey(table.split("/"))

    @dg.asset(key=key, partitions_def=RECIPES, check_specs=[dg.AssetCheckSpec(name, asset=key)])
    def made():
        if error is None or not passed:
            yield dg.AssetCheckResult(
                passed=passed, severity=severity, description="3 of 9 rows.", metadata=metadata, check_name=name, asset_key=key
            )  # fmt: skip
        if error:
            raise error
        yield dg.MaterializeResult(asset_key=key)

    return made


def run(instance, *assets, partition: str = "default", **more) -> str:
    """Materialize; the run's id."""
    return dg.materialize(assets, instance=instance, partition_key=partition, raise_on_error=False, **more).run_id


def since(look, instance, *steps):
    """What a look finds of what these steps do."""
    place = look(instance, None)[1]
    for step in steps:
        step()
    return look(instance, place)[0]


# --- run failure ------------------------------------------------------------------------------------------------------


def test_a_failed_run_is_told_in_its_own_words_with_the_checks_it_did_not_come_to(on_disk):
    place = alerting.failures(on_disk, None)[1]
    run_id = run(on_disk, asset(error=dg.Failure(description="pg76 holds no text.")))
    (found,), after = alerting.failures(on_disk, place)
    assert found.what == "chunks/local [default] failed"
    assert found.said == "pg76 holds no text. Planned checks that did not run: has_words."
    assert (found.run_id, found.occurrence) == (run_id, run_id)
    assert alerting.failures(on_disk, after)[0] == []  # the cursor stands behind it


def test_what_failed_before_the_first_look_is_history(instance):
    run(instance, asset(error=ValueError("x")))
    assert alerting.failures(instance, None)[0] == []


def fail(instance) -> str:
    """A run that fails; its id."""
    return run(instance, asset(error=ValueError("x")))


@pytest.mark.parametrize("others", [0, 3])
def test_a_failure_is_told_though_a_deleted_run_left_it_its_event_id(on_disk, others):
    place = alerting.failures(on_disk, None)[1]
    first = fail(on_disk)
    told, place = alerting.failures(on_disk, place)
    on_disk.delete_run(first)  # as Delete in the UI does
    looked, place = alerting.failures(on_disk, place)
    for _ in range(others):
        run(on_disk, asset())  # their events have the ids of the deleted one's, and later ones
    again = fail(on_disk)
    found, after = alerting.failures(on_disk, place)
    assert [[one.run_id for one in each] for each in (told, looked, found)] == [[first], [], [again]]
    assert alerting.failures(on_disk, after)[0] == []


def test_what_was_told_is_not_found_again_after_a_later_run_was_deleted(on_disk):
    place = alerting.failures(on_disk, None)[1]
    kept, deleted = fail(on_disk), fail(on_disk)
    told, place = alerting.failures(on_disk, place)
    on_disk.delete_run(deleted)
    assert [one.run_id for one in told] == [kept, deleted]
    assert alerting.failures(on_disk, place) == ([], place)


def test_a_good_run_is_no_failure(instance):
    assert since(alerting.failures, instance, lambda: run(instance, asset())) == []


def test_a_run_whose_process_was_killed_is_told(on_disk):
    job = dg.define_asset_job("train", "*")
    defs = dg.Definitions(assets=[asset()], jobs=[job]).resolve_job_def("train")

    def killed():
        lost = on_disk.create_run_for_job(defs, tags={PID_TAG: "999999999"})
        on_disk.report_engine_event("started", lost)
        on_disk.handle_new_event(started(lost))
        assert reconcile(on_disk) == [lost.run_id]

    (found,) = since(alerting.failures, on_disk, killed)
    assert "train failed" in found.what
    assert "999999999 is gone" in found.said


def started(lost: dg.DagsterRun):
    from dagster._core.events import DagsterEvent
    from dagster._core.events.log import EventLogEntry

    event = DagsterEvent(dg.DagsterEventType.RUN_START.value, lost.job_name)
    return EventLogEntry(
        error_info=None, level=20, user_message="", run_id=lost.run_id, timestamp=time.time(), job_name=lost.job_name,
        dagster_event=event,
    )  # fmt: skip


def test_a_failure_of_last_week_is_passed_over(instance, monkeypatch):
    place = alerting.failures(instance, None)[1]
    run(instance, asset(error=ValueError("x")))
    later = time.time() + 7 * alerting.DAY_S
    monkeypatch.setattr(alerting.time, "time", lambda: later)
    assert alerting.failures(instance, place)[0] == []


def test_a_cursor_that_somebody_edited_begins_now(instance):
    run(instance, asset(error=ValueError("x")))
    for text in ("", "not json", "[1]", '"x"', '{"PIPELINE_FAILURE": "some place"}'):
        assert alerting.failures(instance, text)[0] == []


# --- checks -----------------------------------------------------------------------------------------------------------


def test_a_warning_in_a_green_run_is_told(on_disk):
    (found,) = since(alerting.checks, on_disk, lambda: run(on_disk, asset(passed=False)))
    assert found.what == "check chunks/local [default] has_words warns"
    assert found.said == "3 of 9 rows."
    assert on_disk.get_run_by_id(found.run_id).status is dg.DagsterRunStatus.SUCCESS


def test_a_check_that_raised_is_told_as_not_run(instance):
    (found,) = since(alerting.checks, instance, lambda: run(instance, asset(passed=False, severity=ERROR, ran=False)))
    assert found.what == "check chunks/local [default] has_words did not run"


def test_a_check_that_passed_is_not_told(instance):
    assert since(alerting.checks, instance, lambda: run(instance, asset())) == []


def test_a_check_that_was_planned_and_never_evaluated_in_a_green_run_is_told(on_disk):
    @dg.asset(output_required=False)
    def maybe():
        yield from ()  # nothing is made, so that whatever follows is skipped

    @dg.asset_check(asset=maybe)
    def holds():
        return dg.AssetCheckResult(passed=True)

    def skipped():
        result = dg.materialize([maybe, holds], instance=on_disk)
        assert result.success

    (found,) = since(alerting.checks, on_disk, skipped)
    assert found.what == "check maybe holds did not run"
    assert "ended as SUCCESS without it" in found.said


def test_a_blocking_check_that_stopped_its_run_is_told_once_by_the_failure(instance):
    refused = asset(
        passed=False, severity=ERROR, error=dg.Failure(description="not committed: has_words: 3 of 9 rows.")
    )
    places = {kind: look(instance, None)[1] for kind, look in alerting.LOOKS.items()}
    run(instance, refused)
    told = {kind: [one.what for one in look(instance, places[kind])[0]] for kind, look in alerting.LOOKS.items()}
    assert told == {
        alerting.FAILURE: ["chunks/local [default] failed"], alerting.CHECKS: [], alerting.DIVERGENCE: [],
        alerting.REGRESSION: [],
    }  # fmt: skip


def test_a_warning_in_a_run_that_failed_for_another_reason_is_told_beside_it(instance):
    found = since(alerting.checks, instance, lambda: run(instance, asset(passed=False, error=ValueError("x"))))
    assert [one.what for one in found] == ["check chunks/local [default] has_words warns"]


def test_a_result_that_was_reported_outside_any_run_is_told(on_disk):
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("x"), check_name="by_hand", passed=False, metadata={}, severity=ERROR, description="No."
    )
    (found,) = since(alerting.checks, on_disk, lambda: on_disk.report_runless_asset_event(evaluation))
    assert (found.what, found.said, found.run_id) == ("check x by_hand failed", "No.", "")


# --- divergence -------------------------------------------------------------------------------------------------------

DIVERGED = asset(
    passed=False,
    severity=ERROR,
    name="training_converged",
    table="adapters/sft",
    error=dg.Failure(description="loss nan"),
)


def test_a_divergence_is_told_by_its_own_kind_and_by_no_other(instance):
    places = {kind: look(instance, None)[1] for kind, look in alerting.LOOKS.items()}
    run(instance, DIVERGED)
    told = {kind: [one.what for one in look(instance, places[kind])[0]] for kind, look in alerting.LOOKS.items()}
    assert told == {
        alerting.FAILURE: [], alerting.CHECKS: [], alerting.DIVERGENCE: ["adapters/sft [default] diverged"],
        alerting.REGRESSION: [],
    }  # fmt: skip


def test_a_training_that_was_steered_is_told(instance):
    steered = asset(passed=False, name="training_converged", table="adapters/sft")
    (found,) = since(alerting.divergences, instance, lambda: run(instance, steered))
    assert found.what == "adapters/sft [default] was steered"


def test_what_the_step_told_at_once_the_sensor_does_not_tell_again(instance):
    (found,) = since(alerting.divergences, instance, lambda: run(instance, DIVERGED))
    alert_memory.told(instance, alerting.DIVERGENCE, "adapters/sft [default]", found.run_id)
    sent: list[Message] = []
    assert telling(instance, sent, kind=alerting.DIVERGENCE).tell([found])
    assert sent == []


# --- regression -------------------------------------------------------------------------------------------------------


def verdict(gate: str, state: str, value: float | None, low: float = 0.0, high: float = 1.0, better: str = "higher"):
    return Verdict(gate, state, 50, value, 0.8, Interval(low, high), f"{gate} {state}", better=better)


def released(*verdicts: Verdict) -> list[dict]:
    return figures.record({"default": verdicts}, profile="full", base="b", rehearsal=False)["recipes"]["default"]


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (verdict("calls", "pass", 0.9, 0.85, 0.95), verdict("calls", "pass", 0.88, 0.8, 0.93), False),
        (verdict("calls", "pass", 0.9, 0.85, 0.95), verdict("calls", "fail", 0.5, 0.4, 0.6), True),
        (verdict("calls", "pass", 0.9, 0.85, 0.95), verdict("calls", "not_run", None), True),
        (verdict("calls", "fail", 0.7, 0.65, 0.75), verdict("calls", "fail", 0.5, 0.4, 0.6), True),
        (
            verdict("calls", "fail", 0.7, 0.55, 0.75),
            verdict("calls", "fail", 0.5, 0.4, 0.6),
            False,
        ),  # the intervals meet
        (verdict("loss", "fail", 0.1, 0.05, 0.15, "lower"), verdict("loss", "fail", 0.3, 0.2, 0.4, "lower"), True),
        (verdict("loss", "fail", 0.3, 0.2, 0.4, "lower"), verdict("loss", "fail", 0.1, 0.05, 0.15, "lower"), False),
        (verdict("calls", "not_run", None), verdict("calls", "fail", 0.1), False),
        (verdict("other", "pass", 0.9), verdict("calls", "fail", 0.1), False),
    ],
)
def test_a_verdict_fell_where_it_no_longer_passes_or_is_worse_beyond_chance(before, now, worse):
    assert bool(fallen_behind(released(before), [now])) is worse


def test_the_sentence_of_a_fall_names_both_figures():
    said = fallen_behind(released(verdict("calls", "pass", 0.9)), [verdict("calls", "fail", 0.5)])
    assert said == ["calls was pass (90.0%) in the release and is fail (50.0%): calls fail"]


def lake_with(tmp_path, releases: dict[str, tuple[bool, str, list[dict]]]):
    """A lake with an adapter `new` of recipe default, and releases: version -> rehearsal, adapter, verdicts."""
    import polars as pl

    from resources.lake import Lake

    lake = Lake(str(tmp_path / "lake"))
    lake.write("adapters/preference", "default", pl.DataFrame([{"adapter_sha256": "new"}]))
    for version, (rehearsal, adapter, entries) in releases.items():
        folder = tmp_path / "lake" / "release" / "model" / "files" / version
        folder.mkdir(parents=True)
        (folder / "scorecard.json").write_text(json.dumps({"recipes": {"default": entries}}))
        row = {"rehearsal": rehearsal, "folder": f"release/model/files/{version}"}
        lake.write(
            "release/model", version, pl.DataFrame([{**row, "parents": json.dumps({"adapter_sha256": adapter})}])
        )
    return lake


def test_it_is_compared_with_the_newest_release_of_another_adapter_and_rehearsals_only_among_rehearsals(tmp_path):
    one, two = released(verdict("calls", "pass", 0.9)), released(verdict("calls", "pass", 0.8))
    lake = lake_with(tmp_path, {
        "twainbot-lora-v0.9": (False, "old", one), "twainbot-lora-v0.10": (False, "older", two),
        "twainbot-lora-v0.11": (False, "new", one), "twainbot-lora-v0.12-rehearsal": (True, "x", one),
    })  # fmt: skip
    assert alerting.released(lake, "default", load("full")) == ("twainbot-lora-v0.10", two)
    assert alerting.released(lake, "default", load("sample"))[0] == "twainbot-lora-v0.12-rehearsal"


def test_a_scorecard_that_fell_behind_its_release_is_told_and_one_that_did_not_is_not(tmp_path, instance, monkeypatch):
    from twainbot_assets import definitions, release

    lake = lake_with(tmp_path, {"twainbot-lora-v0.1-rehearsal": (True, "old", released(verdict("calls", "pass", 0.9)))})
    monkeypatch.setattr(definitions, "lake", type("Opens", (), {"open": lambda self: lake})())
    for now, told in ((verdict("calls", "fail", 0.5), ["default is worse than twainbot-lora-v0.1-rehearsal"]),
                      (verdict("calls", "pass", 0.9), [])):  # fmt: skip
        monkeypatch.setattr(release, "verdicts_of", lambda lake, recipe, now=now: [now])
        found = since(alerting.regressions, instance, lambda: run(instance, asset(table="evals/scorecard")))
        assert [one.what for one in found] == told


def test_the_leaderboards_own_check_is_told_as_a_regression(instance):
    behind = asset(passed=False, name="no_regression", table="evals/leaderboard")
    places = {kind: look(instance, None)[1] for kind, look in alerting.LOOKS.items()}
    run(instance, behind)
    assert [one.what for one in alerting.regressions(instance, places[alerting.REGRESSION])[0]] == [
        "a recipe fell behind"
    ]
    assert alerting.checks(instance, places[alerting.CHECKS])[0] == []


# --- sources and budgets ----------------------------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path, instance):
    """A feed with one unit, and its harvest."""
    instance.add_dynamic_partitions(UNITS["satire"].name, ["onion"])
    settings = {
        "satire": {"feeds": [{"name": "onion", "url": "http://127.0.0.1:1/feed"}]},
        "local": {"folder": str(tmp_path)},
    }
    return Harvest(settings=settings, raw=str(tmp_path / "raw"))


def test_a_live_source_that_was_looked_at_lately_and_answers_is_not_told(instance, live):
    live.tell("satire", {})
    assert alerting.staleness(instance, live, "satire") is None


def test_a_live_source_that_nobody_looked_at_for_a_week_is_stale(instance, live, tmp_path):
    never = alerting.staleness(instance, live, "satire")
    assert never.said == "It was never looked at by this profile, and should be every 7 days."
    live.tell("satire", {})
    old = time.time() - 7.5 * alerting.DAY_S
    (path,) = tmp_path.rglob("told/satire.json")
    os.utime(path, (old, old))
    found = alerting.staleness(instance, live, "satire")
    assert found.said == "It was last looked at 7.5 days ago, and should be every 7 days."


def test_the_repair_of_a_stale_source_names_the_schedule_that_looks_at_it(instance, live):
    """source_watcher looks at folders only."""
    found = alerting.staleness(instance, live, "satire")
    assert schedules.look("satire").name in found.repair
    assert "source_watcher" not in found.repair


def test_a_live_source_none_of_whose_units_answers_is_told_with_the_reason(instance, live):
    live.tell("satire", {"onion": "http://127.0.0.1:1/feed gave no answer", "https://x/page": "404"})
    found = alerting.staleness(instance, live, "satire")
    assert found.what == "source satire does not answer"
    assert "gave no answer" in found.said
    instance.add_dynamic_partitions(UNITS["satire"].name, ["beaver"])
    assert alerting.staleness(instance, live, "satire") is None  # one of two still answers
    instance.delete_dynamic_partition(UNITS["satire"].name, "beaver")


def test_sources_of_this_machine_and_sources_without_units_are_never_stale(instance, live):
    instance.add_dynamic_partitions(UNITS["local"].name, ["river"])
    assert alerting.staleness(instance, live, "local") is None
    assert alerting.staleness(instance, live, "jokes") is None


def paid(usd: float):
    """The sample profile with a paid generator."""
    profile = load("sample")
    settings = profile.dialogues.generator.model_copy(
        update={"backend": "openai", "model": "m", "budget_usd": usd, "price_in": 1.0, "price_out": 1.0}
    )
    return profile.model_copy(update={"dialogues": profile.dialogues.model_copy(update={"generator": settings})})


def test_a_budget_is_told_at_four_fifths_and_when_it_is_spent(tmp_path):
    home, ledger = Home(tmp_path, "sample"), tmp_path / "cache" / "generations" / "ledger-sample-generator.jsonl"
    assert alerting.spending(load("sample"), "generator", home) is None  # the grammar costs nothing
    assert alerting.spending(paid(10.0), "generator", home) is None
    assert not ledger.exists()  # looking wrote nothing
    for spent, share in ((7.9, None), (8.0, "80%"), (9.99, "80%"), (10.0, "100%")):
        Budget(ledger, 10.0).settle("one", Spend(1, 1, spent))
        found = alerting.spending(paid(10.0), "generator", home)
        assert (found and found.subject) == (share and f"generator {share}")
    assert "($10.00) is spent: 2 tokens and $10.0000 so far" in found.said
    assert alerting.spending(paid(20.0), "generator", home) is None  # the budget was raised


# --- telling ----------------------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0


def telling(
    instance, sent: list[Message], took: bool = True, now: float = NOW, kind: str = "check", **more: Any
) -> Teller:
    def send(message: Message) -> list[Outcome]:
        sent.append(message)
        return [Outcome("1 test", took)]

    return Teller(instance, kind, lambda line: None, send=send, clock=lambda: now, **more)


ONE = Happening("chunks/local has_words", "check has_words warns", "3 of 9 rows.", "Look.", "run-1", "run-1")


def test_a_second_one_within_the_hour_is_held_back_and_told_with_the_next(kept):
    sent: list[Message] = []
    for minute, occurrence in ((0, "run-1"), (5, "run-2"), (59, "run-3"), (60, "run-4"), (61, "run-5")):
        one = replace(ONE, run_id=occurrence, occurrence=occurrence)
        assert telling(kept, sent, now=NOW + 60 * minute).tell([one])
    assert [message.run_id for message in sent] == ["run-1", "run-4"]
    assert sent[1].happened == "3 of 9 rows. (2 more like it since 2027-01-15 08:00 UTC were held back.)"


def test_another_subject_and_another_kind_have_cooldowns_of_their_own(kept):
    sent: list[Message] = []
    assert telling(kept, sent).tell([ONE])
    assert telling(kept, sent).tell([replace(ONE, subject="chunks/jokes has_words")])
    assert telling(kept, sent, kind="run failure").tell([ONE])
    assert len(sent) == 3


def test_the_same_happening_is_told_once_whoever_sees_it_again(kept):
    sent: list[Message] = []
    for hour in (0, 2, 4):
        assert telling(kept, sent, now=NOW + 3600 * hour).tell([ONE])
    assert len(sent) == 1
    assert recall(kept, "check", ONE.subject).held == 0


def test_a_state_that_was_held_back_is_told_when_its_cooldown_is_over_and_once(kept):
    sent: list[Message] = []
    budget = {
        0: "10 USD",
        2: "20 USD",
        3: "20 USD",
        25: "20 USD",
        60: "20 USD",
    }  # raised and spent again after two hours
    for hour, size in budget.items():
        state = Happening("generator 100%", f"all of {size} spent", "It is.", occurrence=f"1.0 of {size}")
        teller = telling(kept, sent, now=NOW + 3600 * hour, cooldown_s=alerting.DAY_S, lasting=True)
        assert teller.tell([state])
    assert [message.title for message in sent] == ["TwainBot: all of 10 USD spent", "TwainBot: all of 20 USD spent"]
    assert sent[1].happened == "It is."  # the same state, seen twice, is no two happenings


@pytest.mark.parametrize("kind", [*alerting.LOOKS, *alerting.STATES])
def test_states_are_told_as_such_and_happenings_are_not(kept, kind):
    assert alerting.teller(kept, kind, print).lasting is (kind in alerting.STATES)


def test_what_nobody_took_is_told_again_and_starts_no_cooldown(kept):
    sent: list[Message] = []
    assert not telling(kept, sent, took=False).tell([ONE])
    assert telling(kept, sent, now=NOW + 60).tell([ONE])
    assert len(sent) == 2


def test_several_happenings_are_one_message_with_a_link_each(kept):
    sent: list[Message] = []
    many = [replace(ONE, subject=f"s{n}", what=f"w{n}", run_id=f"run-{n}", occurrence=f"run-{n}") for n in range(11)]
    assert telling(kept, sent).tell(many)
    (message,) = sent
    assert message.title == "TwainBot: check: w0 and 10 more"
    assert message.happened.count("/runs/run-") == alert_memory.SHOWN
    assert "And 3 more" in message.happened
    assert (message.repair, message.facts["count"]) == ("Look.", 11)


def test_a_clock_that_was_set_back_does_not_silence_alerts(kept):
    sent: list[Message] = []
    assert telling(kept, sent, now=NOW + 86_400).tell([ONE])
    assert telling(kept, sent).tell([replace(ONE, occurrence="run-2")])
    assert len(sent) == 2


def test_a_store_that_cannot_be_used_still_lets_alerts_out(kept, monkeypatch):
    def locked(*arguments):
        raise OSError("database is locked")

    monkeypatch.setattr(kept, "get_cursor_values", locked)
    monkeypatch.setattr(kept, "set_cursor_values", locked)
    sent: list[Message] = []
    assert telling(kept, sent).tell([ONE])
    assert len(sent) == 1
    assert recall(kept, "check", "x") == Memory()


# --- the sensors as the daemon runs them ------------------------------------------------------------------------------


def tick(instance, kind: str, cursor: str | None) -> Any:
    """One tick of the sensor of a kind."""
    (sensor,) = [each for each in alerting.sensors if each.name == f"alert_{kind.replace(' ', '_')}"]
    return sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))


def test_a_tick_tells_the_webhook_and_moves_its_cursor_only_when_it_was_taken(on_disk, folder, monkeypatch, capfd):
    instance = on_disk
    with hooks() as web:
        monkeypatch.setenv(alerts.URL, f"http://127.0.0.1:{web.port}/s3cret")
        monkeypatch.setattr(alerts, "EACH_S", 60.0)
        monkeypatch.setattr(alerts, "DEADLINE_S", 300.0)
        begun = tick(instance, alerting.CHECKS, None)
        run_id = run(instance, asset(passed=False))
        web.status = 500
        failed = tick(instance, alerting.CHECKS, begun.cursor)
        web.status = 200
        done = tick(instance, alerting.CHECKS, begun.cursor)
        again = tick(instance, alerting.CHECKS, done.cursor)
    assert failed.cursor == begun.cursor
    assert "nobody took it" in failed.skip_message
    assert done.cursor != begun.cursor
    assert again.skip_message == "Nothing to tell."
    assert len(web.got) == 2
    _, said = web.got[-1]
    assert said["title"] == "TwainBot sample: check chunks/local [default] has_words warns"
    assert said["facts"]["run"] == f"http://127.0.0.1:3000/runs/{run_id}"
    assert said["facts"]["kind"] == "check"
    assert "s3cret" not in "".join(capfd.readouterr()) + repr([begun, failed, done, again])
    assert not any(b"s3cret" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_every_sensor_ticks_where_nothing_happened(instance):
    for kind in (*alerting.LOOKS, *alerting.STATES):
        assert tick(instance, kind, None).skip_message == "Nothing to tell."


@pytest.mark.parametrize(("url", "status"), [("", "STOPPED"), ("json://127.0.0.1/x", "RUNNING")])
def test_sensors_are_on_where_somebody_can_be_told(monkeypatch, url, status):
    monkeypatch.setenv(alerts.URLS, url)
    made = alerting.watcher(alerting.CHECKS, alerting.checks)
    assert made.default_status.value == status


def test_a_command_tells_at_its_end_what_happened_in_it(on_disk, monkeypatch, capsys):
    sent: list[Message] = []
    monkeypatch.setenv(alerts.URL, "http://127.0.0.1:1/s3cret")
    monkeypatch.setattr(alerts, "deliver", lambda message: sent.append(message) or [Outcome("1 webhook", True)])

    def stopped():
        with alerting.telling(on_disk):
            run(on_disk, asset(passed=False, table="chunks/jokes"), partition="default")
            run(on_disk, asset(error=ValueError("x")), partition="franklin")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [message.title for message in sent] == [
        "TwainBot sample: chunks/local [franklin] failed", "TwainBot sample: check chunks/jokes [default] has_words warns",
    ]  # fmt: skip
    assert "Delivered" not in capsys.readouterr().err  # all went well, so nothing is said


def test_a_command_of_thirty_hours_tells_what_failed_in_its_first(on_disk, monkeypatch):
    sent: list[Message] = []
    monkeypatch.setenv(alerts.URL, "http://127.0.0.1:1/s3cret")
    monkeypatch.setattr(alerts, "deliver", lambda message: sent.append(message) or [Outcome("1 webhook", True)])
    with alerting.telling(on_disk):
        run(on_disk, asset(error=ValueError("x"), table="chunks/satire"))
        later = time.time() + 30 * 3600
        monkeypatch.setattr(alerting.time, "time", lambda: later)
    assert [message.title for message in sent] == ["TwainBot sample: chunks/satire [default] failed"]


def test_a_look_that_fails_at_a_commands_end_hides_no_error_of_the_command(on_disk, monkeypatch, capsys):
    monkeypatch.setenv(alerts.URL, "http://127.0.0.1:1/s3cret")

    def breaks(*arguments):
        raise ZeroDivisionError

    def command():
        with alerting.telling(on_disk):
            monkeypatch.setattr(alerting, "all_since", breaks)
            raise KeyError("the command's own")

    with pytest.raises(KeyError, match="the command's own"):
        command()
    assert "could not be looked for (ZeroDivisionError)" in capsys.readouterr().err


def test_the_trial_says_who_took_it_and_no_address(monkeypatch):
    from twainbot.errors import BadUse

    with pytest.raises(BadUse, match="Nobody can be told: set TWAINBOT_ALERT_URLS"):
        alerting.trial()
    with hooks() as web:
        monkeypatch.setenv(alerts.URL, f"http://127.0.0.1:{web.port}/s3cret")
        assert alerting.trial() == (["1 webhook: took it"], True)
        web.status = 404
        assert alerting.trial() == (["1 webhook: did not take it: it answered with HTTP 404"], False)
