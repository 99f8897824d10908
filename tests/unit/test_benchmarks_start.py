"""Each benchmark starts from its file, as its docstring says: one that only a campaign runs breaks unseen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# lines, waiting and training_sides are imported by the others; the last is started with the arguments of training.py
SCRIPTS = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"lines", "waiting", "training_sides"})


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_starts_and_tells_what_it_takes(name):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    line = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--help"]
    told = subprocess.run(line, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert told.returncode == 0, told.stderr[-2000:]
    assert told.stdout.startswith("usage:")
