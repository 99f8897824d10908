"""RSS and Atom to rows. The feeds are written here; the shared layouts are redacted ones."""

from __future__ import annotations

import pytest

from twainbot.corpora.feeds import html_to_text, parse_feed
from twainbot.errors import UnreadableSource

BODY = "The council met on Tuesday to decide when to meet, and by midnight had agreed to postpone Wednesday to Friday."


def rss(items: str, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return (
        f'{head}\n<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>The Mud Flat Messenger</title>{items}</channel></rss>'
    ).encode()


def item(
    title: str = "Council Meets", summary: str = "A long night.", body: str = f"<p>{BODY}</p><p>They adjourned.</p>"
) -> str:
    content = f"<content:encoded><![CDATA[{body}]]></content:encoded>" if body else ""
    return (
        f"<item><title>{title}</title><link>https://example.org/a</link><guid>a-1</guid><dc:creator>Our Man</dc:creator>"
        f"<pubDate>Thu, 04 Jun 2026 19:43:43 +0200</pubDate><category>Politics</category><category>Mud</category>"
        f"<description>{summary}</description>{content}</item>"
    )


def test_an_item_gives_headline_lede_and_body():
    (row,) = parse_feed(rss(item()))
    assert row["text"] == f"Council Meets\n\nA long night.\n\n{BODY}\n\nThey adjourned."
    assert (row["title"], row["lede"], row["id"]) == ("Council Meets", "A long night.", "a-1")
    assert (row["tags"], row["author"], row["publication"]) == (
        ["Politics", "Mud"],
        "Our Man",
        "The Mud Flat Messenger",
    )
    assert row["reject_reason"] is None


def test_the_date_is_in_utc():
    # 19:43:43 two hours east of Greenwich is 17:43:43 there
    assert parse_feed(rss(item()))[0]["published"] == "2026-06-04T17:43:43+00:00"


def test_a_summary_that_repeats_the_body_is_no_lede():
    (row,) = parse_feed(rss(item(summary=BODY[:60] + " […]")))
    assert row["lede"] == ""
    assert row["text"].count(BODY[:60]) == 1


def test_a_description_alone_is_the_body():
    (row,) = parse_feed(rss(item(summary=BODY, body="")))
    assert (row["lede"], row["body"]) == ("", BODY)


@pytest.mark.parametrize("body", ["", "<img src='a.jpg'/>", "<p>Video</p>"])
def test_an_item_without_a_body_is_rejected(body):
    rows = parse_feed(rss(item(summary="", body=body) + item("Second")))
    assert [row["reject_reason"] for row in rows] == ["no_body", None]


def test_markup_scripts_and_pictures_leave_no_trace():
    body = (
        f"<style>p{{}}</style><script>x()</script><p>{BODY[:50]}<br/>{BODY[50:]}</p>"
        "<figure><img/>A photo</figure><ul><li>One</li></ul>"
    )
    (row,) = parse_feed(rss(item(body=body)))
    assert row["body"] == f"{BODY[:50].strip()}\n{BODY[50:].strip()}\n\nOne"


def test_punctuation_that_was_encoded_twice_is_mended():
    twice = "It rained, the mayor’s hat says.".encode().decode("windows-1252")
    (row,) = parse_feed(rss(item(body=f"<p>{BODY}</p><p>{twice}</p>")))
    assert row["body"].endswith("the mayor’s hat says.")


def test_a_blank_line_before_the_declaration_is_forgiven():
    assert len(parse_feed(b"\n\n" + rss(item()))) == 1


def test_atom_is_read_as_rss_is():
    feed = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>Messenger</title><entry><title>Council Meets</title><id>urn:1</id>'
        f'<updated>2026-06-04T19:43:43Z</updated><content type="html">&lt;p&gt;{BODY}&lt;/p&gt;</content></entry></feed>'
    )
    (row,) = parse_feed(feed.encode())
    assert (row["title"], row["body"], row["published"]) == ("Council Meets", BODY, "2026-06-04T19:43:43+00:00")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "empty"),
        (rss(item())[:-30], "cut short"),
        (b"<!DOCTYPE html><html><body>503</body></html>", "HTML"),
        (rss(""), "no item"),
        (b"plain words", "no closing"),
        (b"\x1f\x8b\x08 packed", "gzip"),
        (b"<catalog><book/></catalog>", "no closing"),
    ],
)
def test_what_is_no_whole_feed_is_refused(raw, why):
    with pytest.raises(UnreadableSource, match=why):
        parse_feed(raw)


def test_entities_become_characters():
    assert html_to_text("salt &amp; mud &mdash; twice") == "salt & mud — twice"


@pytest.mark.shared
def test_the_layouts_of_a_real_paper_parse(shared_data):
    folder = shared_data / "satire" / "feeds"
    rows = parse_feed((folder / "theonion-rss-2017.redacted.xml").read_bytes())
    assert len(rows) >= 2
    assert all(row["title"] and row["link"] and row["published"] for row in rows)
    assert all(row["reject_reason"] == "no_body" for row in rows)  # every body in it is redacted
    (row,) = parse_feed((folder / "theonion-wordpress-2026.reconstructed.xml").read_bytes())
    assert row["tags"] == ["Politics", "Money", "Vol 62: Issue 22"]
