"""What the docs tell other launchers to run: blocks that parse, and a Slurm line that a stand-in for srun really runs."""

from __future__ import annotations

import re
import shlex
import sys

import pytest
import yaml
from test_trainer import materialize
from tiny_training import write_data

from resources.trainer import trainer_of
from training import record

SRUN = """#!/usr/bin/env python3
# Takes srun's own options off and runs the rest, as srun does with one task.
import os, sys
words = sys.argv[1:]
with open(os.environ["SRUN_SAID"], "w") as file:
    file.write("\\n".join(words))
while words[0].startswith("--"):
    words.pop(0)
os.execvp(words[0], words)
"""


@pytest.fixture
def page(root) -> str:
    return (root / "docs" / "remote-training.md").read_text()


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def test_the_job_for_kubernetes_is_one(page):
    job = yaml.safe_load(blocks(page, "yaml")[0])
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["apiVersion"], job["kind"], pod["restartPolicy"]) == ("batch/v1", "Job", "Never")
    # every mount is of a volume, every volume is mounted, and all GPUs that are asked for get a process
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    launcher = trainer_of("subprocess", environment).launcher
    assert f"--nproc-per-node={container['resources']['limits']['nvidia.com/gpu']}" in launcher
    assert launcher[-1] == "-m"


def test_the_tags_for_dagsters_launcher_mount_what_they_name(page):
    config = yaml.safe_load(blocks(page, "yaml")[1])["dagster-k8s/config"]
    assert [mount["name"] for mount in config["container_config"]["volume_mounts"]] == [
        volume["name"] for volume in config["pod_spec_config"]["volumes"]
    ]


def test_the_batch_script_asks_for_as_many_gpus_as_it_starts_processes(page):
    (script,) = blocks(page, "bash")
    options = dict(re.findall(r"^#SBATCH --(\S+?)=(\S+)$", script, re.MULTILINE))
    assert options["ntasks"] == "1"
    assert f"--nproc-per-node={options['gpus']} -m" in script
    assert script.startswith("#!/bin/bash\n")


@pytest.mark.slow
def test_a_stage_trains_through_the_slurm_line(page, tmp_path, monkeypatch):
    line = re.search(r'TWAINBOT_LAUNCHER="(srun .*?)"', page)[1]
    own, _, started = line.partition(" /shared/")
    assert started.endswith("bin/torchrun --standalone --nproc-per-node=4 -m")
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=":")
    monkeypatch.setenv("SRUN_SAID", str(tmp_path / "said"))
    python = shlex.quote(sys.executable)
    torchrun = f"{own} {python} -m torch.distributed.run --standalone --nproc-per-node=2 -m"  # two, for two cores
    trainer = trainer_of("subprocess", {"TWAINBOT_LAUNCHER": torchrun})
    _, lines = materialize(trainer, write_data(tmp_path / "data"), tmp_path / "out")
    assert record.read(tmp_path / "out")["processes"] == 2
    assert len([said for said in lines if "dapt step 1/1 loss" in said]) == 1
    assert (tmp_path / "said").read_text().splitlines()[: len(shlex.split(own)) - 1] == shlex.split(own)[1:]
