"""Books that a mirror has only as HTML, in the layouts of three decades. All markup is written here."""

from __future__ import annotations

import sys

import pytest

from twainbot.corpora.book_html import html_text, strip_gutenberg_html
from twainbot.corpora.works import works_from_unit
from twainbot.errors import UnreadableSource

FIRST = "The stage left Crow Bend before breakfast, and nobody aboard forgave it. There were nine of us inside, with a goose."
LAST = "We came in by moonlight, eight and the goose; and that is how I learned geography."
VERSE = "The river rose on Tuesday night,\n    And took the lower town,"
BODY = f"A WET GEOGRAPHY\n\nby Amos Quill\n\n\n\nCHAPTER I.\n\n{FIRST}\n\n{VERSE}\n\n“Is it deep?” I asked.\n\n{LAST}"

INNER = f"""
<h1>A WET GEOGRAPHY</h1><p>by Amos Quill</p>
<h2>CONTENTS</h2>
<table summary="Contents"><tr><td><a href="#c1">CHAPTER I.</a></td><td>1</td></tr>
<tr><td><a href="#c2">CHAPTER II.</a></td></tr><tr><td><a href="#c3">CHAPTER III.</a></td></tr></table>
<div class="transnote"><p>Old spelling was kept.</p></div>
<hr class="chap" />
<h2 id="c1"><a href="#toc">CHAPTER I.</a></h2>
<p><span class="pagenum"><a id="Page_12">[Pg 12]</a></span>The <i>stage</i> left
Crow Bend before breakfast, and nobody aboard forgave it. There were nine of us inside, with a goose.</p>
<div class="figcenter"><img src="g.png" alt="A goose" /><p class="caption">THE GOOSE</p></div>
<div class="poem"><div class="stanza">
<span class="i0">The river rose on Tuesday night,<br /></span>
<span class="i4">And took the lower town,<br /></span>
</div></div>
<p>&ldquo;Is it deep?&rdquo; I asked.</p>
<p>{LAST}</p>
"""
HEADER = (
    "The Project Gutenberg eBook of A Wet Geography\n\nTitle: A Wet Geography\n\nAuthor: Amos Quill\n\n"
    "Release date: July 1, 2021 [eBook #99001]\n\nLanguage: English\n\n"
)
START = "*** START OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY ***"
END = "*** END OF THE PROJECT GUTENBERG EBOOK A WET GEOGRAPHY ***"
LICENCE = "Updated editions will replace the previous one.\n\nSTART: FULL LICENSE\n\nTHE FULL PROJECT GUTENBERG LICENSE"


def old_page(inner: str = INNER) -> bytes:
    """As hand-made editions to about 2020 are: header and licence in two PRE blocks."""
    return (
        f'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">\n<html><head><title>A Wet Geography</title>'
        f"<style>p {{ margin: 1em }}</style></head><body>\n<pre>\n{HEADER}{START}\n\n\nProduced by Ada Bell\n</pre>\n{inner}"
        f"<pre>\n\nEnd of the Project Gutenberg EBook of A Wet Geography\n\n{END}\n\n{LICENCE}\n</pre></body></html>"
    ).encode()


def generated_page(inner: str = INNER) -> bytes:
    """As the site generates them since: header and licence in two sections."""
    fields = "".join(f"<p>{line}</p>" for line in HEADER.split("\n\n") if line)
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='UTF-8'><title>x</title></head><body>"
        f"<section class='pg-boilerplate pgheader' id='pg-header'>{fields}"
        f"<div id='pg-start-separator'><span>{START}</span></div></section>{inner}"
        "<section class='pg-boilerplate pgheader' id='pg-footer'><div id='pg-end-separator'>"
        f"<span>{END}</span></div><div>{LICENCE}</div></section></body></html>"
    ).encode()


PAGES = {"hand-made": old_page, "generated": generated_page}


