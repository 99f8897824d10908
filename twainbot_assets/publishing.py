"""A version that is cut, handed to others (`--to`, `--dvc`, `--push`). How bytes travel is resources/bundle_store.py's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twainbot.errors import BadUse
from twainbot_assets.releasing import table_of
from twainbot_assets.tools import verify_folder

if TYPE_CHECKING:
    from resources.home import Home
    from resources.lake import Lake


def lake_of(home: Home) -> Lake:
    """The lake of a home."""
    from resources.lake import Lake

    return Lake(home.lake)


def is_cut(home: Home, version: str) -> bool:
    """Whether the lake has this version. Raises BadUse on a name of no kind."""
    return lake_of(home).exists(table_of(version), version)


def bundle_of(home: Home, version: str) -> Path:
    """The folder of a version, checked against its manifest. Raises BadInput where it is not what was cut."""
    lake, table = lake_of(home), table_of(version)
    if not lake.exists(table, version):
        raise BadUse(f"{version} was never cut in {lake.base}. Run `twainbot release {version}`.")
    folder = lake.fetch_folder(lake.read(table, version)["folder"][0], home.cache)
    verify_folder(folder)
    return folder


def require_ways(dvc: Path | None, remote: str | None, push: str | None) -> None:
    """Raise BadUse where a version cannot be handed on as asked, before minutes go into cutting it."""
    if remote is not None and dvc is None:
        raise BadUse("--dvc-remote says where a DVC repository pushes to. Name the repository with --dvc.")
    if dvc is not None:
        from resources import bundle_store

        bundle_store.program()
    if push is not None:
        from resources import hub

        hub.require_name(push)


def hand_over(home: Home, version: str, to: str | None, dvc: Path | None, remote: str | None) -> list[str]:
    """Copy a version to a URL and into a DVC repository; a line for each."""
    from resources import bundle_store

    folder, lines = bundle_of(home, version), list[str]()
    lines.append(f"bundle   {folder}  ({version})")
    if to is not None:
        url = f"{to.rstrip('/')}/{version}"
        written, same = bundle_store.put(folder, url)
        lines.append(f"copy     {url}  ({written} files written, {same} lay there already)")
    if dvc is not None:
        lines += bundle_store.track(folder, dvc, version, remote)
    return lines
