"""The files of deploy/ are whole and safe: they parse, name what exists, publish nothing beyond loopback, hold no secret."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.home import is_ours

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "deploy" / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "docker-compose.yaml").read_text())
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "values.yaml").read_text())
VERSIONS = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
# Top values of Dagster's chart; a name that it does not know would be ignored without a word.
CHART = {
    "global", "generatePostgresqlPasswordSecret", "postgresql", "dagster-user-deployments", "dagsterWebserver", "ingress",
    "runLauncher", "dagsterDaemon", "concurrency", "retention", "telemetry", "additionalInstanceConfig",
}  # fmt: skip


def environment_of(service: str) -> dict[str, Any]:
    """The variables of a service of the compose file."""
    return COMPOSE["services"][service]["environment"]


def test_the_four_services_share_one_image_one_home_and_one_database():
    ours = ("code", "webserver", "daemon")
    assert set(COMPOSE["services"]) == {*ours, "postgres"}
    assert {COMPOSE["services"][name]["image"] for name in ours} == {"twainbot:0.1.0"}
    assert all("home:/data" in COMPOSE["services"][name]["volumes"] for name in ours)
    assert len({str(environment_of(name)) for name in ours}) == 1


def test_only_loopback_is_published_and_the_database_not_at_all():
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:3000:3000"]
    assert VALUES["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    assert VALUES["ingress"] == {"enabled": False}


def test_no_secret_stands_in_any_file():
    files = [path.read_text() for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()]
    text = "\n".join(line.partition("#")[0] for file in files for line in file.splitlines())
    assert not re.findall(r"(?i)(?:password|secret|token|api_key)\"?\s*[:=]\s*[\"']?(?!false)[a-z0-9]{3,}", text)
    assert "${POSTGRES_PASSWORD:?" in environment_of("code")["TWAINBOT_POSTGRES_URL"]  # unset, it refuses to start
    assert "postgresqlPassword" not in VALUES["postgresql"]
    assert VALUES["global"]["postgresqlSecretName"]
    assert VALUES["generatePostgresqlPasswordSecret"] is False


def test_the_image_copies_what_exists_and_starts_what_the_workspace_names():
    sources = [name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()]
    assert sources
    assert [name for name in sources if not (ROOT / name).exists()] == []
    let_in = set(re.findall(r"^!(\S+)$", (DOCKER / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert set(sources) == let_in
    assert re.search(r"^USER twainbot$", DOCKERFILE, re.MULTILINE)  # not root
    server = yaml.safe_load((DOCKER / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    command = COMPOSE["services"][server["host"]]["command"]
    assert command[command.index("-p") + 1] == str(server["port"])
    assert command[-1] == "twainbot_assets.definitions"


def test_the_chart_is_of_the_pinned_dagster_and_knows_every_value():
    written = (ROOT / "deploy" / "kubernetes" / "values.yaml").read_text()
    assert re.findall(r"--version (\S+)", written) == [VERSIONS["dagster"]]
    assert re.findall(r"dagster-k8s==(\S+)", DOCKERFILE) == [VERSIONS["dagster-postgres"]]  # released together
    assert set(VALUES) <= CHART


def test_the_clusters_instance_has_the_clones_pools_retries_and_retention():
    here = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    pools = VALUES["concurrency"]["pools"]
    assert {"granularity": pools["granularity"], "default_limit": pools["defaultLimit"]} == here["concurrency"]["pools"]
    assert VALUES["dagsterDaemon"]["runRetries"]["maxRetries"] == here["run_retries"]["max_retries"]
    assert (
        VALUES["dagsterDaemon"]["runMonitoring"]["maxResumeRunAttempts"]
        == here["run_monitoring"]["max_resume_run_attempts"]
    )
    assert VALUES["retention"]["schedule"]["purgeAfterDays"] == here["retention"]["schedule"]["purge_after_days"]
    assert VALUES["telemetry"] == {"enabled": False}
    assert VALUES["additionalInstanceConfig"] == {"nux": here["nux"], "freshness": here["freshness"]}


def test_the_weights_that_profile_full_stops_without_can_be_named_in_both():
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    for known in (environment_of("code"), {entry["name"] for entry in deployment["env"]}):
        assert "TWAINBOT_TOXICITY_MODEL" in known


def test_runs_in_the_cluster_see_the_home_the_lake_and_one_fixed_image():
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    assert deployment["image"]["tag"] not in ("", "latest")
    assert VALUES["dagsterWebserver"]["image"] == VALUES["dagsterDaemon"]["image"] == deployment["image"]
    mounted = {mount["name"] for mount in launcher["volumeMounts"]}
    assert mounted == {volume["name"] for volume in launcher["volumes"]} == {"home", "shm"}
    variables = {entry["name"]: entry["value"] for entry in deployment["env"]}
    assert variables["TWAINBOT_LAKE"].startswith("s3://")
    assert {"name": "home", "mountPath": variables["TWAINBOT_HOME"]} in launcher["volumeMounts"]
    assert launcher["envSecrets"] == deployment["envSecrets"] == [{"name": "twainbot"}]


def test_a_command_in_a_pod_takes_the_charts_instance_for_its_own(tmp_path):
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    # the chart writes this list as it stands, and nothing else of ours that names a variable
    written = {"run_launcher": {"class": "K8sRunLauncher", "config": {"env_vars": launcher["envVars"]}}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(written))
    assert is_ours(str(tmp_path))


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose: apt-get install docker-compose")
def test_compose_itself_accepts_the_file_and_refuses_it_without_a_password():
    line = ["docker-compose", "-f", str(DOCKER / "docker-compose.yaml"), "config", "-q"]
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    good = subprocess.run(line, env={**path, "POSTGRES_PASSWORD": "x"}, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    bad = subprocess.run(line, env=path, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "set POSTGRES_PASSWORD" in bad.stderr
