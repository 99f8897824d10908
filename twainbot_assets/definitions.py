"""The code location: assets, checks, resources, jobs and sensors of the profile that TWAINBOT_PROFILE names.

Heavy libraries are imported inside the functions that need them: this module loads in about the time of Dagster itself.
"""

from __future__ import annotations

import gc

import dagster as dg

import twainbot_assets.uncollected  # noqa: F401  (the first of ours)
from resources.folders import Folders
from resources.home import current as current_home
from resources.home import export
from resources.lake import LakeIOManager, LakeResource
from resources.patience import wait_for_locks
from resources.sources import Harvest
from resources.tracking import Tracker
from resources.trainer import trainer_of
from twainbot_assets import (
    adapters,
    automation,
    base,
    boundaries,
    chunks,
    conditions,
    corpora,
    curated,
    dataset_release,
    dedupe,
    dialogues,
    engines,
    evals,
    labels,
    lineage,
    mixtures,
    personas,
    release,
    routing,
    schedules,
    screened,
    semantic,
    sensors,
    sources,
    splits,
    steps,
    warehouse,
)
from twainbot_assets.profile import current

profile, home = current(), current_home()
export(home)
wait_for_locks()  # here, because run workers, steps and code servers all come by
harvest = Harvest(
    settings={name: settings.model_dump(mode="json", exclude_none=True) for name, settings in profile.sources.items()},
    raw=str(home.raw),
)
folders = Folders(
    models=str(home.models),
    cache=str(home.cache),
    work=str(home.work),
    reports=str(home.reports),
    reviews=str(home.reviews),
    ratings=str(home.ratings),
    warehouse=str(home.warehouse),
)
lake = LakeResource(base=home.lake)
stages = (
    sources,
    base,
    corpora,
    chunks,
    screened,
    dedupe,
    semantic,
    curated,
    dialogues,
    splits,
    adapters,
    mixtures,
    routing,
    evals,
    personas,
    dataset_release,
    release,
    warehouse,
    lineage,
)

assets = [asset for stage in stages for asset in stage.assets]

defs = dg.Definitions(
    assets=labels.labelled(assets, conditions.operated(assets, profile)),
    asset_checks=boundaries.checks,
    jobs=automation.jobs,
    schedules=schedules.schedules_of(profile),
    sensors=[*sensors.sensors, conditions.sensor],
    executor=engines.executor_of() or steps.executor,
    resources={
        "io_manager": LakeIOManager(base=home.lake),
        "lake": lake,
        "harvest": harvest,
        "folders": folders,
        "trainer": trainer_of(profile.trainer),
        "tracker": Tracker(
            folder=str(home.own / "mlflow"),
            tracking_uri=dg.EnvVar("MLFLOW_TRACKING_URI"),  # by name: it may hold a password, and config is stored
            experiment=f"twainbot-{profile.name}",
        ),
    },
)
gc.enable()
