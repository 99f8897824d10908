"""Lists of contents and of illustrations: found in the layouts that occur, and left alone where the evidence is thin."""

from __future__ import annotations

import pytest

from twainbot.corpora.contents import contents, is_heading
from twainbot.corpora.page import Page


def chapter(heading: str, number: int = 1) -> str:
    return f"{heading}\n\n" + "\n\n".join(
        f"Passage {number}.{n} tells at some length what the ferry carried that day, and who was late for it,\n"
        "which was everyone but the goose, who lived there."
        for n in range(1, 6)
    )


CHAPTERS = "\n\n\n\n".join(chapter(f"CHAPTER {numeral}.", n) for n, numeral in enumerate(("I", "II", "III", "IV"), 1))
TITLES = "\n\n\n\n".join(chapter(title, n) for n, title in enumerate(("THE STAGE", "THE RIVER", "THE GOOSE"), 1))
PREFACE = "PREFACE.\n\nThis book was dry once.\n\nA. Q."
LISTS = {
    "labels in one block": "CONTENTS\n\nCHAPTER I. The Stage\nCHAPTER II. The River\nCHAPTER III. The Goose",
    "labels apart": "Contents.\n\nCHAPTER I. The Stage\n\nCHAPTER II. The River\n\nCHAPTER III. The Goose",
    "dots to a page": "_CONTENTS_\n\n  I. The Stage ........ 1\n II. The River ....... 20\nIII. The Goose . . . 31",
    "a page column": "TABLE OF CONTENTS\n\n               PAGE\nThe Stage         1\nThe River        20\nThe Goose        31",
    "numbered": "CONTENTS:\n\n1. The Stage\n\n2. The River\n\n3. The Goose",
    "books that start over": "CONTENTS\n\nBOOK THE FIRST\n\nCHAPTER I\nCHAPTER II\n\nBOOK THE SECOND\n\nCHAPTER I\nCHAPTER II",
    "spaced letters": "C O N T E N T S\n\nCHAPTER I. The Stage\nCHAPTER II. The River\nCHAPTER III. The Goose",
    "of a volume": "CONTENTS OF VOL. I.\n\nCHAPTER I. The Stage\nCHAPTER II. The River\nCHAPTER III. The Goose",
    "synopses": (
        "CONTENTS\n\nCHAPTER I. The Stage leaves--A Goose is taken aboard--Its Character--The Driver Objects\n"
        "--He is Overruled\n\nCHAPTER II. The River rises--The Town goes--A Speech by the Mayor\n\n"
        "CHAPTER III. The Goose is asked--Its Answer--Moonlight"
    ),
    "pictures by page": "LIST OF ILLUSTRATIONS\n\nThe goose at table       _Frontispiece_\nThe ferry                 12",
    "pictures numbered": "ILLUSTRATIONS:\n\n\n     1.   PORTRAIT OF THE GOOSE\n     2.   THE FERRY\n     3.   THE DRIVER",
    "captions": 'ILLUSTRATIONS\n\n"IS IT DEEP?"\n\nTHE FERRY\n\nTHE FERRY\n\n"IT IS IF YOU STOP"',
    "plates": "LIST OF THE PLATES\n\nPLATE I.   The Ferry        facing page  12\nPLATE II.  The Goose                     40",
    "both, one after the other": (
        "CONTENTS\n\nCHAPTER I. The Stage\nCHAPTER II. The River\nCHAPTER III. The Goose\n\n\n\n"
        "ILLUSTRATIONS\n\nThe Ferry      12\n\nThe Goose      40"
    ),
}


def without(text: str) -> str:
    page = Page(text)
    return page.without(contents(page)).text


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("front", ["", f"{PREFACE}\n\n\n\n"])
def test_the_list_goes_and_the_first_chapter_keeps_its_heading(kind, front):
    book = f"A WET GEOGRAPHY\n\n\n\n{{}}{front}{CHAPTERS}"
    assert without(book.format(f"{LISTS[kind]}\n\n\n\n")) == book.format("")


@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_a_list_of_bare_titles_is_known_by_the_headings_that_come_back(gap):
    listed = "Contents:\n\n" + gap.join(("The Stage", "The River", "The Goose"))
    assert without(f"FABLES\n\n\n\n{listed}\n\n\n\n{TITLES}") == f"FABLES\n\n\n\n{TITLES}"


def test_a_title_page_between_list_and_chapter_stays():
    scene = "THE WET GEOGRAPHY\n\nScene: The River. Time: Wednesday"
    book = f"T\n\n\n\n{{}}{scene}\n\n\n\n{CHAPTERS}"
    assert without(book.format(f"{LISTS['labels apart']}\n\n\n\n")) == book.format("")


def test_an_epigraph_behind_the_list_stays():
    verse = "     The quality of ferries is not strained;\n     They leak upon the place beneath."
    book = f"T\n\n\n\n{{}}{verse}\n\n\n\n{CHAPTERS}"
    assert without(book.format(f"{LISTS['labels in one block']}\n\n\n\n")) == book.format("")


def test_a_first_chapter_of_short_speeches_stays():
    talk = (
        'CHAPTER I.\n\n"Goose!"\n\nNo answer.\n\n"Goose!"\n\nNo answer.\n\n"What is wrong with that goose, I wonder?"'
    )
    book = f"T\n\n\n\n{{}}{talk}\n\n{CHAPTERS}"
    assert without(book.format(f"{LISTS['labels apart']}\n\n\n\n")) == book.format("")


def test_each_part_of_a_compilation_loses_its_own_list():
    part = f"PART {{}}\n\n\n\n{LISTS['labels apart']}\n\n\n\n{CHAPTERS}"
    text = without(part.format(1) + "\n\n\n\n" + part.format(2))
    assert "CONTENTS" not in text.upper()
    assert text.count("CHAPTER I.") == 2


@pytest.mark.parametrize(
    "passage",
    [
        "Contents\n\nwere what the jug had, and nobody asked of what kind, since the evening was cold and the stage late.",
        "CONTENTS OF THE TRUNK\n\nOne hat.\n\nOne goose.\n\nNothing else was found in it, which surprised the driver.",
        "The contents\nof the letter were these.",
        "ILLUSTRATIONS\n\nof what I mean are not far to seek; take the goose, who never once in her life asked for a map.",
    ],
)
def test_text_under_a_word_that_could_head_a_list_stays(passage):
    book = f"{CHAPTERS}\n\n\n\n{passage}\n\n{CHAPTERS}"
    assert without(book) == book


def test_a_book_of_short_numbered_verses_is_not_its_own_list():
    verses = "\n\n".join(f"{n}.\n\nA goose, a rose,\nA thing that goes." for n in range(1, 30))
    book = f"VERSES\n\n\n\nCONTENTS\n\n{verses}"
    assert without(book) == book


@pytest.mark.parametrize(
    "line", ["CONTENTS", "Contents.", "TABLE OF CONTENTS", "_List of Illustrations_", "THE CONTENTS"]
)
def test_headings_of_lists_are_known(line):
    assert is_heading(line)


@pytest.mark.parametrize(
    "line", ["DISCONTENTS", "Contents may vary and so may geese in the month of May", "CHAPTER I", ""]
)
def test_other_headings_are_not(line):
    assert not is_heading(line)
