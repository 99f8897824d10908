"""Known vulnerabilities of the pinned versions, by pip-audit. An audit that could not look at everything has failed.

    python -m security.audit [--osv-url URL] [--out FILE]

pip-audit itself ends well where it skipped packages, so its answer is counted here against the pins. Exit code 0: every pin
was looked up and none is known to be vulnerable; 1: some are; 2: pins were skipped, or the database could not be asked.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;#]+)")
CLEAN, VULNERABLE, INCOMPLETE = 0, 1, 2


def pins(text: str) -> dict[str, str]:
    """Name, as package indexes write it, to version, of every pinned line. Raises ValueError on a line that pins nothing."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        match = _PIN.match(bare)
        if match is None:
            raise ValueError(f"line {number} pins no version: {bare!r}. An audit needs exact versions.")
        found[canonical(match["name"])] = match["version"].partition("+")[0]  # no database knows a local build's tag
    return found


def canonical(name: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(wanted: Mapping[str, str], more: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """pip-audit's answer, None where it gave none, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "pinned.txt"
        listed.write_text("".join(f"{name}=={version}\n" for name, version in wanted.items()), encoding="utf-8")
        words = ["-r", str(listed), "--no-deps", "--disable-pip", "-f", "json", "--progress-spinner", "off", *more]
        done = subprocess.run([sys.executable, "-m", "pip_audit", *words], capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return None, done.stderr
    return (found if isinstance(found, dict) and isinstance(found.get("dependencies"), list) else None), done.stderr


def judged(wanted: Mapping[str, str], answer: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Exit code and lines: what is vulnerable, what was not looked at."""
    seen = {canonical(str(entry["name"])): entry for entry in answer["dependencies"]}
    skipped = {name: str(entry["skip_reason"]) for name, entry in seen.items() if "skip_reason" in entry}
    absent = sorted(set(wanted) - set(seen))
    other = sorted(name for name, entry in seen.items() if name in wanted and "skip_reason" not in entry
                   and str(entry.get("version")) != wanted[name])  # fmt: skip
    lines = [f"SKIPPED {name}: {why}" for name, why in sorted(skipped.items())]
    lines += [f"NOT LOOKED AT {name}=={wanted[name]}" for name in absent]
    lines += [f"ANOTHER VERSION {name}: {seen[name].get('version')} in place of {wanted[name]}" for name in other]
    faults = [(name, fault) for name, entry in sorted(seen.items()) for fault in entry.get("vulns") or []]
    for name, fault in faults:
        mended = ", ".join(fault.get("fix_versions") or []) or "no version yet"
        lines.append(f"VULNERABLE {name}=={seen[name]['version']}: {fault['id']}, mended in {mended}")
    if skipped or absent or other:
        unseen = len(skipped) + len(absent) + len(other)
        return INCOMPLETE, [*lines, f"The audit is incomplete: {unseen} of {len(wanted)} pins were not looked up."]
    verdict = f"{len(wanted)} pinned packages looked up, {len(faults)} known vulnerabilities."
    return VULNERABLE if faults else CLEAN, [*lines, verdict]


def main(argv: Sequence[str] | None = None) -> int:
    """Audit the pins; 0, 1 or 2 as the module says."""
    parser = argparse.ArgumentParser(prog="python -m security.audit", description="Audit the pinned packages.")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--osv-url", help="another address of the OSV database; default: api.osv.dev")
    parser.add_argument(
        "--ignore-vuln", action="append", default=[], help="one that was looked at and does not concern us"
    )
    parser.add_argument("--out", type=Path, help="file for pip-audit's own answer")
    given = parser.parse_args(argv)
    wanted = pins(given.constraints.read_text(encoding="utf-8"))
    more = ["-s", "osv", *(["--osv-url", given.osv_url] if given.osv_url else [])]
    answer, said = asked(wanted, [*more, *(word for each in given.ignore_vuln for word in ("--ignore-vuln", each))])
    if answer is None:
        told = " ".join(said.split())[-400:]
        print(f"NOT RUN: the vulnerability database gave no answer, so nothing is known of {len(wanted)} pins. {told}")
        return INCOMPLETE
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(answer, indent=1), encoding="utf-8")
    code, lines = judged(wanted, answer)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
