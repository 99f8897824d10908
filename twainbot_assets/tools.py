"""What the command line does with other people's files: near-duplicates, and bundles checked. Scores are scoring.py's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.lake import replace_file
from resources.shipped.verify import own_files
from twainbot.errors import BadInput, BadUse
from twainbot_assets.json_lines import each_object, require_file, require_place
from twainbot_assets.scoring import score_file

if TYPE_CHECKING:
    import polars as pl

__all__ = ["dedupe_files", "score_file", "verify_folder"]

ID_COLUMNS = ("chunk_id", "id")  # the first that a file has names its rows
JSON_LINES = (".jsonl", ".ndjson")
SHOWN_PROBLEMS = 20  # of a broken bundle: a wrong folder has thousands
HUBS_OWN = ".gitattributes"  # the Hub puts one into every repository; a dataset's bundle brings none


@dataclass(frozen=True)
class TextFile:
    """The texts of one file, "" for null, and its own ids (None where a row has none). `label`: distinct among files."""

    label: str
    ids: list[str | None]
    texts: list[str]


def dedupe_files(
    files: Sequence[Path], output: Path, threshold: float, text_column: str, engine: str = "minhash"
) -> str:
    """Write edges (a, b, jaccard, containment) to `output` and clusters beside it; returns what was found, in words.

    Rows are named by their column chunk_id or id, else `<file stem>:<row>`, rows counted from 0. Raises BadUse on a
    column or file that is not there, BadInput on a file that cannot be read.
    """
    import polars as pl

    from twainbot.dedupe import cluster, near_duplicates

    require_place(output, "-o")
    clusters_file = output.with_name(f"{output.stem}-clusters.parquet")
    require_place(clusters_file, "-o")
    refuse_overwriting(files, (output, clusters_file))
    read = [read_texts(path, label, text_column) for path, label in zip(files, labels(files), strict=True)]
    ids, texts = row_ids(read), [text for file in read for text in file.texts]
    pairs = near_duplicates(texts, threshold, engine=engine)
    members = cluster(len(texts), pairs)
    names = pl.Series(ids, dtype=pl.String)
    edges = pairs.with_columns(a=names.gather(pairs["a"]), b=names.gather(pairs["b"]))
    write(output, edges)
    write(clusters_file, cluster_table(ids, members))
    found = [f"Edges: {output}", f"Clusters: {clusters_file}"]
    return "\n".join([*counts(texts, edges.height, len(set(members)), threshold), *found])


def counts(texts: Sequence[str], pairs: int, clusters: int, threshold: float) -> list[str]:
    """Two lines: what was read, and what was found."""
    empty = sum(not text.strip() for text in texts)
    repeats = len(texts) - clusters
    return [
        f"{len(texts):,} texts, {empty:,} of them null or empty.",
        f"{pairs:,} pairs of Jaccard similarity {threshold:g} or more, {clusters:,} clusters, {repeats:,} repeats.",
    ]


def refuse_overwriting(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Raise BadUse where an output is an input."""
    given = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in given:
            raise BadUse(f"{path} is an input and would be overwritten. Give another name with -o.")


def labels(files: Sequence[Path]) -> list[str]:
    """File stems, in order; a stem that came before gets its place among its likes: notes, notes-2."""
    seen: Counter[str] = Counter()
    found = []
    for path in files:
        seen[path.stem] += 1
        found.append(path.stem if seen[path.stem] == 1 else f"{path.stem}-{seen[path.stem]}")
    return found


def read_texts(path: Path, label: str, text_column: str) -> TextFile:
    """One input file by its suffix. Raises BadInput on any other than Parquet and JSON lines."""
    require_file(path)
    if path.suffix == ".parquet":
        return read_parquet_texts(path, label, text_column)
    if path.suffix in JSON_LINES:
        return read_json_texts(path, label, text_column)
    known = ", ".join((".parquet", *JSON_LINES))
    raise BadInput(f"{path} has the suffix {path.suffix!r}; those that can be read are {known}. Convert it first.")


def read_parquet_texts(path: Path, label: str, text_column: str) -> TextFile:
    """Texts and ids of a Parquet file; only these columns are loaded."""
    import polars as pl

    try:
        schema = pl.read_parquet_schema(path)
        require_column(path, text_column, list(schema))
        named = next((name for name in ID_COLUMNS if name in schema and name != text_column), None)
        require_type(path, text_column, schema[text_column], pl.String, pl.Categorical, pl.Enum, pl.Null)
        if named and schema[named].is_nested():
            raise BadUse(f"The column {named!r} of {path} holds {schema[named]}, which names no row. Rename it.")
        rows = pl.read_parquet(path, columns=[text_column, *([named] if named else [])])
        texts = rows[text_column].cast(pl.String).fill_null("").to_list()
        return TextFile(label, rows[named].cast(pl.String).to_list() if named else [None] * rows.height, texts)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path} is not a readable Parquet file ({error}). Write it again.") from error


def require_type(path: Path, column: str, found: pl.DataType, *wanted: type[pl.DataType]) -> None:
    """Raise BadUse where a column is of none of these types."""
    if not isinstance(found, wanted):
        raise BadUse(f"The column {column!r} of {path} holds {found}, not text. Name another one.")


