"""Sensors: look for new and changed units on schedule. `twainbot refresh` does the same on demand."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from resources.sources import Harvest
from twainbot.errors import TwainBotError
from twainbot_assets import alerting
from twainbot_assets.automation import observe_jobs
from twainbot_assets.partitions import register
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.runner import observe_settings
from twainbot_assets.schedules import live_sources

EVERY_S = 3600
SETTINGS_EVERY_S = 60  # some thirty small files are hashed


@dg.sensor(
    jobs=list(observe_jobs.values()), minimum_interval_seconds=EVERY_S, default_status=dg.DefaultSensorStatus.STOPPED,
    description="Registers new units of this machine's folders, drops vanished ones, and starts a run per source that records "
    "what changed. Sources over the net have schedules.",
)  # fmt: skip
def source_watcher(context: dg.SensorEvaluationContext, harvest: Harvest) -> Iterator[dg.RunRequest]:
    """Register units and start a run for each source that no schedule looks at."""
    live = live_sources(current())  # these have schedules
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    for source in SOURCES:
        if source in live:
            continue
        try:
            if not harvest.is_live(source):  # those over the net are registered by the run: a sensor has a minute
                added, removed = register(context.instance, source, harvest.units(source))
                context.log.info(f"{source}: {len(added)} new units, {len(removed)} gone")
        except TwainBotError as error:
            context.log.error(f"{source}: {error}")  # one source at fault does not stop the others
            continue
        if harvest.door(source) is not None:
            yield dg.RunRequest(run_key=f"{source}-{hour}", job_name=observe_jobs[source].name)


@dg.sensor(
    minimum_interval_seconds=SETTINGS_EVERY_S, default_status=dg.DefaultSensorStatus.STOPPED,
    description="Records what changed in settings, recipes, watched files, reviews and the sets of units, batches and recipes. "
    "Starts no run.",
)  # fmt: skip
def settings_watcher(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Record the versions of all that is no unit, where they differ from those last seen."""
    changed = observe_settings(context.instance)
    return dg.SkipReason(f"changed: {', '.join(map(str, changed))}" if changed else "nothing changed")


sensors = [source_watcher, settings_watcher, *alerting.sensors]
