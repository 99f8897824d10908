"""Schedules that look at sources over the net, each at its own pace, and when the UI calls such a source stale.

Only sources with an open door in the profile have one. A schedule records what changed and builds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from twainbot_assets import keys
from twainbot_assets.automation import observe_jobs
from twainbot_assets.profile import Profile, SourceSettings


@dataclass(frozen=True)
class Pace:
    """How often a source is looked at, and after how long without anything new it counts as late and as stale.

    No `stale` where a source may well give nothing for months: a book does not change.
    """

    cron: str  # UTC
    late: timedelta | None = None
    stale: timedelta | None = None


# Offices write every day; a feed keeps its last ten items or so, and six hours lose none of a busy one.
PACES = {
    "weather": Pace("30 5 * * *", timedelta(days=2), timedelta(days=4)),
    "satire": Pace("15 */6 * * *", timedelta(days=3), timedelta(days=7)),
    "jokes": Pace("45 4 * * 1"),
    "gutenberg": Pace("0 4 * * 1"),
}


def has_live_door(settings: SourceSettings) -> bool:
    """Whether the profile asks somebody over the net for this source: a mirror, a feed, a collection, an office."""
    named = [entry for entry in (*settings.feeds, *settings.collections) if entry.enabled]
    return bool(named or settings.offices or (settings.mirror or "").startswith("http"))


def live_sources(profile: Profile) -> list[str]:
    """Sources with a live door, in the order of their paces."""
    return [name for name in PACES if name in profile.sources and has_live_door(profile.sources[name])]


def look(source: str) -> dg.ScheduleDefinition:
    """The schedule of one source, off until switched on."""
    return dg.ScheduleDefinition(
        name=f"look_at_{source}",
        job=observe_jobs[source],
        cron_schedule=PACES[source].cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Fetches what {source} has new and records it; builds nothing.",
    )


def schedules_of(profile: Profile) -> list[dg.ScheduleDefinition]:
    """A schedule for each live source."""
    return [look(source) for source in live_sources(profile)]


def policies_of(profile: Profile) -> dict[dg.AssetKey, dg.FreshnessPolicy]:
    """Freshness policies of what live sources fill: late, then stale, by the time since a unit was last made.

    Dagster asks for materializations, not for observations, so the works carry the policy and not the raw units.
    """
    found: dict[dg.AssetKey, dg.FreshnessPolicy] = {}
    for source in live_sources(profile):
        pace = PACES[source]
        if pace.stale is not None:
            policy = dg.FreshnessPolicy.time_window(fail_window=pace.stale, warn_window=pace.late)
            found[keys.key(f"corpora/{source}")] = policy
    return found
