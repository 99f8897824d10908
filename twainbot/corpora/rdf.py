"""Project Gutenberg's RDF records, one a work: the only feed that states rights. Selection is catalogue.py's."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from functools import partial
from xml.etree import ElementTree

from twainbot.corpora.catalogue import CatalogueRow, first_writer, reading_order, style_of
from twainbot.errors import UnreadableSource

MAX_RECORD = 2 * 2**20  # bytes; a record has 10 to 60 kB
MAX_UNPACKED = 8 * 2**30  # bytes; 90,000 records of 15 kB are 1.4 GB
FREE = "Public domain in the USA."
_SPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dcterms": "http://purl.org/dc/terms/",
    "pgterms": "http://www.gutenberg.org/2009/pgterms/",
}
_MARCREL = "{http://id.loc.gov/vocabulary/relators/}"
_ABOUT = f"{{{_SPACES['rdf']}}}about"
_RESOURCE = f"{{{_SPACES['rdf']}}}resource"
_RECORD_NAME = re.compile(r"(?:\./)?(?:[\w-]+/)*pg(\d{1,9})\.rdf")


@dataclass
class RdfArchive:
    """The rows of an archive, and (name, reason) of each record that gave none."""

    rows: list[CatalogueRow] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)

    @property
    def rights(self) -> dict[int, str]:
        """What the records say of rights, by number."""
        return {row.etext: row.rights for row in self.rows}


def read_rdf(raw: bytes) -> CatalogueRow:
    """The row of one pg<id>.rdf. Rights are "public_domain_us" only where the record says exactly that.

    Raises UnreadableSource for what is no such record, and for a document type or entities: they can make a small
    file unfold into gigabytes, and no record has any.
    """
    if len(raw) > MAX_RECORD:
        raise UnreadableSource(f"The RDF record has {len(raw)} bytes, expected up to {MAX_RECORD}. Fetch it again.")
    plain = raw.replace(b"\x00", b"").upper()
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise UnreadableSource("The RDF record declares a document type or entities, expected none. Fetch it again.")
    try:
        root = ElementTree.fromstring(raw)  # noqa: S314 - declarations were refused above
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UnreadableSource(f"The RDF record is no XML ({error}). Fetch pg<number>.rdf again.") from error
    book = root.find("pgterms:ebook", _SPACES)
    number = re.fullmatch(r"ebooks/(\d{1,9})", "" if book is None else book.get(_ABOUT, ""))
    if book is None or number is None:
        raise UnreadableSource("The RDF record has no pgterms:ebook with a number. Fetch pg<number>.rdf again.")
    return _row(root, book, int(number[1]))


def _row(root: ElementTree.Element, book: ElementTree.Element, number: int) -> CatalogueRow:
    creators = tuple(_creators(root, book))
    author = first_writer(creators)
    return CatalogueRow(
        etext=number,
        title=_text(book, "dcterms:title"),
        author=author,
        style=style_of(author),
        language=_text(book, "dcterms:language//rdf:value") or _text(book, "dcterms:language"),
        rights=_rights(_text(book, "dcterms:rights")),
        kind=_text(book, "dcterms:type//rdf:value") or "Text",
        issued=_text(book, "dcterms:issued"),
        creators=creators,
        files=tuple(sorted(file.get(_ABOUT, "") for file in book.iterfind("dcterms:hasFormat/pgterms:file", _SPACES))),
    )


def _rights(words: str) -> str:
    if words == FREE:
        return "public_domain_us"
    return "restricted" if "copyright" in words.casefold() else "unknown"


def _creators(root: ElementTree.Element, book: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Authors first, then the others with the three letters of their role. An agent named twice is written out once."""
    agents = {agent.get(_ABOUT, ""): agent for agent in root.iterfind(".//pgterms:agent", _SPACES)}
    listed = [(element, "") for element in book.iterfind("dcterms:creator", _SPACES)]
    listed += [(element, element.tag.removeprefix(_MARCREL)) for element in book if element.tag.startswith(_MARCREL)]
    for element, role in listed:
        agent = element.find("pgterms:agent", _SPACES)
        agent = agents.get(element.get(_RESOURCE, "")) if agent is None else agent
        name = "" if agent is None else _text(agent, "pgterms:name")
        if name:
            yield reading_order(name), role


def _text(element: ElementTree.Element, path: str) -> str:
    return " ".join((element.findtext(path, "", _SPACES) or "").split())


def read_rdf_archive(raw: bytes, wanted: Container[int] | None = None) -> RdfArchive:
    """The records of rdf-files.tar.bz2 or .zip, one at a time, only the `wanted` numbers where given.

    Nothing is written to disk. A record with an unsafe name, too many bytes, no XML or another number than its name
    becomes a reject; an archive that cannot be read, or unpacks into more than MAX_UNPACKED, raises UnreadableSource.
    """
    archive = RdfArchive()
    try:
        for name, size, read in _members(raw):
            reason = _take(archive, name, size, read, wanted)
            if reason:
                archive.rejects.append((name, reason))
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        ValueError,  # a zip whose directory sends its reader to before the first byte
    ) as error:
        raise UnreadableSource(
            f"The RDF archive of {len(raw)} bytes breaks off after {len(archive.rows)} records ({error}). Fetch it again."
        ) from error
    if not archive.rows and not archive.rejects:
        raise UnreadableSource("The RDF archive holds no pg<number>.rdf. Fetch rdf-files.tar.bz2 or rdf-files.zip.")
    return archive


def _members(raw: bytes) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """(name, unpacked size, reader) of each member that is a file or pretends to be a record, in the archive's order."""
    total = 0
    for name, size, read in _zip_members(raw) if raw.startswith(b"PK") else _tar_members(raw):
        total += max(size, 0)
        if total > MAX_UNPACKED:
            raise UnreadableSource(
                f"The RDF archive unpacks into more than {MAX_UNPACKED} bytes, expected about 1.4 GB. Fetch it again."
            )
        yield name, size, read


def _zip_members(raw: bytes) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for info in archive.infolist():
            if not info.filename.endswith("/"):  # what is_dir() asks, but of a name that may be empty
                yield info.filename, info.file_size, partial(_read_zipped, archive, info)


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        return file.read(MAX_RECORD + 1)  # the size that a zip states may be a lie


def _tar_members(raw: bytes) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Streamed: a tar of 90,000 records is never held unpacked. A link has no bytes, so its size is given as -1."""
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r|*") as archive:
        for member in archive:
            if not member.isdir():
                yield member.name, member.size if member.isfile() else -1, partial(_read_tarred, archive, member)
            archive.members = []  # pyrefly: ignore[missing-attribute] - tarfile keeps every header that it has seen


def _read_tarred(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read(MAX_RECORD + 1)


def _take(archive: RdfArchive, name: str, size: int, read: Callable[[], bytes], wanted: Container[int] | None) -> str:
    """Add the member's row to the archive, or say why it gives none. A file that is no record gives neither."""
    match = _RECORD_NAME.fullmatch(name)
    if match is None:
        return "unsafe_name" if name.endswith(".rdf") else ""
    if wanted is not None and int(match[1]) not in wanted:
        return ""
    if size < 0 or size > MAX_RECORD:
        return "no_file" if size < 0 else "too_big"
    try:
        row = read_rdf(read())
    except UnreadableSource:
        return "unreadable_record"
    if row.etext != int(match[1]):
        return "number_differs"
    archive.rows.append(row)
    return ""
