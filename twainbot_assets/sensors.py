"""Sensors: look for new and changed units on schedule. `twainbot refresh` does the same on demand."""

from collections.abc import Iterator

import dagster as dg

from resources.sources import Harvest
from twainbot_assets import runner
from twainbot_assets.partitions import register
from twainbot_assets.profile import SOURCES

EVERY_S = 3600  # mirrors ask for patience, and books seldom change


@dg.sensor(minimum_interval_seconds=EVERY_S, default_status=dg.DefaultSensorStatus.STOPPED,
           description="Registers new units, drops vanished ones, and records what changed. Builds nothing.")  # fmt: skip
def source_watcher(context: dg.SensorEvaluationContext, harvest: Harvest) -> Iterator[dg.SkipReason]:
    """Register units and report data versions of what changed."""
    changes = {source: register(context.instance, source, harvest.units(source)) for source in SOURCES}
    new = [unit for added, _ in changes.values() for unit in added]
    seen = runner.observe(context.instance)
    yield dg.SkipReason(f"{len(new)} new units, {len(seen)} source items changed. Run `twainbot refresh` to rebuild.")


sensors = [source_watcher]
