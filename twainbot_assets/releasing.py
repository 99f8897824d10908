"""When and under which name a release is cut. What a bundle holds is the release stage's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resources.home import Home
    from twainbot_assets.runner import Report, Runner


def cut_if_new(work: Runner, home: Home, report: Report) -> None: ...
def cut(work: Runner, version: str, recipe: str | None) -> Report: ...
def closing_lines(home: Home, failed: bool) -> list[str]:
    return []
