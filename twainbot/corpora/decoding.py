"""Bytes to text: which encoding the bytes are in, whatever their label says. What the text means is decided elsewhere."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from twainbot.errors import UnreadableSource

_MAGIC = {
    b"%PDF": "a PDF file", b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip archive", b"BZh": "a bzip2 archive",
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image", b"\x7fELF": "a program",
    b"Rar!": "a RAR archive", b"7z\xbc\xaf": "a 7z archive", b"ID3": "a sound file", b"{\\rtf": "an RTF file",
}  # fmt: skip
_HTML = re.compile(
    rb"^\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_TEXT_CONTROLS = b"\x01\x03\x09\x0a\x0b\x0c\x0d\x1a\x1b\x1e"  # layout, and the frame marks of weather bulletins
_CONTROL_BYTES = bytes(b for b in range(32) if b not in _TEXT_CONTROLS) + b"\x7f"
_MAX_CONTROL_SHARE = 0.02  # real books carry a stray control byte or two; compressed data about 0.09

# DOS letters below 0xA0 that Windows-1252 shows as marks or capitals: after a small letter only the DOS reading makes
# a word ("caf\x82"). 0x85 and 0x91-0x97 are left out: as ellipsis, quotes and dashes they do follow letters.
_DOS_LETTERS = {
    0x81: "ü", 0x82: "é", 0x83: "â", 0x84: "ä", 0x87: "ç", 0x88: "ê", 0x89: "ë", 0x8A: "è", 0x8B: "ï", 0x8C: "î",
    0x8D: "ì",
}  # fmt: skip
_ASCII = bytes(range(128))
_UTF8_LEADS = set(range(0xC2, 0xF5))
_UTF8_PAIR = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")
_NON_ASCII_RUN = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True)
class Decoded:
    """Text with the name of the encoding that the bytes were really in ("utf-8", "windows-1252", "mixed-8-bit"...)."""

    text: str
    encoding: str
    warnings: tuple[str, ...] = ()


def refuse_non_text(raw: bytes, what: str) -> None:
    """Raise UnreadableSource where the bytes are empty, an archive, an image, other binary data or an HTML page."""
    if not raw.strip(b"\x00 \t\r\n\x0b\x0c\xef\xbb\xbf"):
        raise UnreadableSource(f"{what} is empty ({len(raw)} bytes). Fetch it again.")
    for magic, name in _MAGIC.items():
        if raw.startswith(magic):
            raise UnreadableSource(f"{what} is {name}, expected plain text. Unpack it or fetch the text form.")
    if is_html(raw):
        raise UnreadableSource(f"{what} is an HTML page, expected plain text. Fetch the text form, not its page.")
    sample = raw[:65536]
    controls = len(sample) - len(sample.translate(None, _CONTROL_BYTES))
    if not _utf16_name(raw) and controls > _MAX_CONTROL_SHARE * len(sample):
        raise UnreadableSource(
            f"{what} is binary data ({controls} control bytes), expected plain text. Fetch it again."
        )


def is_html(raw: bytes) -> bool:
    """True where the bytes begin as an HTML or XHTML page does."""
    return bool(_HTML.match(raw[:2048].removeprefix(codecs.BOM_UTF8)))


def decode(raw: bytes) -> Decoded:
    """Text of any single-byte or Unicode plain-text file, and the encoding it was found to be in.

    UTF-8 wins where it is valid; else bytes are read as Windows-1252, a superset of Latin-1's printable half, with
    DOS letters inside words told apart. Nothing raises: a byte without meaning becomes U+FFFD and a warning.
    """
    wide = _utf16_name(raw)
    if wide:
        return Decoded(raw.decode(wide, "replace").lstrip("\ufeff"), wide)
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if raw.isascii():
        return Decoded(raw.decode("ascii"), "ascii")
    try:
        return Decoded(raw.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _decode_eight_bit(raw)


def _utf16_name(raw: bytes) -> str | None:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = raw[:512]
    # Latin text in UTF-16 has a zero in every second byte; nothing else readable does.
    if len(head) >= 8 and head[1::2].count(0) > 0.8 * len(head[1::2]):
        return "utf-16-le"
    if len(head) >= 8 and head[::2].count(0) > 0.8 * len(head[::2]):
        return "utf-16-be"
    return None


def _decode_eight_bit(raw: bytes) -> Decoded:
    high = set(raw.translate(None, _ASCII))
    if high & _UTF8_LEADS and _UTF8_PAIR.search(raw):
        runs = _NON_ASCII_RUN.findall(raw)
        valid = sum(map(_is_utf8, runs))
        if valid and len(runs) - valid <= valid:
            return Decoded(raw.decode("utf-8", "cp1252_byte"), "utf-8", (f"stray_eight_bit_bytes={len(runs) - valid}",))
    dos = _dos_places(raw, high)
    if dos:
        return _decode_mixed(raw, dos)
    text = raw.decode("windows-1252", "cp1252_byte")
    return Decoded(text, "windows-1252" if min(high) <= 0x9F else "iso-8859-1", _lost(text))


def _dos_places(raw: bytes, high: set[int]) -> list[int]:
    """Where a DOS letter stands behind a small letter. Byte by byte: one pattern for all takes forty times as long."""
    places: list[int] = []
    for letter in high & _DOS_LETTERS.keys():
        at = raw.find(letter)
        while at >= 0:
            if raw[at - 1 : at].islower():
                places.append(at)
            at = raw.find(letter, at + 1)
    return sorted(places)


def _decode_mixed(raw: bytes, places: list[int]) -> Decoded:
    """DOS letters first, as characters beyond one byte, the rest as Windows-1252."""
    parts: list[str] = []
    at = 0
    for place in places:
        parts += [raw[at:place].decode("windows-1252", "cp1252_byte"), _DOS_LETTERS[raw[place]]]
        at = place + 1
    text = "".join(parts) + raw[at:].decode("windows-1252", "cp1252_byte")
    return Decoded(text, "mixed-8-bit", (f"dos_letters={len(places)}", *_lost(text)))


def _lost(text: str) -> tuple[str, ...]:
    count = text.count("�")
    return (f"undecodable_bytes={count}",) if count else ()


def _is_utf8(run: bytes) -> bool:
    try:
        run.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _windows_1252_byte(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: the offending bytes as Windows-1252; the five that it leaves undefined become U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return bad.decode("windows-1252", "replace"), error.end


codecs.register_error("cp1252_byte", _windows_1252_byte)
