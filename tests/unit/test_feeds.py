"""RSS and Atom to rows. The feeds are written here; the shared layouts are redacted ones."""

from __future__ import annotations

import contextlib
import html
import io
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.feeds import MAX_FEED_BYTES, headline_only, html_to_text, parse_feed
from twainbot.corpora.works import Sidecar, works_from_unit
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


def test_a_sign_that_was_encoded_twice_is_mended_in_a_headline():
    (row,) = parse_feed(rss(item("Forty £ for a Hat".encode().decode("windows-1252"))))
    assert row["title"] == "Forty £ for a Hat"


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


def test_an_old_feed_without_namespaces_dates_or_guids_is_read():
    # RSS 0.91 with the DOCTYPE that Netscape asked for, and an entity that only HTML declares
    feed = (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" '
        '"http://my.netscape.com/publish/formats/rss-0.91.dtd">\n<rss version="0.91"><channel><title>Mud&eacute;</title>'
        f"<link>https://example.org/mud/</link><item><title>Caf&eacute;&nbsp;Floods</title><link>flood.html</link>"
        f"<description>{BODY} The owner&rsquo;s hat is lost.</description></item></channel></rss>"
    )
    (row,) = parse_feed(feed.encode("iso-8859-1"))
    assert (row["title"], row["link"], row["published"]) == ("Café Floods", "https://example.org/mud/flood.html", "")
    assert row["body"].endswith("The owner’s hat is lost.")
    assert row["id"] == row["link"]


def test_rss_1_0_is_read_as_rss_2_0_is():
    feed = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://example.org/"><title>Messenger</title>'
        "<link>https://example.org/</link></channel><item rdf:about='https://example.org/a'><title>Council Meets</title>"
        f"<link>https://example.org/a</link><description>{BODY}</description><dc:date>2026-06-04T19:43:43Z</dc:date></item></rdf:RDF>"
    )
    (row,) = parse_feed(feed.encode())
    assert (row["title"], row["body"], row["published"]) == ("Council Meets", BODY, "2026-06-04T19:43:43+00:00")


def json_feed(*items, **more) -> bytes:
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Messenger",
        "home_page_url": "https://example.org/",
    }
    return json.dumps({**feed, "items": list(items), **more}).encode()


def test_json_feed_is_read_as_rss_is():
    first = {
        "id": "1", "url": "/a", "title": "Council Meets", "content_html": f"<p>{BODY}</p>", "summary": "A long night.",
        "date_published": "2026-06-04T19:43:43+02:00", "authors": [{"name": "Our Man"}], "tags": ["Mud"],
    }  # fmt: skip
    second = {
        "id": 2,
        "external_url": "https://example.org/b",
        "content_text": BODY + " Again.",
        "author": {"name": "A"},
    }
    rows = parse_feed(json_feed(first, second, "no object", language="en-GB"))
    assert rows[0]["text"] == f"Council Meets\n\nA long night.\n\n{BODY}"
    assert [rows[0][name] for name in ("link", "published", "author", "tags", "language")] == [
        "https://example.org/a", "2026-06-04T17:43:43+00:00", "Our Man", ["Mud"], "en",
    ]  # fmt: skip
    assert [(row["id"], row["author"], row["reject_reason"]) for row in rows[1:]] == [
        ("2", "A", None),
        ("3", "", "not_an_object"),
    ]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (json_feed({"id": "1"})[:-4], "cut short"),
        (b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', "no item"),
        (b'{"items": [1]}', "no JSON Feed"),
        (b'{"a":' * 50_000, "no whole JSON"),
    ],
)
def test_json_that_is_no_whole_feed_is_refused(raw, why):
    with pytest.raises(UnreadableSource, match=why):
        parse_feed(raw)


def test_markup_that_was_escaped_twice_is_read_as_markup():
    twice = html.escape(html.escape(f"<p>{BODY}</p><p>Salt &amp; mud</p>"))
    (row,) = parse_feed(rss(item(summary=twice, body="")))
    assert row["body"] == f"{BODY}\n\nSalt & mud"


@pytest.mark.parametrize(
    ("link", "base", "absolute"),
    [
        ("/a", "<link>https://example.org/x/</link>", "https://example.org/a"),
        ("a", "<link>https://example.org/x/</link>", "https://example.org/x/a"),
        ("a", "", "https://feeds.example/dir/a"),
        ("a", "<link>/news/</link>", "https://feeds.example/news/a"),
        ("javascript:alert(1)", "", ""),
        ("http://[broken", "", ""),
        ("", "<link>https://example.org/x/</link>", ""),
    ],
)
def test_a_relative_link_is_resolved_against_the_feeds_own(link, base, absolute):
    raw = rss(base + f"<item><title>T</title><link>{link}</link><description>{BODY}</description></item>")
    (row,) = parse_feed(raw, "https://feeds.example/dir/feed")
    assert row["link"] == absolute


