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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT_BYTES = 200_000
SIZE = {"width": 1440, "height": 900}
TOP = {"x": 0, "y": 0, "width": SIZE["width"]}
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"]
NAMES = ("graph", "asset", "check", "backfill", "lineage")
BACKFILL = {
    "assetSelection": [{"path": ["chunks", "local"]}], "partitionNames": ["aphorisms", "river"],
    "title": "Cut the river and the aphorisms again",
}  # fmt: skip
LAUNCH = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
CHECKS = """query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) {
  assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name
  executionForLatestMaterialization { status } } } } } }"""


def launched(playwright: Any) -> Any:
    """This machine's Chromium, headless."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return playwright.chromium.launch(executable_path=chromium, args=FLAGS)


def ask(url: str, query: str, **variables: Any) -> Any:
    """A GraphQL answer's data."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
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
    """A check of an adapter or an evaluation that failed: a random model fails several."""
    keys = [
        {"path": path.split("/")} for path in ("adapters/sft", "adapters/dapt", "evals/tool_calls", "evals/grounding")
    ]
    found = [
        ("/".join(node["assetKey"]["path"]), check["name"])
        for node in ask(url, CHECKS, keys=keys)["assetNodes"]
        for check in node["assetChecksOrError"].get("checks", [])
        if (check["executionForLatestMaterialization"] or {}).get("status") == "FAILED"
    ]
    return min(found)


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


def save(page: Any, file: Path, clip: dict[str, float] | None = None) -> None:
    """A picture, or a part of it, with as many colours as the limit allows."""
    from PIL import Image

    settled(page)
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size < LIMIT_BYTES:
            break
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


def take(page: Any, url: str, report: Path, out: Path, names: Sequence[str]) -> None:
    """Those that are named."""
    if "graph" in names:
        page.goto(f"{url}/asset-groups", wait_until="domcontentloaded")
        page.get_by_text("Hide navigation").click()
        page.reload(wait_until="domcontentloaded")  # drawn anew over the room that this made
        page.locator("foreignObject").get_by_text("release", exact=True).first.wait_for()
        settled(page)
        save(page, out / "graph.png", drawn(page))
        page.evaluate("localStorage.clear()")
    if "asset" in names:
        show(page, f"{url}/assets/curated/passages", "Latest check results", out / "asset.png")
    if "check" in names:
        asset, check = failed_check(url)
        show(page, f"{url}/assets/{asset}?view=checks&checkDetail={check}", check, out / "check.png")
    if "backfill" in names:
        show(page, f"{url}/runs/b/{backfilled(url)}", "Succeeded", out / "backfill.png", {**TOP, "height": 330})
    if "lineage" in names:
        page.goto(report.as_uri())
        page.locator(".column[aria-label='Adapters'] .node").filter(has_text="adapters/sft").click()
        page.locator("main h2").filter(has_text="adapters/sft").wait_for()
        page.locator(".column[aria-label='Dialogues'] .node").filter(has_text="style_transfer").first.click()
        page.locator("main mark").first.wait_for()
        page.evaluate("document.activeElement.blur()")
        save(page, out / "lineage.png")


def drawn(page: Any) -> dict[str, float]:
    """The part of the page that the boxes of the graph stand in, with a margin."""
    boxes = [box for one in page.locator("foreignObject").all() if (box := one.bounding_box())]
    left, top = min(box["x"] for box in boxes) - 24, min(box["y"] for box in boxes) - 24
    right, bottom = (max(box[at] + box[size] for box in boxes) + 24 for at, size in (("x", "width"), ("y", "height")))
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def show(page: Any, address: str, words: str, file: Path, clip: dict[str, float] | None = None) -> None:
    """A page of the UI, or a part of it, once these words are on it."""
    page.goto(address, wait_until="domcontentloaded")
    page.get_by_text(words).first.wait_for()
    save(page, file, clip)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="of the running UI")
    parser.add_argument("--home", type=Path, default=ROOT / "data", help="TWAINBOT_HOME of that UI")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    chosen = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launched(playwright)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(180_000)
        take(page, chosen.url, (chosen.home / "tiny" / "reports" / "lineage.html").resolve(), chosen.out, chosen.only)
        browser.close()


if __name__ == "__main__":
    main()
