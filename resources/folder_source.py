"""A folder as a source: one file a unit, with a manifest or sidecars for rights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from resources.home import PROJECT
from resources.raw_store import RawStore, digest
from twainbot import yaml_text
from twainbot.errors import BadConfig, UnknownName

if TYPE_CHECKING:
    from twainbot.corpora.works import Sidecar

MANIFEST = "manifest.yaml"


@dataclass
class FolderSource:
    """One file a unit, keyed by its stem. Rights come from `<file>.yaml`, or a `manifest.yaml` in the folder or above it."""

    source: str
    folder: Path
    store: RawStore
    skipped: dict[str, str] = field(default_factory=dict)
    is_live: bool = False

    @cached_property
    def files(self) -> dict[str, Path]:
        """Unit key to file. Raises BadConfig where two files claim one key."""
        found: dict[str, Path] = {}
        if not self.folder.is_dir():
            return found
        for path in sorted(self.folder.iterdir()):
            if path.name.startswith(".") or path.suffix in (".yaml", ".yml"):
                continue
            if not path.is_file():
                self.skipped[path.name] = "a folder; a unit is one file"
                continue
            if path.stem in found:
                raise BadConfig(f"{path} and {found[path.stem]} both claim the unit {path.stem!r}. Rename one of them.")
            found[path.stem] = path
        return found

    @cached_property
    def manifest(self) -> dict[str, dict[str, Any]]:
        """Manifest entries by file name; an entry's `path` is relative to the manifest."""
        for place in (self.folder, self.folder.parent):
            path = place / MANIFEST
            if path.is_file():
                entries = read_yaml(path).get("files") or []
                if not all(isinstance(entry, dict) and entry.get("path") for entry in entries):
                    raise BadConfig(f"Every entry under `files:` in {path} must be a mapping with a `path`.")
                listed = {(place / entry["path"]).resolve(): entry for entry in entries}
                return {
                    file.name: dict(listed[file.resolve()]) for file in self.files.values() if file.resolve() in listed
                }
        return {}

    def units(self) -> list[str]:
        """Unit keys, sorted."""
        return sorted(self.files)

    def known(self, unit: str) -> dict[str, Any]:
        """What a person wrote about this unit: its sidecar, else its manifest entry, else nothing (rights unknown)."""
        path = self._path(unit)
        sidecar = path.with_name(f"{path.name}.yaml")
        return read_yaml(sidecar) if sidecar.is_file() else self.manifest.get(path.name, {})

    def version(self, unit: str) -> str:
        """Over the file's bytes and what is known about it."""
        known = json.dumps(self.known(unit), sort_keys=True, default=str).encode()
        return digest(self._path(unit).read_bytes(), known)

    def fetch(self, unit: str) -> tuple[bytes, Sidecar]:
        """The file's bytes, also kept in the raw store."""
        from twainbot.corpora.works import Sidecar

        path, known = self._path(unit), self.known(unit)
        raw = path.read_bytes()
        where = path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.as_uri()
        stored = self.store.put(raw, where, str(known.get("license", "")))
        named = {"filename": path.name, "url": where, "edition": path.stem, "retrieved_at": stored.retrieved_at}
        return raw, Sidecar.from_mapping({**named, **as_text(known)})

    def _path(self, unit: str) -> Path:
        try:
            return self.files[unit]
        except KeyError:
            known = ", ".join(self.units()) or "none"
            raise UnknownName(f"{self.source} has no unit {unit!r} in {self.folder}. Units: {known}.") from None


def as_text(known: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries with numbers and dates as text: YAML reads the title `1601` as a number, `2026-01-02` as a date."""
    return {name: str(value) if isinstance(value, int | float | date) else value for name, value in known.items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises BadConfig with the file's name on anything else."""
    try:
        found = yaml_text.read(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not readable YAML: {error}") from error
    if not isinstance(found, dict):
        raise BadConfig(f"{path} must hold a mapping.")
    return found
