"""Article pages to articles. Every page is written here."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.articles import MAX_PAGE_BYTES, read_article, with_article
from twainbot.corpora.feeds import Page, parse_feed, read_unit
from twainbot.corpora.material import Part
from twainbot.corpora.pages import iso_time, licence_name
from twainbot.corpora.works import Sidecar, works_from_unit
from twainbot.errors import UnreadableSource

URL = "https://messenger.example/mud/council-meets"
ONE = (
    "The council met on Tuesday to decide when to meet, and by midnight had agreed to postpone Wednesday to Friday, which "
    "the clerk was told to write down as a victory for the river."
)
TWO = "They adjourned because the lamp oil ran out, and because nobody would move that somebody else should buy more of it."
DECK = "A long night ends where it began."
MENU = '<nav><a href="/">Home</a> <a href="/mud">Mud</a></nav>'


def page(
    body: str = f"<p>{ONE}</p><p>{TWO}</p>",
    head: str = "",
    data: object = None,
    html: str = '<html lang="en-GB">',
    title: str = "Council Meets",
) -> bytes:
    script = f'<script type="application/ld+json">{json.dumps(data)}</script>' if data is not None else ""
    return (
        f"<!DOCTYPE html>{html}<head><meta charset='utf-8'><title>{title} | The Messenger</title>{head}{script}</head>"
        f"<body>{MENU}<main><article><h1>{title}</h1>{body}</article></main>"
        "<aside><a href='/b'>Ferry Late</a></aside><footer>The Messenger, Mud Flat</footer></body></html>"
    ).encode()


def news(**more) -> dict:
    return {"@context": "https://schema.org", "@type": "NewsArticle", "headline": "Council Meets", **more}


def test_headline_and_paragraphs_come_without_menu_and_footer():
    article = read_article(page(), URL)
    assert (article.headline, article.paragraphs) == ("Council Meets", [ONE, TWO])
    assert (article.language, article.publication, article.reject_reason) == ("en", "messenger.example", None)


def test_a_page_says_who_when_where_and_about_what():
    data = news(
        author=[{"@type": "Person", "name": "Amos Quill"}, {"name": "Ida Reed"}],
        datePublished="2026-06-04T19:43:43+02:00",
        keywords="mud, council",
        articleSection="Politics",
        publisher={"@type": "Organization", "name": "The Messenger"},
    )
    body = f"<p>{ONE}</p><p>{TWO}</p><p><a rel='tag' href='/t/lamps'>Lamps</a> <a rel='tag' href='/t/mud'>MUD</a></p>"
    article = read_article(page(body, data={"@graph": [{"@type": "WebSite", "name": "x"}, data]}), URL)
    assert (article.author, article.published) == ("Amos Quill, Ida Reed", "2026-06-04T17:43:43+00:00")
    assert (article.tags, article.publication) == (("Politics", "mud", "council", "Lamps"), "The Messenger")


@pytest.mark.parametrize(
    ("head", "published"),
    [
        ('<meta property="article:published_time" content="2026-06-04T19:43:43Z">', "2026-06-04T19:43:43+00:00"),
        ('<meta name="date" content="2026-06-04">', "2026-06-04"),
        ('<meta name="dc.date" content="Thu, 04 Jun 2026 19:43:43 +0000">', "2026-06-04T19:43:43+00:00"),
        ('<meta name="date" content="next Tuesday">', ""),
        ('<meta property="og:image" content="/uploads/2018/05/02/a.png">', ""),
        ("", ""),
    ],
)
def test_a_date_is_read_and_never_guessed(head, published):
    assert read_article(page(head=head), URL).published == published


def test_a_day_in_the_address_is_the_last_resort():
    assert read_article(page(), "https://m.example/2026/06/04/council").published == "2026-06-04"
    assert read_article(page(), "https://m.example/2026/13/04/council").published == ""


@given(st.text(max_size=40))
def test_no_text_makes_the_date_reader_fail(text):
    assert iso_time(text) == "" or iso_time(iso_time(text)) == iso_time(text)


def test_a_deck_is_the_lede_and_leaves_the_body():
    article = read_article(page(f"<p class='article-deck'>{DECK}</p><p>{ONE}</p><p>{TWO}</p>"), URL)
    assert (article.lede, article.paragraphs) == (DECK, [ONE, TWO])


@pytest.mark.parametrize(
    ("description", "lede"), [(DECK, DECK), (f"{ONE[:90]} …", ""), (f"{ONE[:90]}...", ""), ("", "")]
)
def test_a_description_is_a_lede_only_where_the_body_does_not_begin_with_it(description, lede):
    assert read_article(page(head=f'<meta name="description" content="{description}">'), URL).lede == lede


def test_verse_keeps_its_lines_and_lists_their_items():
    body = (
        f"<p>{ONE}</p><p>The mud is deep,<br>the mayor is not.</p><ul><li>One lamp</li><li>No oil</li></ul><p>{TWO}</p>"
    )
    assert read_article(page(body), URL).paragraphs == [
        ONE,
        "The mud is deep,\nthe mayor is not.",
        "One lamp",
        "No oil",
        TWO,
    ]


@pytest.mark.parametrize(
    ("head", "data", "body", "evidence"),
    [
        ("", news(**{"@type": "SatiricalArticle"}), "", "json-ld:SatiricalArticle"),
        ("", news(**{"@type": ["NewsArticle", "https://schema.org/SatiricalArticle"]}), "", "json-ld:SatiricalArticle"),
        ("", news(genre="Satire"), "", "json-ld:genre"),
        ("", news(articleSection=["News", "satire"]), "", "json-ld:articleSection"),
        ('<meta property="article:section" content="Satire">', None, "", "meta:article:section"),
        ('<meta name="keywords" content="mud, satirical, council">', None, "", "meta:keywords"),
        ("", None, "<a rel='tag' href='/tag/satire/'>Fun</a>", "rel-tag"),
    ],
)
def test_a_page_that_calls_itself_satire_is_satire(head, data, body, evidence):
    article = read_article(page(f"<p>{ONE}</p><p>{TWO}</p>{body}", head, data), URL)
    assert article.is_satire
    assert article.satire_evidence == (evidence,)


def test_a_page_about_satire_is_not_satire_for_that():
    article = read_article(page(f"<p>{ONE} He called it satire.</p><p>{TWO}</p><a href='/satire'>Satire</a>"), URL)
    assert not article.is_satire


@pytest.mark.parametrize(
    ("head", "headers", "by"),
    [
        ('<meta name="robots" content="noai, noimageai">', "", ("meta:noai", "meta:noimageai")),
        ('<META NAME="Robots" CONTENT="NOINDEX,nofollow">', "", ("meta:noindex",)),
        ('<meta name="robots" content="none">', "", ("meta:none",)),
        ('<meta name="googlebot" content="noindex">', "", ("meta:noindex",)),
        ('<meta name="tdm-reservation" content="1">', "", ("meta:tdm-reservation",)),
        ("", "X-Robots-Tag: noai", ("header:noai",)),
        ("", "noindex, nofollow", ("header:noindex",)),
        ("", "x-robots-tag: otherbot: noai\nServer: none", ("header:noai",)),
        ("", "otherbot: noai", ("header:noai",)),
        ("", "TDM-Reservation: 1", ("header:tdm-reservation",)),
        ('<meta name="robots" content="index, follow, max-snippet:-1">', "X-Robots-Tag: all\nETag: noai", ()),
        ('<meta name="description" content="noai">', "", ()),
    ],
)
def test_a_reservation_is_found_wherever_it_stands(head, headers, by):
    article = read_article(page(head=head), URL, headers)
    assert article.reserved_by == by
    assert article.reserved == bool(by)


BY = "https://creativecommons.org/licenses/by/4.0/"
NC = "http://creativecommons.org/licenses/by-nc-nd/3.0/deed.en"


@pytest.mark.parametrize(
    ("head", "data", "body", "licence", "where"),
    [
        ("", news(license=BY), "", "CC BY 4.0", "json-ld"),
        ("", news(license={"@type": "CreativeWork", "url": NC}), "", "CC BY-NC-ND 3.0", "json-ld"),
        (f'<link rel="license" href="{BY}">', None, "", "CC BY 4.0", "head"),
        ('<meta name="dcterms.rights" content="All rights reserved">', None, "", "All rights reserved", "meta"),
        ("", None, f'<a rel="license" href="{NC}">some rights</a>', "CC BY-NC-ND 3.0", "link"),
        ("", None, f'<a href="{BY}">CC</a>', "CC BY 4.0", "link"),
        ("", None, f'<figure><img src="a.png"><figcaption><a rel="license" href="{BY}">p</a></figcaption></figure>', "", ""),
        (
            f'<link rel="license" href="{BY}"><link rel="license" href="{NC}">', None, "",
            "unclear: CC BY 4.0 / CC BY-NC-ND 3.0", "head",
        ),
        ("", None, "", "", ""),
    ],
)  # fmt: skip
def test_a_licence_is_named_with_its_place(head, data, body, licence, where):
    article = read_article(page(f"<p>{ONE}</p><p>{TWO}</p>{body}", head, data), URL)
    assert (article.licence, article.licence_found_in) == (licence, where)


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "Public domain"),
        ("https://creativecommons.org/licenses/by-sa/4.0/legalcode", "CC BY-SA 4.0"),
        ("https://messenger.example/terms", "https://messenger.example/terms"),
    ],
)
def test_creative_commons_addresses_have_names(claim, name):
    assert licence_name(claim) == name


def shell(noscript: str = "") -> bytes:
    return (
        f"<html><head><title>Council Meets</title></head><body><div id='root'></div>{noscript}"
        "<script src='/app.js'></script></body></html>"
    ).encode()


LINKS = "".join(
    f"<article><h2><a href='/{n}'>Headline number {n} of the day</a></h2><p>Short.</p></article>" for n in range(8)
)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (shell(), "script_built"),
        (shell("<noscript>You need to enable JavaScript to run this app.</noscript>"), "script_built"),
        (page("<p>Video</p>"), "no_body"),
        (page("<p>Sorry, we could not find it.</p>", title="404 Not Found"), "error_page"),
        (page("<p>Try later.</p>", title="Service Unavailable"), "error_page"),
        (page("<p>Checking your browser.</p>", title="Just a moment..."), "error_page"),
        (page("<p>You have no permission.</p>", title="Access Denied"), "error_page"),
        (page(f"<p>{ONE}</p><div class='wall'>Subscribe to continue reading this article.</div>"), "paywall"),
        (page(data=news(isAccessibleForFree=False)), "paywall"),
        (page(data=news(isAccessibleForFree="False")), "paywall"),
        (page(data=news(isAccessibleForFree=True)), None),
        (f"<html><head><title>News</title></head><body><main>{LINKS}</main></body></html>".encode(), "not_an_article"),
        (page(data={"@type": "CollectionPage", "name": "News"}), "not_an_article"),
        (page(title="500 Geese Elected"), None),
        (page(title="404 Ways to Cross a Levee"), None),
        (page(data=news(), title="Access Denied"), None),
        (page(f"<p>{ONE}</p>" * 1 + f"<p>{TWO}</p><script>{'x();' * 200}</script>"), None),
    ],
)
def test_a_page_without_a_usable_article_says_why(raw, reason):
    assert read_article(raw, URL).reject_reason == reason


def test_a_body_that_stands_only_in_the_pages_data_is_taken():
    raw = shell().replace(
        b"</head>",
        f'<script type="application/ld+json">{json.dumps(news(articleBody=f"{ONE}{chr(10)}{TWO}"))}</script></head>'.encode(),
    )
    article = read_article(raw, URL)
    assert (article.paragraphs, article.reject_reason) == ([ONE, TWO], None)


ACCENTS = f"{ONE} The café’s owner wept."


@pytest.mark.parametrize(
    ("declared", "real"),
    [
        ("utf-8", "utf-8"), ("iso-8859-1", "utf-8"), ("no-such-charset", "utf-8"), ("utf-8", "windows-1252"),
        ("iso-8859-1", "windows-1252"), ("windows-1250", "windows-1250"), ("unicode_escape", "windows-1252"),
        ("utf-16", "windows-1252"), ("hex", "windows-1252"), ("utf-8", "utf-16"),
    ],
)  # fmt: skip
def test_a_wrong_charset_declaration_does_no_harm(declared, real):
    text = page(f"<p>{ACCENTS}</p><p>{TWO}</p>").decode().replace("charset='utf-8'", f"charset='{declared}'")
    assert read_article(text.encode(real), URL).paragraphs == [ACCENTS, TWO]


def test_a_declared_charset_decides_what_bytes_alone_cannot():
    text = (
        page(f"<p>{ONE} Her name was Łucja Żak, of Łódź.</p><p>{TWO}</p>").decode().replace("'utf-8'", '"iso-8859-2"')
    )
    article = read_article(text.encode("iso-8859-2"), URL)
    assert article.paragraphs[0].endswith("Łucja Żak, of Łódź.")
    assert article.encoding == "iso8859-2"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "empty"), (b"%PDF-1.7", "PDF"), (b"plain words only", "no HTML tag"), (b'{"a": 1}', "no HTML tag"),
        (b"<html>" + b" " * MAX_PAGE_BYTES, "at most"), (b"\x00" * 64, "empty"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_page_are_refused(raw, why):
    with pytest.raises(UnreadableSource, match=why):
        read_article(raw, URL)


@pytest.mark.parametrize(
    "block",
    [
        "{oops",
        "[" * 100_000,
        "null",
        "[1, 2]",
        '{"@type": {"a": 1}}',
        '{"@type": "Article", "headline": ["", {"name": {}}]}',
        '"x"',
    ],
)
def test_broken_data_on_a_page_is_passed_over(block):
    raw = page().replace(b"</head>", f'<script type="application/ld+json">{block}</script></head>'.encode())
    assert read_article(raw, URL).paragraphs == [ONE, TWO]


def test_a_page_nested_beyond_reason_is_bounded():
    raw = b"<html><body>" + b"<div>" * 50_000 + ONE.encode() + b"</body></html>"
    assert read_article(raw, URL).reject_reason == "nested_too_deeply"


@settings(max_examples=examples(60), deadline=None)
@given(st.text(alphabet="<>/=\"' abdeiprs!-&;\n", max_size=200))
def test_no_tag_soup_makes_the_reader_fail(soup):
    article = read_article(f"<html><body>{soup}".encode(), URL)
    assert article.reject_reason in (None, "no_body", "paywall", "script_built", "error_page", "not_an_article")


FEED = (
    '<rss version="2.0"><channel><title>The Messenger</title><link>https://messenger.example/</link>'
    f"<item><title>Council Meets</title><link>{URL}</link><category>Mud</category><description>{ONE[:80]}</description></item>"
    f"<item><title>Ferry Late</title><link>https://messenger.example/ferry</link><description>{TWO}</description></item>"
    "</channel></rss>"
).encode()


def test_the_longer_body_wins_and_says_where_it_came_from():
    short, long = parse_feed(FEED)
    data = news(datePublished="2026-06-04", keywords=["mud", "lamps"])
    article = read_article(page(data=data), URL)
    row = with_article(short, article)
    assert (row["body"], row["body_from"]) == (f"{ONE}\n\n{TWO}", "page")
    assert row["text"] == f"Council Meets\n\n{ONE}\n\n{TWO}"
    assert (row["published"], row["tags"]) == ("2026-06-04", ["Mud", "lamps"])
    kept = with_article({**long, "body": long["body"] * 9}, article)
    assert (kept["body"], kept["body_from"]) == (long["body"] * 9, "feed")


def test_an_item_without_a_body_gets_one_from_its_page():
    row = with_article({**parse_feed(FEED)[0], "body": "", "reject_reason": "no_body"}, read_article(page(), URL))
    assert row["reject_reason"] is None


@pytest.mark.parametrize("raw", [shell(), page(data=news(isAccessibleForFree=False))])
def test_a_rejected_page_leaves_the_item_as_the_feed_gave_it(raw):
    row = parse_feed(FEED)[0]
    joined = with_article(row, read_article(raw, URL))
    assert joined["text"] == row["text"]
    assert joined["page_reject_reason"] in ("script_built", "paywall")


def unit(*pages: Page) -> tuple[Part, ...]:
    """A feed with the pages of its items, as the door hands them over."""
    return (Part(FEED), *(Part(page.raw, page.url, headers=page.headers, kind="page") for page in pages))


def test_items_are_completed_by_the_pages_of_their_links():
    pages = [Page(URL, page()), Page("https://messenger.example/ferry", shell())]
    rows = read_unit(FEED, "", {page.url: page for page in pages})
    assert [(row["body_from"], row.get("page_reject_reason")) for row in rows] == [
        ("page", None),
        ("feed", "script_built"),
    ]
    frame = works_from_unit("satire", "messenger", unit(*pages))
    assert frame["raw_sha256"].to_list() == [hashlib.sha256(raw).hexdigest() for raw in (page(), FEED)]
    assert works_from_unit("satire", "messenger", unit(*reversed(pages)))["text"].equals(frame["text"])


def test_an_item_that_two_states_of_its_feed_name_is_one_work():
    pages = unit(Page(URL, page()))
    frame = works_from_unit("satire", "messenger", (*pages, Part(FEED.replace(b"</rss>", b"\n</rss>"))))
    assert frame["reject_reason"].to_list() == [None, None]


def test_a_page_that_a_browser_built_stands_in_for_what_was_fetched():
    parts = (Part(FEED), Part(page(), URL, kind="rendered"), Part(shell(), URL, kind="page"))
    assert works_from_unit("satire", "messenger", parts)["raw_sha256"][0] == hashlib.sha256(page()).hexdigest()


def test_a_reserved_page_leaves_a_headline_and_restricted_rights():
    raw = unit(Page(URL, page(), "X-Robots-Tag: noai"))
    frame = works_from_unit("satire", "messenger", raw, Sidecar(license="CC0-1.0", rights="cc0"))
    assert frame["text"].to_list() == ["Council Meets", f"Ferry Late\n\n{TWO}"]
    assert frame["rights"].to_list() == ["restricted", "cc0"]
    assert ONE[:20] not in "".join(frame["extra"])


def test_a_page_that_cannot_be_read_is_named_on_its_item():
    assert read_unit(FEED, "", {URL: Page(URL, b"%PDF-1.7")})[0]["page_reject_reason"] == "unreadable_page"


def test_a_pages_own_licence_counts_but_a_link_in_its_text_does_not():
    own = unit(Page(URL, page(data=news(license=BY))))
    linked = unit(Page(URL, page(f"<p>{ONE}</p><p>{TWO}</p><p><a href='{BY}'>CC</a></p>")))
    assert works_from_unit("satire", "m", own)["rights"][0] == "open_license"
    frame = works_from_unit("satire", "m", linked)
    assert frame["rights"][0] == "unknown"
    assert json.loads(frame["extra"][0])["license_found_in"] == "link"


def test_a_non_commercial_licence_restricts():
    raw = unit(Page(URL, page(data=news(license=NC))))
    frame = works_from_unit("satire", "m", raw)
    assert frame["rights"].to_list() == ["restricted", "unknown"]
    assert frame["text"][0] == "Council Meets"


def test_a_pages_restricting_licence_outweighs_what_is_said_of_its_feed():
    raw = unit(Page(URL, page(data=news(license=NC))))
    frame = works_from_unit("satire", "m", raw, Sidecar(rights="cc0", license="CC0-1.0"))
    assert frame["rights"].to_list() == ["restricted", "cc0"]


CC_ZERO = Sidecar(rights="cc0", license="CC0-1.0")
LINKED = f'<p>{ONE}</p><p>{TWO}</p><p><a rel="license" href="{NC}">some rights</a></p>'
MODULE = "http://backend.userland.com/creativeCommonsRssModule"
CC_FEED = FEED.replace(b"<item>", f'<cc:license xmlns:cc="{MODULE}">{BY}</cc:license><item>'.encode(), 1)


def channel(copyright_line: str) -> bytes:
    return FEED.replace(b"<item>", f"<copyright>{copyright_line}</copyright><item>".encode(), 1)


@pytest.mark.parametrize(
    "article",
    [
        page(LINKED),  # where a link would free nothing, it restricts
        page(head='<meta name="copyright" content="2026 The Messenger, all rights reserved">'),
        page(data=news(license=BY, copyrightNotice="All rights reserved")),
        page(head=f'<link rel="license" href="{BY}"><meta name="dc.rights" content="non-commercial use">'),
        page().replace(b"<footer>The Messenger", b"<footer>(c) 2026. All rights reserved. The Messenger"),
    ],
)
@pytest.mark.parametrize("feed", [FEED, CC_FEED])
def test_a_restricting_word_counts_wherever_the_page_says_it(article, feed):
    frame = works_from_unit("satire", "m", (Part(feed), Part(article, URL, kind="page")), CC_ZERO)
    assert frame["rights"].to_list() == ["restricted", "cc0"]
    assert frame["text"][0] == "Council Meets"
    assert ONE[:20] not in frame["extra"][0]


def test_a_feed_that_reserves_all_rights_gives_headlines_whatever_its_profile_or_its_pages_declare():
    raw = (
        Part(channel("(c) 2026 The Messenger. All rights reserved.")),
        Part(page(data=news(license=BY)), URL, kind="page"),
    )
    frame = works_from_unit("satire", "m", raw, CC_ZERO)
    assert frame["rights"].to_list() == ["restricted", "restricted"]
    assert frame["text"].to_list() == ["Council Meets", "Ferry Late"]


def test_a_bare_notice_in_a_feed_yields_to_its_owners_declaration_and_alone_restricts():
    raw = channel("Copyright 2026 The Messenger")
    assert works_from_unit("satire", "m", raw, CC_ZERO)["rights"].to_list() == ["cc0", "cc0"]
    assert works_from_unit("satire", "m", raw)["rights"].to_list() == ["restricted", "restricted"]
    assert works_from_unit("satire", "m", raw)["license"][0] == "Copyright 2026 The Messenger"


def test_an_items_own_copyright_line_restricts_that_item_alone():
    notice = b'<rights xmlns="http://purl.org/dc/elements/1.1/">No commercial use; all rights reserved</rights></item>'
    frame = works_from_unit("satire", "m", FEED.replace(b"</item>", notice, 1), CC_ZERO)
    assert frame["rights"].to_list() == ["restricted", "cc0"]


@pytest.mark.parametrize("headers", ["X-Robots-Tag: noai", "TDM-Reservation: 1"])
def test_a_feed_that_reserves_itself_gives_headlines_of_restricted_rights(headers):
    frame = works_from_unit("satire", "m", (Part(FEED, headers=headers), Part(page(), URL, kind="page")), CC_ZERO)
    assert frame["rights"].to_list() == ["restricted", "restricted"]
    assert frame["text"].to_list() == ["Council Meets", "Ferry Late"]
    assert ONE[:20] not in "".join(frame["extra"])
    assert works_from_unit("satire", "m", (Part(FEED, headers="X-Robots-Tag: all"),), CC_ZERO)["rights"][0] == "cc0"


BLANKS = " " * 300_000  # a pattern that tries every start anew takes 5e10 steps over them, which is minutes


def test_very_many_blanks_before_the_end_of_a_script_are_read_once():
    raw = page().replace(b"</head>", f'<script type="application/ld+json">{{"a": 1}}{BLANKS}x</script></head>'.encode())
    assert read_article(raw, URL).headline == "Council Meets"
    hidden = f"//<![CDATA[\n{json.dumps(news(headline='Hidden'))}\n//]]>"
    raw = page().replace(b"</head>", f'<script type="application/ld+json">{hidden}</script></head>'.encode())
    assert read_article(raw, URL).headline == "Hidden"


def test_very_many_blanks_in_the_data_of_a_page_are_read_once():
    article = read_article(page("", data=news(articleBody=f"{ONE}\n{BLANKS}\n{TWO}")), URL)
    assert article.body == f"{ONE}\n\n{TWO}"


@pytest.mark.parametrize(("depth", "reason"), [(20, None), (300, None), (2100, "nested_too_deeply")])
def test_a_page_nested_deeper_than_its_parser_reads_is_whole_or_says_so(depth, reason):
    article = read_article(page(f"{'<div>' * depth}<p>{ONE}</p><p>{TWO}</p>{'</div>' * depth}"), URL)
    assert article.reject_reason == reason
    assert article.body == ("" if reason else f"{ONE}\n\n{TWO}")