def test_an_item_with_neither_guid_nor_link_keeps_its_id_when_the_feed_moves_on():
    bare = f"<item><title>Rain</title><description>{BODY}</description></item>"
    (alone,) = parse_feed(rss(bare))
    later = parse_feed(rss(item() + bare))[1]
    assert alone["id"] == later["id"]
    assert alone["id"].startswith("sha256:")


def test_a_guid_that_comes_twice_is_a_duplicate_or_another_item():
    rows = parse_feed(rss(item() + item() + item("Other News")))
    assert [(row["id"], row["reject_reason"]) for row in rows] == [
        ("a-1", None),
        ("a-1#2", "duplicate_item"),
        ("a-1#3", None),
    ]


def test_a_page_in_a_feeds_place_is_refused_naming_the_feeds_that_it_knows():
    page = (
        b'<!DOCTYPE html><html><head><link rel="alternate" type="application/rss+xml" href="/feed/">'
        b'<link rel="stylesheet" type="text/css" href="/a.css"></head><body></body></html>'
    )
    with pytest.raises(UnreadableSource, match=r"HTML page.*https://example\.org/feed/"):
        parse_feed(page, "https://example.org/news")
    with pytest.raises(UnreadableSource, match="names no feed"):
        parse_feed(b"<html><body>503</body></html>")


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "haha">'
    + "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in pairwise("abcdefghij"))
    + "]>"
)
FILE = '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("head", [BOMB, FILE, FILE.replace("!ENTITY", "!entity"), f"\n<!-- a -->{FILE}"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_feed_that_declares_entities_is_refused_before_any_parser_sees_it(head, encoding):
    raw = rss(item("&j;&x;"), head=head).decode().encode(encoding)
    with pytest.raises(UnreadableSource, match="entities of its own"):
        parse_feed(raw)


def test_a_doctype_that_only_points_elsewhere_is_dropped():
    latin = '<!DOCTYPE rss [<!ENTITY % lat1 PUBLIC "-//W3C//ENTITIES Latin 1//EN" "http://example.org/x.ent"> %lat1;]>'
    assert len(parse_feed(rss(item(), head=latin))) == 1


