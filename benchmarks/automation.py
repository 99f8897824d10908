"""One changed unit of fifty: a refresh of the stages that a unit goes through alone, against their full rebuild.

python benchmarks/automation.py [--units 50] [--out FILE]

Every figure comes from a process of its own, on texts made up here and a random base. Also: what a look of the
automation sensor costs on this graph, and what it asks for after the change.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.lines import Line, as_table  # noqa: E402
from benchmarks.pipeline import Cost, built, copied, environment_of, machine, measured  # noqa: E402

PROFILE = "fifty"
STAGES = "corpora/local or chunks/local or screened/local or dedupe/signatures/local"  # one partition a unit, no fan-in
SENTENCES = 240  # of a unit: some 20 chunks
SHARE, CONSTANT_S = 1 / 20, 20.0  # the bar: a twentieth of the rebuild, plus a constant

SUBJECTS = (
    "the ferryman",
    "my aunt",
    "a deacon",
    "the pilot",
    "the old mill",
    "our neighbour",
    "the auctioneer",
    "a mule",
)
VERBS = ("mended", "counted", "sold", "painted", "borrowed", "forgot", "measured", "praised")
OBJECTS = (
    "the fence",
    "a lantern",
    "three barrels",
    "the church bell",
    "an almanack",
    "the long rope",
    "his hat",
    "a pie",
)
ENDS = (
    "before noon",
    "in the rain",
    "for want of better",
    "and said so",
    "by candle",
    "at the landing",
    "twice",
    "in June",
)

SETTINGS = """
description: Fifty made-up units on a random base. For benchmarks/automation.py.
rehearsal: true
base: {{ name: tiny-random }}
sources:
  local: {{ folder: {folder} }}
chunking: {{ size: 256, overlap: 32, min_tokens: 0 }}
dialogues: {{ batches: 1, settings: {{ tool_calls: 4, style_transfer: 2, contrastive: 2 }} }}
evaluation: {{ tool_calls: 2, grounding: 2, chat: 2, coding: 1, perplexity_tokens: 256 }}
recipes: [default]
trainer: inline
volume: {{ at_least: 1, at_most: 20000 }}
max_rejected_share: 1.0
"""

# What the daemon does at each tick; the first one only remembers. Prints the last tick's seconds and what it asked for.
TICKS = """
import json, logging, os, sys, time
import dagster as dg
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext
from twainbot_assets import runner
from twainbot_assets.definitions import defs
from pathlib import Path

quiet = logging.getLogger("quiet")
quiet.setLevel(logging.ERROR)

def tick(instance, cursor):
    begun = time.monotonic()
    look = AutomationTickEvaluationContext(
        evaluation_id=cursor.evaluation_id + 1, instance=instance, asset_graph=defs.resolve_asset_graph(), cursor=cursor,
        materialize_run_tags={}, observe_run_tags={}, auto_observe_asset_keys=set(),
        asset_selection=dg.AssetSelection.all(), logger=quiet, emit_backfills=False,
    )
    asked, cursor, _ = look.evaluate()
    found = sorted(f"{'/'.join(key.path)} [{run.partition_key}]" for run in asked for key in run.asset_selection or [])
    return time.monotonic() - begun, found, cursor

with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
    _, _, cursor = tick(instance, AssetDaemonCursor.empty())
    unchanged_s, idle, cursor = tick(instance, cursor)
    unit = Path(sys.argv[1])
    unit.write_text(unit.read_text() + "\\nA last line about the weather of that day.\\n")
    runner.observe(instance)
    changed_s, found, cursor = tick(instance, cursor)
    print(json.dumps({"unchanged_s": unchanged_s, "idle": idle, "changed_s": changed_s, "found": found}))
"""


def text(number: int) -> str:
    """A unit's text: plain sentences of one seed, under a title."""
    draw = random.Random(number)
    lines = [
        f"{draw.choice(SUBJECTS).capitalize()} {draw.choice(VERBS)} {draw.choice(OBJECTS)} {draw.choice(ENDS)}, "
        f"which was number {draw.randrange(1000)} of the year."
        for _ in range(SENTENCES)
    ]
    paragraphs = [" ".join(lines[start : start + 6]) for start in range(0, len(lines), 6)]
    return f"# Paper {number}\n\n" + "\n\n".join(paragraphs) + "\n"


