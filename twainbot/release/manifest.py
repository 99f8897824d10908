"""The list of a bundle's files with their hashes, and where they came from. Reading and writing folders is resources/' work.

A manifest lists every file but itself. Its own hash is `manifest_id`, so one number stands for a whole release.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from twainbot.errors import BadInput

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 1
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


def build(
    name: str, version: str, files: Mapping[str, bytes], parents: Mapping[str, str], *, rehearsal: bool = False
) -> dict[str, Any]:
    """The manifest of files given as {path inside the bundle: content}; `parents`: {what: hash or revision}.

    Raises BadInput on a path that leaves the bundle, or without a parent: a release that came from nowhere is none.
    """
    return from_hashes(
        name, version, {path: digest(data) for path, data in files.items()}, parents, rehearsal=rehearsal
    )


def from_hashes(
    name: str,
    version: str,
    hashes: Mapping[str, tuple[str, int]],
    parents: Mapping[str, str],
    *,
    rehearsal: bool = False,
    made_with: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest of files already hashed: {path: (sha256, size in bytes)}. made_with: profile, code version, commit."""
    if not parents or not all(parents.values()):
        raise BadInput(
            f"Release {name} {version} names no parent for {_empty(parents)}: give base, data and config hashes."
        )
    for path in hashes:
        if problem := _path_problem(path):
            raise BadInput(f"Release {name} {version}: {problem}.")
    listed = [
        {"path": path, "sha256": hashes[path][0], "bytes": hashes[path][1]}
        for path in sorted(hashes)
        if path != MANIFEST_NAME
    ]
    body = {
        "manifest_version": MANIFEST_VERSION,
        "name": name,
        "version": version,
        "rehearsal": rehearsal,
        "parents": dict(sorted(parents.items())),
        "files": listed,
        **({"made_with": dict(made_with)} if made_with else {}),
    }
    return {**body, "manifest_id": _identity(body)}


def digest(data: bytes) -> tuple[str, int]:
    """(sha256 in hex, size in bytes)."""
    return hashlib.sha256(data).hexdigest(), len(data)


def to_json(manifest: Mapping[str, Any]) -> bytes:
    """The manifest's file content: sorted, indented, one newline at the end; equal manifests give equal bytes."""
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def from_json(data: bytes) -> dict[str, Any]:
    """A manifest read back; raises BadInput where it is not one of this version."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{MANIFEST_NAME} is not JSON ({error}): fetch the bundle again.") from error
    if not isinstance(manifest, dict) or manifest.get("manifest_version") != MANIFEST_VERSION:
        found = manifest.get("manifest_version") if isinstance(manifest, dict) else type(manifest).__name__
        raise BadInput(f"{MANIFEST_NAME} has version {found}, this program reads {MANIFEST_VERSION}.")
    return manifest


def verify(manifest: Mapping[str, Any], hashes: Mapping[str, tuple[str, int]]) -> list[str]:
    """What is wrong with a bundle, one plain sentence each, in the files' order; empty where it is whole.

    `hashes`: {path: (sha256, bytes)} of every file found in the folder; the manifest's own file may be among them.
    """
    problems: list[str] = []
    body = {key: value for key, value in manifest.items() if key != "manifest_id"}
    if manifest.get("manifest_id") != _identity(body):
        problems.append("The manifest was edited: its manifest_id does not match its content.")
    listed: dict[str, Mapping[str, Any]] = {}
    files = manifest.get("files") or []
    for entry in files if isinstance(files, list) else []:
        problems += _entry_problems(entry, listed)
    for path, entry in sorted(listed.items()):
        problems += _file_problems(path, entry, hashes.get(path))
    extra = sorted(set(hashes) - set(listed) - {MANIFEST_NAME})
    problems += [f"{path} is in the folder but not in the manifest." for path in extra]
    return problems if listed else [*problems, "The manifest lists no files."]


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[str]]:
    """Paths `added`, `removed` and `changed` between two manifests, and the `parents` that differ; all sorted."""
    before = {entry["path"]: entry["sha256"] for entry in old["files"]}
    after = {entry["path"]: entry["sha256"] for entry in new["files"]}
    parents = {*old["parents"], *new["parents"]}
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(path for path in before.keys() & after.keys() if before[path] != after[path]),
        "parents": sorted(key for key in parents if old["parents"].get(key) != new["parents"].get(key)),
    }


def _identity(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _empty(parents: Mapping[str, str]) -> str:
    return ", ".join(sorted(key for key, value in parents.items() if not value)) or "anything"


def _path_problem(path: Any) -> str | None:
    """A path must stay inside the bundle on any system."""
    if not isinstance(path, str) or not path:
        return f"{path!r} is no file name"
    if "\\" in path or "\0" in path or path.startswith("/") or re.match(r"^[A-Za-z]:", path):
        return f"{path!r} is not a relative path with forward slashes"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return f"{path!r} leaves the bundle or is not in its shortest form"
    return None


def _entry_problems(entry: Any, listed: dict[str, Mapping[str, Any]]) -> list[str]:
    """Checks one entry of the manifest and notes it in `listed`."""
    path = entry.get("path") if isinstance(entry, dict) else None
    if problem := _path_problem(path):
        return [f"The manifest lists a bad path: {problem}."]
    if path in listed:
        return [f"{path} is listed twice."]
    listed[str(path)] = entry
    return []


def _file_problems(path: str, entry: Mapping[str, Any], found: tuple[str, int] | None) -> list[str]:
    if not _SHA256.match(str(entry.get("sha256"))):
        return [f"{path} has no sha256 in the manifest."]
    if found is None:
        return [f"{path} is missing."]
    if found[1] != entry.get("bytes"):
        return [f"{path} has {found[1]} bytes, {entry.get('bytes')} expected: the copy is cut short or changed."]
    if found[0] != entry["sha256"]:
        return [f"{path} has sha256 {found[0][:12]}..., {str(entry['sha256'])[:12]}... expected."]
    return []
