"""Sensors: look for new and changed units on schedule. `twainbot refresh` does the same on demand."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from resources.sources import Harvest
from twainbot.errors import TwainBotError
from twainbot_assets import alerting
from twainbot_assets.automation import observe_jobs
from twainbot_assets.partitions import register
from twainbot_assets.profile import SOURCES

EVERY_S = 3600  # mirrors ask for patience, and books seldom change


@dg.sensor(
    jobs=list(observe_jobs.values()), minimum_interval_seconds=EVERY_S, default_status=dg.DefaultSensorStatus.STOPPED,
    description="Registers new units, drops vanished ones, and starts a run per source that records what changed.",
)  # fmt: skip
def source_watcher(context: dg.SensorEvaluationContext, harvest: Harvest) -> Iterator[dg.RunRequest]:
    """Register units of this machine, and start a run for each source, which registers the others and fetches."""
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    for source in SOURCES:
        if harvest.door(source) is None:
            continue
        try:
            if not harvest.is_live(source):  # those over the net are registered by the run: a sensor has a minute
                added, removed = register(context.instance, source, harvest.units(source))
                context.log.info(f"{source}: {len(added)} new units, {len(removed)} gone")
        except TwainBotError as error:
            context.log.error(f"{source}: {error}")  # one source at fault does not stop the others
            continue
        yield dg.RunRequest(run_key=f"{source}-{hour}", job_name=observe_jobs[source].name)


sensors = [source_watcher, *alerting.sensors]
