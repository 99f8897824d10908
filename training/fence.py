"""Who may publish into a folder: the training that was ordered last, and no other, wherever the others still live.

An order is an empty-handed token, a file `.training-<token>` in the out folder. The next order removes it. Publishing
begins by renaming one's own, which fails where it is gone; so a training that was stopped, cut off or queued on another
machine, where no lock and no signal reaches it, finds out before it writes. The lock in trouble.py comes first where one
machine sees both.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from twainbot.errors import Fenced

ORDERED, PUBLISHING = ".training-", ".publishing-"
_held: ContextVar[tuple[Path, str] | None] = ContextVar("held", default=None)  # out folder and token


def order(out: Path) -> str:
    """Order a training into `out` and return its token; from now on no earlier one publishes there.

    Call it holding the folder (trouble.alone), or a healthy training on this machine is cut off for nothing.
    """
    out.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    mine = out / f"{ORDERED}{token}"
    mine.write_text(json.dumps({"host": socket.gethostname(), "process": os.getpid()}), encoding="utf-8")
    for other in _marks(out):
        if other != mine:
            other.unlink(missing_ok=True)
    return token


def ordered_by(out: Path) -> str:
    """Who ordered the training that is on in `out`, as `process 12 on box`; empty where nobody says so."""
    for mark in _marks(out):
        with contextlib.suppress(OSError, ValueError, KeyError):
            said = json.loads(mark.read_text(encoding="utf-8"))
            return f"process {said['process']} on {said['host']}"
    return ""


@contextlib.contextmanager
def held(out: Path, token: str | None) -> Iterator[None]:
    """Train under a token, by default one ordered here. Raises Fenced where a newer training was ordered already."""
    reset = _held.set((out, token or order(out)))
    try:
        check()
        yield
    finally:
        _held.reset(reset)


def check() -> None:
    """Raise Fenced where the training that this process is doing was superseded."""
    held_now = _held.get()
    if held_now and not (held_now[0] / f"{ORDERED}{held_now[1]}").is_file():
        raise Fenced(_sentence(held_now[0]))


def token() -> str | None:
    """The token that this process trains under; none outside a training."""
    held_now = _held.get()
    return held_now[1] if held_now else None


@contextlib.contextmanager
def publishing(out: Path) -> Iterator[None]:
    """Publish into `out`, what was written beside it before. Raises Fenced, with nothing changed, where superseded."""
    held_now = _held.get()
    if held_now is None:  # called outside a stage, by a mixture of adapters: nobody ordered it
        yield
        return
    mine, working = out / f"{ORDERED}{held_now[1]}", out / f"{PUBLISHING}{held_now[1]}"
    try:
        mine.rename(working)  # of this rename and a newer order's removal one succeeds
    except FileNotFoundError as error:
        raise Fenced(_sentence(out)) from error
    yield
    working.unlink(missing_ok=True)


def check_published(out: Path, token: str | None) -> None:
    """Raise Fenced unless what lies in `out` was published under this token and nothing was ordered there since."""
    path = out / "record.json"
    there = json.loads(path.read_text(encoding="utf-8")).get("token") if path.is_file() else None
    if _marks(out) or there != token:
        raise Fenced(_sentence(out))


def _marks(out: Path) -> list[Path]:
    return sorted([*out.glob(f"{ORDERED}*"), *out.glob(f"{PUBLISHING}*")])


def _sentence(out: Path) -> str:
    by = ordered_by(out)
    return (
        f"A newer training was ordered in {out}{f' by {by}' if by else ''}, so this one ended without publishing anything. "
        "Let the newer one finish, or start again after it."
    )
