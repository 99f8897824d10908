"""The bill of materials of an environment, in CycloneDX's JSON, checked against what is installed there.

python -m security.sbom --python .venv/bin/python --out dist/sbom.cdx.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from security.audit import ROOT, canonical

SPEC = "1.6"
_LIST = (
    "import importlib.metadata as m, json;"
    "print(json.dumps(sorted({(d.metadata['Name'], d.version) for d in m.distributions() if d.metadata['Name']})))"
)


def installed(python: Path) -> dict[str, str]:
    """Name to version of every distribution that a Python sees."""
    done = subprocess.run([str(python), "-I", "-c", _LIST], capture_output=True, text=True, check=True)
    return {canonical(name): version for name, version in json.loads(done.stdout)}


def made(python: Path, out: Path) -> None:
    """Write the bill, validated against CycloneDX's own schema. Raises CalledProcessError where that fails."""
    words = ["environment", str(python), "--spec-version", SPEC, "--output-format", "JSON", "--output-reproducible",
             "--validate", "--pyproject", str(ROOT / "pyproject.toml"), "-o", str(out)]  # fmt: skip
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *words], check=True)


def problems(bill: Mapping[str, Any], known: Mapping[str, str]) -> list[str]:
    """What is wrong with a bill of an environment with these packages; empty where it is whole."""
    found = [] if bill.get("bomFormat") == "CycloneDX" else ["It is no CycloneDX document."]
    listed = {canonical(str(each["name"])): str(each.get("version")) for each in bill.get("components") or []}
    root = canonical(str(((bill.get("metadata") or {}).get("component") or {}).get("name", "")))
    found += [
        f"{name} {known[name]} is installed and not listed." for name in sorted(set(known) - set(listed) - {root})
    ]
    found += [f"{name} is listed as {listed[name]} and installed as {known[name]}." for name in sorted(set(known) & set(listed))
              if listed[name] != known[name]]  # fmt: skip
    without = [str(each["name"]) for each in bill.get("components") or [] if not each.get("purl")]
    return found + [f"{name} has no package address." for name in sorted(without)]


def main(argv: Sequence[str] | None = None) -> int:
    """Write and check the bill: 0, or 1 where it is not whole."""
    parser = argparse.ArgumentParser(prog="python -m security.sbom", description="Write a bill of materials.")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the environment's Python")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "sbom.cdx.json")
    given = parser.parse_args(argv)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        made(given.python, given.out)
        wrong = problems(json.loads(given.out.read_text(encoding="utf-8")), installed(given.python))
    except subprocess.CalledProcessError as error:
        print(f"No bill of materials: {error.cmd[0]} ended with {error.returncode}.")
        return 1
    print("\n".join(wrong) or f"{given.out}: {len(installed(given.python))} packages.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