@pytest.mark.parametrize("kind", PAGES)
def test_the_work_comes_out_of_either_layout_as_the_text_edition_prints_it(kind):
    assert strip_gutenberg_html(PAGES[kind]()).text == BODY


@pytest.mark.parametrize("kind", PAGES)
def test_title_author_number_and_rights_are_read(kind):
    work = strip_gutenberg_html(PAGES[kind]())
    assert (work.title, work.author, work.etext, work.language) == ("A Wet Geography", "Amos Quill", 99001, "en")
    assert work.rights == "public_domain_us"


def test_what_was_left_out_is_counted():
    warnings = strip_gutenberg_html(old_page()).warnings
    assert "from_html" in warnings
    # the table and its heading; one note, one number, and the figure with its caption inside
    assert {"cut_html_contents=2", "cut_html_transcriber_notes=1", "cut_html_page_numbers=1"} <= set(warnings)
    assert "cut_html_pictures=2" in warnings


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>one<br/>two<br/><br/>three</p><p>four</p>", "one\ntwo\n\nthree\n\nfour"),
        ("<div class='stanza'><div class='verse indent0'>a</div><div class='verse indent2'>b</div></div>", "a\n  b"),
        ("<p>a</p><hr/><p>b</p>", "a\n\n\n\nb"),
        ("<p>A <b>bold</b>\n   <i>and</i> long\nline</p>", "A bold and long line"),
        ("<p><img class='dropcap' alt='W' src='w.png'/>E came</p>", "WE came"),
        ("<pre>  a\n   b</pre>", "  a\n   b"),
        ("<p>text<!-- hidden --><script>x()</script></p>", "text"),
        ("<p>seen<a class='fnanchor' href='#f1'>[1]</a></p>", "seen[1]"),
        ("<p>x &amp; y &lt;z&gt;</p>", "x & y <z>"),
    ],
)
def test_markup_is_set_in_lines(markup, text):
    assert html_text(f"<html><body>{markup}</body></html>")[0].strip("\n") == text


def test_a_chapter_heading_that_links_back_to_the_contents_stays():
    markup = "<h2><a href='#toc1'>CHAPTER I</a></h2><p>a</p><h2><a href='#toc2'>CHAPTER II</a></h2><p>b</p>"
    inner = f"<div>{markup}</div>"
    assert "CHAPTER II" in html_text(f"<html><body>{inner}</body></html>")[0]


def test_contents_as_a_row_of_linked_paragraphs_go_with_their_heading():
    toc = "<h3>Contents</h3>" + "".join(f"<p class='toc'><a href='#c{n}'>CHAPTER {n}</a></p>" for n in range(1, 5))
    text, cuts = html_text(f"<html><body><h1>T</h1>{toc}<h2>CHAPTER 1</h2><p>a</p></body></html>")
    assert text.split() == ["T", "CHAPTER", "1", "a"]
    assert cuts["contents"] == 5  # four entries and their heading


def test_a_thousand_nested_elements_are_read():
    deep = "<div>" * 1000 + f"<p>{FIRST}</p>" + "</div>" * 1000
    assert FIRST in html_text(f"<html><body>{deep}</body></html>")[0]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"<!DOCTYPE html><html><body><h1>404 Not Found</h1><p>Project Gutenberg</p></body></html>", "no START"),
        (b"<html><body><a href='/ebooks/76'>The Project Gutenberg eBook of X</a></body></html>", "no START"),
        (old_page(""), "only a header or licence"),
        (b"Just text", "no HTML"),
        (b"", "empty"),
        (b"%PDF-1.4", "PDF"),
    ],
)
def test_a_page_without_a_book_is_refused_with_the_reason(raw, reason):
    with pytest.raises(UnreadableSource, match=reason):
        strip_gutenberg_html(raw)


def test_a_unit_in_html_becomes_a_work_and_an_error_page_does_not():
    (row,) = works_from_unit("gutenberg", "pg99001", generated_page()).to_dicts()
    assert row["text"] == BODY
    assert row["rights"] == "public_domain_us"
    with pytest.raises(UnreadableSource, match=r"pg99001.*no START"):
        works_from_unit("gutenberg", "pg99001", b"<html><body>503 Service Unavailable</body></html>")


