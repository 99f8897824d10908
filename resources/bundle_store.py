"""Bundles handed to others: copied to a folder or an object store, or put under DVC. What a bundle holds is not looked at.

The manifest goes last, so whoever sees one sees a whole bundle; what lies there under other bytes is never overwritten.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resources.commit import git
from resources.lake import replace_file
from twainbot.errors import BadInput, BadUse, SourceUnavailable, TwainBotError
from twainbot.release.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from upath import UPath

DVC_VARIABLE = "TWAINBOT_DVC"
REMOTE = "releases"
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")  # the names that replace_file and copy_once write under
QUIET = {"DVC_NO_ANALYTICS": "true", "DVC_CHECK_UPDATE": "false"}


def put(folder: Path, url: str) -> tuple[int, int]:
    """Copy a bundle to `url`: (files written, files that lay there with the same bytes). A killed copy can be repeated.

    Raises BadUse where other bytes or foreign files lie there, or nothing of that kind can be reached, SourceUnavailable
    where the store answers with a fault.
    """
    with plain_faults(url):
        target = place(url)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        there = listed(target)
        same = {name for name in there if not is_rest(name) and agrees(folder, target, name)}
        for name in filter(is_rest, there):  # after all was agreed to, so that a refusal changes nothing
            target.joinpath(*name.split("/")).unlink(missing_ok=True)
        waiting = [name for name in [*names, MANIFEST_NAME] if name not in same]
        for name in sorted(set(waiting), key=lambda name: (name == MANIFEST_NAME, name)):
            write(target.joinpath(*name.split("/")), (folder / name).read_bytes())
    return len(set(waiting)), len(same)


def place(url: str) -> UPath:
    """A path of the URL's own file system. Raises BadUse on a kind of URL that no installed library knows."""
    from upath import UPath

    try:
        return UPath(url, use_listings_cache=False) if url.startswith("s3") else UPath(url)
    except (ValueError, ImportError) as error:
        raise BadUse(
            f"{url} cannot be written to ({error}). Give a folder or s3://bucket/prefix (extra s3)."
        ) from error


def listed(target: UPath) -> list[str]:
    """Files below the target, by path inside it, sorted; none where nothing is there yet."""
    if not target.exists():
        return []
    root = target.path.rstrip("/")
    return sorted(item.path[len(root) + 1 :] for item in target.rglob("*") if item.is_file())


def is_rest(name: str) -> bool:
    """Whether a path is what a killed copy had begun to write. No manifest names it, so a copy beside it would not verify."""
    return TEMPORARY.fullmatch(name.rpartition("/")[2]) is not None


def agrees(folder: Path, target: UPath, name: str) -> bool:
    """True where the target's file is the bundle's. Raises BadUse where it is another, or none of the bundle's."""
    source = folder / name
    if not source.is_file():
        raise BadUse(f"{target}/{name} is no file of this bundle. Choose an empty place, or the next version.")
    if target.joinpath(*name.split("/")).read_bytes() != source.read_bytes():
        raise BadUse(f"{target}/{name} holds other bytes, and a release is never overwritten. Choose the next version.")
    return True


def write(target: UPath, data: bytes) -> None:
    """One file, whole or not at all."""
    if "://" not in str(target) or str(target).startswith("file://"):
        replace_file(Path(target.path), lambda path: path.write_bytes(data))
    else:
        target.fs.pipe_file(target.path, data)  # open("wb") would commit a torn object on an exception


@contextmanager
def plain_faults(url: str) -> Iterator[None]:
    """Turn whatever a store raises into one sentence: each has errors of its own."""
    try:
        yield
    except TwainBotError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise SourceUnavailable(
            f"{url} cannot be written ({type(error).__name__}: {said}). Check address and keys, then repeat the command."
        ) from error


# --- DVC -------------------------------------------------------------------------------------------------------------


def track(bundle: Path, repository: Path, name: str, remote: str | None = None) -> list[str]:
    """Put a bundle into a DVC repository as `<name>/`, push it where a remote is set, and say what was done.

    The repository is made where there is none; `remote` becomes its default where it has none. Raises BadUse where no
    DVC is found, or the repository holds other bytes or another remote, BadInput where DVC refuses.
    """
    dvc = program()
    repository.mkdir(parents=True, exist_ok=True)
    if not (repository / ".dvc").is_dir():
        run(dvc, repository, "init", *init_options(repository))
    copy_once(bundle, repository / name)
    run(dvc, repository, "add", name)
    address = default_remote(dvc, repository, remote)
    if address:
        run(dvc, repository, "push", f"{name}.dvc")
    pushed = (
        f"pushed to {address}" if address else "no remote is set, so nothing was pushed: `dvc remote add -d NAME URL`"
    )
    return [f"dvc      {repository / name}.dvc  ({pushed})"]


def program() -> list[str]:
    """The command that is DVC: TWAINBOT_DVC, else `dvc` on the path. Raises BadUse where there is neither."""
    named = os.environ.get(DVC_VARIABLE)
    found = shlex.split(named) if named else [path for path in [shutil.which("dvc")] if path]
    if not found or shutil.which(found[0]) is None:
        raise BadUse(
            f"No DVC was found ({named or 'dvc'}). Install it in an environment of its own (`pipx install dvc`), or name "
            f"the program in {DVC_VARIABLE}."
        )
    return found


def init_options(repository: Path) -> list[str]:
    """How a repository begins: beside git where the folder is in a clone, else without."""
    top = git(repository, "rev-parse", "--show-toplevel")
    if not top:
        return ["--no-scm"]
    return [] if Path(top).resolve() == repository.resolve() else ["--subdir"]


def copy_once(bundle: Path, target: Path) -> None:
    """The bundle's files under the target. Raises BadUse where other files or bytes lie there."""
    for left in filter(lambda path: is_rest(path.name), target.parent.glob(f".{target.name}.*")):  # by a killed copy
        shutil.rmtree(left, ignore_errors=True)
    if target.exists():
        with plain_faults(str(target)):
            put(bundle, str(target))
        return
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        shutil.copytree(bundle, temporary)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def default_remote(dvc: list[str], repository: Path, wanted: str | None) -> str | None:
    """The address of the default remote, set first where there is none and one is wanted."""
    settings = settings_of(run(dvc, repository, "config", "--list"))
    address = settings.get(f"remote.{settings.get('core.remote')}.url")
    asked = str(Path(wanted).resolve()) if wanted and "://" not in wanted else wanted  # DVC would read it from .dvc/
    if asked and address is None:
        run(dvc, repository, "remote", "add", "--force", "--default", REMOTE, asked)
        return asked
    if asked and address != asked:
        raise BadUse(f"{repository} pushes to {address}, not to {asked}. Leave --dvc-remote out, or edit .dvc/config.")
    return address


def settings_of(printed: str) -> Mapping[str, str]:
    """Name to value, out of `dvc config --list`; `dvc remote list` breaks its lines at the width of a terminal."""
    pairs = (line.partition("=") for line in printed.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def run(dvc: list[str], repository: Path, *words: str, check: bool = True) -> str:
    """What DVC prints. Raises BadInput with its own last words where it refuses."""
    environment = {**os.environ, **QUIET}
    done = subprocess.run([*dvc, *words], cwd=repository, env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())[-300:]
        raise BadInput(f"`dvc {words[0]}` refused in {repository}: {said}")
    return done.stdout
