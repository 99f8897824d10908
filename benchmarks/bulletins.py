"""Bulletins beside pyIEM's parser, field by field and MB/s: `python benchmarks/bulletins.py [FOLDER] [--json]`.

Without FOLDER, the products of the folder that TWAINBOT_SHARED_DATA names (default ../shared/data) are read.

Where pyIEM is not installed, only our own figures are printed, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twainbot.corpora.bulletins import Product, parse_product, split_products

REPEATS = 5  # the best of five passes: the machine does other work
FIELDS = ("wmo", "office", "awips", "issued", "segments", "ugc", "purge", "vtec")
Reading = Mapping[str, Any]


def ours(product: Product) -> Reading:
    """What both parsers know of a product, in one form. Segments without zones are no segments to pyIEM."""
    issued = datetime.fromisoformat(product.issued_at).astimezone(UTC) if product.issued_at else None
    zoned = [segment for segment in product.segments if segment.ugc]
    return {
        "wmo": product.wmo,
        "office": product.office,
        "awips": product.awips,
        "issued": issued.strftime("%Y-%m-%dT%H:%M") if issued else "",
        "segments": len(zoned),
        "ugc": [sorted(segment.ugc) for segment in zoned],
        "purge": [segment.expires_at[:16] for segment in zoned],
        "vtec": [_event(event) for segment in product.segments for event in segment.vtec],
    }


def _event(event: Mapping[str, str]) -> str:
    keys = ("class", "action", "office", "phenomenon", "significance", "number")
    return f"/{'.'.join(event[key] for key in keys)}.{event['begins']}-{event['ends']}/"


def peer() -> Callable[[str], Reading] | None:
    """pyIEM's reader in the same form, or None where it is not installed."""
    try:
        from pyiem.nws.product import TextProduct  # pyrefly: ignore
        from pyiem.nws.ugc import UGCProvider  # pyrefly: ignore
    except ImportError:
        return None
    logging.disable(logging.CRITICAL)
    provider = UGCProvider(legacy_dict={})

    def read(text: str) -> Reading:
        found = TextProduct(text, ugc_provider=provider, parse_segments=True)
        zoned = [segment for segment in found.segments if segment.ugcs]
        return {
            "wmo": found.wmo,
            "office": found.source,
            "awips": found.afos,
            "issued": found.valid.astimezone(UTC).strftime("%Y-%m-%dT%H:%M"),
            "segments": len(zoned),
            "ugc": [sorted(dict.fromkeys(map(str, segment.ugcs))) for segment in zoned],
            "purge": [segment.ugcexpire.strftime("%Y-%m-%dT%H:%M") if segment.ugcexpire else "" for segment in zoned],
            "vtec": [str(event) for segment in found.segments for event in segment.vtec],
        }

    return read


def compare(texts: Mapping[str, str], read: Callable[[str], Reading]) -> tuple[Counter[str], list[str], list[str]]:
    """Agreements per field, the disagreements in words, and what pyIEM refused."""
    agreed: Counter[str] = Counter()
    differ: list[str] = []
    refused: list[str] = []
    for name, text in texts.items():
        mine = ours(parse_product(text))
        try:
            other = read(text)
        except Exception as error:
            refused.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
            continue
        agreed["products"] += 1
        for field in FIELDS:
            agreed[field] += mine[field] == other[field]
            if mine[field] != other[field]:
                differ.append(f"{name}: {field}: ours {mine[field]!s:.300} / pyIEM {other[field]!s:.300}")
    return agreed, differ, refused


def megabytes_per_second(texts: Mapping[str, str], read: Callable[[str], Any]) -> float:
    """Of the best pass over all texts, in process time."""
    size = sum(len(text.encode()) for text in texts.values()) / 1e6
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        for text in texts.values():
            try:
                read(text)
            except Exception:
                continue
        best = min(best, time.process_time() - start)
    return size / best


def main(folder: str, as_json: bool) -> None:
    """Print the table for every .txt of the folder."""
    warnings.simplefilter("ignore")
    files = sorted(Path(folder).glob("*.txt"))
    if not files:
        sys.exit(f"There are no bulletins at {folder}. Name a folder, or set TWAINBOT_SHARED_DATA.")
    texts = {
        f"{path.name}#{number}" if number else path.name: text
        for path in files
        for number, text in enumerate(split_products(path.read_bytes()))
    }
    products = [parse_product(text) for text in texts.values()]
    report: dict[str, Any] = {
        "files": len(files),
        "products": len(products),
        "outcomes": dict(Counter(product.reject_reason or "work" for product in products)),
        "facts": sum(len(product.facts) for product in products),
        "ours_mb_per_s": round(megabytes_per_second(texts, parse_product), 2),
    }
    read = peer()
    if read is None:
        report["peer"] = "pyIEM is not installed: nothing to compare with"
    else:
        agreed, differ, refused = compare(texts, read)
        report["compared"] = agreed.pop("products")
        report["agreement"] = {field: agreed[field] for field in FIELDS}
        report["disagreements"] = differ
        report["refused_by_pyiem"] = refused
        report["pyiem_mb_per_s"] = round(megabytes_per_second(texts, read), 2)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    for key, value in report.items():
        print(
            f"{key}:", *(value if isinstance(value, list) else [value]), sep="\n  " if isinstance(value, list) else " "
        )


if __name__ == "__main__":
    shared = Path(os.environ.get("TWAINBOT_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=str(shared / "nws" / "products"))
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    given = parser.parse_args()
    main(given.folder, given.json)
