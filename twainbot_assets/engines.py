"""Where the steps of a run are executed: in this machine's processes, or as jobs of a Ray cluster (TWAINBOT_EXECUTOR=ray).

The definitions are the same. A job on Ray has a parent that no signal of ours reaches: killed with its run it goes on, and
what keeps it from committing is the lake's fence alone. Secrets do not travel with a job, whose environment Ray shows to
whoever sees its dashboard: the cluster's machines have them in their own.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from twainbot.errors import BadUse, UnknownName

if TYPE_CHECKING:
    from dagster._core.definitions.reconstruct import ReconstructableJob

ENGINES = ("processes", "ray")
# What a step must see as the process that ordered it does. PATH: Ray starts `dagster` by its bare name.
CARRIED = (
    "PATH", "PYTHONPATH", "PYTHONWARNINGS", "DAGSTER_HOME", "DAGSTER_STATE_DIR", "DAGSTER_LOG_DIR", "MLFLOW_TRACKING_URI",
    "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ALLOW_HTTP", "HF_HUB_OFFLINE", "OMP_NUM_THREADS",
    "POLARS_MAX_THREADS",
)  # fmt: skip
SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|ALERT|POSTGRES_URL")
USER_IN_URL = re.compile(r"://[^/@]*:[^/@]*@")


def engine(environment: Mapping[str, str] = os.environ) -> str:
    """The engine that TWAINBOT_EXECUTOR names. Raises UnknownName for another."""
    chosen = environment.get("TWAINBOT_EXECUTOR") or ENGINES[0]
    if chosen not in ENGINES:
        raise UnknownName(f"Unknown executor {chosen!r}. TWAINBOT_EXECUTOR may be: {', '.join(ENGINES)}.")
    return chosen


def executor_of(environment: Mapping[str, str] = os.environ) -> dg.ExecutorDefinition | None:
    """The executor of every job; None: Dagster's default. Raises BadUse where the extra is missing."""
    return ray_steps(environment) if engine(environment) == "ray" else None


def ray_steps(environment: Mapping[str, str]) -> dg.ExecutorDefinition:
    """dagster-ray's executor on the cluster that TWAINBOT_RAY_ADDRESS names."""
    try:
        dagster_ray: Any = importlib.import_module("dagster_ray")
    except ImportError as error:
        raise BadUse("TWAINBOT_EXECUTOR=ray needs dagster-ray. Install the extra: pip install -e '.[ray]'.") from error
    settings: dict[str, Any] = {
        "num_cpus": _number(environment, "TWAINBOT_RAY_STEP_CPUS", 1.0),  # without it a job of Ray waits for nothing
        "num_gpus": _number(environment, "TWAINBOT_RAY_STEP_GPUS", 0.0),
        "env_vars": carried(environment),
    }
    address = environment.get("TWAINBOT_RAY_ADDRESS")
    found: dg.ExecutorDefinition = dagster_ray.ray_executor.configured(
        {"ray": {**settings, **({"address": address} if address else {})}}, name="ray_steps"
    )
    return found


def carried(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables that go with a job: those that shape a run, less whatever holds a secret."""
    wanted = [name for name in environment if name in CARRIED or name.startswith("TWAINBOT_")]
    return sorted(name for name in wanted if not SECRET.search(name) and not USER_IN_URL.search(environment[name]))


def graph_job(module: str = "twainbot_assets.definitions") -> ReconstructableJob:
    """All assets of the module's `defs` as one job, by names that a step's process can look up.

    Not dg.reconstructable: around a job of assets it builds a repository without the assets, and raises.
    """
    from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    return ReconstructableRepository.for_module(module, "defs").get_reconstructable_job(IMPLICIT_ASSET_JOB_NAME)


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    said = environment.get(name) or default
    try:
        return float(said)
    except ValueError as error:
        raise BadUse(f"{name}={said!r} is no number. Set it to what a step needs, such as {default:g}.") from error
