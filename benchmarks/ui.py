"""How long the UI's pages take on a large graph: 10 assets of 2,000 partitions each, 100,000 materializations behind them.

    python benchmarks/ui.py [--assets 10] [--partitions 2000] [--versions 5] [--visits 3] [--out FILE]

The instance is this project's (dagster.yaml, sqlite), the events are written as a run writes them but in one transaction,
with the metadata that a unit of this project carries. A page counts as there once its words stand on it, in headless Chromium
on this machine; the first visit finds the webserver cold, the others are a median. Wants Chromium and playwright (extra dev).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.lines import Line, as_table  # noqa: E402
from benchmarks.screenshots import SIZE, launched  # noqa: E402

GRAPH = """
import dagster as dg

UNITS = dg.StaticPartitionsDefinition([f"unit_{{number:04}}" for number in range({partitions})])


def stage(number):
    @dg.asset(
        name=f"stage_{{number}}", partitions_def=UNITS, group_name="synthetic", kinds={{"parquet"}},
        deps=[f"stage_{{number - 1}}"] if number else [],
    )
    def made() -> None: ...

    return made


defs = dg.Definitions(assets=[stage(number) for number in range({assets})])
"""


def fill(instance: Any, assets: int, partitions: int, versions: int) -> None:
    """Materializations of every partition, oldest version first; the last of each asset goes in as the instance does it."""
    import dagster as dg
    from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
    from dagster._core.events.log import EventLogEntry

    storage, now = instance.event_log_storage, time.time()
    count = assets * partitions * versions
    entries = []
    for number in range(count):
        version, rest = divmod(number, assets * partitions)
        unit, asset = divmod(rest, assets)
        materialization = dg.AssetMaterialization(
            asset_key=f"stage_{asset}", partition=f"unit_{unit:04}",
            metadata={"rows": 100 + unit, "bytes": 10_000 + unit, "reject_reasons": dg.MetadataValue.md("none")},
            tags={"dagster/data_version": f"{version}-{unit}"},
        )  # fmt: skip
        event = DagsterEvent(
            DagsterEventType.ASSET_MATERIALIZATION.value, "synthetic", step_key=f"stage_{asset}",
            event_specific_data=StepMaterializationData(materialization),
        )  # fmt: skip
        entries.append(EventLogEntry(
            user_message="", level=10, job_name="synthetic", run_id=f"run-{version}-{unit:04}", error_info=None,
            step_key=f"stage_{asset}", timestamp=now - (count - number) / 10, dagster_event=event,
        ))  # fmt: skip
    last = entries[-assets:]  # one of each asset: these register the assets
    with storage.index_connection() as connection:
        for entry in entries[:-assets]:
            connection.execute(storage.prepare_insert_event(entry))
    for entry in last:
        instance.store_event(entry)


@contextlib.contextmanager
def webserver(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Dagster's webserver over the synthetic graph, on a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = [
        Path(sys.executable).parent / "dagster-webserver",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-f",
        folder / "graph.py",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(line, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        url, ends = f"http://127.0.0.1:{port}", time.monotonic() + 180
        while time.monotonic() < ends:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/server_info", timeout=5):
                yield url
                return
            time.sleep(0.3)
        sys.exit(f"The webserver did not come up:\n{(folder / 'log').read_text()[-2000:]}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def pages(assets: int, partitions: int) -> dict[str, tuple[str, str]]:
    """What is opened, and words that are on it once it is there."""
    asset = f"stage_{assets - 1}"
    return {
        "graph": ("asset-groups", asset),
        "asset: overview": (f"assets/{asset}", "rows"),
        "asset: partitions": (f"assets/{asset}?view=partitions", "unit_0000"),
        "asset: one partition": (f"assets/{asset}?view=partitions&partition=unit_0007", "10007"),
        "asset: events": (f"assets/{asset}?view=events", f"unit_{partitions - 1:04}"),
        "asset: lineage": (f"assets/{asset}?view=lineage", f"stage_{assets - 2}"),
        "catalog": ("assets", asset),
        "runs": ("runs", "Runs"),
    }


def visits(url: str, wanted: dict[str, tuple[str, str]], often: int, shots: Path | None) -> dict[str, list[float]]:
    """Seconds of each page's visits, each in a browser without memory of the one before."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = launched(playwright)
        for name, (path, words) in wanted.items():
            for _ in range(often):
                page = browser.new_page(viewport=SIZE)
                page.set_default_timeout(120_000)
                begun = time.monotonic()
                page.goto(f"{url}/{path}", wait_until="domcontentloaded")
                page.get_by_text(words).filter(visible=True).first.wait_for()
                found.setdefault(name, []).append(time.monotonic() - begun)
                if shots:
                    page.screenshot(path=shots / f"{name.replace(': ', '-').replace(' ', '-')}.png")
                page.close()
        browser.close()
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Fill an instance, open its pages, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--assets", type=int, default=10)
    parser.add_argument("--partitions", type=int, default=2_000)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--visits", type=int, default=3, help="the first, and as many more")
    parser.add_argument("--shots", type=Path, help="folder for a picture of each page")
    parser.add_argument("--out", type=Path, help="also write the table here")
    given = parser.parse_args(words)
    import dagster as dg

    with tempfile.TemporaryDirectory(prefix="twainbot-ui-") as name:
        folder = Path(name)
        (folder / "graph.py").write_text(GRAPH.format(assets=given.assets, partitions=given.partitions))
        shutil.copy(ROOT / "dagster.yaml", folder / "dagster.yaml")
        state = {"DAGSTER_HOME": name, "DAGSTER_STATE_DIR": f"{name}/state", "DAGSTER_LOG_DIR": f"{name}/logs"}
        os.environ.update(state)
        begun = time.monotonic()
        with dg.DagsterInstance.from_config(name) as instance:
            fill(instance, given.assets, given.partitions, given.versions)
        count = given.assets * given.partitions * given.versions
        lines = [Line(f"writing {count:,} events, s", f"{time.monotonic() - begun:.1f}")]
        size = sum(path.stat().st_size for path in (folder / "state").rglob("*.db"))
        lines.append(Line("event log, MB", f"{size / 1e6:.0f}"))
        begun = time.monotonic()
        with webserver(folder, {**os.environ, "PYTHONWARNINGS": "ignore"}) as url:
            lines.append(Line("start of the webserver, s", f"{time.monotonic() - begun:.1f}"))
            taken = visits(url, pages(given.assets, given.partitions), 1 + given.visits, given.shots)
        for page, seconds in taken.items():
            again = statistics.median(seconds[1:]) if given.visits else float("nan")
            lines.append(
                Line(f"{page}, s: first visit, then the median of {given.visits}", f"{seconds[0]:.2f}, {again:.2f}")
            )
    text = as_table(lines)
    print(f"{given.assets} assets of {given.partitions:,} partitions, {count:,} events.\n\n{text}", end="")
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
