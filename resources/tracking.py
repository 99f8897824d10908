"""Experiment tracking in MLflow: one finished run per training or evaluation, tagged with where it came from.

MLflow is imported when the first run is logged (9 s), its telemetry off. The store is sqlite under the home unless a
tracking server is named: MLflow refuses the plain file store. What is worth logging, the caller decides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_PARAM_LIMIT = 500  # characters of a parameter's value that every MLflow store accepts
_BATCH = 900  # metrics per request; servers refuse more than 1000


@dataclass(frozen=True)
class TrackedRun:
    """A run in MLflow."""

    run_id: str
    url: str  # for the UI; for a sqlite store the address that `mlflow ui` gives it


@dataclass(frozen=True)
class Origin:
    """The Dagster side of a run. An empty part is left out of the tags."""

    run_id: str = ""
    asset_key: str = ""
    partition_key: str = ""
    data_version: str = ""

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, data_version: str = "") -> Origin:
        """The origin of what an asset is materializing."""
        partition = context.partition_key if context.has_partition_key else ""
        return cls(context.run.run_id, context.asset_key.to_user_string(), partition, data_version)

    def tags(self) -> dict[str, str]:
        """MLflow tags, `dagster.<part>` each."""
        return {f"dagster.{name}": value for name, value in vars(self).items() if value}


class Tracker(dg.ConfigurableResource[None]):
    """Writes runs to `tracking_uri`, by default a sqlite file in `folder`. An experiment per profile is usual."""

    folder: str  # holds mlflow.db and artifacts/
    experiment: str = "twainbot"
    tracking_uri: str = ""  # MLFLOW_TRACKING_URI; empty: sqlite in `folder`
    ui_url: str = "http://127.0.0.1:5000"  # where `mlflow ui` would show a local store

    def log_run(
        self,
        name: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        artifacts: Sequence[Path] = (),
        tags: Mapping[str, str] | None = None,
        origin: Origin | None = None,
    ) -> TrackedRun:
        """Log one finished run and return its id and address.

        curves: points (step, value) by metric name. artifacts: files or folders, copied. Nested params are flattened to
        `a.b`; a value beyond 500 characters is cut, as MLflow would refuse it. Metrics that are no number are left out.
        """
        from mlflow.entities import Param, RunTag

        client = self._client()
        experiment = self._experiment(client)
        named = {"mlflow.runName": name, **(tags or {}), **(origin.tags() if origin else {})}
        run_id: str = client.create_run(experiment, tags=named).info.run_id
        flat = [Param(key, str(value)[:_PARAM_LIMIT]) for key, value in flatten(params).items()]
        client.log_batch(run_id, params=flat, tags=[RunTag(key, value) for key, value in named.items()])
        points = _points(metrics, curves or {})
        for start in range(0, len(points), _BATCH):
            client.log_batch(run_id, metrics=points[start : start + _BATCH])
        for path in artifacts:
            _log_artifact(client, run_id, path)
        client.set_terminated(run_id)
        return TrackedRun(run_id, f"{self._server()}/#/experiments/{experiment}/runs/{run_id}")

    def _client(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at import
        from mlflow import MlflowClient

        Path(self.folder).mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=self._uri())

    def _uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{Path(self.folder).resolve() / 'mlflow.db'}"

    def _server(self) -> str:
        uri = self._uri()
        return uri.rstrip("/") if uri.startswith("http") else self.ui_url

    def _experiment(self, client: MlflowClient) -> str:
        """The experiment's id; it is made on first use. A local store keeps artifacts beside its database."""
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        local = (Path(self.folder).resolve() / "artifacts").as_uri() if self._uri().startswith("sqlite") else None
        try:
            return str(client.create_experiment(self.experiment, artifact_location=local))
        except MlflowException:  # another process made it in between
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return str(found.experiment_id)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"lora": {"r": 16}} to {"lora.r": 16}, depth first, in order."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _points(metrics: Mapping[str, float], curves: Mapping[str, Sequence[tuple[int, float]]]) -> list[Metric]:
    """Metrics at step 0 and the curves' points, each stamped with the present time in milliseconds."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    single = [Metric(name, float(value), now, 0) for name, value in metrics.items() if _is_number(value)]
    return single + [
        Metric(name, float(value), now, int(step)) for name, curve in curves.items() for step, value in curve
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _log_artifact(client: MlflowClient, run_id: str, path: Path) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), path.name)
    else:
        client.log_artifact(run_id, str(path))
