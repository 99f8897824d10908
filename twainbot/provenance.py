"""Identity of code and of samples: code versions, sample ids and what they say. Reading the lake is resources/lake.py's."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from twainbot.errors import UnknownName

OWN_PACKAGES = ("twainbot", "training")
# Read by pattern: the syntax trees of all modules would cost a third of Dagster's own loading time. A line of a docstring
# that reads like an import adds a module to the hash, which errs on the safe side.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\((?:#[^\n]*|[^)#])*\)|[^\n]*)|import[ \t]+([^\n]+))", re.MULTILINE
)
_COMMENT = re.compile(r"#[^\n]*")
SPAN = re.compile(r":\d+-\d+$")  # the end of a chunk id
_CHUNK_ID = re.compile(r"^(?P<work>.+):(?P<start>\d+)-(?P<end>\d+)$")


def version_of(*modules: str, without: frozenset[str] = frozenset()) -> str:
    """12 hex digits over the source of these modules and of every own module that they import, directly or not.

    Modules are named, not imported, so that loading the code location stays cheap. without: modules that change nothing
    of what is made, such as those that only watch; they and what they alone import are left out.
    """
    digest = hashlib.sha256()
    for name in sorted(set().union(*(reachable(module, without) for module in modules))):
        digest.update(f"{name}\0".encode())
        digest.update(source_bytes(name))
    return digest.hexdigest()[:12]


@cache
def source_bytes(name: str) -> bytes:
    """The source of an own module."""
    return source_path(name).read_bytes()


@cache
def reachable(module: str, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """The module and the own modules that it reaches by imports, as dotted names; never by way of those left out."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in without:
            seen.add(name)
            waiting.extend(own_imports(name))
    return frozenset(seen)


@cache
def own_imports(module: str) -> tuple[str, ...]:
    """Own modules named in this module's import statements, wherever they stand in it."""
    named: list[str] = []
    for package, names, plain in _IMPORT.findall(source_bytes(module).decode()):
        listed = [name.split()[0] for name in _COMMENT.sub("", names or plain).strip("()").split(",") if name.strip()]
        named += [package, *(f"{package}.{name}" for name in listed)] if package else listed
    return tuple(name for name in named if name.split(".")[0] in OWN_PACKAGES and is_module(name))


@cache
def is_module(name: str) -> bool:
    """Whether an own module of this dotted name exists."""
    return _candidate(name) is not None


@cache
def source_path(name: str) -> Path:
    """The file of an own module. Raises UnknownName where there is none."""
    path = _candidate(name)
    if path is None:
        raise UnknownName(f"No module {name!r} in the packages {', '.join(OWN_PACKAGES)}.")
    return path


def _candidate(name: str) -> Path | None:
    top, *rest = name.split(".")
    path = package_folder(top).joinpath(*rest)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


@cache
def package_folder(name: str) -> Path:
    """The folder of an own top-level package. Raises UnknownName where it is not installed."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UnknownName(f"The package {name!r} is not installed. Run `make setup`.")
    return Path(next(iter(spec.submodule_search_locations)))


def chunk_span(chunk_id: str) -> tuple[str, int, int]:
    """Work id, first character (inclusive) and last (exclusive) of a chunk id. Raises UnknownName on anything else."""
    match = _CHUNK_ID.match(chunk_id)
    if match is None:
        raise UnknownName(f"{chunk_id!r} is not a chunk id. A chunk id reads '<work id>:<start>-<end>'.")
    return match["work"], int(match["start"]), int(match["end"])


def standing(words: str, text: str, start: int, end: int) -> tuple[int, int] | None:
    """The characters of `text` where these words stand inside a span, white space aside; None where they do not."""
    pattern = re.compile(r"\s+".join(map(re.escape, words.split())))
    found = pattern.search(text, start, end)
    return found.span() if found else None
