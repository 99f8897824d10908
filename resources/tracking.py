"""Experiment tracking in MLflow: one finished run per training or evaluation, tagged with where it came from, and a
registry of the adapters that trainings left.

MLflow is imported when the first run is logged (9 s), its telemetry off. The store is sqlite under the home unless a
tracking server is named: MLflow refuses the plain file store. What is worth logging, the caller decides.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

import dagster as dg

from resources.home import PROJECT
from twainbot.errors import SourceUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_PARAM_LIMIT = 500  # characters of a parameter's value that every MLflow store accepts
_BATCH = 900  # metrics per request; servers refuse more than 1000
_NAMES = 90  # params or tags per request; servers refuse more than 100
_DIGEST = 36  # characters of a data set's digest that MLflow keeps
# A request's tries, seconds apart 2, 4 and 8. By MLflow's own defaults a server that is down holds a training for four minutes.
_TRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
GIT_COMMIT = "mlflow.source.git.commit"  # the tag that MLflow's own runs have

Point: TypeAlias = tuple[int, float] | tuple[int, float, int]  # step, value and, where it is known, Unix milliseconds


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


@dataclass(frozen=True)
class Data:
    """A table that a run read."""

    name: str
    digest: str  # of its content; MLflow shows the first 36 characters
    source: str  # the asset that made it
    context: str = "training"


@dataclass(frozen=True)
class Registered:
    """A version of a model in the registry."""

    name: str
    version: str
    is_new: bool  # False: these weights had one already


class Tracker(dg.ConfigurableResource[None]):
    """Writes runs to `tracking_uri`, by default a sqlite file in `folder`. An experiment per profile is usual."""

    folder: str  # holds mlflow.db and artifacts/
    experiment: str = "twainbot"
    tracking_uri: str = ""  # MLFLOW_TRACKING_URI; empty: sqlite in `folder`
    ui_url: str = "http://127.0.0.1:5000"  # where `mlflow ui` would show a local store

    @contextmanager
    def answering(self) -> Iterator[None]:
        """What is said to the server within ends in SourceUnavailable where it does not answer."""
        _settle()
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            if not str(error).startswith("API request to"):
                raise
            code = re.search(r"error code (\d{3})", str(error))
            why = f"it answers {code[1]}" if code else "no answer"
            raise SourceUnavailable(
                f"The tracking server {self._server()} took nothing ({why}). Start it, or unset MLFLOW_TRACKING_URI for the "
                "file under the home, then run again: training goes on from its last checkpoint."
            ) from error

    def log_run(
        self,
        name: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[Point]] | None = None,
        artifacts: Sequence[Path] = (),
        texts: Mapping[str, str] | None = None,
        data: Sequence[Data] = (),
        tags: Mapping[str, str] | None = None,
        origin: Origin | None = None,
    ) -> TrackedRun:
        """Log one finished run and return its id and address.

        curves: points by metric name; those of names that begin with `system/` MLflow shows as system metrics.
        artifacts: files or folders, copied. texts: artifacts by path, given as their text. Nested params are flattened
        to `a.b`; a value beyond 500 characters is cut, as MLflow would refuse it. Metrics that are no number are left out.
        """
        client = self._client()
        experiment = self._experiment(client)
        named = {"mlflow.runName": name, **_commit_tag(), **(tags or {}), **(origin.tags() if origin else {})}
        run_id: str = client.create_run(experiment, tags=named).info.run_id
        _log_params(client, run_id, params)
        points = _points(metrics, curves or {})
        for start in range(0, len(points), _BATCH):
            client.log_batch(run_id, metrics=points[start : start + _BATCH])
        _log_data(client, run_id, data)
        for path in artifacts:
            _log_artifact(client, run_id, path)
        _log_texts(client, run_id, texts or {})
        client.set_terminated(run_id)
        return TrackedRun(run_id, f"{self._server()}/#/experiments/{experiment}/runs/{run_id}")

    def register(
        self, name: str, run: TrackedRun, folder: str, *, alias: str, sha256: str, tags: Mapping[str, str] | None = None
    ) -> Registered:
        """Make the adapter a version of the registered model `name`, under an alias; weights that have one keep it.

        folder: where the adapter lies among the run's artifacts, or an address elsewhere. name: without `/` and `:`.
        sha256: of the weights; equal weights of another stage are a version of their own.
        """
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            client.create_registered_model(
                name, description="One adapter per training stage; an alias names its stage."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = client.search_model_versions(
            f"name = '{name}' and tag.adapter_sha256 = '{sha256}' and tag.stage = '{alias}'"
        )
        if known:
            found = max(known, key=lambda version: int(version.version))
        else:
            # Not runs:/..., which the client resolves by a tracking address of its own.
            artifacts = client.get_run(run.run_id).info.artifact_uri
            source = folder if "://" in folder else f"{artifacts}/{folder}"
            labels = {**(tags or {}), "adapter_sha256": sha256, "stage": alias}
            found = client.create_model_version(name, source, run.run_id, tags=labels)
        client.set_registered_model_alias(name, alias, str(found.version))
        return Registered(name, str(found.version), not known)

    def release(
        self, name: str, release: str, *, of: tuple[str, str], alias: str, tags: Mapping[str, str] | None = None
    ) -> Registered:
        """Make a release a version of the registered model `name`, under `alias` and under its own name, dots replaced.

        of: registered model and sha256 of the weights that were released; their newest version's run and artifacts are
        the release's. A release that has a version keeps it.
        """
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            client.create_registered_model(name, description="One version per release.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = client.search_model_versions(f"name = '{name}' and tag.release = '{release}'")
        found = max(known, key=lambda version: int(version.version)) if known else None
        if found is None:
            adapter, sha256 = of
            trained = client.search_model_versions(f"name = '{adapter}' and tag.adapter_sha256 = '{sha256}'")
            newest = max(trained, key=lambda version: int(version.version)) if trained else None
            kept = newest.source if newest else None
            labels = {**(tags or {}), "release": release, "adapter_sha256": sha256}
            source = str(kept or f"lake://{(tags or {}).get('folder', release)}")
            found = client.create_model_version(name, source, newest.run_id if newest else None, tags=labels)
        for each in (alias, release.replace(".", "_")):
            client.set_registered_model_alias(name, each, str(found.version))
        return Registered(name, str(found.version), not known)

    def model_url(self, version: Registered) -> str:
        """Where the UI shows a version."""
        return f"{self._server()}/#/models/{version.name}/versions/{version.version}"

    def _client(self) -> MlflowClient:
        _settle()
        from mlflow import MlflowClient

        Path(self.folder).mkdir(parents=True, exist_ok=True)
        uri, login = parted(self._uri())
        os.environ.update(login)
        return MlflowClient(tracking_uri=uri)

    def _uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{Path(self.folder).resolve() / 'mlflow.db'}"

    def _server(self) -> str:
        """The server's address for people. A password in it stays out: this goes into metadata."""
        uri = self._uri()
        return without_login(uri).rstrip("/") if uri.startswith("http") else self.ui_url

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


