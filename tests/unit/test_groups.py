"""Tests that share a built clone run in one worker, else each builds its own. pytest 9.2 with xdist 3.8 does, in silence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import pytest

pytestmark = pytest.mark.xdist_group("one")


@pytest.mark.parametrize("number", range(4))
def test_of_a_group(number):
    assert number >= 0
"""


@pytest.mark.slow
def test_a_group_is_given_to_one_worker(tmp_path: Path) -> None:
    for name in ("test_first.py", "test_second.py"):
        (tmp_path / name).write_text(MODULE)
    given = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = ["-n", "2", "--dist", "loadgroup", "-v", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    workers = re.findall(r"^\[(gw\d+)\].* PASSED ", done.stdout, re.MULTILINE)
    assert len(workers) == 8, done.stdout
    assert len(set(workers)) == 1, done.stdout
