"""An article page's HTML to headline, lede, body and what the page says of itself: date, tags, satire, licence, reservations.

How a page is fetched is the client's business; whether its text may be used, rights.py's. Facts of a page stand in pages.py.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twainbot.corpora import pages
from twainbot.corpora.normalize import fold, tidy
from twainbot.errors import UnreadableSource

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MIN_BODY_LETTERS = 80  # as in a feed: below that a page is a headline with a picture
MAX_PAGE_BYTES = 8 * 2**20  # 40 times a long article with its scripts; lxml takes about ten times that in memory
TEASER_LETTERS = 1500  # a page that asks for a subscription and shows less than this shows a teaser
ERROR_LETTERS = 600  # an error page explains itself in less
SCRIPT_CHARACTERS = 500  # inline script that can build a page; a counter of visits takes less
INDEX_LINK_SHARE = 0.5  # of a page's visible letters; articles with menus and related links measure 0.05 to 0.4
INDEX_TEASERS = 4  # <article> elements beside each other
MAX_BLOCKS = 2000  # ten times a long article's with its comments: they take trafilatura's second look a second
MAX_DEPTHS = (
    500_000  # 25,000 elements, twenty deep: to guess the names of such a page takes two seconds, if it is made for that
)
MAX_SOUGHT = 100_000_000  # characters: a tenth of a second
_BLOCKS = (
    "p",
    "div",
    "li",
    "td",
    "th",
    "dd",
    "dt",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "pre",
    "center",
    "br",
)

_WHO = ("author", "creator", "byl")
_LONG_NAME = re.compile(
    rf"\"(?:name|author|givenName|additionalName|familyName)\"\s*+:\s*+\[?\s*+\"[^\"]{{{pages.MAX_NAME}}}"
)
# Whole headings, or a status number with its own words: "500 Geese Elected" is a headline.
_ERROR = re.compile(
    r"^\W*(?:http )?(?:error\W*)?(?:40[0134]|410|429|50[0234])\W*(?:$|error|bad |unauthori|forbidden|not found|gone\b|too many"
    r"|internal|service|gateway|page|oops)|^(?:oops\W+|sorry\W+)?(?:the |that |this )?page (?:(?:was |could )?not (?:be )?found"
    r"|(?:does ?n.t|does not) exist)|^access denied\W*$|^forbidden\W*$"
    r"|^(?:service|site|temporarily) (?:temporarily )?unavailable"
    r"|^bad gateway|^gateway time-?out|^internal server error|^just a moment\W*$|^attention required\b|^too many requests"
    r"|^are you (?:a )?(?:human|robot)\b|^verify(?:ing)? (?:that )?you are human"
    r"|^(?:site |we are )?(?:down for|under) maintenance",
    re.IGNORECASE,
)
_SUBSCRIBE = re.compile(
    r"subscribe (?:now )?to (?:continue|read|keep|unlock)|subscribers[ -]only|for subscribers|already a subscriber"
    r"|(?:log|sign) in to (?:continue|read)|to continue reading|unlock this (?:article|story)|free articles? (?:left|this)",
    re.IGNORECASE,
)
_NEEDS_SCRIPT = re.compile(
    r"enable java ?script|javascript (?:is )?(?:required|disabled)|requires java ?script", re.IGNORECASE
)
_FURNITURE = re.compile(
    r"^(?:advertisement|sponsored|share(?: this)?(?: (?:article|story))?|related(?: (?:articles?|stories))?:?|read more:?.*"
    r"|continue reading.*|most (?:read|popular)|comments?|subscribe|sign up .{0,80}newsletter.*|follow us .*|tags?:.*)$",
    re.IGNORECASE,
)  # fmt: skip
_INDEX_TYPES = ("CollectionPage", "ItemList", "SearchResultsPage", "WebSite", "ProfilePage")


@dataclass(frozen=True)
class Article:
    """A page as it reads itself. `body`: paragraphs apart by a blank line. `reserved`: its owner reserves it from machines.

    published: ISO 8601 or "". is_satire holds the evidence ("json-ld:SatiricalArticle"), empty where the page gives none;
    reserved_by likewise. licence_found_in: "json-ld", "head", "meta", "link", or "" without a licence. claims: every licence
    and copyright line of the page, wherever it stands.
    reject_reason: "no_body", "paywall", "script_built", "error_page", "not_an_article", "nested_too_deeply" or None.
    """

    url: str
    headline: str = ""
    lede: str = ""
    body: str = ""
    author: str = ""
    published: str = ""
    tags: tuple[str, ...] = ()
    publication: str = ""
    language: str = ""
    satire_evidence: tuple[str, ...] = ()
    reserved_by: tuple[str, ...] = ()
    licence: str = ""
    licence_found_in: str = ""
    claims: tuple[str, ...] = ()
    encoding: str = ""
    reject_reason: str | None = None

    @property
    def is_satire(self) -> bool:
        """Whether the page itself says that it is satire. False is silence, not denial."""
        return bool(self.satire_evidence)

    @property
    def reserved(self) -> bool:
        """Whether the page or its header asks machines to leave it out (noai, noimageai, noindex, none, TDM reservation)."""
        return bool(self.reserved_by)

    @property
    def paragraphs(self) -> list[str]:
        """The body's paragraphs, in order."""
        return self.body.split("\n\n") if self.body else []