def read_json_texts(path: Path, label: str, text_column: str) -> TextFile:
    """Texts and ids of JSON lines. A line may lack the column, as long as some line has it."""
    columns: dict[str, None] = {}
    texts: list[str] = []
    ids: dict[str, list[str | None]] = {name: [] for name in ID_COLUMNS if name != text_column}
    for number, row in each_object(path):
        columns |= dict.fromkeys(row)
        text = row.get(text_column)
        if not isinstance(text, str | None):
            kind = type(text).__name__
            raise BadInput(f"{path} line {number}: {text_column!r} is {kind}, not text. Write it as a string or null.")
        texts.append(text or "")
        for name, values in ids.items():
            values.append(id_of(row.get(name), f"{path} line {number}: {name!r}"))
    if texts:
        require_column(path, text_column, list(columns))
    named = next((name for name in ids if name in columns), None)
    return TextFile(label, ids[named] if named else [None] * len(texts), texts)


def id_of(value: object, where: str) -> str | None:
    """A row's own id as text. Raises BadInput where it names no row, or cannot be written."""
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        raise BadInput(f"{where} is {type(value).__name__}, which names no row. Write it as a string or number.")
    made = str(value)
    if not made.isascii() and made.encode("utf-8", "replace").decode() != made:
        raise BadInput(f"{where} holds half of a surrogate pair, which no file can hold. Write it in whole characters.")
    return made


def require_column(path: Path, column: str, columns: Sequence[str]) -> None:
    """Raise BadUse naming the columns that there are."""
    if column not in columns:
        raise BadUse(f"{path} has no column {column!r}. It has: {', '.join(columns)}. Choose with --text-column.")


def row_ids(files: Sequence[TextFile]) -> list[str]:
    """A distinct id for every row, in order. Own ids that two rows share are put behind their file's label.

    Raises BadInput where they are not distinct even so.
    """
    own = [value for file in files for value in file.ids if value is not None]
    shared = len(set(own)) < len(own)
    found = [
        f"{file.label}:{row}" if value is None else f"{file.label}:{value}" if shared else value
        for file in files
        for row, value in enumerate(file.ids)
    ]
    if len(set(found)) < len(found):
        twice = next(value for value, count in Counter(found).items() if count > 1)
        raise BadInput(f"Two rows have the id {twice!r}. Make ids distinct, or rename the column to number the rows.")
    return found


def cluster_table(ids: Sequence[str], members: Sequence[int]) -> pl.DataFrame:
    """Rows of (id, cluster_id, is_canonical, size); the first of a cluster in input order names it and is canonical."""
    import polars as pl

    sizes = Counter(members)
    return pl.DataFrame(
        {
            "id": ids,
            "cluster_id": [ids[first] for first in members],
            "is_canonical": [first == row for row, first in enumerate(members)],
            "size": [sizes[first] for first in members],
        },
        schema={"id": pl.String, "cluster_id": pl.String, "is_canonical": pl.Boolean, "size": pl.Int64},
    )


def write(path: Path, rows: pl.DataFrame) -> None:
    """Write a Parquet file whole or not at all."""
    try:
        replace_file(path, rows.write_parquet)
    except OSError as error:
        raise BadUse(f"{path} cannot be written: {error.strerror}. Choose another place with -o.") from error


def verify_folder(folder: Path) -> str:
    """One line about a whole bundle. Raises BadUse where there is no bundle, BadInput listing all that is wrong."""
    from twainbot.release import manifest

    path = folder / manifest.MANIFEST_NAME
    if not path.is_file():
        raise BadUse(f"{folder} holds no {manifest.MANIFEST_NAME}, so it is no bundle. Name the folder that holds it.")
    claimed = manifest.from_json(path.read_bytes())
    found = hashes(folder)
    if not lists(claimed, HUBS_OWN):
        found.pop(HUBS_OWN, None)
    problems = [*links(folder), *manifest.verify(claimed, found)]
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        listed = "\n".join(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS])
        rest = f"\n  and {more} more" if more > 0 else ""
        raise BadInput(f"{folder} is not the bundle that was cut. Fetch or cut it again.\n{listed}{rest}")
    size = sum(bytes_ for _, bytes_ in found.values()) / 2**20
    kind = ", a rehearsal" if claimed["rehearsal"] else ""
    identity = claimed["manifest_id"]
    return (
        f"{claimed['name']} {claimed['version']}{kind}: {len(found)} files, {size:.1f} MiB, whole. Manifest {identity}."
    )


def lists(claimed: Mapping[str, Any], path: str) -> bool:
    """Whether a manifest, which may be a harmed one, lists a path."""
    files = claimed.get("files")
    return isinstance(files, list) and any(isinstance(entry, dict) and entry.get("path") == path for entry in files)


def hashes(folder: Path) -> dict[str, tuple[str, int]]:
    """(sha256, size in bytes) of every plain file of a bundle, by path with forward slashes."""
    found = {}
    for name, path in own_files(folder).items():
        if not path.is_symlink():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[name] = (digest, path.stat().st_size)
    return found


def links(folder: Path) -> list[str]:
    """A sentence for every symbolic link: what it shows is not part of the bundle, and may change."""
    found = [name for name, path in own_files(folder).items() if path.is_symlink()]
    return [f"{name} is a symbolic link; a bundle holds plain files." for name in found]
