"""The tracker's door on Weights & Biases: `pip install wandb`, and this class in twainbot_assets/definitions.py.

    "tracker": WandbTracker(folder=str(home.own / "wandb"), experiment=f"twainbot-{profile.name}"),

WANDB_API_KEY comes from the environment, as wandb reads it; WANDB_MODE=offline keeps everything on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from typing_extensions import override

from resources.tracking import Data, Origin, Point, Registered, TrackedRun, Tracker


class WandbTracker(Tracker):
    """Runs, curves, data and adapters as W&B has them: config, summary, history and artifacts with aliases."""

    @override
    def log_run(
        self, name: str, *, params: Mapping[str, Any], metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[Point]] | None = None, artifacts: Sequence[Path] = (),
        texts: Mapping[str, str] | None = None, data: Sequence[Data] = (),
        tags: Mapping[str, str] | None = None, origin: Origin | None = None,
    ) -> TrackedRun:  # fmt: skip
        """One finished run."""
        config = {**params, **(tags or {}), **(origin.tags() if origin else {}), "data": [vars(each) for each in data]}
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with wandb.init(project=self.experiment, name=name, dir=folder, config=config, reinit="create_new") as run:
            by_step: dict[int, dict[str, float]] = {}  # W&B's steps only grow: all curves of a step in one call
            for metric, points in (curves or {}).items():
                for step, value, *_ in points:
                    by_step.setdefault(int(step), {})[metric] = value
            for step, values in sorted(by_step.items()):
                run.log(values, step=step)
            run.summary.update(dict(metrics))
            for path in artifacts:
                artifact = wandb.Artifact(path.name, type="adapter", metadata=dict(tags or {}))
                (artifact.add_dir if path.is_dir() else artifact.add_file)(str(path))
                run.log_artifact(artifact, aliases=[str((tags or {}).get("stage", "latest"))])
            for title, text in (texts or {}).items():
                (Path(run.dir) / title).write_text(text, encoding="utf-8")  # what lies there is uploaded with the run
            return TrackedRun(run.id, run.url or "")

    @override
    def register(
        self, name: str, run: TrackedRun, folder: str, *, alias: str, sha256: str, tags: Mapping[str, str] | None = None
    ) -> Registered:
        """The artifact and its alias are the version already: W&B gives equal files one version."""
        return Registered(name, sha256[:12], is_new=True)

    @override
    def release(
        self, name: str, release: str, *, of: tuple[str, str], alias: str, tags: Mapping[str, str] | None = None
    ) -> Registered:
        """A short run of its own, called as the release, which names the weights that were released."""
        adapter, sha256 = of
        config = {**(tags or {}), "registered_model": name, "adapter": adapter, "adapter_sha256": sha256}
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with wandb.init(
            project=self.experiment, name=release, job_type="release", tags=[alias], dir=folder, config=config,
            reinit="create_new",
        ):  # fmt: skip
            return Registered(name, release, is_new=True)

    @override
    def model_url(self, version: Registered) -> str:
        """W&B's addresses need an account; the run's page lists the artifact."""
        return "https://wandb.ai"
