"""PDF files, built here object by object: text, running headers, divided words, and every refusal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pypdf")

from tests.examples import examples
from twainbot.corpora import pdf
from twainbot.corpora.local import parse_document
from twainbot.corpora.pdf import read_pdf, whole_words, without_furniture
from twainbot.corpora.works import Sidecar, works_from_unit
from twainbot.errors import UnreadableSource


def objects(pages: list[list[str]], *, info: str = "", count: int | None = None) -> list[bytes]:
    """Catalogue, page tree, font, information; then a page and its content for every list of lines."""
    kids = " ".join(f"{5 + 2 * at} 0 R" for at in range(len(pages)))
    made = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages) if count is None else count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        f"<< {info} >>",
    ]
    for at, lines in enumerate(pages):
        shown = " ".join(f"({line.translate(ESCAPES)}) Tj T*" for line in lines)
        content = f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET" if lines else ""
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
        made += [
            f"{page} /Contents {6 + 2 * at} 0 R >>",
            f"<< /Length {len(content.encode('cp1252'))} >>\nstream\n{content}\nendstream",
        ]
    return [item.encode("cp1252") for item in made]


ESCAPES = str.maketrans({"(": r"\(", ")": r"\)", "\\": r"\\"})


def file(made: list[bytes], trailer: str = "") -> bytes:
    raw = b"%PDF-1.4\n"
    offsets = []
    for number, item in enumerate(made, 1):
        offsets.append(len(raw))
        raw += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(raw)
    raw += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(made) + 1, table)
    return raw + (
        f"trailer\n<< /Size {len(made) + 1} /Root 1 0 R /Info 4 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    )


def document(*pages: list[str], **changes) -> bytes:
    return file(objects(list(pages), **changes))


STORY = [
    ["It rained on Crow Bend", "for nine days."],
    ["Then the river came", "up the street."],
    ["Nobody had asked it."],
]


def test_pages_become_one_text_with_a_paragraph_where_a_sentence_ends():
    found = read_pdf(document(*STORY))
    assert found.text == (
        "It rained on Crow Bend\nfor nine days.\n\nThen the river came\nup the street.\n\nNobody had asked it."
    )
    assert (found.pages, found.warnings) == (3, ())


def test_a_sentence_that_runs_over_a_page_goes_on_in_the_next_line():
    assert read_pdf(document(["It rained"], ["for nine days."])).text == "It rained\nfor nine days."


def test_title_and_author_come_from_the_information_unless_it_is_an_accident():
    found = read_pdf(document(*STORY, info="/Title (The Flood) /Author (Ada Quill)"))
    assert (found.title, found.author) == ("The Flood", "Ada Quill")
    assert read_pdf(document(*STORY, info="/Title (Microsoft Word - flood.doc)")).title == ""


def test_running_headers_and_page_numbers_go_and_are_counted():
    pages = [["THE FLOOD", *lines, str(7 + at)] for at, lines in enumerate(STORY)]
    found = read_pdf(document(*pages))
    assert found.text == read_pdf(document(*STORY)).text
    assert found.removed_lines == 2 * len(STORY)
    assert found.warnings == (f"page_furniture_removed={2 * len(STORY)}",)


@pytest.mark.parametrize("form", ["- {} -", "Page {} of 9", "{}", "flood.indd {} 5/16/26", "[{}]"])
def test_page_numbers_in_other_dress_go_too(form):
    pages = [
        "\n".join([f"Text {word}.", form.format(at + 3)]) for at, word in enumerate(("one", "two", "three", "four"))
    ]
    assert without_furniture(pages) == (["Text one.", "Text two.", "Text three.", "Text four."], 4)


def test_roman_page_numbers_go_and_a_lone_roman_word_stays():
    pages = [f"Text {word}.\n{roman}" for word, roman in (("one", "iv"), ("two", "v"), ("three", "vi"))]
    assert without_furniture(pages)[1] == 3
    assert without_furniture(["Mix\nAda.", "Civil\nBo.", "Vivid\nCy."])[1] == 0


def test_left_and_right_headers_go_where_each_stands_on_every_other_page():
    heads = ("12 THE FLOOD", "ADA QUILL 13", "14 THE FLOOD", "ADA QUILL 15", "16 THE FLOOD", "ADA QUILL 17")
    words = ("one", "two", "three", "four", "five", "six")
    pages = [f"{head}\nText {word}." for head, word in zip(heads, words, strict=True)]
    assert without_furniture(pages)[1] == len(pages)


def test_figures_that_do_not_count_with_the_pages_and_repeated_words_in_the_middle_stay():
    pages = [
        f"High {high}\nIt was so.\nRefrain\nIt went on.\nLow {low}" for high, low in ((70, 50), (62, 41), (75, 58))
    ]
    kept, removed = without_furniture(pages)
    assert removed == 2 * 3  # "It was so." and "It went on." stand second from an end of every page
    assert [page.split("\n") for page in kept] == [
        ["High 70", "Refrain", "Low 50"], ["High 62", "Refrain", "Low 41"], ["High 75", "Refrain", "Low 58"]
    ]  # fmt: skip


def test_two_pages_are_too_few_to_tell_a_header():
    assert without_furniture(["HEAD\nOne.", "HEAD\nTwo."])[1] == 0


def test_divided_words_are_put_together_and_counted():
    found = read_pdf(document(["The thun-", "derstorm passed, and the rain-", "storm came."]))
    assert found.text == "The thunderstorm\npassed, and the rainstorm\ncame."
    assert found.hyphens_mended == 2


@pytest.mark.parametrize(
    ("text", "mended", "count"),
    [
        ("a well-known man, well-\nknown indeed", "a well-known man, well-known\nindeed", 1),
        ("Crow-\nBend, 1885-\n1890", "Crow-\nBend, 1885-\n1890", 0),
        ("rain-\nfall.\n\nThen", "rainfall.\n\nThen", 1),
        ("over the page, inter-\nrupted", "over the page, interrupted\n", 1),
    ],
)
def test_hyphens_that_belong_to_the_word_stay(text, mended, count):
    assert whole_words(text) == (mended, count)


def test_a_word_divided_over_a_page_is_whole_and_ligatures_are_letters():
    assert read_pdf(document(["The thun-"], ["derstorm passed."])).text == "The thunderstorm\npassed."


def encrypted() -> bytes:
    made = objects(STORY)
    made.append(b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (b"41" * 32, b"42" * 32))
    return file(made, f"/Encrypt {len(made)} 0 R /ID [<{'43' * 16}> <{'43' * 16}>]")


def moved_xref() -> bytes:
    raw = document(*STORY)
    start = raw.rindex(b"startxref\n") + len(b"startxref\n")
    return raw[:start] + b"7777\n%%EOF\n"


def wrong_offsets() -> bytes:
    raw = document(*STORY)
    at = raw.index(b"xref\n0")
    return raw[:at] + raw[at:].replace(b"0000000", b"0000123")


def cyclic() -> bytes:
    made = objects(STORY)
    made[1] = b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 3 >>"
    return file(made)


BROKEN = {
    "encrypted": (encrypted(), "encrypted"),
    "scan": (document([], []), "scan"),
    "numbers only": (document(["1"], ["2"], ["3"]), "no text"),
    "stamp only": (document(*[["Digitized by a library"]] * 4), "no text"),
    "moved table": (moved_xref(), "cross-reference table is broken: nothing is at byte 7777"),
    "cut short": (document(*STORY)[:-120], "cut short"),
    "lost pages": (document(*STORY, count=9), "says that it has 9 pages, 3 were found"),
    "huge count": (document(*STORY, count=10**9), "at most 5000"),
    "no pages": (document(), "damaged"),
    "cyclic tree": (cyclic(), "PDF"),
    "no PDF": (b"It rained.", "does not begin with %PDF"),
    "empty": (b"", "does not begin with %PDF"),
}


@pytest.mark.parametrize(("raw", "why"), BROKEN.values(), ids=BROKEN)
def test_broken_protected_and_scanned_files_are_refused_in_plain_words(raw, why):
    with pytest.raises(UnreadableSource, match=why):
        read_pdf(raw)


def test_a_table_with_wrong_entries_is_repaired_where_every_page_is_found():
    assert read_pdf(wrong_offsets()).text == read_pdf(document(*STORY)).text


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_damage_gives_a_text_or_a_plain_refusal(changes):
    raw = bytearray(document(*STORY))
    for at, byte in changes:
        raw[at % len(raw)] = byte
    try:
        assert read_pdf(bytes(raw)).text
    except UnreadableSource:
        return


def test_too_many_real_pages_are_refused(monkeypatch):
    monkeypatch.setattr(pdf, "MAX_PAGES", 2)
    with pytest.raises(UnreadableSource, match="3 pages; at most 2"):
        read_pdf(document(*STORY))


def test_too_much_text_is_refused(monkeypatch):
    monkeypatch.setattr(pdf, "MAX_CHARACTERS", 40)
    with pytest.raises(UnreadableSource, match="more than 40 characters"):
        read_pdf(document(*STORY))


def test_bytes_before_the_header_do_no_harm():
    assert read_pdf(b"\n\n" + document(*STORY)).pages == 3


def test_a_page_without_text_among_others_is_noted():
    assert read_pdf(document(*STORY, [])).warnings == ("pages_without_text=1",)


def test_a_pdf_is_one_passage_with_what_was_done_to_it():
    (passage,) = parse_document(document(*STORY, info="/Title (Flood)"), ".PDF")
    assert passage["title"] == "Flood"
    assert passage["extra"] == {"pages": 3, "removed_lines": 0, "hyphens_mended": 0}


def test_the_sidecar_outweighs_the_information_and_warnings_reach_the_work():
    raw = document(*[["HEAD", *lines] for lines in STORY], info="/Title (Flood) /Author (Ada Quill)")
    row = works_from_unit("local", "flood", raw, Sidecar(filename="f.pdf", rights="cc0", title="Mud")).row(
        0, named=True
    )
    assert (row["title"], row["author"], row["rights"]) == ("Mud", "Ada Quill", "cc0")
    assert row["warnings"] == ["page_furniture_removed=3"]
    assert json.loads(row["extra"])["removed_lines"] == 3
