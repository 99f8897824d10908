"""Two real processes under torchrun train what one trains: same rows a step, same loss, one writer, one error, one end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_training import base, write_data

from training import auto, engine, preference, processes, record, sft
from training.command import FAILURE, Arguments
from training.config import CONFIGS, Stage
from twainbot.errors import BadUse

TINY = CONFIGS / "tiny" / "default.yaml"
STAGE = Stage(
    learning_rate=1e-3, sequence_length=64, micro_batch=2, effective_batch=8, checkpoint_steps=1, minimum_steps=1
)

# A process of the training: what it is told beside the stages' arguments is what goes wrong, and for whom.
DRIVER = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from training import command, engine, preference, sft
from twainbot.errors import BadInput

trouble, *stages = sys.argv[1].split(",")
config, data, base, out = map(Path, sys.argv[2:])

def kill_after_an_epoch(line):
    command.to_stderr(line)
    if trouble == "killed" and "validation after epoch 1" in line:
        os.kill(os.getpid(), signal.SIGKILL)

def refuse(*_arguments):
    raise BadInput("The second process cannot read what the first one can.")

if trouble == "refused" and os.environ["RANK"] == "1":
    engine.mean_nll = refuse
for stage in stages:
    arguments = command.Arguments(config, data, base, out / stage)
    main = {"sft": sft.main, "preference": preference.main}[stage]
    if trouble == "refused":
        sys.exit(command.run(main, arguments))
    main(arguments, kill_after_an_epoch if os.environ["RANK"] == "0" else lambda line: None)
"""


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def recipe(folder):
    """Lines and pairs that fill no last step, no last round, and for pairs no last micro batch.

    The nine pairs are one step of micro batches of 2, 2, 2, 2 and 1 pairs for two processes, and of single pairs for one.
    """
    raw = yaml.safe_load(TINY.read_text())
    raw["sft"].update(
        sequence_length=640, micro_batch=1, effective_batch=4, epochs=2, max_steps=None, checkpoint_steps=1
    )
    raw["preference"].update(micro_batch=2, effective_batch=12, epochs=2, max_steps=None, max_rows=None)
    path = folder / "tiny" / "several.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    raw["preference"].update(micro_batch=1)
    alone = path.with_name("one.yaml")
    alone.write_text(yaml.safe_dump(raw))
    return alone


def launch(root, folder, what: str):
    """Start two processes that train `what` into folder/several."""
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    words = [str(folder / "tiny" / "several.yaml"), str(folder / "data"), str(base()), str(folder / "several")]
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(driver), what]
    path = os.pathsep.join([str(root), str(root / "tests" / "unit")])
    return subprocess.Popen(
        [*line, *words], cwd=folder, env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


pytestmark = pytest.mark.xdist_group("several_processes")  # they share trainings of a minute


@pytest.fixture(scope="module")
def trained(tmp_path_factory, root):
    """Both stages by one process and by two that were killed once: folder, and what the two said."""
    folder = tmp_path_factory.mktemp("several")
    write_data(folder / "data")
    config = recipe(folder)
    for stage, script in (("sft", sft), ("preference", preference)):
        script.main(Arguments(config, folder / "data", base(), folder / "one" / stage), quiet)
    killed = launch(root, folder, "killed,sft")
    assert "validation after epoch 1" in killed.communicate(timeout=500)[0]
    assert killed.returncode != 0
    assert not (folder / "several" / "sft" / "record.json").exists()
    again = launch(root, folder, "well,sft,preference")
    said = again.communicate(timeout=500)[0]
    assert again.returncode == 0, said[-3000:]
    return folder, said


def difference(folder, stage: str) -> float:
    """The largest by which two processes' adapter differs from one's."""
    one, two = (
        load_file(folder / name / stage / "adapter" / "adapter_model.safetensors") for name in ("one", "several")
    )
    assert one.keys() == two.keys()
    return max(float((one[name] - two[name]).abs().max()) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "preference"])
def test_two_processes_end_in_the_weights_of_one(trained, stage):
    # no dropout in this recipe; sums in another order are what is left
    folder, _ = trained
    one, two = (record.read(folder / name / stage) for name in ("one", "several"))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["steps"] == one["steps"]
    assert [point["loss"] for point in two["loss_curve"]] == pytest.approx(
        [point["loss"] for point in one["loss_curve"]], abs=1e-5
    )
    assert [point["loss"] for point in two["evaluations"]] == pytest.approx(
        [point["loss"] for point in one["evaluations"]], abs=1e-5
    )
    assert difference(folder, stage) < 1e-5


