"""kill -9 anywhere in a training: the rerun ends in the weights of an unbroken run, bit by bit, and nothing torn is read.

Each kill comes from inside, at a named moment, so that the moment is the same on every machine.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_training import base, write_data

from training import dapt, engine, preference, record, sft, watch
from training.command import Arguments
from training.config import CONFIGS

pytestmark = pytest.mark.slow

TINY = CONFIGS / "tiny" / "default.yaml"
SCRIPTS: dict[str, Any] = {"dapt": dapt, "sft": sft, "preference": preference}


def die(*_args: Any, **_more: Any) -> None:
    """What a kill -9 does: no clause runs, no file is closed."""
    os.kill(os.getpid(), signal.SIGKILL)


def instead(owner: Any, name: str, when: Callable[..., bool] = lambda *_args: True) -> None:
    """Die on entering a function, where `when` holds for its arguments."""
    whole = getattr(owner, name)

    def killed(*args: Any, **more: Any) -> Any:
        if when(*args):
            die()
        return whole(*args, **more)

    setattr(owner, name, killed)


def afterwards(owner: Any, name: str, when: Callable[..., bool] = lambda *_args: True) -> None:
    """Die as soon as a function is done."""
    whole = getattr(owner, name)

    def killed(*args: Any, **more: Any) -> Any:
        found = whole(*args, **more)
        if when(*args):
            die()
        return found

    setattr(owner, name, killed)


def torn(owner: Any, name: str, marker: str) -> None:
    """Die with a file half written: the call writes it, half of it is cut off."""
    whole = getattr(owner, name)

    def killed(value: Any, path: Any, *args: Any, **more: Any) -> None:
        whole(value, path, *args, **more)
        if marker in str(path):
            os.truncate(path, os.path.getsize(path) // 2)  # noqa: PTH202
            die()

    setattr(owner, name, killed)


def in_a_step() -> None:
    instead(watch.Progress, "on_log", lambda _self, _args, state, *_: state.global_step == 3)


def before_a_checkpoints_optimizer() -> None:
    import torch

    instead(torch, "save", lambda _value, path, *_: "checkpoint-4" in str(path))


def within_a_checkpoints_optimizer() -> None:
    import torch

    torn(torch, "save", "checkpoint-4")


def before_a_checkpoints_seal() -> None:
    instead(watch.SealCheckpoints, "on_save", lambda _self, _args, state, *_: state.global_step == 4)


def after_a_checkpoints_seal() -> None:
    afterwards(watch.SealCheckpoints, "on_save", lambda _self, _args, state, *_: state.global_step == 4)


def before_the_best_is_kept() -> None:
    instead(watch.KeepBest, "_keep")


def after_the_best_is_kept_and_not_noted() -> None:
    afterwards(watch.KeepBest, "_keep")


def before_the_best_is_loaded() -> None:
    instead(engine, "_load_best")


def before_the_adapter_is_published() -> None:
    instead(record, "_name_base")


def before_the_adapter_is_renamed() -> None:
    afterwards(record, "_name_base")


def between_the_two_renames() -> None:
    instead(Path, "rename", lambda self, *_: self.name == ".adapter-new")


def before_the_record() -> None:
    instead(record, "_write_json", lambda path, *_: path.name == "record.json")


def after_the_record() -> None:
    afterwards(record, "_write_json", lambda path, *_: path.name == "record.json")


MOMENTS = [
    in_a_step,
    before_a_checkpoints_optimizer,
    within_a_checkpoints_optimizer,
    before_a_checkpoints_seal,
    after_a_checkpoints_seal,
    before_the_best_is_kept,
    after_the_best_is_kept_and_not_noted,
    before_the_best_is_loaded,
    before_the_adapter_is_published,
    before_the_adapter_is_renamed,
    between_the_two_renames,
    before_the_record,
    after_the_record,
]


def train(stage: str, arguments: Arguments, arrange: Callable[[], None] | None = None) -> None:
    """A whole training in a process of its own."""
    import torch

    torch.set_num_threads(1)
    if arrange:
        arrange()
    SCRIPTS[stage].main(arguments, lambda _line: None)


def run(stage: str, arguments: Arguments, arrange: Callable[[], None] | None = None) -> int | None:
    """Its exit code; -9 where it was killed."""
    context = multiprocessing.get_context("forkserver")  # forked from a process that has never trained
    context.set_forkserver_preload(["training.sft", "training.preference", "training.dapt"])
    child = context.Process(target=train, args=(stage, arguments, arrange))
    child.start()
    child.join(300)
    return child.exitcode


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps, a checkpoint after every second, with dropout, so that a wrong random state would show."""
    raw = yaml.safe_load(TINY.read_text())
    raw["lora"]["dropout"] = 0.1
    for stage in SCRIPTS:
        raw[stage].update(max_steps=6, effective_batch=2, micro_batch=1, checkpoint_steps=2, epochs=9)
    path = tmp_path_factory.mktemp("recipe") / "tiny" / "killed.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture(scope="module")
def unbroken(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The records of trainings that nobody killed, by stage."""
    folder, found = tmp_path_factory.mktemp("unbroken"), {}
    data = write_data(folder / "data")
    for stage in SCRIPTS:
        assert run(stage, Arguments(recipe, data, base(), folder / stage)) == 0
        found[stage] = record.read(folder / stage)
    return found


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
@pytest.mark.parametrize("stage", SCRIPTS)
def test_a_kill_changes_nothing_of_the_weights(stage, moment, recipe, unbroken, tmp_path):
    if stage != "sft" and moment in MOMENTS[8:]:
        pytest.skip("publishing is the same for all stages")
    arguments = Arguments(recipe, write_data(tmp_path / "data"), base(), tmp_path / "out")
    assert run(stage, arguments, moment) == -signal.SIGKILL
    assert run(stage, arguments) == 0
    done = record.read(tmp_path / "out")
    assert done["adapter_sha256"] == unbroken[stage]["adapter_sha256"]
    assert [point["loss"] for point in done["loss_curve"]] == [point["loss"] for point in unbroken[stage]["loss_curve"]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["adapter", "record.json"]


def test_a_kill_while_publishing_never_leaves_a_record_that_fits_another_adapter(recipe, tmp_path):
    from twainbot.errors import BadInput

    data = write_data(tmp_path / "data")
    arguments = Arguments(recipe, data, base(), tmp_path / "out")
    assert run("sft", arguments) == 0
    before = record.read(tmp_path / "out")
    changed = recipe.with_name("changed.yaml")
    changed.write_text(recipe.read_text().replace("seed: 20", "seed: 21"))
    other = Arguments(changed, data, base(), tmp_path / "out")
    for moment in (before_the_adapter_is_renamed, between_the_two_renames, before_the_record):
        assert run("sft", other, moment) == -signal.SIGKILL
        try:
            assert record.read(tmp_path / "out") == before
        except BadInput:
            assert moment is not before_the_adapter_is_renamed
    assert run("sft", other) == 0
    assert record.read(tmp_path / "out")["seed"] == 21
