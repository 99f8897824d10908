"""strip_gutenberg on files of every header era. All texts are written here; real books are read in place, if present."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.boilerplate import strip_gutenberg
from twainbot.corpora.furniture import legalese
from twainbot.corpora.page import Page
from twainbot.errors import UnreadableSource

FIRST = "The stage left Crow Bend before breakfast, and nobody aboard forgave it. There were nine of us inside, with a goose."
VERSE = (
    "  The river rose on Tuesday night,\n      And took the lower town,\n"
    "  And them that couldn't swim for spite\n      Declined to be let drown."
)
TALK = '"Is it deep?" I asked.\n\n"It is if you stop," said the driver.'
LAST = "We came in by moonlight, eight and the goose; and that is how I learned geography."
BODY = f"A WET GEOGRAPHY\n\nby Amos Quill\n\n\n\nCHAPTER I.\n\n{FIRST}\n\n{VERSE}\n\n{TALK}\n\n{LAST}"

LICENCE = (
    "Updated editions will replace the previous one--the old editions will be renamed.\n\n"
    "*** START: FULL LICENSE ***\n\nTHE FULL PROJECT GUTENBERG LICENSE\n\n"
    "1.A. By using any part of this Project Gutenberg-tm electronic work you agree.\n\n"
    "Most people start at our Web site: http://www.gutenberg.org\n"
)
SMALL_PRINT = (
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\n"
    'Why is this "Small Print!" statement here?  You know: lawyers.\n\n'
    "Among other things, this statement disclaims most of our liability to you.\n\n"
)
OLD_TOP = (
    "Please take a look at the important information in this header.\n\n\n"
    "**Welcome To The World of Free Plain Vanilla Electronic Texts**\n\n"
    "Information on contacting Project Gutenberg to get Etexts is below.\n\n\n"
)


def modern(body: str = BODY) -> str:
    return (
        "The Project Gutenberg eBook of A Wet Geography\n    \nThis ebook is for the use of anyone anywhere in the United\n"
        "States under the terms of the Project Gutenberg License included with this ebook.\n\n"
        "Title: A Wet Geography\n\nAuthor: Amos Quill\n\n"
        "Release date: July 1, 2021 [eBook #99001]\n                Most recently updated: May 2, 2023\n\n"
        "Language: English\n\nCredits: Ada Bell\n\n\n"
        f"*** START OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY ***\n\n\n{body}\n\n\n\n"
        f"*** END OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY ***\n\n{LICENCE}"
    )


def era_2004(body: str = BODY) -> str:
    return (
        "Project Gutenberg's A Wet Geography, by Amos Quill (Samuel Feather)\n\n"
        "This eBook is for the use of anyone anywhere at no cost.\n\n\n"
        "Title: A Wet Geography\n       Complete\n\nAuthor: Amos Quill (Samuel Feather)\n\n"
        "Release Date: June 3, 2006 [EBook #99002]\n\nLanguage: English\n\nCharacter set encoding: ISO-8859-1\n\n"
        "*** START OF THIS PROJECT GUTENBERG EBOOK A WET\nGEOGRAPHY, COMPLETE ***\n\n"
        f"Produced by Ada Bell and the Online Distributed\nProofreading Team at http://www.pgdp.net\n\n\n{body}\n\n\n"
        "End of Project Gutenberg's A Wet Geography, by Amos Quill\n\n"
        "*** END OF THIS PROJECT GUTENBERG EBOOK A WET\nGEOGRAPHY, COMPLETE ***\n\n"
        "***** This file should be named 99002.txt or 99002.zip *****\n\nProduced by Ada Bell\n\n" + LICENCE
    )


def era_2003(body: str = BODY) -> str:
    return (
        "The Project Gutenberg EBook of A Wet Geography\nby Amos Quill\n#3 in our series by Amos Quill (Samuel Feather)\n\n"
        "Copyright laws are changing all over the world. Be sure to check them.\n\n"
        "**Welcome To The World of Free Plain Vanilla Electronic Texts**\n\n\n"
        "Title: A Wet Geography\n\nAuthor: Amos Quill\n       (Samuel Feather)\n\n"
        "Release Date: Apr, 1995  [Etext #0903]\n\nEdition: 12\n\nLanguage: English\n\n\n"
        "*** START OF THE PROJECT GUTENBURG EBOOK, WETT GEOGRAPHY, QUILL ***\n\n\n"
        f"This eBook was Produced by Ada Bell, [ada@example.org]\n\n\n{body}\n\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK, GEOGRAPHY, QUILL, ***\n\n"
        "*** This file should be named wetge12.txt or wetge12.zip ***\n\n"
        "Project Gutenberg eBooks are often created from several printed editions.\n\n"
        + SMALL_PRINT
        + "[Portions of this header are copyright (C) 2001 by Michael S. Hart.]\n\n"
        "*END THE SMALL PRINT! FOR PUBLIC DOMAIN EBOOKS*Ver.02/11/02*END*\n"
    )


def era_1994(body: str = BODY, stars: str = "*END*THE") -> str:
    return (
        OLD_TOP + "A Wet Geography\n\nby Amos Quill\n\nJanuary, 1994  [Etext #904]\n\n\n"
        "*The Project Gutenberg Etext of A Wet Geography, by Amos Quill*\n"
        "*****This file should be named wetge10.txt or wetge10.zip*****\n\n"
        "The official release date of all Project Gutenberg Etexts is at\nMidnight, of the last day of the stated month.\n\n"
        + SMALL_PRINT
        + f"{stars} SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\n\n"
        f"The Project Gutenberg Etext of A Wet Geography by Amos Quill\n\n\n{body}\n\n\n"
        "End of The Project Gutenberg Etext of A Wet Geography\n"
    )


def headerless(body: str = BODY) -> str:
    return f"\n{body}\n\n\n\n\nEnd of Project Gutenberg's A Wet Geography, by Amos Quill\n\n"


ERAS = {
    "modern": modern,
    "2004": era_2004,
    "2003": era_2003,
    "1994": era_1994,
    "1994, second star missing": lambda body=BODY: era_1994(body, "*END THE"),
    "headerless": headerless,
}
RESIDUE = re.compile(
    r"gutenb|gutenburg|small print|pgdp|e-?text|full license|\*\*\*|Produced by|\bVer\.", re.IGNORECASE
)


def stripped(text: str, encoding: str = "utf-8"):
    return strip_gutenberg(text.encode(encoding))


@pytest.mark.parametrize("era", ERAS)
def test_every_era_keeps_the_work_whole_and_nothing_else(era):
    assert stripped(ERAS[era]()).text == BODY


@pytest.mark.parametrize("era", ERAS)
def test_every_era_with_crlf_line_ends_gives_the_same_text(era):
    assert stripped(ERAS[era]().replace("\n", "\r\n")).text == stripped(ERAS[era]()).text


@pytest.mark.parametrize("era", ERAS)
def test_title_and_author_are_read_in_every_era(era):
    work = stripped(ERAS[era]())
    assert work.title.removesuffix(" Complete") == "A Wet Geography"
    assert work.author == "Amos Quill"


@pytest.mark.parametrize(
    ("era", "number"), [("modern", 99001), ("2004", 99002), ("2003", 903), ("1994", 904), ("headerless", None)]
)
def test_the_number_is_read_without_leading_zeros(era, number):
    assert stripped(ERAS[era]()).etext == number


@pytest.mark.parametrize("era", ERAS)
def test_stripping_a_stripped_text_changes_nothing(era):
    once = stripped(ERAS[era]()).text
    assert stripped(once).text == once


@pytest.mark.parametrize(
    ("era", "rights"), [("modern", "public_domain_us"), ("1994", "public_domain_us"), ("headerless", "unknown")]
)
def test_rights_come_from_a_header_and_not_from_a_closing_line(era, rights):
    assert stripped(ERAS[era]()).rights == rights


@pytest.mark.parametrize(
    "notice",
    [
        "** This is a COPYRIGHTED Project Gutenberg eBook, Details Below **",
        "**This is a COPYRIGHTED Project Gutenberg Etext Details Below**",
        "This is a *copyrighted* Project Gutenberg\neBook.",
    ],
)
def test_a_copyrighted_work_is_restricted(notice):
    text = modern().replace("Title: A Wet", f"{notice}\n\nTitle: A Wet")
    work = stripped(text)
    assert work.rights == "restricted"
    assert work.text == BODY


def test_small_print_for_copyright_protected_etexts_restricts():
    text = era_1994().replace("FOR PUBLIC DOMAIN ETEXTS**START", "FOR COPYRIGHT PROTECTED ETEXTS**START")
    assert stripped(text).rights == "restricted"


def test_a_book_of_the_australian_project_is_of_unknown_rights():
    text = (
        "Title: A Wet Geography\nAuthor: Amos Quill\n* A Project Gutenberg of Australia eBook *\neBook No.: 0900001.txt\n\n"
        + BODY
    )
    work = stripped(text)
    assert work.rights == "unknown"
    assert work.text == BODY


def test_start_without_end_keeps_the_rest_and_says_so():
    text = modern().split("*** END OF")[0]
    work = stripped(text)
    assert work.text == BODY
    assert "no_end_marker" in work.warnings


def test_end_without_start_finds_the_header_by_its_words():
    text = re.sub(r"\*\*\* START OF.*\n", "", modern())
    work = stripped(text)
    assert work.text == BODY
    assert "no_start_marker" in work.warnings


def test_a_licence_without_any_end_marker_is_cut():
    text = re.sub(r"\*\*\* END OF.*\n", "", modern())
    assert stripped(text).text == BODY


@pytest.mark.parametrize(
    "marker",
    [
        "***START OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY***",
        "START OF THE PROJECT GUTENBERG EBOOK, A WET GEOGRAPHY ***",
        "*** START OF THIS PROJECT GUTENBERG EBOOK A WET GEOGRAPHY, BEING AN\nACCOUNT IN THREE LINES OF WHAT\nWAS SEEN ***",
        "*** START OF THE PROJECT GUTENBERG\nEBOOK A WET GEOGRAPHY ***",
        "*** START OF THE PROJECT GUTTENBERG EBOOK A WET GEOGRAPHY ***",
        "**** START OF THIS PROJECT GUTENBERG E-TEXT A WET GEOGRAPHY ****",
        "*** START OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK A WET GEOGRAPHY ***",
        "*** Start of the Project Gutenberg eBook of A Wet Geography ***",
    ],
)
def test_start_markers_are_found_however_they_are_written(marker):
    text = modern().replace("*** START OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY ***", marker)
    assert stripped(text).text == BODY


@pytest.mark.parametrize(
    "closing",
    [
        "End of the Project Gutenberg EBook of A Wet Geography, by\nAmos Quill",
        "End of The Project\nGutenberg Etext of A Wet Geography",
        "End of this Project Gutenberg Etext of A Wet Geography",
        "END OF THE PROJECT GUTENBERG ETEXT OF A WET GEOGRAPHY",
        "*** End of the Project Gutenberg Etext of A Wet Geography ***",
        "Ende dieses Project Gutenberg Etextes A Wet Geography",
        "End of Project Gutenberg Etext A Wet Geography by Quill",
        "[End of the Project Gutenberg edition of A Wet Geography]",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n\n\n"])
def test_closing_lines_go_and_the_paragraph_right_above_them_stays(closing, gap):
    assert stripped(f"{BODY}{gap}{closing}\n").text == BODY


def test_the_end_of_the_story_is_not_a_closing_line():
    body = BODY + "\n\nTHE END\n\nEnd of Project Bridgewater, by the same hand, was never printed."
    assert stripped(modern(body)).text == body


def test_a_closing_line_inside_a_compilation_does_not_end_it():
    second = BODY.replace("A WET GEOGRAPHY", "PART SECOND") + "\n\n" + "\n\n".join([FIRST] * 30)
    text = modern(f"{BODY}\n\n\nEnd of the Project Gutenberg EBook of A Wet Geography, Part 1\n\n\n\n{second}")
    work = stripped(text)
    assert work.text.count(LAST) == 2
    assert "Gutenberg" not in work.text


def test_two_whole_files_in_one_give_both_works():
    long = BODY + "\n\n" + "\n\n".join([FIRST] * 20)
    work = stripped(era_2004(long) + "\n\n" + modern(long.replace("Crow Bend", "Goose Bend")))
    assert "Crow Bend" in work.text
    assert "Goose Bend" in work.text
    assert not RESIDUE.search(work.text)
    assert "parts=2" in work.warnings


def test_text_right_under_the_start_marker_is_kept():
    text = modern(FIRST + "\n" + LAST).replace("***\n\n\nThe stage", "***\nThe stage")
    assert stripped(text).text == f"{FIRST}\n{LAST}"


@pytest.mark.parametrize(
    "credit",
    [
        "Produced by Ada Bell and David Hale",
        "E-text prepared by Ada Bell and the Project\nGutenberg Online Distributed Proofreading Team (https://www.pgdp.net)",
        "Transcribed from the 1899 Quill and Sons edition by Ada Bell,\nemail ada@example.org",
        "This etext was prepared by Ada Bell, St. Mawes, from the 1904 edition.",
        "The HTML version was produced by Ada Bell. Thanks to the many PG volunteers.",
        "Scanned and proofed by Ada Bell, ada@example.org",
        "[Transcriber's Note: Old spelling has been kept, also\nwhere it is wrong.]",
        "Note: Project Gutenberg also has an HTML version of this\n      file which includes the original illustrations.",
        (
            "+---------------------------+\n| Transcriber's Note:        |\n|                            |\n"
            "| Old spelling was kept.     |\n+---------------------------+"
        ),
        "Transcriber's Note:\n\nObvious typographical errors have been corrected.\n\nItalic text is denoted by _underscores_.",
    ],
)
def test_credits_and_notes_at_the_head_go_and_the_title_stays(credit):
    assert stripped(modern(f"{credit}\n\n\n\n{BODY}")).text == BODY


def test_a_credit_below_the_title_goes():
    body = BODY.replace("by Amos Quill\n", "by Amos Quill\n\nEntered by Ada Bell\nada@example.org\n")
    assert stripped(era_1994(body)).text == BODY


def test_a_first_paragraph_that_only_starts_like_a_credit_stays():
    body = BODY.replace(FIRST, f"Produced by the sun alone, the salt of Crow Bend is grey. {FIRST}")
    assert stripped(modern(body)).text == body


def test_a_note_section_at_the_end_goes_to_its_last_line():
    notes = "Transcriber's Notes\n\nChapter 1.\n\nOn page 9, geese was changed to goose.\n\nThe author liked geese."
    body = BODY + "\n\n" + "\n\n".join([FIRST] * 20) + "\n\n" + LAST
    assert stripped(modern(f"{body}\n\n\n\n\n{notes}")).text == body


def test_a_bracketed_note_in_the_middle_goes_and_its_neighbours_stay():
    body = BODY.replace(VERSE, f"[Transcriber's note: a line is\nmissing here [sic] in the print.]\n\n{VERSE}")
    assert stripped(modern(body)).text == BODY


def test_a_character_called_the_transcriber_stays():
    body = BODY.replace(LAST, f"The transcriber of these lines was my aunt.\n\n{LAST}")
    assert stripped(modern(body)).text == body


def test_illustration_tags_go_with_their_captions_and_are_counted():
    body = BODY.replace(
        TALK, f"[Illustration]\n\n[Illustration: THE GOOSE\n\n    'It is if you stop.' [See page 9]]\n\n{TALK}"
    )
    work = stripped(modern(body))
    assert work.text == BODY
    assert "cut_illustrations=2" in work.warnings


def test_an_authors_own_bracket_about_illustrations_stays():
    body = BODY.replace(LAST, f"[Illustrations of the goose were omitted by the goose.]\n\n{LAST}")
    assert stripped(modern(body)).text == body


def test_an_illustration_bracket_that_never_closes_takes_its_line_only():
    body = BODY.replace(TALK, f"[Illustration: THE GOOSE\n\n{TALK}")
    assert stripped(modern(body)).text == BODY


def test_page_marks_go_and_footnote_numbers_stay():
    body = BODY.replace("nine of us", "nine [Pg 12]of us").replace(TALK, f"{{13}}\n{TALK} {{1}}")
    assert stripped(modern(body)).text == BODY.replace(TALK, f"{TALK} {{1}}")


def test_a_column_of_braced_hours_in_a_table_stays():
    table = "       NIGHT.    {10} Sleep.\n                 {11}\n                 {12}"
    assert table in stripped(modern(f"{BODY}\n\n{table}\n\n{LAST}")).text


def test_a_sentence_naming_the_project_in_a_long_paragraph_goes_alone():
    lines = [f"Line {n} of the flood report speaks of mud." for n in range(20)]
    lines[10] = "It is accessible in Project Gutenberg today."
    work = stripped(modern(f"{BODY}\n\n" + "\n".join(lines)))
    assert "Gutenberg" not in work.text
    assert "Line 9 of" in work.text
    assert "Line 19 of" in work.text


def test_the_printer_of_mainz_may_be_named():
    body = BODY.replace(LAST, f"Gutenberg of Mainz had no goose, and look what he did.\n\n{LAST}")
    assert stripped(modern(body)).text == body


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("latin-1", "iso-8859-1"),
        ("cp1252", "iso-8859-1"),
        ("utf-16", "utf-16"),
    ],
)
def test_accents_survive_every_encoding(encoding, named):
    work = stripped(modern(BODY.replace("geography", "géographie")), encoding)
    assert work.text == BODY.replace("geography", "géographie")
    assert work.encoding == named


def test_windows_quotes_under_a_latin_1_label_become_quotes():
    body = BODY.replace('"Is it deep?"', "“Is it deep?”").replace("couldn't", "couldn’t")
    work = strip_gutenberg(era_2004(body).encode("cp1252"))
    assert work.text == body
    assert work.encoding == "windows-1252"


def test_a_dos_accent_beside_a_latin_one_is_told_apart_by_the_word_around_it():
    raw = modern(BODY.replace("a goose.", "a caf@ and a ni#o.")).encode().replace(b"@", b"\x82").replace(b"#", b"\xf1")
    work = strip_gutenberg(raw)
    assert "a café and a niño." in work.text
    assert work.encoding == "mixed-8-bit"


def test_utf8_with_one_stray_byte_is_still_utf8():
    raw = (
        modern(BODY.replace("Bend", "Bénd").replace("goose", "gööse"))
        .encode()
        .replace(b"Quill\n\n\n\nCH", b"Quill \x96\n\n\n\nCH", 1)
    )
    work = strip_gutenberg(raw)
    assert work.encoding == "utf-8"
    assert "gööse" in work.text
    assert "–" in work.text


def test_no_break_spaces_become_spaces():
    assert stripped(modern(BODY.replace("nine of us", "nine\u00a0of us")), "latin-1").text == BODY


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n\r\n", "empty"),
        (b"\x00" * 4096, "empty"),
        (b"%PDF-1.4 rest of it", "PDF"),
        (b"PK\x03\x04" + bytes(200), "zip"),
        (b"\x1f\x8b\x08\x00" + bytes(range(256)), "gzip"),
        (bytes(range(256)) * 40, "binary"),
        (b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>", "HTML"),
        (b"  <?xml version='1.0'?>\n<html xmlns='x'><body>Denied</body></html>", "HTML"),
        (b"503 Service Unavailable", "no readable text"),
        (modern("").encode(), "only a header or licence"),
        (modern("CHAPTER I.").encode(), "only a header or licence"),
        (modern().split("*** START")[0].encode(), "only a header or licence"),
        (
            era_1994("").split("The Project Gutenberg Etext of A Wet Geography by")[0].encode(),
            "only a header or licence",
        ),
    ],
)
def test_what_is_no_book_is_refused_with_the_reason(raw, reason):
    with pytest.raises(UnreadableSource, match=reason):
        strip_gutenberg(raw)


PASSAGES = [
    f"Passage {n} tells at some length what the ferry carried that day, and who was late for it, which was everyone."
    for n in range(1, 21)
]
LONG = "\n\n".join([FIRST, *PASSAGES, LAST])


@pytest.mark.parametrize(
    "text",
    [
        modern(LONG).replace("EBOOK A WET GEOGRAPHY ***", "EBOOK, A WET GEOGRAPHY ***"),
        modern(LONG).replace("PROJECT GUTENBERG EBOOK A WET", "PROJECT GUTEMBERG EBOOK A WET"),
        modern(LONG).replace("EBOOK A WET GEOGRAPHY ***", "EBOOK A WET\nGEOGRAPHY ***"),
        modern(LONG).replace("*** END OF THE", "_*** END OF THE"),
        modern(LONG).rstrip(),
        modern(LONG).replace("\n", "\r"),
        modern(LONG).replace("\n", "\r\r\n"),
        modern(LONG).replace(
            "*** START", "*** START OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY ***\n\n*** START", 1
        ),
        "*** END OF THE PROJECT GUTENBERG EBOOK SOMETHING ELSE ***\n\n" + modern(LONG),
        modern(f"This etext was produced by Ada Bell <ada@example.org>\n\n\n{LONG}"),
        modern(
            f"{LONG}\n\n\n***END OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY***\n\n\n*** This file should be named x.txt ***"
        ),
        modern(f"{LONG}\n\n\n\n\n[Transcriber's Notes: 1. goose for geese.\n\n2. [sic] kept.]"),
        modern(
            f"Note: Images of the original pages are available through\n      https://archive.org/details/wet\n\n\n{LONG}"
        ),
        modern(f"TRANSCRIBER'S NOTE: This text uses UTF-8 file encoding.\n\n\n\n{LONG}"),
        modern(f"  Note: Where the author left off is\n  not clear in the print used for this eBook.\n\n{LONG}"),
        modern(LONG.replace(PASSAGES[4], f"{PASSAGES[4]}\n\n[Illustration:\n\n“IS IT DEEP?”\n\n_Page 12_]")),
        modern(LONG.replace(PASSAGES[4], f"{PASSAGES[4]}\n\n[Page 12]")),
        modern(LONG.replace("There were nine", "There were[Pg 13] nine")),
        modern(f"{LONG}\n\n[End of transcription.]"),
        modern(f"[From an 1869--1st Edition]\n\n{LONG}"),
        era_2004(LONG).replace("Produced by Ada Bell and", "Produit par Ada Bell et").replace("English", "French"),
        modern(f"{LONG}\n\n\nEnde dieses Projekt Gutenberg Etextes"),
        modern(f"{LONG}\n\n\nFin de ce livre électronique du Projet Gutenberg\n"),
        modern(LONG).split("*** END OF")[0],
        era_1994(f"Note:  This etext was created from a reprint.\n\n{LONG}"),
    ],
)
def test_other_layouts_that_occur_leave_the_same_work(text):
    assert stripped(text).text == LONG


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_wide_encodings_are_read_with_or_without_a_byte_order_mark(encoding):
    assert stripped(modern(LONG), encoding).text == LONG


@pytest.mark.parametrize(
    "author",
    [
        "[Footnote 1: The goose was grey.]",
        "[1] The goose was grey, and _knew_ it.",
        "THE END",
        "End of Volume One",
        "       *       *       *       *       *",
        "BY THE SAME AUTHOR\n\nThe Dry Goose, 12mo, cloth, $1.25",
        "The driver said, <i>loudly</i>, that he was no scholar.",
        "I produced by my own hand, and with a goose's help, three maps.",
        "Copyright, said the goose, is for those who can write.",
        "The Company of Ferrymen, New York, 1849, is the only body that ever refused me.",
    ],
)
def test_what_is_the_authors_stays(author):
    body = f"{LONG}\n\n{author}\n\n{LAST}"
    assert stripped(modern(body)).text == body


def test_a_marker_that_a_character_reads_aloud_ends_nothing():
    body = LONG.replace(PASSAGES[4], '"*** END OF THIS PROJECT GUTENBERG EBOOK X ***" he read, and laughed.')
    work = stripped(modern(body))
    # the trademark goes with its paragraph, and nothing else does
    assert work.text == LONG.replace(f"{PASSAGES[4]}\n\n", "")
    assert "cut_trademark_passages=1" in work.warnings


def test_a_header_that_breaks_off_is_no_book():
    header = modern(LONG).split("*** START")[0]
    for length in range(40, len(header), 40):
        with pytest.raises(UnreadableSource):
            stripped(header[:length])


@pytest.mark.parametrize(
    "imprint",
    [
        "Copyright, 1899, by Amos Quill.\n_All rights reserved._",
        "NEW YORK\nHARPER & BROTHERS, PUBLISHERS\n1899",
        "Boston\n\nSmall, Quill & Company\n\n1899",
        "First Edition (10,000 copies) November, 1898",
        "_First published in 1899_",
        "Entered according to Act of Congress, in the year 1899,\nby AMOS QUILL, in the Office of the Librarian of Congress.",
        "PRINTED BY AND FOR A. QUILL,\nNo. 58, Holborn-Hill.",
        "London:\n\nPrinted by A. Quill\n\n1810.",
    ],
)
def test_copyright_and_publisher_on_the_title_page_go_and_are_counted(imprint):
    work = stripped(modern(BODY.replace("by Amos Quill\n", f"by Amos Quill\n\n{imprint}\n", 1)))
    assert work.text == BODY
    assert any(warning.startswith("cut_imprints=") for warning in work.warnings)


def test_a_copyright_page_inside_the_book_stays():
    body = f"{LONG}\n\nCopyright, 1899, by the Goose.\n\n{LAST}"
    assert stripped(modern(body)).text == body


def test_a_firm_in_the_first_lines_of_the_text_stays():
    body = BODY.replace(
        FIRST, f"The Company, New York, sent a letter in 1849, and the Goose Press printed it.\n\n{FIRST}"
    )
    assert stripped(modern(body)).text == body


def test_a_list_of_contents_goes_and_is_counted():
    listed = "CONTENTS\n\nCHAPTER I. The Stage\nCHAPTER II. The River\nCHAPTER III. The Goose\n\n\n\n"
    work = stripped(modern(BODY.replace("CHAPTER I.", f"{listed}CHAPTER I.", 1)))
    assert work.text == BODY
    assert "cut_contents=1" in work.warnings


words = st.text(alphabet="abcdefghij ÉéßøœABC’“”—.,;:!?'\"-_*{}[]()0123456789", min_size=1, max_size=80)
paragraphs = st.lists(words, min_size=1, max_size=6).map("\n".join)
bodies = st.lists(paragraphs, min_size=1, max_size=12).map("\n\n".join)
furniture = st.sampled_from(
    [
        "Produced by Ada Bell",
        "[Illustration: A goose]",
        "[Illustration: unclosed",
        "Transcriber's Note:\n\nSpelling was kept.",
        "End of the Project Gutenberg EBook of X, by Y",
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***",
        "*** END OF THE PROJECT GUTENBERG EBOOK X ***",
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
        "The Project Gutenberg Etext of X, by Y",
        "See http://www.gutenberg.org for more of Project Gutenberg-tm.",
        "{12}",
        "[Pg 9] and on",
        "*****",
        "End of the Project",
        "Gutenberg EBook of X",
        "CONTENTS\n\nCHAPTER I. A\nCHAPTER II. B\nCHAPTER III. C",
        "LIST OF ILLUSTRATIONS\n\nA goose     12\nA ferry     40",
        "Copyright, 1899, by Amos Quill",
        "[End of transcription.]",
        "Illustrations taken from an 1880 First Edition",
        "Guten[Pg 9]berg eBook, by Project Gu[Illustration]tenberg",
    ]
)
mixtures = st.lists(st.one_of(bodies, furniture), min_size=1, max_size=14).map("\n\n".join)
TRADEMARK = re.compile(
    r"project\W+gutenberg|gutenberg-tm|gutenberg\.(?:org|net)|gutenberg\s+e-?(?:book|text)", re.IGNORECASE
)


@settings(max_examples=examples(80), deadline=None)
@given(mixtures, st.sampled_from(sorted(ERAS)))
def test_no_trademark_survives_any_mixture_and_a_second_pass_changes_nothing(mixture, era):
    text = ERAS[era](f"{FIRST}\n\n{mixture}\n\n{LAST}")
    try:
        work = stripped(text)
    except UnreadableSource:
        return
    assert not TRADEMARK.search(work.text)
    assert stripped(work.text).text == work.text


# Anything that reads as a sentence, a speech or a line of verse: at least three words in small letters on each line.
plain_words = st.lists(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyzéß’", min_size=2, max_size=9), min_size=3, max_size=9
)
plain_words = plain_words.filter(lambda words: "pglaf" not in words)  # the foundation's name is a trademark
plain_lines = st.tuples(
    st.sampled_from(["", "    ", "“", "She said: ", "_"]), plain_words, st.sampled_from([".", ",", "!”", ""])
)
plain_paragraphs = st.lists(
    plain_lines.map(lambda parts: parts[0] + " ".join(parts[1]) + parts[2]), min_size=1, max_size=5
).map("\n".join)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(plain_paragraphs, min_size=1, max_size=12).map("\n\n".join), st.sampled_from(sorted(ERAS)))
def test_text_between_the_markers_is_never_lost(text, era):
    body = f"{FIRST}\n\n{text}\n\n{LAST}"
    assert stripped(ERAS[era](body)).text == body


@settings(max_examples=examples(80), deadline=None)
@given(mixtures)
def test_stripping_what_never_had_a_wrapper_is_idempotent_too(mixture):
    try:
        once = stripped(f"{FIRST}\n\n{mixture}\n\n{LAST}").text
    except UnreadableSource:
        return
    assert not TRADEMARK.search(once)
    assert stripped(once).text == once


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.sampled_from([FIRST, VERSE, TALK, LAST]), min_size=1, max_size=30), st.sampled_from(sorted(ERAS)))
def test_prose_verse_and_talk_pass_untouched_in_every_era(parts, era):
    body = "\n\n".join([FIRST, *parts, LAST])
    assert stripped(ERAS[era](body)).text == body


def real_books(shared_data):
    folder = shared_data / "gutenberg"
    return [
        *sorted(folder.glob("*.txt")),
        *sorted((folder / "old").glob("*.txt")),
        shared_data / "satire" / "pg22537.txt",
    ]


# file: the text's first and last words, as a reader of the book knows them
ENDS = {
    "pg74.txt": ("THE ADVENTURES OF TOM SAWYER", "part of their lives at present."),
    "pg76-hfinn12.txt": ("NOTICE", "I been there before."),
    "pg119-20040619.txt": ("A TRAMP ABROAD", "for three weeks!"),
    "pg148-bfaut10.txt": ("THE AUTOBIOGRAPHY OF", "Philadelphia.  Editor."),
    "pg245.txt": ("LIFE ON THE MISSISSIPPI", "into the depths below."),
    "pg245-lmiss12.txt": ("LIFE ON THE MISSISSIPPI", "into the depths below."),
    "pg102.txt": ("The Tragedy of Pudd'nhead Wilson", "sold him down the river."),
    "pg374-fanfb10.txt": ("Fantastic Fables", 'business of others!"'),
    "pg3186.txt": ("THE MYSTERIOUS STRANGER", 'I get\noff here."'),
    "pg972-dvldc10.txt": ("THE DEVIL'S DICTIONARY", "every two years."),
    "pg48136-noheader.txt": ("The\n  WORKS", "i. 69."),
    "pg22537.txt": ("Mr. DOOLEY", 'pin mesilf."'),
}


@pytest.mark.slow
@pytest.mark.shared
def test_every_real_book_comes_out_clean_whole_and_stable(shared_data):
    for path in real_books(shared_data):
        raw = path.read_bytes()
        work = strip_gutenberg(raw)
        assert not TRADEMARK.search(work.text), path.name
        assert strip_gutenberg(work.text.encode()).text == work.text, path.name
        # Headers and licences are 0.5 to 30 kB; pg119 carries 27 kB of contents lists besides.
        assert len(raw) - len(work.text.encode()) < 70_000, path.name
        first, last = ENDS.get(path.name, ("", ""))
        assert work.text.lstrip().startswith(first), path.name
        assert work.text.endswith(last), path.name


@pytest.mark.shared
def test_every_real_book_has_title_and_author(shared_data):
    authors = {"Mark Twain", "Benjamin Franklin", "Ambrose Bierce", "Finley Peter Dunne"}
    for path in real_books(shared_data):
        work = strip_gutenberg(path.read_bytes())
        assert work.author in authors, path.name
        assert work.title, path.name
        assert work.rights == ("unknown" if "noheader" in path.name else "public_domain_us"), path.name


def test_a_notice_between_acts_is_cut_and_very_many_openings_of_it_are_read_once():
    notice = "<<THIS ELECTRONIC VERSION OF A PLAY\nIS COPYRIGHT 1990 BY A LIBRARY>>"
    page = Page(f"Act I\n\n{notice}\n\nAct II")
    assert [page.text[start:end] for start, end in legalese(page)] == [notice]
    assert legalese(Page("<<THIS ELECTRONIC VERSION OF \n\n" * 20_000)) == []
    nested = Page("<<THIS ELECTRONIC VERSION OF " * 3 + ">>")
    assert legalese(nested) == [(0, len(nested.text))]
