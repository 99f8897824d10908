"""The screenshots of README and docs/ui.md, taken from a running UI over a finished home of profile tiny.

    make run PROFILE=tiny && make ui PROFILE=tiny    # in one terminal
    python benchmarks/screenshots.py --home data     # in another; wants Chromium, playwright and Pillow

The texts in them are the project's own samples. Look at each before committing it.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT_BYTES = 200_000
SIZE = {"width": 1440, "height": 860}
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"]
BACKFILL = {
    "assetSelection": [{"path": ["chunks", "local"]}], "partitionNames": ["aphorisms", "river"],
    "title": "Cut the river and the aphorisms again",
}  # fmt: skip
LAUNCH = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
CHECKS = """{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name
  executionForLatestMaterialization { status } } } } } }"""


def ask(url: str, query: str, **variables: Any) -> Any:
    """A GraphQL answer's data."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["data"]


def wait_for(condition: Callable[[], Any], what: str, limit_s: float = 900) -> Any:
    """The condition's first true value. Raises TimeoutError naming what never came."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(1)
    raise TimeoutError(f"{what} did not come within {limit_s:.0f} s")


def failed_check(url: str) -> tuple[str, str]:
    """An asset and a check of it that failed: a random model fails several, those of evaluations first."""
    found = [
        ("/".join(node["assetKey"]["path"]), check["name"])
        for node in ask(url, CHECKS)["assetNodes"]
        for check in node["assetChecksOrError"].get("checks", [])
        if (check["executionForLatestMaterialization"] or {}).get("status") == "FAILED"
    ]
    return min(found, key=lambda one: (not one[0].startswith("adapters"), one))


def backfilled(url: str) -> str:
    """The id of a new backfill over two partitions, once it is over."""
    backfill: str = ask(url, LAUNCH, p=BACKFILL)["launchPartitionBackfill"]["backfillId"]
    over = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED")
    wait_for(
        lambda: ask(url, STATUS, id=backfill)["partitionBackfillOrError"]["status"] in over, "the end of the backfill"
    )
    return backfill


def settled(page: Any) -> None:
    """Wait until two pictures half a second apart are equal: the UI draws on long after it has loaded."""
    before = b""

    def same() -> bool:
        nonlocal before
        now = page.screenshot()
        equal, before = now == before, now
        return equal

    wait_for(same, "a page that stands still", 120)


def save(page: Any, file: Path) -> None:
    """A picture with as many colours as the limit allows."""
    from PIL import Image

    settled(page)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size < LIMIT_BYTES:
            break
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


def take(page: Any, url: str, report: Path, out: Path) -> None:
    """All five."""
    asset, check = failed_check(url)
    shots = {
        "graph": (f"{url}/asset-groups", "curated"),
        "asset": (f"{url}/assets/curated/passages", "lineage_page"),
        "check": (f"{url}/assets/{asset}?view=checks&checkDetail={check}", check),
        "backfill": (f"{url}/runs/b/{backfilled(url)}", "Completed"),
    }
    for name, (address, words) in shots.items():
        page.goto(address, wait_until="domcontentloaded")
        page.get_by_text(words).first.wait_for()
        save(page, out / f"{name}.png")
    page.goto(report.as_uri())
    page.locator(".column[aria-label='Dialogues'] .node").filter(has_text="style_transfer").first.click()
    page.locator("main mark").first.wait_for()
    page.evaluate("document.activeElement.blur()")
    save(page, out / "lineage.png")


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="of the running UI")
    parser.add_argument("--home", type=Path, default=ROOT / "data", help="TWAINBOT_HOME of that UI")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    chosen = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(180_000)
        take(page, chosen.url, (chosen.home / "tiny" / "reports" / "lineage.html").resolve(), chosen.out)
        browser.close()


if __name__ == "__main__":
    main()
