"""The same definitions elsewhere: which engine, what travels with a step, and real runs on PostgreSQL, S3 and Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from benchmarks import scaleout
from tests import postgres_server, ray_cluster
from twainbot.errors import BadUse, UnknownName
from twainbot_assets import engines

# A job of one slow asset on the lake, as a step of a real run: it says that it began, and waits until it may end.
SLOWLY = """
import os, socket, sys, time
from pathlib import Path
import dagster as dg
from resources.lake import LakeIOManager
from twainbot_assets import engines
from twainbot_assets.runner import HOST_TAG, PID_TAG

signs = Path(os.environ["TWAINBOT_SIGNS"])

@dg.asset(key=["rain", "slowly"])
def slowly():
    import polars as pl
    (signs / "began").touch()
    while not (signs / "go").exists():
        time.sleep(0.1)
    return pl.DataFrame({"inches": [1]})

defs = dg.Definitions(
    assets=[slowly], executor=engines.executor_of(),
    resources={"io_manager": LakeIOManager(base=os.environ["TWAINBOT_LAKE"])},
)

if __name__ == "__main__":
    instance = dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
    tags = {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}
    sys.exit(not dg.execute_job(engines.graph_job("slowly"), instance, tags=tags).success)
"""


def test_processes_are_the_default_and_need_nothing():
    assert engines.engine({}) == "processes"
    assert engines.executor_of({}) is None


def test_an_unknown_engine_and_a_bad_number_are_refused():
    with pytest.raises(UnknownName, match="TWAINBOT_EXECUTOR may be: processes, ray"):
        engines.executor_of({"TWAINBOT_EXECUTOR": "slurm"})
    pytest.importorskip("dagster_ray", reason="pip install -e '.[ray]'")
    with pytest.raises(BadUse, match="TWAINBOT_RAY_STEP_CPUS='many' is no number"):
        engines.executor_of({"TWAINBOT_EXECUTOR": "ray", "TWAINBOT_RAY_STEP_CPUS": "many"})


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dagster_ray", None)
    with pytest.raises(BadUse, match=r"pip install -e '\.\[ray\]'"):
        engines.executor_of({"TWAINBOT_EXECUTOR": "ray"})


def test_what_shapes_a_run_travels_with_its_steps_and_no_secret_does():
    plain = {"PATH": "/bin", "TWAINBOT_LAKE": "s3://lake/tiny", "TWAINBOT_PROFILE": "tiny", "AWS_REGION": "x"}
    secret = {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "TWAINBOT_LLM_API_KEY": "c", "OPENAI_API_KEY": "d",
        "TWAINBOT_POSTGRES_URL": "postgresql://u@h/d", "TWAINBOT_ALERT_URL": "https://hooks.example/e",
        "TWAINBOT_GUTENBERG_URL": "https://reader:rain@mirror.example/", "HOME": "/root",
    }  # fmt: skip
    assert engines.carried({**plain, **secret}) == sorted(plain)


def test_the_postgres_instance_differs_from_the_clones_in_its_storage_alone(root):
    here, there = (
        yaml.safe_load(path.read_text()) for path in (root / "dagster.yaml", root / "deploy" / "postgres" / "dagster.yaml")
    )  # fmt: skip
    assert there.pop("storage") == {"postgres": {"postgres_url": {"env": "TWAINBOT_POSTGRES_URL"}}}
    here.pop("storage")
    assert there == here


def test_the_comparison_names_what_differs_and_what_one_side_lacks():
    assert scaleout.compared({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == []
    assert scaleout.compared({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == ["a", "b", "c"]


def test_of_bundles_all_is_compared_but_what_tells_of_their_making():
    def bundle(**hashes):
        made = {
            "README.md": "card", "scorecard-poor.html": "page", "scorecard.json": "figures", "works/works.parquet": "when",
            "jsonl/works/works.jsonl": "when", "training/default.json": "times", "training/default.yaml": "recipe",
            "adapter/adapter_model.safetensors": "weights", **hashes,
        }  # fmt: skip
        files = [{"path": path, "sha256": sha} for path, sha in made.items()]
        return {"release/model": {"files": files, "parents": {"splits/sft": "v1"}}}

    told = bundle(**{"README.md": "other", "works/works.parquet": "then"})
    assert scaleout.compared(scaleout.content(bundle()), scaleout.content(told)) == []
    changed = bundle(**{"adapter/adapter_model.safetensors": "others", "scorecard.json": "better"})
    changed["release/model"]["parents"]["splits/sft"] = "v2"
    assert scaleout.compared(scaleout.content(bundle()), scaleout.content(changed)) == [
        "release/model adapter/adapter_model.safetensors", "release/model of splits/sft", "release/model scorecard.json",
    ]  # fmt: skip
    assert scaleout.without_bundles({"release/model [v1]": "a", "splits/sft": "b"}) == {"splits/sft": "b"}


def wait_until(what, limit_s: float = 1200.0) -> None:
    """Poll a condition; generous, for machines that are busy."""
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def postgres():
    """A real, empty database."""
    pytest.importorskip("dagster_postgres", reason="pip install -e '.[postgres]'")
    if postgres_server.programs() is None:
        pytest.skip("no initdb on this machine: install Debian's postgresql")
    with postgres_server.server() as url:
        yield url


@pytest.mark.slow
def test_stages_run_on_an_instance_in_postgres_and_leave_no_sqlite_behind(postgres, tmp_path, root):
    environment = {
        **scaleout.environment_of("tiny", tmp_path), "DAGSTER_HOME": str(root / "deploy" / "postgres"),
        "TWAINBOT_POSTGRES_URL": postgres,
    }  # fmt: skip
    scaleout.run(environment, "+chunks/jokes")
    found = scaleout.recorded(environment)
    assert {"base/tokenizer", "chunks/jokes [trades]"} <= found.versions.keys()
    assert found.runs > 0
    assert found.bundles == {}
    assert not list((tmp_path / "tiny" / "dagster").rglob("*.db"))
    secret = postgres_server.PASSWORD.encode()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory, root):
    """Environment of a run on PostgreSQL, S3 and Ray, and the cluster."""
    pytest.importorskip("dagster_ray", reason="pip install -e '.[ray]'")
    pytest.importorskip("ray.dashboard.dashboard", reason="ray is installed without its job server (ray[default])")
    pytest.importorskip("moto.server", reason="moto is part of the extra dev")
    home = tmp_path_factory.mktemp("world")
    (home / "slowly.py").write_text(SLOWLY)
    with scaleout.bucket() as store:
        shared = {
            **scaleout.environment_of("tiny", home), **store, **ray_cluster.QUIET, "TWAINBOT_POSTGRES_URL": postgres,
            "DAGSTER_STATE_DIR": str(home / "dagster"), "DAGSTER_LOG_DIR": str(home / "logs"),
            "PYTHONPATH": os.pathsep.join([str(root), str(home)]), "TWAINBOT_SIGNS": str(home),
        }  # fmt: skip
        with ray_cluster.cluster(shared) as cluster:
            far = {
                "TWAINBOT_EXECUTOR": "ray",
                "TWAINBOT_RAY_ADDRESS": cluster.address,
                "TWAINBOT_LAKE": "s3://lake/fence",
            }
            yield {**shared, **far, "DAGSTER_HOME": str(root / "deploy" / "postgres")}, cluster, home


OPENED = """
import os, json
import dagster as dg
instance = dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
"""


def looked_at(environment: dict[str, str], code: str) -> dict[str, object]:
    """What code finds out, in a process that has the run's environment; it fills `found`."""
    line = [sys.executable, "-c", f"{OPENED}\n{code}\nprint(json.dumps(found))"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


STATE = """
from resources.lake import Lake
run = instance.get_runs()[0]
logs = instance.all_logs(run.run_id)
found = {
    "status": run.status.value,
    "events": [entry.dagster_event.event_type_value for entry in logs if entry.dagster_event],
    "committed": Lake(os.environ["TWAINBOT_LAKE"]).exists("rain/slowly"),
    "said": " ".join(str(entry) for entry in logs),
}
"""


def begun(environment, home: Path) -> subprocess.Popen[str]:
    """The slow run, its step at work on Ray."""
    for sign in ("began", "go"):
        (home / sign).unlink(missing_ok=True)
    run = subprocess.Popen(
        [sys.executable, str(home / "slowly.py")], env=environment, cwd=home, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: (home / "began").exists() or run.poll() is not None)
    assert run.poll() is None
    return run


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_step_on_ray_whose_run_was_killed_goes_on_and_commits_nothing(world):
    environment, cluster, home = world
    run = begun(environment, home)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(60)
    dead = looked_at(environment, "from twainbot_assets.runner import reconcile\nfound = {'dead': reconcile(instance)}")
    assert len(dead["dead"]) == 1
    (home / "go").touch()
    from ray.job_submission import JobSubmissionClient

    client = JobSubmissionClient(cluster.address)
    wait_until(lambda: all(str(job.status) not in ("RUNNING", "PENDING") for job in client.list_jobs()))
    found = looked_at(environment, STATE)
    assert found["status"] == "FAILURE"
    assert not found["committed"]
    assert "ASSET_MATERIALIZATION" not in found["events"]
    assert "so its late result was not committed" in found["said"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_step_on_ray_whose_run_lives_commits_to_s3_and_only_loopback_listens(world):
    environment, cluster, home = world
    run = begun(environment, home)
    listening = cluster.listeners()
    (home / "go").touch()
    assert run.wait(600) == 0
    found = looked_at(environment, STATE)
    assert found["status"] == "SUCCESS"
    assert found["committed"]
    assert listening
    assert listening <= ray_cluster.LOOPBACK
    from ray.job_submission import JobSubmissionClient

    shown = [job.runtime_env for job in JobSubmissionClient(cluster.address).list_jobs()]
    assert shown
    assert postgres_server.PASSWORD not in str(shown)
