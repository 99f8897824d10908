"""What the graph costs over the work itself: loading, a full run, a run with nothing to do. The work itself is plain.py's.

python benchmarks/pipeline.py [--profile tiny] [--home DIR] [--out FILE]

Every figure comes from a process of its own. CPU seconds are user and system time of that process and its children; on a
shared machine they say more than wall seconds do, and both are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.lines import Line, as_table  # noqa: E402

PARTS = ("twainbot", "twainbot_assets", "resources", "checks", "training", "profiles", "samples", "benchmarks")
ROUNDS = 5
LOAD_BAR = 1.3  # times `import dagster`
OVERHEAD_BAR = 1.25  # times the plain script
QUIET = {"PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
HOME_OF_ITS_OWN = ("DAGSTER_HOME", "DAGSTER_STATE_DIR", "DAGSTER_LOG_DIR", "TWAINBOT_LAKE", "MLFLOW_TRACKING_URI")
SHARED_TABLES = ("dapt", "sft", "preferences")  # compared, so that both sides are seen to do the same work


@dataclass(frozen=True)
class Cost:
    """One process: wall and CPU seconds, peak memory in MiB, and what it printed."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    output: str


def copied(folder: Path) -> Path:
    """A copy of what is measured: an edit to the clone while it runs would make assets stale, and the second run busy."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("dagster.yaml", "workspace.yaml", "LICENSE"):  # the last is part of every release
        shutil.copy(ROOT / file, folder / file)
    return folder


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end. Raises SystemExit with its last lines where it failed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            command, cwd=environment["PYTHONPATH"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)  # the usage of this child and its children alone, peak included
        wall = time.monotonic() - begun
        output.seek(0)
        text = output.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"`{shlex.join(command)}` ended with {process.returncode}:\n{text[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def environment_of(profile: str, home: Path, code: Path) -> dict[str, str]:
    """This process's environment with a home and code of its own: nothing is read from or left in the user's."""
    dropped = (*HOME_OF_ITS_OWN, "PYTHONDONTWRITEBYTECODE")  # who compiles at each start measures the compiler
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    own = {"TWAINBOT_PROFILE": profile, "TWAINBOT_HOME": str(home), "PYTHONPATH": str(code)}
    return {**kept, **QUIET, **own}


def loading(environment: Mapping[str, str]) -> list[Line]:
    """Medians of both imports over alternating rounds, and their ratio by wall and by CPU."""
    modules = ("dagster", "twainbot_assets.definitions")
    costs: dict[str, list[Cost]] = {module: [] for module in modules}
    for _ in range(ROUNDS):
        for module in modules:
            costs[module].append(measured([sys.executable, "-c", f"import {module}"], environment))
    wall = {module: statistics.median(cost.wall_s for cost in found) for module, found in costs.items()}
    cpu = {module: statistics.median(cost.cpu_s for cost in found) for module, found in costs.items()}
    lines = [Line(f"`import {module}`", f"{wall[module]:.2f} s wall, {cpu[module]:.2f} s CPU") for module in modules]
    for name, figures in (("wall", wall), ("CPU", cpu)):
        lines.append(ratio(f"load ratio, {name}", figures[modules[1]], figures[modules[0]], LOAD_BAR))
    return lines


def ratio(what: str, ours: float, theirs: float, bar: float) -> Line:
    """A ratio held against its bar."""
    return Line(what, f"{ours / theirs:.2f}", f"<= {bar:g}", ours / theirs <= bar)


def running(profile: str, home: Path, environment: Mapping[str, str]) -> list[Line]:
    """The graph on a fresh home, the plain script, and the graph again."""
    graph_command = [str(Path(sys.executable).with_name("twainbot")), "run", "--profile", profile]
    plain_folder = home / "plain"
    plain_folder.mkdir()
    graph = measured(graph_command, environment)
    plain = measured([sys.executable, "benchmarks/plain.py", profile, str(plain_folder)], environment)
    again = measured(graph_command, environment)
    same = tables_of(home / profile / "lake", environment) == json.loads(plain.output.splitlines()[-1])
    runs = (("`twainbot run`, fresh home", graph), ("the plain script", plain), ("`twainbot run` again", again))
    lines = [Line(name, f"{c.wall_s:.1f} s wall, {c.cpu_s:.1f} s CPU, {c.peak_mib:,.0f} MiB peak") for name, c in runs]
    return [
        *lines,
        Line("training tables equal", "yes" if same else "no", "yes", same),
        ratio("overhead, wall", graph.wall_s, plain.wall_s, OVERHEAD_BAR),
        ratio("overhead, CPU", graph.cpu_s, plain.cpu_s, OVERHEAD_BAR),
        Line("built by the first run", str(built(graph.output))),
        Line("built by the second run", str(built(again.output)), "0", built(again.output) == 0),
    ]


def tables_of(lake: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Content hashes of the graph's training tables, taken in a process of its own: polars would add to this one's peak."""
    code = (
        "import json, sys, polars as pl; from twainbot.records import content_hash; "
        "print(json.dumps({name: content_hash(pl.read_parquet(f'{sys.argv[1]}/splits/{name}/part-0.parquet'))"
        " for name in sys.argv[2:]}))"
    )
    found = measured([sys.executable, "-c", code, str(lake), *SHARED_TABLES], environment)
    hashes: dict[str, str] = json.loads(found.output.splitlines()[-1])
    return hashes


def built(output: str) -> int:
    """How many items a run says that it built; -1 where it does not say."""
    found = re.search(r"^(\d+) built,", output, re.MULTILINE)
    return int(found[1]) if found else -1


def machine() -> str:
    """Cores, load and Python: what a reader needs before comparing."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load}, Python {platform.python_version()}, {platform.machine()}"


def report(profile: str, before: str, lines: Sequence[Line]) -> str:
    """The lines as a Markdown table, machine facts above it."""
    return f"Profile {profile}. Before: {before}. After: {machine()}.\n\n{as_table(lines)}"


def main() -> None:
    """Measure, print, and write the report where asked. Exits 0 whatever the bars say: a loaded machine is no fault."""
    parser = argparse.ArgumentParser(description="What the graph costs over the work itself.")
    parser.add_argument("--profile", default="tiny", choices=["tiny", "sample"])
    parser.add_argument("--home", type=Path, help="a folder, not there yet, that keeps what the graph made")
    parser.add_argument("--out", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory(prefix="twainbot-bench-") as folder:
        home = (arguments.home or Path(folder) / "home").resolve()
        home.mkdir(parents=True)
        environment = environment_of(arguments.profile, home, copied(Path(folder) / "code"))
        lines = [*loading(environment), *running(arguments.profile, home, environment)]
    text = report(arguments.profile, before, lines)
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