def written(folder: Path, code: Path, units: int) -> Path:
    """The units with their rights, and a profile that reads them. Returns the unit to change."""
    folder.mkdir(parents=True)
    for number in range(units):
        path = folder / f"paper{number:02d}.md"
        path.write_text(text(number), encoding="utf-8")
        rights = {"author": "TwainBot contributors", "rights": "cc0", "license": "CC0-1.0", "style": "twain"}
        path.with_name(f"{path.name}.yaml").write_text(json.dumps(rights), encoding="utf-8")
    (code / "profiles" / f"{PROFILE}.yaml").write_text(SETTINGS.format(folder=folder), encoding="utf-8")
    recipes = code / "training" / "configs"
    (recipes / PROFILE).symlink_to(recipes / "tiny")
    return folder / "paper00.md"


def twainbot(environment: Mapping[str, str], *words: str) -> Cost:
    """One command of the command line, to its end."""
    return measured([sys.executable, "-m", "twainbot_assets.cli", *words], environment)


def lines_of(units: int, full: Cost, idle: Cost, one: Cost, ticks: Mapping[str, object]) -> list[Line]:
    """The figures with the bar: a twentieth of the rebuild plus a constant, in wall seconds."""
    bar = full.wall_s * SHARE + CONSTANT_S
    asked = ticks["found"]
    assert isinstance(asked, list)
    return [
        line(f"full rebuild, {units} units ({built(full.output)} built)", full),
        line(f"run with nothing changed ({built(idle.output)} built)", idle),
        Line(
            f"run with one unit changed ({built(one.output)} built)", cost(one),
            f"<= {bar:.1f} s (a twentieth + {CONSTANT_S:g} s)", one.wall_s <= bar,
        ),
        Line("the change itself, over a run with nothing changed", f"{one.wall_s - idle.wall_s:.1f} s wall"),
        Line("a look of the automation sensor, nothing changed", f"{ticks['unchanged_s']:.1f} s, asked for {ticks['idle']}"),
        Line("a look after the change", f"{ticks['changed_s']:.1f} s, asked for {', '.join(map(str, asked))}"),
    ]  # fmt: skip


def line(what: str, found: Cost) -> Line:
    """A cost without a bar."""
    return Line(what, cost(found))


def cost(found: Cost) -> str:
    """Wall and CPU seconds."""
    return f"{found.wall_s:.1f} s wall, {found.cpu_s:.1f} s CPU"


def measured_lines(folder: Path, units: int) -> Sequence[Line]:
    """Build all, look at it again, change one unit and build that; then the sensor's ticks."""
    code, home = copied(folder / "code"), folder / "home"
    changed = written(folder / "papers", code, units)
    home.mkdir()
    own = home / PROFILE / "dagster"
    environment = environment_of(PROFILE, home, code) | {
        "DAGSTER_HOME": str(code), "DAGSTER_STATE_DIR": str(own), "DAGSTER_LOG_DIR": str(own / "logs")
    }  # fmt: skip
    twainbot(environment, "run", "--select", "base")
    full = twainbot(environment, "run", "--select", STAGES)
    idle = twainbot(environment, "run", "--select", STAGES)
    changed.write_text(changed.read_text(encoding="utf-8") + "\nOne more line, about a pilot.\n", encoding="utf-8")
    one = twainbot(environment, "run", "--select", STAGES)
    ticks = json.loads(measured([sys.executable, "-c", TICKS, str(changed)], environment).output.splitlines()[-1])
    return lines_of(units, full, idle, one, ticks)


def main() -> None:
    """Measure, print, and write the table where asked. Exits 0 whatever the bar says: a loaded machine is no fault."""
    parser = argparse.ArgumentParser(description="One changed unit against a full rebuild.")
    parser.add_argument("--units", type=int, default=50, help="how many units; 99 are the most that a source may have")
    parser.add_argument("--out", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory(prefix="twainbot-bench-") as folder:
        lines = measured_lines(Path(folder), arguments.units)
    table = f"Before: {before}. After: {machine()}.\n\n{as_table(lines)}"
    print(table, end="")
    if arguments.out:
        arguments.out.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