def read_article(raw: bytes, url: str, headers: str = "") -> Article:
    """The article on an HTML page of any charset.

    headers: the answer's header lines that reserve rights ("X-Robots-Tag: noai"), or such a header's bare value. Raises
    UnreadableSource for bytes that are no HTML page; a page without a usable article is returned with a reject_reason.
    """
    text, encoding = pages.markup_text(raw, "The page", MAX_PAGE_BYTES)
    tree, is_deep, is_cut = _tree(text, url)
    nodes = pages.linked_data(tree)
    node = pages.article_node(nodes)
    deep = tree if is_deep else None
    found = None if is_cut else _extracted(text, url, deep, _blocks(tree) <= MAX_BLOCKS)
    headings = [pages.words_of(element) for element in tree.iter("h1")]
    title, author = _title(tree, node, headings), pages.author(tree, node)
    if not (title and author) and found is not None and not _takes_long(text, tree):
        guess = _guessed(text, deep)
        title, author = title or guess[0], author or guess[1]
    headline = _without_site(title or pages.words_of(tree.find(".//title")), pages.publication(tree, node), headings)
    licence, where = pages.licence(tree, node)
    body = _body(found, node, headline)
    lede, body = _lede(tree, node, body)
    return Article(
        url=url,
        headline=headline,
        lede=lede,
        body=body,
        author=author,
        published=pages.published(tree, node) or pages.day_in_address(url),
        tags=pages.tags(tree, node),
        publication=pages.publication(tree, node) or urlsplit(url).netloc,
        language=pages.language(tree, node),
        satire_evidence=pages.satire_evidence(tree, nodes),
        reserved_by=pages.reservations(tree, headers),
        licence=licence,
        licence_found_in=where,
        claims=pages.rights_claims(tree, node),
        encoding=encoding,
        reject_reason="nested_too_deeply" if is_cut else _reject_reason(tree, nodes, headline, body),
    )


def with_article(row: dict[str, Any], article: Article) -> dict[str, Any]:
    """A feed row completed by its page: the longer body wins (`body_from` says "feed" or "page"), dates and tags join.

    A rejected page leaves the row's text and gives `page_reject_reason`; a reserved one gives `reserved_by` and no text.
    """
    known = {
        "author": row["author"] or article.author,
        "published": row["published"] or article.published,
        "tags": pages.once([*row["tags"], *article.tags]),
        "language": row.get("language") or article.language,
        "satire_evidence": pages.once([*row.get("satire_evidence", []), *article.satire_evidence]),
        "reserved_by": pages.once([*row.get("reserved_by", []), *article.reserved_by]),
        "claims": pages.once([*row.get("claims", []), *article.claims]),
        "page_reject_reason": article.reject_reason,
        "body_from": "feed",
    }
    if not row.get("license"):
        known |= {"license": article.licence, "license_found_in": article.licence_found_in}
    row = {**row, **known}
    if article.reject_reason or article.reserved or len(article.body) <= len(row["body"]):
        return row
    return with_body(
        {**row, "title": row["title"] or article.headline, "body_from": "page"},
        row["lede"] or article.lede,
        article.body,
    )


def with_body(row: dict[str, Any], lede: str, body: str) -> dict[str, Any]:
    """The row with another lede and body: its text, and whether it has a body at all, follow."""
    lede = "" if repeats(lede, body) or fold(lede) == fold(row["title"]) else lede
    reason = row["reject_reason"]
    if reason in (None, "no_body"):
        reason = None if sum(map(str.isalpha, body)) >= MIN_BODY_LETTERS else "no_body"
    text = tidy("\n\n".join(part for part in (row["title"], lede, body) if part))
    return {**row, "lede": lede, "body": body, "text": text, "reject_reason": reason}


def repeats(lede: str, body: str) -> bool:
    """Whether a lede only says what the body begins with, cut short or not."""
    return fold(body).startswith(fold(lede).rstrip(" .…[]")[:200])


