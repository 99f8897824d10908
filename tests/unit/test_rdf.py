"""RDF records and their archives. All records are written here; the real ones are read in place, if present."""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import replace

import pytest

from twainbot.corpora import catalogue, rdf
from twainbot.errors import UnreadableSource

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<rdf:RDF xml:base="http://www.gutenberg.org/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:dcterms="http://purl.org/dc/terms/" xmlns:pgterms="http://www.gutenberg.org/2009/pgterms/"
  xmlns:marcrel="http://id.loc.gov/vocabulary/relators/">
"""


def agent(number: int, name: str) -> str:
    return f'<pgterms:agent rdf:about="2009/agents/{number}"><pgterms:name>{name}</pgterms:name></pgterms:agent>'


def record(
    number: int = 99001, rights: str = "Public domain in the USA.", people: str = "", kind: str = "Text"
) -> bytes:
    people = people or f"<dcterms:creator>{agent(1, 'Quill, Amos')}</dcterms:creator>"
    return (
        f'{HEAD}<pgterms:ebook rdf:about="ebooks/{number}"><dcterms:title>A Wet\nGeography &amp; More</dcterms:title>{people}'
        f"<dcterms:rights>{rights}</dcterms:rights><dcterms:issued>2021-07-01</dcterms:issued>"
        f"<dcterms:language><rdf:Description><rdf:value>en</rdf:value></rdf:Description></dcterms:language>"
        f"<dcterms:type><rdf:Description><rdf:value>{kind}</rdf:value></rdf:Description></dcterms:type>"
        f'<dcterms:hasFormat><pgterms:file rdf:about="https://example.org/{number}.txt"/></dcterms:hasFormat>'
        "</pgterms:ebook></rdf:RDF>"
    ).encode()


def tarred(members: dict[str, bytes], mode: str = "w:bz2") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_record_gives_one_row_with_all_that_it_says():
    row = rdf.read_rdf(record())
    assert (row.unit, row.title, row.author, row.language) == ("pg99001", "A Wet Geography & More", "Amos Quill", "en")
    assert (row.rights, row.issued, row.kind) == ("public_domain_us", "2021-07-01", "Text")
    assert row.files == ("https://example.org/99001.txt",)


@pytest.mark.parametrize(
    ("words", "rights"),
    [
        ("Public domain in the USA.", "public_domain_us"),
        ("Copyrighted. Read the copyright notice inside this book for details.", "restricted"),
        ("Public domain in Australia.", "unknown"),
        ("None", "unknown"),
        ("", "unknown"),
    ],
)
def test_rights_are_free_only_where_the_record_says_exactly_that(words, rights):
    assert rdf.read_rdf(record(rights=words)).rights == rights


def test_roles_follow_the_authors_and_an_agent_named_twice_is_found_again():
    people = (
        f"<marcrel:edt>{agent(2, 'Bell, Ada')}</marcrel:edt><dcterms:creator>{agent(1, 'Quill, Amos')}</dcterms:creator>"
        '<marcrel:ill rdf:resource="2009/agents/1"/>'
    )
    row = rdf.read_rdf(record(people=people))
    assert row.author == "Amos Quill"
    assert row.creators == (("Amos Quill", ""), ("Ada Bell", "edt"), ("Amos Quill", "ill"))


BOMB = b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (record().replace(b"<rdf:RDF", BOMB + b"<rdf:RDF"), "entities"),
        (BOMB.decode().encode("utf-16") + b"<r/>", "entities"),
        (b'<!doctype r SYSTEM "file:///etc/passwd"><r/>', "entities"),
        (record()[:400], "no XML"),
        (b"", "no XML"),
        (b"\xff\xfe\x00", "no XML"),
        (b"<?xml version='1.0' encoding='klingon'?><r/>", "no XML"),
        (b"<html><body>404</body></html>", "no pgterms:ebook"),
        (record().replace(b"ebooks/99001", b"ebooks/../1"), "no pgterms:ebook"),
        (record() + b" " * rdf.MAX_RECORD, "bytes"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(raw, reason):
    with pytest.raises(UnreadableSource, match=reason):
        rdf.read_rdf(raw)


MEMBERS = {"cache/epub/3/pg3.rdf": record(3), "cache/epub/5/pg5.rdf": record(5, "Copyrighted."), "readme.txt": b"x"}
PACKERS = {"tar.bz2": tarred, "tar": lambda members: tarred(members, "w"), "zip": zipped}


@pytest.mark.parametrize("packer", PACKERS)
def test_archives_of_each_kind_give_their_records(packer):
    archive = rdf.read_rdf_archive(PACKERS[packer](MEMBERS))
    assert [row.etext for row in archive.rows] == [3, 5]
    assert archive.rights == {3: "public_domain_us", 5: "restricted"}
    assert archive.rejects == []


def test_only_wanted_numbers_are_read():
    assert [row.etext for row in rdf.read_rdf_archive(zipped(MEMBERS), wanted={5}).rows] == [5]


@pytest.mark.parametrize("packer", PACKERS)
def test_bad_members_become_rejects_and_good_ones_stay(packer):
    members = {
        "../../pg1.rdf": record(1),
        "/etc/pg2.rdf": record(2),
        "cache/epub/3/pg3.rdf": record(3),
        "cache/epub/4/pg4.rdf": record(40),
        "cache/epub/6/pg6.rdf": b"<broken",
        "cache/epub/7/pg7.rdf": b" " * (rdf.MAX_RECORD + 1),
    }
    archive = rdf.read_rdf_archive(PACKERS[packer](members))
    assert [row.etext for row in archive.rows] == [3]
    assert [reason for _, reason in archive.rejects] == [
        "unsafe_name", "unsafe_name", "number_differs", "unreadable_record", "too_big",
    ]  # fmt: skip


def test_a_link_that_poses_as_a_record_is_a_reject():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:bz2") as archive:
        link = tarfile.TarInfo("cache/epub/9/pg9.rdf")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert rdf.read_rdf_archive(buffer.getvalue()).rejects == [("cache/epub/9/pg9.rdf", "no_file")]


@pytest.mark.parametrize(
    "raw",
    [tarred(MEMBERS)[:-40], zipped(MEMBERS)[:-30], b"<html>", b"", b"PK\x03\x04" + bytes(60)],
    ids=["tar cut off", "zip cut off", "page", "nothing", "head of a zip"],  # a zip holds the present time
)
def test_a_broken_archive_is_refused(raw):
    with pytest.raises(UnreadableSource, match="archive"):
        rdf.read_rdf_archive(raw)


def test_an_archive_without_a_record_is_refused():
    with pytest.raises(UnreadableSource, match=r"no pg<number>\.rdf"):
        rdf.read_rdf_archive(zipped({"readme.txt": b"x"}))


def test_an_archive_that_unpacks_into_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(rdf, "MAX_UNPACKED", 1000)
    with pytest.raises(UnreadableSource, match="more than 1000 bytes"):
        rdf.read_rdf_archive(tarred(MEMBERS))


CSV = (
    b"Text#,Type,Issued,Title,Language,Authors,Subjects,LoCC,Bookshelves\n"
    b'5,Text,1993-04-01,Five,en,"Quill, Amos, 1835-1910",x,PS,\n'
    b'3,Text,1993-04-01,Three,en,"Quill, Amos, 1835-1910; Bell, Ada [Illustrator]",x,PS,\n'
    b'4,Text,1993-04-01,Four,de,"Quill, Amos, 1835-1910",x,PS,\n'
    b'6,Text,1993-04-01,Six,en,"Nib, Ira",x,PS,\n'
    b'7,Text,1993-04-01,Seven,en,"Bell, Ada; Quill, Amos",x,PS,\n'
    b'8,Text,1993-04-01,Eight,en,"Quill, Amos, 1835-1910",x,PS,\n'
)


def test_csv_rows_are_selected_by_author_language_and_the_rights_of_their_records():
    rights = {
        3: "public_domain_us",
        4: "public_domain_us",
        5: "restricted",
        6: "public_domain_us",
        7: "public_domain_us",
    }
    rows = catalogue.read_pg_csv(CSV)
    chosen = catalogue.select(rows, {"Quill": "twain"}, rights=rights)
    # 4 is German, 5 restricted, 6 another's, 7 another's first, and of 8 nobody says that it is free
    assert [(row.etext, row.style, row.rights) for row in chosen] == [(3, "twain", "public_domain_us")]
    both = catalogue.select(rows, {"Amos Quill": "twain"}, languages=("en", "de"), rights=rights)
    assert [row.etext for row in both] == [3, 4]


def test_without_records_no_csv_row_is_selected():
    assert catalogue.select(catalogue.read_pg_csv(CSV), {"Quill": "twain"}) == []


def test_the_stricter_of_two_claims_counts():
    row = rdf.read_rdf(record(3))
    assert catalogue.select([row, row], {"Quill": "twain"}) == [replace(row, style="twain")]
    assert catalogue.select([row], {"Quill": "twain"}, rights={3: "restricted"}) == []


def test_a_recording_of_a_text_is_not_selected():
    assert catalogue.select([rdf.read_rdf(record(3, kind="Sound"))], {"Quill": "twain"}) == []


def test_csv_rows_name_all_people_with_their_roles():
    row = next(row for row in catalogue.read_pg_csv(CSV) if row.etext == 3)
    assert row.creators == (("Amos Quill", ""), ("Ada Bell", "Illustrator"))


@pytest.mark.shared
def test_the_real_records_agree_with_the_pinned_list_and_are_selected(shared_data):
    rows = [rdf.read_rdf(path.read_bytes()) for path in sorted((shared_data / "gutenberg" / "rdf").glob("*.rdf"))]
    pinned = {row.etext: row for row in catalogue.pinned()}
    assert len(rows) == 8
    for row in rows:
        assert (row.title, row.author, row.style) == (
            pinned[row.etext].title,
            pinned[row.etext].author,
            pinned[row.etext].style,
        )
        assert row.rights == "public_domain_us"
        assert row.files
    twain = catalogue.select(rows, {"Twain": "twain"})
    assert [row.etext for row in twain] == [102, 1837, 3176, 3186]


@pytest.mark.shared
def test_the_real_csv_joined_with_the_real_records_selects_the_one_work_in_both(shared_data):
    folder = shared_data / "gutenberg"
    packed = zipped({f"cache/epub/{p.stem[2:]}/{p.name}": p.read_bytes() for p in (folder / "rdf").glob("*.rdf")})
    rows = catalogue.read_pg_csv((folder / "pg_catalog_sample.csv").read_bytes())
    chosen = catalogue.select(rows, {"Twain": "twain"}, rights=rdf.read_rdf_archive(packed).rights)
    assert [row.etext for row in chosen] == [102]
