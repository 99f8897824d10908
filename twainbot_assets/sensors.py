"""Sensors: look for new and changed units on schedule. `twainbot refresh` does the same on demand."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from resources.sources import Harvest
from twainbot.errors import TwainBotError
from twainbot_assets.automation import observe_jobs
from twainbot_assets.partitions import register
from twainbot_assets.profile import SOURCES

EVERY_S = 3600  # mirrors ask for patience, and books seldom change


@dg.sensor(
    jobs=list(observe_jobs.values()), minimum_interval_seconds=EVERY_S, default_status=dg.DefaultSensorStatus.STOPPED,
    description="Registers new units, drops vanished ones, and starts a run per source that records what changed.",
)  # fmt: skip
def source_watcher(context: dg.SensorEvaluationContext, harvest: Harvest) -> Iterator[dg.RunRequest]:
    """Register units; fetching may take minutes at two seconds a request, so it is done in runs, not in the sensor."""
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    for source in SOURCES:
        if harvest.door(source) is None:
            continue
        try:
            added, removed = register(context.instance, source, harvest.units(source))
        except TwainBotError as error:
            context.log.error(f"{source}: {error}")  # one source at fault does not stop the others
            continue
        context.log.info(f"{source}: {len(added)} new units, {len(removed)} gone")
        yield dg.RunRequest(run_key=f"{source}-{hour}", job_name=observe_jobs[source].name)


sensors = [source_watcher]
