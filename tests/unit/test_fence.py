"""Only the training that was ordered last publishes: with real processes, one of them stopped where no lock reaches it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import dagster as dg
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import base, write_data

from training import dapt, fence, record, trouble
from training.command import Arguments
from training.config import CONFIGS
from twainbot.errors import BadUse, Fenced
from twainbot_assets import adapters

TINY = CONFIGS / "tiny" / "default.yaml"

# A training by hand. With "elsewhere" the file system knows no locks, as on another machine.
BY_HAND = """
import errno, fcntl, sys
import torch
torch.set_num_threads(1)
from training import command, dapt

def no_locks(_file, _how):
    raise OSError(errno.ENOLCK, "No locks available")

if sys.argv[1] == "elsewhere":
    fcntl.flock = no_locks
sys.exit(command.run(dapt.main, command.parse("dapt", sys.argv[2:])))
"""


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def test_an_order_supersedes_the_one_before_it(tmp_path):
    first = fence.order(tmp_path)
    with fence.held(tmp_path, first):
        fence.check()
        fence.order(tmp_path)
        with pytest.raises(Fenced, match=rf"A newer training was ordered in {tmp_path} by process {os.getpid()} on "):
            fence.check()


def test_a_superseded_training_is_refused_at_its_start_and_before_it_publishes(tmp_path):
    first = fence.order(tmp_path)
    with fence.held(tmp_path, first):
        fence.order(tmp_path)
        with pytest.raises(Fenced), fence.publishing(tmp_path):
            pytest.fail("it published")
    with pytest.raises(Fenced), fence.held(tmp_path, first):
        pytest.fail("it began")


def test_publishing_leaves_no_mark_and_is_done_once(tmp_path):
    with fence.held(tmp_path, None):
        with fence.publishing(tmp_path):
            pass
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(Fenced), fence.publishing(tmp_path):
            pass


def test_outside_a_training_nothing_is_fenced(tmp_path):
    fence.check()
    assert fence.token() is None
    with fence.publishing(tmp_path):
        pass


@given(acts=st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=12))
def test_in_any_order_of_events_only_the_newest_publishes_and_only_once(acts, tmp_path_factory):
    """None orders a training; a number lets that one of those ordered so far try to publish."""
    out, ordered, published = tmp_path_factory.mktemp("fence"), [], set()
    for act in acts:
        if act is None:
            ordered.append(fence.order(out))
        elif act < len(ordered):
            token = ordered[act]
            try:
                with fence.held(out, token), fence.publishing(out):
                    pass
            except Fenced:
                assert token != ordered[-1] or token in published
            else:
                assert token == ordered[-1]
                assert token not in published
                published.add(token)


def test_what_lies_in_a_folder_is_ones_own_until_another_is_ordered(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps({"token": "mine"}))
    fence.check_published(tmp_path, "mine")
    with pytest.raises(Fenced):
        fence.check_published(tmp_path, "another's")
    fence.order(tmp_path)
    with pytest.raises(Fenced):
        fence.check_published(tmp_path, "mine")


def test_the_asset_does_not_commit_the_row_of_a_superseded_training(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps({"token": "mine"}))
    row = pl.DataFrame({"record": [json.dumps({"token": "mine"})]})
    adapters.still_newest(tmp_path, row)
    fence.order(tmp_path)
    with pytest.raises(dg.Failure, match="A newer training was ordered"):
        adapters.still_newest(tmp_path, row)


def test_where_a_file_system_has_no_locks_the_fence_alone_decides(tmp_path, monkeypatch):
    def no_locks(_file, _how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with trouble.alone(tmp_path), trouble.alone(tmp_path):
        pass


def test_a_late_job_of_an_older_order_does_not_begin(tmp_path):
    old = fence.order(tmp_path / "out")
    fence.order(tmp_path / "out")
    with pytest.raises(Fenced):
        dapt.main(Arguments(TINY, tmp_path / "no data", base(), tmp_path / "out", token=old), quiet)


@pytest.mark.slow
def test_a_stopped_training_that_was_superseded_publishes_nothing_when_it_goes_on(tmp_path, root):
    data, out = write_data(tmp_path / "data"), tmp_path / "out"
    raw = yaml.safe_load(TINY.read_text())
    raw["dapt"].update(epochs=40, max_steps=40, checkpoint_steps=10)
    config = tmp_path / "tiny" / "longer.yaml"
    config.parent.mkdir()
    config.write_text(yaml.safe_dump(raw))

    def begin(where: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-c", BY_HAND, where, str(config), "--data", str(data), "--base", str(base())]
        return subprocess.Popen(
            [*line, "--out", str(out)], cwd=root, stderr=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )  # fmt: skip

    stopped = begin("here")
    for said in stopped.stderr:
        if "dapt step 1/40" in said:
            break
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        # on the same machine the lock holds, and says whom to end
        with pytest.raises(BadUse, match=rf"Wait for it or end it \(process {stopped.pid} on "), trouble.alone(out):
            pass
        newer = begin("elsewhere")
        said = newer.communicate(timeout=400)[1]
        assert newer.returncode == 0, said
        published = record.read(out)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    said = stopped.communicate(timeout=200)[1]
    assert stopped.returncode == 1
    assert "so this one ended without publishing anything" in said
    assert "Traceback" not in said
    assert record.read(out) == published
