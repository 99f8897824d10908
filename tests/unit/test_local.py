"""Documents from a drop folder: Markdown, text, HTML and JSON lines, cut by heading, by line or not at all."""

from __future__ import annotations

import pytest

from twainbot.corpora.local import parse_document
from twainbot.errors import BadUse, UnreadableSource

PAGE = "# Two Tales\n\n## The First\n\nIt rained.\n\n    A verse\n\n## The Second ##\n\nIt stopped.\n\n### A part\n\nIt began."


def passages(text: str, suffix: str = ".md", split: str = "") -> list[tuple[str, str]]:
    return [(row["title"], row["text"]) for row in parse_document(text.encode(), suffix, split)]


def test_markdown_is_cut_at_its_second_level_headings():
    assert passages(PAGE) == [
        ("The First", "It rained.\n\n    A verse"),
        ("The Second", "It stopped.\n\n### A part\n\nIt began."),
    ]


def test_split_whole_keeps_the_page_together():
    ((title, text),) = passages(PAGE, split="whole")
    assert title == "Two Tales"
    assert text.startswith("## The First")
    assert "It began." in text


def test_text_above_the_first_heading_is_a_passage_of_its_own():
    assert passages("# Book\n\nA preface.\n\n## One\n\nText.") == [("Book", "A preface."), ("One", "Text.")]


def test_markdown_without_headings_is_one_passage():
    assert passages("# Book\n\nOnly this.") == [("Book", "Only this.")]


def test_front_matter_is_no_text():
    assert passages("---\nauthor: x\n---\n# Book\n\nOnly this.") == [("Book", "Only this.")]


@pytest.mark.parametrize("bullet", ["-", "*", "+", "1.", "2)", "•"])
def test_list_items_are_passages_when_split_by_line(bullet):
    text = f"# Sayings\n\n{bullet} Mud keeps.\n{bullet} Rain pays\n  no rent.\n"
    assert passages(text, split="line") == [("", "Mud keeps."), ("", "Rain pays no rent.")]


def test_lines_are_passages_where_there_is_no_list():
    assert passages("Mud keeps.\n\nRain falls.", ".txt", "line") == [("", "Mud keeps."), ("", "Rain falls.")]


def test_plain_text_has_no_headings():
    assert passages("## Not a heading\r\nhere", ".txt") == [("", "## Not a heading\nhere")]


def test_html_gives_its_title_and_readable_text():
    page = (
        "<html><head><title>Mud &amp; Co</title><script>x()</script></head>"
        "<body><p>It rained.</p><p>Again.</p></body></html>"
    )
    assert passages(page, ".html") == [("Mud & Co", "It rained.\n\nAgain.")]


def test_json_lines_keep_further_columns_and_record_bad_lines():
    raw = b'{"title": "A", "text": "It rained.", "year": 1880}\n{"text": 5}\nnonsense\n'
    rows = parse_document(raw, ".jsonl")
    assert [(row["text"], row["reject_reason"]) for row in rows] == [
        ("It rained.", None),
        ("", "no_text_column"),
        ("", "malformed_json (line 3)"),
    ]
    assert rows[0]["extra"] == {"year": 1880}


def test_a_heading_with_nothing_under_it_is_recorded_as_empty():
    rows = parse_document(b"## One\n\n## Two\n\nText.", ".md")
    assert [row["reject_reason"] for row in rows] == ["empty", None]


def test_topics_are_attached_by_heading():
    rows = parse_document(PAGE.encode(), ".md", topics={"The Second": "weather"})
    assert [row["extra"] for row in rows] == [{}, {"topic": "weather"}]


def test_windows_1252_is_read():
    (row,) = parse_document("It’s mud.".encode("cp1252"), ".txt")
    assert row["text"] == "It’s mud."


@pytest.mark.parametrize("raw", [b"", b"# Only a title\n", b"PK\x03\x04 packed", b"\x00\x01\x02" * 50])
def test_documents_without_text_are_refused(raw):
    with pytest.raises(UnreadableSource):
        parse_document(raw, ".md")


@pytest.mark.parametrize(("suffix", "split"), [(".docx", ""), ("", ""), (".md", "page")])
def test_unknown_suffixes_and_splits_are_bad_use(suffix, split):
    with pytest.raises(BadUse):
        parse_document(b"text", suffix, split)


def test_very_many_titles_that_never_close_are_looked_for_once():
    # 30,000 openings, each followed to the end of the page, would be 3e9 steps
    (row,) = parse_document(b"<p>It rained.</p>" + b"<title>" * 30_000, ".html")
    assert (row["title"], row["text"]) == ("", "It rained.")
    assert (
        parse_document(b"<TITLE lang='en'>Mud &amp; Rain</TITLE ><p>It rained.</p>", ".html")[0]["title"]
        == "Mud & Rain"
    )