def _tree(text: str, url: str) -> tuple[HtmlElement, bool, bool]:
    """The page's elements, whether they nest deeper than 256, and whether even so its end was lost."""
    from lxml import etree, html

    raw = text.encode("utf-8", "replace")
    try:
        parser = html.HTMLParser(encoding="utf-8", remove_pis=True)
        tree: HtmlElement = html.document_fromstring(raw, parser=parser)
        is_deep = pages.is_cut(parser)
        if is_deep:
            parser = html.HTMLParser(encoding="utf-8", remove_pis=True, huge_tree=True)
            tree = html.document_fromstring(raw, parser=parser)
    except etree.ParserError as error:
        raise UnreadableSource(f"The page {url} holds no HTML element ({error}). Fetch it again.") from error
    return tree, is_deep, is_deep and pages.is_cut(parser)


def _long_author(tree: HtmlElement) -> bool:
    """Whether an element of the head names an author in more than pages.MAX_NAME characters."""
    return any(
        len(meta.get("content", "")) > pages.MAX_NAME
        and any(word in f"{meta.get('name')} {meta.get('property')} {meta.get('itemprop')}".lower() for word in _WHO)
        for meta in tree.iter("meta")
    )


def _opened(tree: HtmlElement) -> bool:
    """Whether data of the page opens so many tags that taking them out, each sought to the data's end, takes seconds."""
    told = [
        *(script.text or "" for script in tree.iter("script")),
        *(meta.get("content", "") for meta in tree.iter("meta")),
    ]
    return any(text.count("<") * len(text) > MAX_SOUGHT for text in told)


def _blocks(tree: HtmlElement) -> int:
    """How many blocks of words the page has, about: what stands in a block's tags, and what stands behind one."""
    texts = (text for element in tree.iter(*_BLOCKS) for text in (element.text, element.tail))
    return sum(1 for text in texts if text and not text.isspace())


def _depths(tree: HtmlElement) -> int:
    """How many elements those of the page stand in, all taken together."""
    from lxml import etree

    total = depth = 0
    for event, _ in etree.iterwalk(tree, events=("start", "end")):
        depth += 1 if event == "start" else -1
        total += depth if event == "start" else 0
    return total


def _extracted(text: str, url: str, deep: HtmlElement | None, again: bool) -> Any:
    """What trafilatura takes for the article, or None. `deep`: the tree of a page that its own parser would cut short;
    `again`: whether it may look a second time, by rules that take the square of the blocks.

    All else that it can say of a page is not asked for. Its date is a guess, tried on a picture's folder; and for licence
    and tags it takes minutes where one footer stands in another.
    """
    import logging

    from trafilatura import bare_extraction

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without text is our reject, not its warning
    return bare_extraction(
        text.encode("utf-8", "replace") if deep is None else copy.deepcopy(deep),
        url=url,
        include_comments=False,
        fast=not again,
    )


def _takes_long(text: str, tree: HtmlElement) -> bool:
    """Whether the page is made so that guessing its names takes seconds."""
    return bool(_LONG_NAME.search(text)) or _long_author(tree) or _opened(tree) or _depths(tree) > MAX_DEPTHS


def _guessed(text: str, deep: HtmlElement | None) -> tuple[str, str]:
    """Title and author by trafilatura's rules for pages that do not declare them, in its order."""
    from trafilatura import load_html, metadata

    tree = load_html(text.encode("utf-8", "replace") if deep is None else deep)
    said = metadata.examine_meta(tree)
    if said.author and " " not in said.author:
        said.author = None
    with contextlib.suppress(Exception):  # as it does: a page's own data fails in many ways
        said = metadata.extract_meta_json(tree, said)
    said.title = said.title or metadata.extract_title(tree)
    said.author = said.author or metadata.extract_author(tree)
    said.clean_and_trim()
    return _plain(said.title), _plain(said.author)


def _plain(text: str | None) -> str:
    return tidy(text or "").replace("\n", " ").strip()


def _title(tree: HtmlElement, node: dict[str, Any], headings: list[str]) -> str:
    """What JSON-LD, OpenGraph or the only h1 says: the first that says something."""
    return pages.said(node, "headline") or pages.meta(tree, "og:title") or (headings[0] if len(headings) == 1 else "")


def _without_site(title: str, site: str, headings: list[str]) -> str:
    """A title without the paper's name behind it ("Council Meets | The Messenger")."""
    own = next((heading for heading in headings if heading and title.startswith(heading)), "")
    cut = re.split(r"\s+[|–—·-]\s+", title)
    if own and len(cut) > 1:
        return own
    return " - ".join(cut[:-1]) if len(cut) > 1 and site and fold(cut[-1]) == fold(site) else title


