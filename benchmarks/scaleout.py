"""The same graph twice: on this machine alone, and with its lake on S3, its instance in PostgreSQL and its steps on Ray.

python benchmarks/scaleout.py [--profile tiny] [--select S] [--out FILE]       (needs the extras postgres and ray, and initdb)

S3 is moto's server, the cluster is one node; everything listens on 127.0.0.1 only. What is compared is every data version
that the instance of either side recorded. The version of a bundle is the hash of its manifest, and some of its files say when,
by which run and how fast it was made: of bundles the other files are compared, and what their parents' versions were.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.lines import Line, as_table  # noqa: E402
from tests import postgres_server, ray_cluster  # noqa: E402

BUCKET = "lake"
DROPPED = (
    "DAGSTER_HOME",
    "DAGSTER_STATE_DIR",
    "DAGSTER_LOG_DIR",
    "TWAINBOT_LAKE",
    "MLFLOW_TRACKING_URI",
    "TWAINBOT_EXECUTOR",
)
TWAINBOT = [sys.executable, "-c", "from twainbot_assets.cli import main; main()"]
BUNDLES = ("release/dataset", "release/model")
# Files of a bundle that tell of its making: retrieval times, run, durations, and the lists of those files' hashes.
OF_THE_MAKING = re.compile(r"README\.md|scorecard[\w-]*\.html|training/[\w.-]+\.json|(?:jsonl/)?works/works\.\w+")
VERSIONS = f"""
BUNDLES = {BUNDLES!r}
import json, os
from pathlib import Path
import dagster as dg
from resources.home import current
from resources.lake import Lake
from twainbot_assets.data_versions import recorded
from twainbot_assets.definitions import defs
from twainbot_assets.freshness import Freshness
instance = dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"])
graph = Freshness(defs, instance)
items = [item for key in graph.ordered() for item in graph.items(key)]
found = {{str(item): version for item in items if (version := recorded(instance, item))}}
lake, bundles = Lake(current().lake), {{}}
for table in BUNDLES:
    for key in lake.keys(table):
        folder = lake.fetch_folder(lake.read(table, key)["folder"][0], Path(os.environ["TWAINBOT_HOME"]) / "fetched")
        bundles[table] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
steps = sum(instance.get_run_step_stats(run.run_id) != [] for run in instance.get_runs())
print(json.dumps({{"versions": found, "runs": steps, "bundles": bundles}}))
"""


@contextlib.contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """An S3 server with one empty bucket, as the usual AWS variables name it."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for each of some thousand requests
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        s3fs.S3FileSystem(key="test", secret="test", endpoint_url=f"http://{host}:{port}").mkdir(BUCKET)
        yield {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        }  # fmt: skip
    finally:
        server.stop()


def environment_of(profile: str, home: Path) -> dict[str, str]:
    """This process's environment with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    own = {
        "TWAINBOT_PROFILE": profile, "TWAINBOT_HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}", "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # sums of floats depend on how many threads add them up
    }  # fmt: skip
    return {**kept, **own}


def run(environment: Mapping[str, str], select: str | None) -> float:
    """`twainbot run`, and what it took. Ends this script where it failed."""
    begun = time.monotonic()
    line = [*TWAINBOT, "run", *(["--select", select] if select else [])]
    done = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"`twainbot run` ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    print(done.stdout[-600:], file=sys.stderr, flush=True)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Recorded:
    """Data version by item, how many runs executed a step, and the manifests of the bundles by table."""

    versions: dict[str, str]
    runs: int
    bundles: dict[str, Any]


def recorded(environment: Mapping[str, str]) -> Recorded:
    """What one side has."""
    state = f"{environment['TWAINBOT_HOME']}/{environment['TWAINBOT_PROFILE']}/dagster"
    where = {"DAGSTER_HOME": str(ROOT), "DAGSTER_STATE_DIR": state, "DAGSTER_LOG_DIR": f"{state}/logs"}
    done = subprocess.run(
        [sys.executable, "-c", VERSIONS], env={**where, **environment}, cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    return Recorded(**json.loads(done.stdout.splitlines()[-1]))


def far(profile: str, home: Path, select: str | None) -> tuple[Recorded, float, set[str]]:
    """The run on S3, PostgreSQL and Ray: what it recorded, seconds, and addresses that the cluster listened on."""
    with postgres_server.server() as url, bucket() as store:
        secrets = {"TWAINBOT_POSTGRES_URL": url, **store}
        shared = {**environment_of(profile, home), **secrets, **ray_cluster.QUIET}
        with ray_cluster.cluster(shared) as cluster:
            environment = {
                **shared, "DAGSTER_HOME": str(ROOT / "deploy" / "postgres"), "TWAINBOT_LAKE": f"s3://{BUCKET}/{profile}",
                "TWAINBOT_EXECUTOR": "ray", "TWAINBOT_RAY_ADDRESS": cluster.address,
            }  # fmt: skip
            spent = run(environment, select)
            return recorded(environment), spent, cluster.listeners()


def compared(near: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names whose values differ, or that one side lacks."""
    return sorted(item for item in near.keys() | other.keys() if near.get(item) != other.get(item))


def without_bundles(versions: Mapping[str, str]) -> dict[str, str]:
    """The versions of everything but the bundles."""
    return {item: version for item, version in versions.items() if item.split()[0] not in BUNDLES}


def content(bundles: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of the bundles' files, and the versions of their parents, but for what tells of the making."""
    files = {
        f"{table} {entry['path']}": entry["sha256"]
        for table, manifest in bundles.items()
        for entry in manifest["files"]
        if not OF_THE_MAKING.fullmatch(entry["path"])
    }
    parents = {
        f"{table} of {what}": str(version)
        for table, manifest in bundles.items()
        for what, version in manifest["parents"].items()
    }
    return files | parents


def main() -> None:
    """Run both and print the table. Exits with 1 where a version differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny", choices=["tiny", "sample"])
    parser.add_argument("--select", help="as of `twainbot run`; both sides build the same")
    parser.add_argument("--out", type=Path, help="also write the table here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="twainbot-scaleout-") as folder:
        here = environment_of(given.profile, Path(folder) / "here")
        spent = run(here, given.select)
        near = recorded(here)
        other, far_spent, listening = far(given.profile, Path(folder) / "there", given.select)
    made = [without_bundles(side.versions) for side in (near, other)]
    files = [content(side.bundles) for side in (near, other)]
    apart, files_apart = compared(*made), compared(*files)
    text = as_table([
        Line("this machine: sqlite, folders", f"{len(near.versions)} items in {near.runs} runs, {spent:.0f} s wall"),
        Line("S3, PostgreSQL, Ray", f"{len(other.versions)} items in {other.runs} runs, {far_spent:.0f} s wall"),
        Line(f"data versions that differ, of {len(made[0])}", str(len(apart)), "0", not apart),
        Line(f"files and parents of {len(near.bundles)} bundles that differ, of {len(files[0])}", str(len(files_apart)), "0",
             not files_apart),
        Line("addresses beyond 127.0.0.1 that the cluster listens on", str(len(listening - ray_cluster.LOOPBACK)), "0",
             bool(listening) and listening <= ray_cluster.LOOPBACK),
    ])  # fmt: skip
    print(f"Profile {given.profile}{f', {given.select}' if given.select else ''}.\n\n{text}", end="")
    for item in (*apart, *files_apart):
        print(f"- {item}")
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    sys.exit(bool(apart or files_apart))


if __name__ == "__main__":
    main()
