"""Sources over the net: looked at by their own schedules, called stale when they stay silent, and only where a door is open."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from twainbot_assets import keys, runner, schedules
from twainbot_assets.freshness import Item
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import SourceSettings, load
from twainbot_assets.schedules import PACES, has_live_door, live_sources, policies_of, schedules_of

FEED = {"name": "gazette", "url": "https://example.org/feed"}


@pytest.mark.parametrize(
    ("settings", "live"),
    [
        ({}, False),
        ({"folder": "samples/satire"}, False),
        ({"folder": "samples/satire", "feeds": [FEED]}, True),
        ({"feeds": [{**FEED, "enabled": False}]}, False),
        ({"collections": [{"name": "jokes", "url": "https://example.org/jokes.csv"}]}, True),
        ({"offices": {"HNB": {}}}, True),
        ({"mirror": "https://mirror.example.org", "works": [76]}, True),
        ({"mirror": "a/folder/of/books", "works": [76]}, False),
    ],
)
def test_a_door_is_live_where_somebody_is_asked_over_the_net(settings: dict, live: bool) -> None:
    assert has_live_door(SourceSettings.model_validate(settings)) is live


def test_a_profile_without_the_net_has_no_schedule_and_no_policy() -> None:
    for name in ("tiny", "sample"):
        assert (live_sources(load(name)), schedules_of(load(name)), policies_of(load(name))) == ([], [], {})


def test_each_live_source_has_a_schedule_that_only_looks_and_is_off() -> None:
    found = {schedule.name: schedule for schedule in schedules_of(load("full"))}
    assert set(found) == {"look_at_weather", "look_at_gutenberg"}  # its feed is named and switched off
    assert {schedule.job_name for schedule in found.values()} == {"observe_weather", "observe_gutenberg"}
    assert {schedule.default_status for schedule in found.values()} == {dg.DefaultScheduleStatus.STOPPED}


def test_a_feed_that_is_switched_on_is_looked_at_every_six_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "live_sources", lambda _: ["satire"])
    assert [schedule.cron_schedule for schedule in schedules_of(load("full"))] == ["15 */6 * * *"]


def test_silent_weather_is_late_after_two_days_and_stale_after_four_and_books_never_are() -> None:
    policies = policies_of(load("full"))
    assert set(policies) == {keys.key("corpora/weather")}
    assert policies[keys.key("corpora/weather")] == dg.FreshnessPolicy.time_window(
        fail_window=timedelta(days=4), warn_window=timedelta(days=2)
    )


def test_every_pace_leaves_room_for_two_missed_looks_before_a_source_counts_as_late() -> None:
    every = {"weather": timedelta(days=1), "satire": timedelta(hours=6)}
    for source, between in every.items():
        assert 2 * between <= PACES[source].late < PACES[source].stale


def test_settings_are_recorded_once_and_then_only_what_changed() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = runner.observe_settings(instance)
        assert {Item("sources/lexicon"), Item("sources/settings_chunking"), Item("sources/units")} <= set(first)
        assert runner.observe_settings(instance) == []
        instance.add_dynamic_partitions(UNITS["local"].name, ["river"])
        assert runner.observe_settings(instance) == [Item("sources/units")]