def test_bytes_that_are_the_name_of_a_file_are_no_feed(tmp_path, monkeypatch):
    (tmp_path / "feed>").write_bytes(rss(item()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableSource):
        parse_feed(b"feed>")


def test_many_comments_behind_the_closing_tag_cost_no_time():
    assert len(parse_feed(rss(item()) + b"\n<!-- cached --> <!-- 12 ms -->\n")) == 1
    with pytest.raises(UnreadableSource, match="cut short"):
        parse_feed(rss(item()) + b"<!-- x -->" * 50_000 + b"y")


@pytest.mark.parametrize("raw", [b"<>&#x110000;</feed>", b"<?</feed>"], ids=["no-such-character", "no-version"])
def test_what_the_feed_library_itself_trips_over_is_refused(raw):
    with pytest.raises(UnreadableSource, match=r"Fetch it again|Expected RSS"):
        parse_feed(raw)


def test_a_feed_larger_than_a_year_of_papers_is_refused():
    with pytest.raises(UnreadableSource, match="at most"):
        parse_feed(rss(item()) + b" " * MAX_FEED_BYTES)


def test_a_feed_in_two_bytes_a_letter_or_another_charset_is_read():
    (row,) = parse_feed(rss(item("Łódź Floods")).decode().encode("utf-16"))
    assert row["title"] == "Łódź Floods"
    raw = rss(item("Łódź Floods"), head='<?xml version="1.0" encoding="ISO-8859-2"?>').decode().encode("iso-8859-2")
    assert parse_feed(raw)[0]["title"] == "Łódź Floods"


def test_a_licence_and_a_copyright_line_of_the_feed_are_kept():
    cc = '<cc:license xmlns:cc="http://backend.userland.com/creativeCommonsRssModule">https://creativecommons.org/licenses/by-sa/4.0/</cc:license>'
    (row,) = parse_feed(rss(f"<copyright>(c) The Messenger</copyright>{cc}{item()}"))
    assert (row["license"], row["license_found_in"], row["copyright"]) == ("CC BY-SA 4.0", "feed", "(c) The Messenger")
    assert works_from_unit("satire", "m", rss(cc + item()))["rights"][0] == "open_license"


def test_headlines_alone_keep_nothing_of_the_text():
    rows = headline_only(parse_feed(rss(item() + item("Picture", "", "") + item("", "", f"<p>{BODY}</p>"))))
    assert [row["text"] for row in rows] == ["Council Meets", "Picture", ""]
    assert [row["reject_reason"] for row in rows] == [None, None, "no_title"]
    assert all(row["headline_only"] for row in rows)
    assert rows[0]["tags"] == ["Politics", "Mud"]
    assert BODY[:20] not in json.dumps(rows)


@pytest.mark.parametrize(
    "sidecar", [Sidecar(rights="restricted"), Sidecar(license="All rights reserved"), Sidecar(license="CC BY-NC 4.0")]
)
def test_a_feed_that_is_not_ours_to_train_on_gives_headlines(sidecar):
    frame = works_from_unit("satire", "m", rss(item()), sidecar)
    assert (frame["text"][0], frame["rights"][0], frame["reject_reason"][0]) == ("Council Meets", "restricted", None)
    assert json.loads(frame["extra"][0])["headline_only"] is True
    assert BODY[:20] not in frame["extra"][0]


@settings(max_examples=examples(60), deadline=None)
@given(st.text(max_size=200))
def test_a_headline_of_any_text_comes_back_without_markup(title):
    raw = json_feed({"id": "1", "title": title, "content_text": BODY})
    (row,) = parse_feed(raw)
    assert "\n" not in row["title"]
    assert row["text"].endswith(BODY)


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_between_a_feeds_tags_make_the_reader_fail(junk):
    raw = rss(item()).replace(b"</channel>", junk + b"</channel>")
    with contextlib.suppress(UnreadableSource):
        assert parse_feed(raw)


@pytest.mark.parametrize(
    "when",
    [
        "9999-12-31T23:59:59-12:00",  # twelve hours later it is the year 10000 in Greenwich
        "0001-01-01T00:00:00+12:00",
        "Thu, 01 Jan 99999 00:00:00 GMT",
        "Mon, 01 Jan 0000 00:00:00 GMT",
    ],
)
def test_a_date_outside_the_years_of_a_calendar_is_no_date(when):
    (row,) = parse_feed(rss(item()).replace(b"Thu, 04 Jun 2026 19:43:43 +0200", when.encode()))
    assert row["published"] == ""


def test_half_a_surrogate_in_a_json_feed_becomes_what_a_table_can_store():
    raw = json_feed({"id": "\ud83d", "title": "Ducks \ud83d", "content_text": f"{BODY} \udc00", "tags": ["\ud83d"]})
    assert b"\\ud83d" in raw
    frame = works_from_unit("satire", "m", raw)
    assert frame["text"][0] == f"Ducks ?\n\n{BODY} ?"
    frame.write_ndjson(io.BytesIO())


LAUGHS = '<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;">'


@pytest.mark.parametrize(
    "prolog",
    [
        f"<!DOCTYPE rss [{LAUGHS}]>",
        f"<!-- <rss --><!DOCTYPE rss [{LAUGHS}]>",
        f"<?x <rss ?><!DOCTYPE rss [{LAUGHS}]>",
        f'<!DOCTYPE rss [<!ATTLIST rss x CDATA "<![CDATA[<rss>">{LAUGHS}]>',
        f"<!DOCTYPE rss [<!-- ]> <rss> -->{LAUGHS}]>",
        '<!-- <rss --><!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
    ],
)
def test_entities_are_refused_behind_whatever_stands_above_them(prolog):
    with pytest.raises(UnreadableSource, match="XML entities"):
        parse_feed(rss(item("&b;"), head=prolog))


def test_words_about_entities_in_a_story_are_a_story():
    body = f"<p>{BODY}</p><p>She typed &lt;!ENTITY a 'b'&gt; and waited.</p><pre><!ENTITY a 'b'></pre>"
    assert (
        "She typed <!ENTITY a 'b'>" in parse_feed(rss(item(body=body), head="<!-- ours --><!DOCTYPE rss>"))[0]["text"]
    )


@pytest.mark.parametrize(
    "behind", ["<script>count(1)</script>", "<!-- cached -->", "\n<script src='a.js'></script>\n<!-- x -->\n"]
)
def test_what_a_host_sets_behind_the_closing_tag_does_not_cut_the_feed_short(behind):
    assert parse_feed(rss(item()) + behind.encode()) == parse_feed(rss(item()))


def test_a_feed_whose_elements_carry_a_prefix_is_read():
    raw = (
        '<a:feed xmlns:a="http://www.w3.org/2005/Atom"><a:title>P</a:title><a:entry><a:id>t:1</a:id>'
        f"<a:title>Mud</a:title><a:content>{BODY}</a:content></a:entry></a:feed>"
    )
    assert parse_feed(raw.encode())[0]["text"] == f"Mud\n\n{BODY}"
    with pytest.raises(UnreadableSource, match="cut short"):
        parse_feed(raw.removesuffix("</a:feed>").encode())


@pytest.mark.parametrize("depth", [10, 300, 3000])  # libxml2 reads 256, or 2048 where it is told to
def test_text_behind_deep_nesting_is_not_lost(depth):
    markup = f"<p>First.</p>{'<div>' * depth}Mid<b>dle</b>.{'</div>' * depth}<script>no</script><p>Last.</p>"
    assert html_to_text(markup) == "First.\n\nMiddle.\n\nLast."
