"""EPUB books, built here by hand: reading order, metadata, and every way in which one may be broken or hostile."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora import epub
from twainbot.corpora.epub import read_epub
from twainbot.corpora.local import parse_document
from twainbot.corpora.works import Sidecar, works_from_unit
from twainbot.errors import UnreadableSource

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="{}" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
PACKAGE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
    '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">{metadata}</metadata>'
    "<manifest>{manifest}</manifest>{spine}</package>"
)
METADATA = (
    '<dc:title>The Flood &amp; After</dc:title><dc:creator id="c1">Ada Quill</dc:creator>'
    '<meta refines="#c1" property="role">aut</meta><dc:creator id="c2">Bo Ink</dc:creator>'
    '<meta refines="#c2" property="role">ill</meta><dc:language>en-US</dc:language><dc:rights>CC0</dc:rights>'
)
MARK = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml">'
SECOND = f"{MARK}<head><title/><script src='x.js'/></head><body><h2>The Flood</h2><p>It rained.</p><p>Again.</p></body></html>"
FIRST = f"{MARK}<head><title>x</title></head><body><h2>Before\n the <i>Rain</i></h2><p>It was dry.</p></body></html>"


def package(
    *, items=(("b", "b.xhtml"), ("a", "a.xhtml")), order=("a", "b"), spine="", metadata=METADATA, more=""
) -> str:
    manifest = "".join(f'<item id="{i}" href="{href}" media-type="application/xhtml+xml"/>' for i, href in items)
    listed = "".join(f'<itemref idref="{i}"/>' for i in order)
    return PACKAGE.format(metadata=metadata, manifest=manifest + more, spine=spine or f"<spine>{listed}</spine>")


def archive(files: dict[str, str | bytes], *, opf: str = "OEBPS/book.opf") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("mimetype", "application/epub+zip")
        made.writestr("META-INF/container.xml", CONTAINER.format(opf))
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def book(**changes) -> bytes:
    files = {"OEBPS/book.opf": package(), "OEBPS/a.xhtml": FIRST, "OEBPS/b.xhtml": SECOND}
    return archive({name: text for name, text in (files | changes).items() if text is not None})


def without_container(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


TEXTS = ("Before the Rain\n\nIt was dry.", "The Flood\n\nIt rained.\n\nAgain.")


def test_chapters_come_in_the_order_of_the_spine_not_of_the_archive():
    found = read_epub(book())
    assert tuple(chapter.title for chapter in found.chapters) == ("Before the Rain", "The Flood")
    assert found.chapters[1].text == TEXTS[1]
    assert found.warnings == ()


def test_metadata_names_title_author_language_and_rights_and_no_illustrator():
    found = read_epub(book())
    assert (found.title, found.author, found.language, found.rights) == (
        "The Flood & After",
        "Ada Quill",
        "en-US",
        "CC0",
    )


def test_roles_of_epub_2_and_creators_without_roles_are_read():
    two = '<dc:creator opf:role="edt">Ed</dc:creator><dc:creator opf:role="aut">Ada</dc:creator>'
    assert read_epub(book(**{"OEBPS/book.opf": package(metadata=two)})).author == "Ada"
    plain = "<dc:creator>Ada</dc:creator><dc:creator>Bo</dc:creator>"
    assert read_epub(book(**{"OEBPS/book.opf": package(metadata=plain)})).author == "Ada, Bo"


def test_prefixed_packages_are_read():
    text = package().replace("<item ", "<opf:item ").replace("<itemref ", "<opf:itemref ")
    assert len(read_epub(book(**{"OEBPS/book.opf": text})).chapters) == 2


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("text/chapter%20one.xhtml", "OEBPS/deep/text/chapter one.xhtml"),
        ("../a.xhtml", "OEBPS/a.xhtml"),
        ("A.XHTML", "OEBPS/deep/a.xhtml"),
        ("a.xhtml#part2", "OEBPS/deep/a.xhtml"),
        ("100%25.xhtml", "OEBPS/deep/100%.xhtml"),
        ("100%25.xhtml", "OEBPS/deep/100%25.xhtml"),
    ],
)
def test_links_are_resolved_from_a_nested_package_percent_signs_included(href, name):
    files = {"OEBPS/deep/book.opf": package(items=(("a", href),), order=("a",)), name: FIRST}
    assert read_epub(archive(files, opf="OEBPS/deep/book.opf")).chapters[0].title == "Before the Rain"


def test_one_package_file_is_found_without_a_container():
    files = {"book.opf": package(), "a.xhtml": FIRST, "b.xhtml": SECOND}
    found = read_epub(without_container(files))
    assert (len(found.chapters), found.warnings) == (2, ("no_container",))


def test_what_the_reading_order_leaves_out_is_counted():
    more = (
        '<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        '<item id="p" href="p.svg" media-type="image/svg+xml"/><item id="e" href="e.xhtml" media-type="text/html"/>'
    )
    spine = (
        '<spine><itemref idref="n"/><itemref idref="a"/><itemref idref="a"/><itemref idref="b" linear="no"/>'
        '<itemref idref="p"/><itemref idref="ghost"/><itemref idref="e"/></spine>'
    )
    files = {"OEBPS/book.opf": package(more=more, spine=spine), "OEBPS/nav.xhtml": FIRST, "OEBPS/p.svg": "<svg/>"}
    found = read_epub(book(**files, **{"OEBPS/e.xhtml": "<html><body><img src='x'/></body></html>"}))
    assert [chapter.title for chapter in found.chapters] == ["Before the Rain"]
    assert found.warnings == (
        "chapters_without_text=1",
        "spine_items_missing=1",
        "spine_items_not_linear=1",
        "spine_items_without_text=1",
        "contents_pages=1",
    )


def encryption(algorithm: str, path: str) -> str:
    return (
        '<encryption xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData>'
        f'<enc:EncryptionMethod Algorithm="{algorithm}"/><enc:CipherData><enc:CipherReference URI="{path}"/>'
        "</enc:CipherData></enc:EncryptedData></encryption>"
    )


def test_scrambled_fonts_are_no_protection_of_the_text():
    listed = encryption("http://www.idpf.org/2008/embedding", "OEBPS/font.otf")
    assert len(read_epub(book(**{"META-INF/encryption.xml": listed})).chapters) == 2


BROKEN = {
    "encrypted": (book(**{"META-INF/encryption.xml": encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc",
                                                                "OEBPS/a.xhtml")}), "DRM"),
    "no spine": (book(**{"OEBPS/book.opf": package(spine=" ")}), "no spine"),
    "empty spine": (book(**{"OEBPS/book.opf": package(spine="<spine/>")}), "no spine"),
    "no package": (without_container({"a.xhtml": FIRST}), "no EPUB"),
    "two packages": (without_container({"a.opf": package(), "b.opf": package()}), "2 package files"),
    "container without package": (archive({"a.xhtml": FIRST}), "names no package file"),
    "climbing name": (book(**{"../../evil.xhtml": FIRST}), "leaves its root"),
    "absolute name": (book(**{"/etc/evil": "x"}), "leaves its root"),
    "backslash name": (book(**{"..\\evil": "x"}), "leaves its root"),
    "drive name": (book(**{"C:/evil": "x"}), "leaves its root"),
    "climbing link": (book(**{"OEBPS/book.opf": package(items=(("a", "../../x.xhtml"),))}), "leaves the archive"),
    "hidden climbing link": (book(**{"OEBPS/book.opf": package(items=(("a", "%2e%2e/%2e%2e/x.xhtml"),))}),
                             "leaves the archive"),
    "all chapters missing": (book(**{"OEBPS/a.xhtml": None, "OEBPS/b.xhtml": None}), "None of the 2 files"),
    "pictures only": (book(**{"OEBPS/a.xhtml": "<html><img src='1'/></html>", "OEBPS/b.xhtml": "<p> </p>"}), "no text"),
    "markup that breaks off": (book(**{"OEBPS/a.xhtml": "<p>x</p><![what is this]"}), "no XHTML"),
    "package that breaks off": (book(**{"OEBPS/book.opf": "<package><![what is this]"}), "no XML|no spine"),
    "cut short": (book()[:-200], "no whole zip"),
    "no zip": (b"It rained.", "no whole zip"),
    "empty": (b"", "no whole zip"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "why"), BROKEN.values(), ids=BROKEN)
def test_broken_and_hostile_books_are_refused_in_plain_words(raw, why):
    with pytest.raises(UnreadableSource, match=why):
        read_epub(raw)


def test_a_damaged_chapter_is_refused():
    raw = bytearray(book())
    at = raw.index(b"OEBPS/a.xhtml") + len(b"OEBPS/a.xhtml") + 5
    raw[at : at + 20] = b"\xff" * 20
    with pytest.raises(UnreadableSource, match="cannot be unpacked"):
        read_epub(bytes(raw))


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0, 400))
def test_any_damage_gives_a_book_or_a_plain_refusal(changes, lost):
    raw = bytearray(book())
    for at, byte in changes:
        raw[at % len(raw)] = byte
    try:
        assert read_epub(bytes(raw[: len(raw) - max(0, lost - 300)])).chapters
    except UnreadableSource:
        return


def test_a_password_on_a_chapter_is_refused():
    raw = bytearray(book())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = raw.find(mark)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(mark, at + 4)
    with pytest.raises(UnreadableSource, match="password"):
        read_epub(bytes(raw))


def test_a_zip_bomb_stops_at_the_bound_whatever_its_index_claims(monkeypatch):
    monkeypatch.setattr(epub, "MAX_UNPACKED_BYTES", 1_000_000)
    bomb = book(**{"OEBPS/a.xhtml": b"<p>" + b"rain " * 400_000})
    assert len(bomb) < 20_000
    with pytest.raises(UnreadableSource, match="unpacks to more than"):
        read_epub(bomb)


def test_many_chapters_share_one_bound(monkeypatch):
    monkeypatch.setattr(epub, "MAX_UNPACKED_BYTES", 1_000_000)
    half = b"<p>" + b"rain " * 120_000
    assert len(half) < 1_000_000 < 2 * len(half)
    with pytest.raises(UnreadableSource, match="unpacks to more than"):
        read_epub(book(**{"OEBPS/a.xhtml": half, "OEBPS/b.xhtml": half}))


def test_a_large_picture_is_never_unpacked(monkeypatch):
    monkeypatch.setattr(epub, "MAX_UNPACKED_BYTES", 1_000_000)
    assert len(read_epub(book(**{"OEBPS/map.png": b"\x00" * 2_000_000})).chapters) == 2


def test_too_many_files_are_refused(monkeypatch):
    monkeypatch.setattr(epub, "MAX_ENTRIES", 4)
    with pytest.raises(UnreadableSource, match="holds 5 files, at most 4"):
        read_epub(book())


def test_entities_that_multiply_are_left_as_they_stand():
    laughs = '<!DOCTYPE p [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    found = read_epub(book(**{"OEBPS/a.xhtml": f'<?xml version="1.0"?>{laughs}<p>Ho &b; &f;</p>'}))
    assert found.chapters[0].text == "Ho &b; &f;"  # nothing is looked up, so nothing grows and no file is opened


def test_verse_keeps_its_lines_prose_none_and_pictures_scripts_and_lists_of_contents_go():
    page = (
        "<body><nav><p>Contents</p></nav><p>It rained\n   for nine<br/>days.</p><pre>A verse\nof two</pre>"
        "<figure><p>Map</p></figure><script>x()</script><style>p {}</style><p/>Loose &eacute;nd</body>"
    )
    found = read_epub(book(**{"OEBPS/a.xhtml": page})).chapters[0]
    assert (found.title, found.text) == ("", "It rained for nine\ndays.\n\nA verse\nof two\n\nLoose énd")


def test_a_book_is_one_passage_or_one_a_chapter():
    (whole,) = parse_document(book(), ".epub")
    assert (whole["title"], whole["author"], whole["text"]) == ("The Flood & After", "Ada Quill", "\n\n\n".join(TEXTS))
    assert whole["extra"] == {"rights_statement": "CC0"}
    parts = parse_document(book(), ".epub", "heading")
    assert [(part["title"], part["text"]) for part in parts] == [
        ("Before the Rain", "It was dry."),
        ("The Flood", "It rained.\n\nAgain."),
    ]


@pytest.mark.parametrize(
    ("said", "title", "author"),
    [({}, "The Flood & After", "Ada Quill"), ({"title": "Flood", "author": "A. Q."}, "Flood", "A. Q.")],
)
def test_the_sidecar_outweighs_the_metadata(said, title, author):
    frame = works_from_unit("local", "flood", book(), Sidecar(filename="flood.EPUB", rights="cc0", **said))
    row = frame.row(0, named=True)
    assert (row["title"], row["author"], row["rights"], row["language"]) == (title, author, "cc0", "en-US")


def test_a_book_without_a_sidecar_has_unknown_rights_whatever_it_says_of_itself():
    frame = works_from_unit("local", "flood", book(), Sidecar(filename="flood.epub"))
    assert frame["rights"].to_list() == ["unknown"]
    assert json.loads(frame["extra"][0])["rights_statement"] == "CC0"
