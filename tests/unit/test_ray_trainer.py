"""A stage as a job of a real Ray cluster on this machine, bound to 127.0.0.1; skips where the extra `ray` is absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import dagster as dg
import pytest
import yaml
from test_trainer import materialize
from tiny_training import base, write_data

from resources import ray_trainer
from resources.ray_trainer import RayTrainer
from resources.trainer import Trainer, trainer_of
from tests import ray_cluster
from tests.ray_cluster import processes_of
from training import record
from training.command import Arguments
from training.config import CONFIGS
from twainbot.errors import BadInput, BadUse, UnknownName

TINY = CONFIGS / "tiny" / "default.yaml"
# An asset that trains on Ray, in a process that can be interrupted as a run is.
RUN = """
import sys
from pathlib import Path
import dagster as dg
from resources.ray_trainer import RayTrainer
address, config, data, base, out = sys.argv[1:]

@dg.asset
def adapter(context):
    RayTrainer(address=address).train(context, "dapt", Path(config), Path(data), Path(base), Path(out))

dg.materialize([adapter], instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)
"""


def test_the_environment_chooses_the_trainer():
    assert trainer_of("inline", {}).mode == "inline"
    found = trainer_of("subprocess", {"TWAINBOT_LAUNCHER": "torchrun --nproc-per-node=4 -m"})
    assert (type(found), found.launcher) == (Trainer, ["torchrun", "--nproc-per-node=4", "-m"])
    ray = trainer_of(
        "inline", {"TWAINBOT_TRAINER": "ray", "TWAINBOT_RAY_ADDRESS": "http://h:8265", "TWAINBOT_RAY_GPUS": "4"}
    )
    assert isinstance(ray, RayTrainer)
    assert (ray.address, ray.gpus, ray.cpus) == ("http://h:8265", 4.0, 1.0)


def test_an_unknown_trainer_and_a_bad_number_are_refused():
    with pytest.raises(UnknownName, match="TWAINBOT_TRAINER may be: subprocess, inline, ray"):
        trainer_of("subprocess", {"TWAINBOT_TRAINER": "slurm"})
    with pytest.raises(BadUse, match="TWAINBOT_RAY_GPUS='many' is no number"):
        trainer_of("subprocess", {"TWAINBOT_TRAINER": "ray", "TWAINBOT_RAY_GPUS": "many"})


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dagster_ray", None)
    with pytest.raises(BadUse, match=r"pip install -e '\.\[ray\]'"):
        ray_trainer.client("")


def test_without_the_extra_a_training_says_so_and_not_that_it_was_killed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dagster_ray", None)
    with pytest.raises(BadUse, match=r"needs dagster-ray"):
        materialize(RayTrainer(), tmp_path, tmp_path / "out")


def test_a_job_is_the_stages_command_line_and_needs(tmp_path):
    odd = tmp_path / "a b"
    job = RayTrainer(gpus=2).job("sft", Arguments(TINY, odd, odd, odd, token="t0"))
    assert job["entrypoint"].startswith(f"{sys.executable} -m training.sft {TINY} --data '{odd}'")
    assert job["entrypoint"].endswith("--token t0")  # nothing ties it to this process's life
    assert (job["entrypoint_num_gpus"], job["runtime_env"]["env_vars"]["HF_HUB_OFFLINE"]) == (2, "1")


@pytest.fixture(scope="module")
def cluster():
    """The dashboard address of a cluster of this test's own, ended with it."""
    pytest.importorskip("dagster_ray", reason="the extra `ray` is not installed")
    pytest.importorskip("ray.dashboard.dashboard", reason="ray is installed without its job server (ray[default])")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in ray_cluster.QUIET.items():
            patched.setenv(name, value)
        with ray_cluster.cluster() as running:
            yield running.address


def jobs(address: str):
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(address)


@pytest.mark.slow
def test_a_stage_trains_as_a_ray_job_and_its_progress_reaches_the_event_log(cluster, tmp_path):
    data = write_data(tmp_path / "data")
    result, lines = materialize(RayTrainer(address=cluster, threads=1), data, tmp_path / "out")
    loss = result.asset_materializations_for_node("adapter")[0].metadata["loss"].value
    assert loss == record.read(tmp_path / "out")["best_loss"]
    assert any("dapt step 1/1 loss" in line for line in lines)
    assert [str(job.status) for job in jobs(cluster).list_jobs()] == ["SUCCEEDED"]


@pytest.mark.slow
def test_a_ray_jobs_refusal_is_raised_here_as_the_same_error(cluster, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no dapt\.parquet"):
        materialize(RayTrainer(address=cluster, threads=1), tmp_path / "empty", tmp_path / "out")


@pytest.mark.slow
def test_a_job_that_cannot_start_is_a_failure(cluster, tmp_path):
    with pytest.raises(dg.Failure, match="without an error of its own"):
        materialize(RayTrainer(address=cluster, launcher=["false"]), tmp_path, tmp_path / "out")


@pytest.mark.slow
def test_an_interrupted_run_stops_its_job(cluster, tmp_path, root):
    data, out = write_data(tmp_path / "data"), tmp_path / "out"
    raw = yaml.safe_load(TINY.read_text())
    raw["dapt"].update(epochs=100_000, max_steps=None)
    config = tmp_path / "tiny" / "endless.yaml"
    config.parent.mkdir()
    config.write_text(yaml.safe_dump(raw))
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, cluster, str(config), str(data), str(base()), str(out)],
        cwd=root, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoints/*/checkpoint-*")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    run.wait(120)
    job = next(job for job in jobs(cluster).list_jobs() if str(out) in job.entrypoint)
    assert str(job.status) == "STOPPED"
    deadline = time.monotonic() + 30
    while (left := [pid for pid in processes_of(str(out)) if pid != run.pid]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
    assert not (out / "record.json").exists()


@pytest.mark.slow
def test_nothing_of_the_cluster_listens_beyond_this_machine(cluster):
    listening = ray_cluster.Cluster(cluster, "/tmp/ray-").listeners()
    assert listening
    assert listening <= ray_cluster.LOOPBACK