@pytest.mark.slow
def test_two_killed_processes_go_on_in_the_second_epoch(trained):
    folder, _ = trained
    done = record.read(folder / "several" / "sft")
    epoch = done["plan"]["epoch_steps"]
    assert done["plan"]["packed_rows"] % 4  # an epoch's last step is not full
    assert epoch <= done["resumed_from"] < done["steps"] == 2 * epoch


@pytest.mark.slow
def test_of_two_processes_one_speaks_and_writes(trained):
    folder, said = trained
    assert said.count("validation after epoch 2") == 2  # once a stage
    assert sorted(path.name for path in (folder / "several" / "sft").iterdir()) == ["adapter", "record.json"]


@pytest.mark.slow
def test_one_processs_refusal_ends_all_with_its_own_sentence(tmp_path, root):
    write_data(tmp_path / "data")
    recipe(tmp_path)
    run = launch(root, tmp_path, "refused,sft")
    run.communicate(timeout=300)  # the other waits for nobody
    assert run.returncode != 0
    failure = json.loads((tmp_path / "several" / "sft" / FAILURE).read_text())
    assert failure == {"error": "BadInput", "text": "The second process cannot read what the first one can."}
    assert not (tmp_path / "several" / "sft" / "record.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
def test_processes_die_with_a_killed_launcher(tmp_path, root):
    write_data(tmp_path / "data")
    recipe(tmp_path)
    run = launch(root, tmp_path, "well,sft")
    for line in run.stdout:
        if "sft:" in line:  # both have begun
            break
    workers = [int(pid) for pid in _read(f"/proc/{run.pid}/task/{run.pid}/children").split()]
    assert len(workers) == 2
    os.kill(run.pid, signal.SIGKILL)
    run.wait(30)
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(pid) for pid in workers)
    assert not (tmp_path / "several" / "sft" / "record.json").exists()


def test_a_process_that_starts_after_its_launchers_death_ends_at_once():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens there
        gone = {"WORLD_SIZE": "2", "RANK": "1", "TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(bound.getsockname()[1])}  # fmt: skip
        line = [sys.executable, "-c", "from training import processes; processes.join(); print('trains')"]
        done = subprocess.run(line, env={**os.environ, **gone}, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (137, "")
    assert done.stderr == "The launcher of this training is gone: it ends here.\n"


def _read(path: str) -> str:
    with open(path) as file:  # noqa: PTH123
        return file.read()


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in _read(f"/proc/{pid}/status")
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("micro", "effective", "count", "expected"), [(2, 8, 1, 2), (2, 8, 4, 2), (8, 8, 4, 2), (4, 12, 2, 3), (5, 5, 1, 5)]
)
def test_a_step_is_dealt_out_whole(micro, effective, count, expected):
    found = auto.dealt(STAGE.model_copy(update={"micro_batch": micro, "effective_batch": effective}), count)
    assert found.micro_batch == expected
    assert found.accumulation % count == 0


def test_a_step_that_cannot_be_dealt_out_evenly_is_refused_with_the_number_that_can():
    with pytest.raises(BadUse, match=r"effective_batch=8 .* to 3 processes\. Launch 2, or make it a multiple of 3"):
        auto.dealt(STAGE, 3)


def test_an_epoch_of_several_has_the_order_of_one_and_empty_places_last():
    from accelerate.data_loader import SeedableRandomSampler

    alone = SeedableRandomSampler(range(7), data_seed=5)
    alone.set_epoch(3)
    rounds = engine.Rounds(list("abcdefg"), 4)
    order = list(engine.RoundsInOrder(rounds, 5, lambda: 3))
    assert order == [*alone, 7]
    assert [rounds[number] for number in (6, 7)] == ["g", None]


def test_a_process_alone_waits_for_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes.join()
    processes.wait()
    processes.leave()
    assert (processes.count(), processes.first(), processes.total(2.5)) == (1, True, 2.5)
    assert not torch.distributed.is_initialized()
