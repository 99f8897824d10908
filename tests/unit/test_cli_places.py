"""Files, folders, pipes and devices that people name on the command line: what is read, what is written, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from resources.home import Home
from tests.builders import TEXT
from training.base_model import BaseInfo
from twainbot.errors import BadInput, BadUse
from twainbot.release import manifest
from twainbot_assets import bundles, tools

LINE = json.dumps({"text": TEXT, "reply": "", "tool_results": []})


@pytest.fixture
def lines(tmp_path):
    """A file of one line that dedupe and score can read."""
    path = tmp_path / "lines.jsonl"
    path.write_text(LINE, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_no_pipe_or_device_gives_way_to_a_plain_file(tmp_path, lines, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    with pytest.raises(BadUse, match="is a device or a pipe"):
        tools.dedupe_files([lines], tmp_path / name, 0.7, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(("output", "says"), [(Path(), "is a folder"), (Path("o" * 300), "File name too long")])
def test_an_output_without_a_name_or_with_one_too_long_is_refused(lines, output, says):
    with pytest.raises(BadUse, match=says):
        tools.dedupe_files([lines], output, 0.7, "text")


def test_lines_come_through_a_pipe_too_and_a_folder_is_told_as_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=[LINE], daemon=True).start()
    assert tools.score_file("grounding", pipe, as_json=False).startswith("1 replies")
    with pytest.raises(BadUse, match="is a folder"):
        tools.score_file("grounding", tmp_path, as_json=False)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full")
def test_an_output_on_a_full_disk_ends_in_one_sentence(lines):
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "twainbot_assets.cli", "score", "grounding", str(lines)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.startswith("twainbot: Where the output goes cannot be read or written: No space left on device.")


@pytest.mark.parametrize("text", ['{"base": 3}', "{}", "[]", "{", ""])
def test_a_harmed_model_bundle_is_told_though_it_names_no_base(tmp_path, text):
    bundle, known = tmp_path / "bundle", tmp_path / "home" / "models" / "base"
    bundle.mkdir()
    made = manifest.build("twainbot-lora", "v0.1", {"bundle.json": b'{"base": {}}'}, {"base": "b"}, rehearsal=True)
    (bundle / "manifest.json").write_bytes(manifest.to_json(made))
    (bundle / "bundle.json").write_text(text)
    known.mkdir(parents=True)
    words = dict.fromkeys(("source", "source_sha256", "license", "note", "template_sha256", "eos_token"), "x")
    base = BaseInfo(name="b", revision="r", template="hermes", eos_id=1, pad_id=1, files={}, **words)
    (known / "base.json").write_text(base.model_dump_json())
    with pytest.raises(BadInput, match=r"bundle\.json"):
        bundles.verify(bundle, None, Home(tmp_path / "home", "tiny"), print)