def test_a_second_pass_over_the_text_changes_nothing():
    from twainbot.corpora.boilerplate import strip_gutenberg

    text = strip_gutenberg_html(old_page()).text
    assert strip_gutenberg(text.encode()).text == text


TABLE = "".join(f"<tr><td><a href='#c{n}'>The Wheel {n}</a></td></tr>" for n in range(4))
SYNOPSES = "".join(f"<p><a href='#c{n}'>Wheel {n}</a> What comes then.</p>" for n in range(4))


@pytest.mark.parametrize(
    "markup",
    [
        f"<div id='contents'><h2>THE CONTENTS OF THE SAFE</h2><p>{FIRST}</p><p><a href='#n'>note</a></p></div>",
        f"<div class='content'><p>{FIRST}</p><p><a href='#n'>note 1</a></p></div>",
        f"<p lang='la'>O tempora.</p><p class='trans'>{FIRST}</p>",
        f"<div class='ill'><p>{FIRST}</p></div>",
        f"<div class='fig'><p>{FIRST}</p></div>",
        f"<table><caption class='caption'>{FIRST}</caption><tr><td>Cairo</td><td>10</td></tr></table>",
        f"<p><a href='#c9'>{FIRST}</a></p>",
        f"<div class='figcenter'><img src='a.png' alt=''>{f'<p>{FIRST}</p>' * 30}</div>",
    ],
)
def test_a_name_that_a_block_bears_takes_no_prose_out_of_the_book(markup):
    text, _ = html_text(f"<html><body><p>{LAST}</p>{markup}<p>{LAST}</p>{f'<p>{LAST}</p>' * 70}</body></html>")
    assert FIRST in text


@pytest.mark.parametrize("wrapper", ["id='contents'", "class='toc'", "class='transnote'", "class='figure'"])
def test_a_wrapper_around_the_whole_book_is_no_list_whatever_it_is_called(wrapper):
    links = "".join(f"<p><a href='#c{n}'>See the chapter with the goose, {n}</a></p>" for n in range(9))
    text, _ = html_text(f"<html><body><div {wrapper}><img src='a.png' alt=''><p>{FIRST}</p>{links}</div></body></html>")
    assert FIRST in text


@pytest.mark.parametrize(
    "markup",
    [
        f"<table>{TABLE}</table>",
        f"<div class='toc'><p>Contents</p><table>{TABLE}</table></div>",
        f"<div id='toc'>{SYNOPSES}</div>",
        "".join(f"<p><a href='#c{n}'>The Wheel {n}</a></p>" for n in range(3)),
        "<div class='figcenter'><img src='a.png' alt='The Wheel'><p>The Wheel, seen from aft</p></div>",
        "<figure><img src='a.png' alt=''><figcaption>The Wheel, seen from aft</figcaption></figure>",
        "<p class='caption'>The Wheel, seen from aft</p>",
        "<div class='illus'><a href='images/p12.jpg'>The Wheel, seen from aft</a></div>",
    ],
)
def test_lists_and_pictures_still_go(markup):
    text, _ = html_text(f"<html><body><p>{LAST}</p>{markup}{f'<p>{LAST}</p>' * 9}</body></html>")
    assert "Wheel" not in text


def steps_of(depth: int) -> int:
    """Calls of Python functions while lists nested so deep are read."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    nested = "<div><a href='#a'>ab</a><span class='pagenum'>" * depth
    sys.setprofile(count)
    try:
        html_text(f"<html><body>{nested}{f'<p>{FIRST}</p>' * 5}</body></html>")
    finally:
        sys.setprofile(None)
    return counted


def test_twice_the_nesting_takes_twice_the_work():
    # where every level looks through all inside it, twice the levels are four times the work
    assert steps_of(400) < 2.5 * steps_of(200)