def _body(found: Any, node: dict[str, Any], headline: str) -> str:
    """The page's paragraphs, or JSON-LD's own copy of the body where the page shows less."""
    shown = list(_paragraphs(found.body)) if found is not None else []
    while shown and (fold(shown[0]) == fold(headline) or _FURNITURE.match(shown[0])):
        shown.pop(0)
    body = tidy("\n\n".join(part for part in shown if not _FURNITURE.match(part)))
    lines = pages.said(node, "articleBody", keep_lines=True).split("\n")
    told = tidy("\n\n".join(line.strip() for line in lines if line.strip()))
    # trafilatura too falls back to the data's copy, but runs its paragraphs together.
    is_copy = sum(map(str.isalpha, body)) < MIN_BODY_LETTERS or fold(told) == fold(body)
    return told if told and is_copy else body


def _paragraphs(body: HtmlElement) -> Iterator[str]:
    """Text of each leaf block that trafilatura kept, line breaks kept: verse stays verse."""
    for part in body:
        if part.tag in ("quote", "list", "div") and len(part):
            yield from _paragraphs(part)
            continue
        for line_break in part.iter("lb"):
            line_break.tail = f"\n{line_break.tail or ''}"
        lines = (" ".join(line.split()) for line in "".join(part.itertext()).split("\n"))
        text = "\n".join(line for line in lines if line)
        if text:
            yield text


def _lede(tree: HtmlElement, node: dict[str, Any], body: str) -> tuple[str, str]:
    """A deck or description that the body does not begin with; a deck that stands in the body leaves it."""
    deck = pages.deck(tree)
    first, _, rest = body.partition("\n\n")
    if deck and rest and fold(first) == fold(deck):
        return deck, rest
    described = (deck, pages.said(node, "description"), pages.meta(tree, "og:description", "description"))
    lede = next((text for text in described if text), "")
    return ("" if repeats(lede, body) else lede), body


def _reject_reason(tree: HtmlElement, nodes: list[dict[str, Any]], headline: str, body: str) -> str | None:
    letters = sum(map(str.isalpha, body))
    has_article = bool(pages.article_node(nodes))
    if letters < ERROR_LETTERS and not has_article and _is_error(tree, headline):
        return "error_page"
    if _is_paid(tree, nodes, letters):
        return "paywall"
    if letters < MIN_BODY_LETTERS and _is_script_built(tree):
        return "script_built"
    if not has_article and _is_index(tree, nodes):
        return "not_an_article"
    return None if letters >= MIN_BODY_LETTERS else "no_body"


def _is_error(tree: HtmlElement, headline: str) -> bool:
    headings = [headline, *(pages.words_of(element) for element in tree.iter("title", "h1", "h2"))]
    return any(_ERROR.search(heading) for heading in headings[:5])


def _is_paid(tree: HtmlElement, nodes: list[dict[str, Any]], letters: int) -> bool:
    """Said by the page's data, or asked for where hardly more than a teaser stands."""
    if any(str(node.get("isAccessibleForFree", "")).casefold() == "false" for node in nodes):
        return True
    return letters < TEASER_LETTERS and bool(_SUBSCRIBE.search(pages.visible_text(tree)))


def _is_script_built(tree: HtmlElement) -> bool:
    scripts = [element for element in tree.iter("script") if "json" not in (element.get("type") or "")]
    inline = sum(len(element.text or "") for element in scripts)
    asks = any(_NEEDS_SCRIPT.search(pages.words_of(element)) for element in tree.iter("noscript"))
    sparse = sum(map(str.isalpha, pages.visible_text(tree))) < 2 * MIN_BODY_LETTERS
    built = (
        asks or inline >= SCRIPT_CHARACTERS or any(element.get("src") for element in scripts) or _is_empty_root(tree)
    )
    return bool(scripts) and built and (sparse or asks)


def _is_empty_root(tree: HtmlElement) -> bool:
    roots = (element for element in tree.iter("div", "main", "section") if element.get("id"))
    return any(
        re.match(r"(?:root|app|__next|__nuxt|main|story|article)$", str(element.get("id"))) and not len(element)
        for element in roots
    )


def _is_index(tree: HtmlElement, nodes: list[dict[str, Any]]) -> bool:
    """A page of links: by its own data, by articles side by side, or by the share of its text that is links."""
    listed = any(kind in _INDEX_TYPES[:3] for node in nodes for kind in pages.types(node))
    teasers = max((len(list(group)) for _, group in groupby(_parents_of_articles(tree))), default=0)
    letters = sum(map(str.isalpha, pages.visible_text(tree))) or 1
    linked = sum(sum(map(str.isalpha, pages.words_of(element))) for element in tree.iter("a"))
    return listed or teasers >= INDEX_TEASERS or linked / letters > INDEX_LINK_SHARE


def _parents_of_articles(tree: HtmlElement) -> list[Any]:
    """The parent of each <article>, in the page's order: teasers of an index share one."""
    return [element.getparent() for element in tree.iter("article")]
