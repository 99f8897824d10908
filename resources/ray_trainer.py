"""A stage as a job of a Ray cluster, through dagster-ray's Pipes client: the same script, the same record, another machine.

The cluster's machines see this one's folders under the same paths (TWAINBOT_HOME and the clone on shared storage) and have
the same packages. The job is stopped with the run that waits for it. Where that run is killed instead, the job goes on,
no parent's death reaches it, and the token that it was ordered under keeps it from publishing once a newer one is.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Mapping
from typing import Any

import dagster as dg
from typing_extensions import override

from resources.trainer import Trainer
from training.command import Arguments
from twainbot.errors import BadUse


class RayTrainer(Trainer):
    """Runs `training.<stage>` as a Ray job.

    address: of Ray's dashboard (`http://host:8265`), not of its GCS port; empty: what RAY_ADDRESS says. gpus, cpus: what
    the job's machine must have free.
    """

    address: str = ""
    gpus: float = 0.0
    cpus: float = 1.0

    @override
    def _outside(self, context: dg.AssetExecutionContext, stage: str, arguments: Arguments) -> None:
        client(self.address).run(context=context, submit_job_params=self.job(stage, arguments))

    def job(self, stage: str, arguments: Arguments) -> Any:
        """What is submitted: command line, environment and needs. No file travels: the storage is shared."""
        return {
            "entrypoint": shlex.join(self.stage_command(stage, arguments)),
            "entrypoint_num_cpus": self.cpus,
            "entrypoint_num_gpus": self.gpus,
            "runtime_env": {"env_vars": self.environment()},
        }


def client(address: str) -> Any:
    """dagster-ray's Pipes client. Raises BadUse, naming the extra, where it is not installed."""
    try:
        dagster_ray = importlib.import_module("dagster_ray")
    except ImportError as error:
        raise BadUse("The trainer `ray` needs dagster-ray. Install the extra: pip install -e '.[ray]'.") from error
    return dagster_ray.PipesRayJobClient(address=address or None)


def ray_trainer(launcher: list[str], environment: Mapping[str, str]) -> RayTrainer:
    """The trainer that TWAINBOT_RAY_ADDRESS, TWAINBOT_RAY_GPUS and TWAINBOT_RAY_CPUS describe."""
    return RayTrainer(
        launcher=launcher,
        address=environment.get("TWAINBOT_RAY_ADDRESS", ""),
        gpus=_number(environment, "TWAINBOT_RAY_GPUS", 0.0),
        cpus=_number(environment, "TWAINBOT_RAY_CPUS", 1.0),
    )


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    said = environment.get(name) or default
    try:
        return float(said)
    except ValueError as error:
        raise BadUse(f"{name}={said!r} is no number. Set it to what a training needs, such as {default:g}.") from error