def _settle() -> None:
    """What MLflow reads from the environment, the first of these at its import."""
    for name, value in {"MLFLOW_DISABLE_TELEMETRY": "true", **_TRIES}.items():
        os.environ.setdefault(name, value)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"lora": {"r": 16}} to {"lora.r": 16}, depth first, in order."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _points(metrics: Mapping[str, float], curves: Mapping[str, Sequence[Point]]) -> list[Metric]:
    """Metrics at step 0 and the curves' points, stamped in milliseconds with their own time or the present one."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    single = [Metric(name, float(value), now, 0) for name, value in metrics.items() if _is_number(value)]
    return single + [
        Metric(name, float(point[1]), point[2] if len(point) > 2 else now, int(point[0]))
        for name, curve in curves.items()
        for point in curve
    ]


def parted(uri: str) -> tuple[str, dict[str, str]]:
    """A server's address without `user:password@`, and the variables by which MLflow learns these instead.

    With the login in its address MLflow would quote it in every error, which Dagster keeps. Other addresses stay whole.
    """
    found = urlsplit(uri)
    if found.scheme not in ("http", "https") or found.username is None:
        return uri, {}
    login = {
        "MLFLOW_TRACKING_USERNAME": unquote(found.username),
        "MLFLOW_TRACKING_PASSWORD": unquote(found.password or ""),
    }
    return without_login(uri), login


def without_login(uri: str) -> str:
    """The address without `user:password@`."""
    scheme, mark, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _commit_tag() -> dict[str, str]:
    """The clone's commit, `-dirty` behind it where files differ; nothing where the code is no clone."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {GIT_COMMIT: done.stdout.strip()}


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    flat = [Param(key, str(value)[:_PARAM_LIMIT]) for key, value in flatten(params).items()]
    for start in range(0, len(flat), _NAMES):
        client.log_batch(run_id, params=flat[start : start + _NAMES])


def _log_data(client: MlflowClient, run_id: str, data: Sequence[Data]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(each.name, each.digest[:_DIGEST], source_type="code", source=each.source),
            [InputTag("mlflow.data.context", each.context), InputTag("content_sha256", each.digest)],
        )
        for each in data
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def _log_texts(client: MlflowClient, run_id: str, texts: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # MlflowClient.log_text would go to the global tracking address
        for name, text in texts.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if texts:
            client.log_artifacts(run_id, folder)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _log_artifact(client: MlflowClient, run_id: str, path: Path) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), path.name)
    else:
        client.log_artifact(run_id, str(path))
