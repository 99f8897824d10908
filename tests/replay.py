"""A whole outside world on 127.0.0.1: every source in the form that it really has, with text written for these tests.

`world` fills a FakeSite; `profile` is the YAML of a profile that reads all of it and nothing else.
"""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime

from tests.fakes import Answer, FakeSite

YEAR = datetime.now(UTC).year
PROSE = (
    "The ferry was late, and the ferryman explained that the river had been late first. We sat upon our boxes and watched "
    "the far bank decline to come any nearer. A drummer in straw hats offered to bet that it would rain, and nobody took him, "
    "for it was raining. "
)
PARAGRAPHS = 24  # of a book: 6,200 characters, above what counts as suspiciously short
DRY = "The almanac had promised sunshine, and the almanac was kept in a dry place, where it could say so with a clear conscience. "


def book(number: int, title: str, author: str, text: str = PROSE * PARAGRAPHS) -> bytes:
    """A book in the form of 2021 and later."""
    return (
        f"\ufeffThe Project Gutenberg eBook of {title}\r\n\r\nThis ebook is for the use of anyone anywhere in the United States.\r\n\r\n"
        f"Title: {title}\r\n\r\nAuthor: {author}\r\n\r\nRelease date: July 1, 2004 [eBook #{number}]\r\n\r\nLanguage: English\r\n\r\n"
        f"*** START OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\r\n\r\n{title.upper()}\r\n\r\nCHAPTER I\r\n\r\n{text}\r\n\r\n"
        f"THE END\r\n\r\n*** END OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\r\n\r\nUpdated editions will replace the "
        "previous one.\r\n\r\nSTART: FULL LICENSE\r\n\r\nTHE FULL PROJECT GUTENBERG LICENSE\r\n"
    ).encode()


def html_book(title: str, author: str) -> bytes:
    """A work that a mirror holds as HTML only."""
    return (
        f"<!DOCTYPE html><html><head><title>The Project Gutenberg eBook of {title}</title></head><body>"
        f"<section class='pg-boilerplate' id='pg-header'><h2>The Project Gutenberg eBook of {title}</h2>"
        f"<p>Title: {title}</p><p>Author: {author}</p><p>Language: English</p>"
        f"<div>*** START OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***</div></section>"
        f"<h1>{title.upper()}</h1><h2>CHAPTER I</h2>{''.join(f'<p>{PROSE}</p>' for _ in range(PARAGRAPHS))}"
        f"<section class='pg-boilerplate' id='pg-footer'><div>*** END OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***</div>"
        "<h2>THE FULL PROJECT GUTENBERG LICENSE</h2></section></body></html>"
    ).encode()


def catalogue(*rows: tuple[int, str]) -> bytes:
    """The feed's CSV: Twain's works by number and title."""
    lines = [
        f'{number},Text,2004-07-01,"{title}",en,"Twain, Mark, 1835-1910",Rivers,PS,Humor' for number, title in rows
    ]
    return "\r\n".join(["Text#,Type,Issued,Title,Language,Authors,Subjects,LoCC,Bookshelves", *lines, ""]).encode()


def rdf(number: int, title: str, rights: str = "Public domain in the USA.") -> bytes:
    """A work's catalogue record."""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<rdf:RDF xml:base="http://www.gutenberg.org/" xmlns:dcterms="http://purl.org/dc/terms/"
  xmlns:pgterms="http://www.gutenberg.org/2009/pgterms/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <pgterms:ebook rdf:about="ebooks/{number}">
    <dcterms:title>{title}</dcterms:title><dcterms:rights>{rights}</dcterms:rights>
    <dcterms:language><rdf:Description><rdf:value>en</rdf:value></rdf:Description></dcterms:language>
    <dcterms:creator><pgterms:agent rdf:about="2009/agents/53"><pgterms:name>Twain, Mark</pgterms:name></pgterms:agent></dcterms:creator>
  </pgterms:ebook>
</rdf:RDF>""".encode()


def feed(site: FakeSite) -> bytes:
    """A feed as WordPress writes it, with a full item and one that needs its page."""
    full = f"<p>{DRY * 3}</p><p>Nobody was available for comment, and several were relieved.</p>"
    return f"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
  xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>The Upper Ferry Gazette</title><link>{site.url}</link>
<item><title>Town Votes to Postpone Rain</title><link>{site.url}/2026/07/rain/</link><dc:creator>Staff</dc:creator>
<pubDate>Sat, 04 Jul 2026 19:43:43 +0000</pubDate><category>Weather</category><guid isPermaLink="false">{site.url}/?p=1</guid>
<description>The measure passed.</description><content:encoded><![CDATA[{full}]]></content:encoded></item>
<item><title>Fog Denies Everything</title><link>{site.url}/2026/07/fog/</link><pubDate>Fri, 03 Jul 2026 08:00:00 +0000</pubDate>
<guid isPermaLink="false">{site.url}/?p=2</guid><description>A short denial.</description></item></channel></rss>""".encode()


def article() -> bytes:
    """The page of the second item."""
    paragraphs = "".join(
        f"<p>{DRY} The fog, reached at its home in the lowlands, said as much, paragraph {n}.</p>" for n in range(6)
    )
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>Fog Denies Everything - The Upper Ferry Gazette</title>"
        "<meta property='article:published_time' content='2026-07-03T08:00:00+00:00'></head><body><nav><a href='/'>Home</a></nav>"
        f"<main><article><h1>Fog Denies Everything</h1><p class='deck'>It saw nothing.</p>{paragraphs}</article></main>"
        "<footer>Printed at the Upper Ferry</footer></body></html>"
    ).encode()


def bulletin(day: int, forecast: str = "Mostly sunny. Highs in the upper 70s. West winds 5 to 10 mph.") -> str:
    """A zone forecast as the wire carries it."""
    return (
        f"000\nFPUS51 KOKX {day:02d}0815\nZFPOKX\n\nZone Forecast Product\nNational Weather Service New York NY\n"
        f"415 AM EDT Sat Jul {day} {YEAR}\n\nNYZ072-{day:02d}2000-\nNew York (Manhattan)-\n415 AM EDT Sat Jul {day} {YEAR}\n\n"
        f".TODAY...{forecast}\n.TONIGHT...Partly cloudy. Lows in the lower 60s. Chance of showers near 30 percent.\n\n$$\n"
    )


def weather(site: FakeSite) -> dict[str, Answer]:
    """The service's answers for one office and one point, and one year of the archive."""
    listed = [
        {"id": f"p{day}", "issuanceTime": f"{YEAR}-07-{day:02d}T08:15:00+00:00", "productCode": "ZFP"} for day in (4, 3)
    ]
    period = {
        "number": 1, "name": "Today", "startTime": f"{YEAR}-07-04T06:00:00-04:00", "endTime": f"{YEAR}-07-04T18:00:00-04:00",
        "isDaytime": True, "temperature": 78, "temperatureUnit": "F", "windSpeed": "5 to 10 mph", "windDirection": "W",
        "probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": None}, "shortForecast": "Mostly Sunny",
        "detailedForecast": "Mostly sunny, with a high near 78. West wind 5 to 10 mph.",
    }  # fmt: skip
    properties = {
        "units": "us",
        "generatedAt": f"{YEAR}-07-04T09:00:00+00:00",
        "updateTime": f"{YEAR}-07-04T08:30:00+00:00",
        "periods": [period],
    }
    alert = {
        "id": "urn:oid:1", "areaDesc": "Manhattan", "status": "Actual", "messageType": "Alert", "event": "Flood Watch",
        "headline": "Flood Watch issued July 4", "description": "Low streets may be wet, and the lowest wetter.", "sent": f"{YEAR}-07-04T08:00:00-04:00",
        "instruction": "Keep to the high side.", "onset": None, "ends": None, "references": [], "parameters": {}, "geocode": {"UGC": ["NYZ072"]},
        "senderName": "NWS New York NY", "effective": f"{YEAR}-07-04T08:00:00-04:00",
    }  # fmt: skip
    test = {**alert, "id": "urn:oid:2", "status": "Test", "headline": None}
    graph = {"@context": {}, "@graph": listed}
    point = {
        "properties": {
            "cwa": "OKX",
            "gridId": "OKX",
            "gridX": 33,
            "gridY": 35,
            "forecast": "https://api.weather.gov/gridpoints/OKX/33,35/forecast",
        }
    }
    features = [{"id": each["id"], "type": "Feature", "geometry": None, "properties": each} for each in (alert, test)]
    products = {
        f"/products/p{day}": {"@context": {}, "id": f"p{day}", "issuingOffice": "KOKX", "productCode": "ZFP", "productText": "\n" + bulletin(day)}
        for day in (4, 3)
    }  # fmt: skip
    documents = {
        "/products/types/ZFP/locations/OKX": graph, **products, "/points/40.71,-74.01": point,
        "/gridpoints/OKX/33,35/forecast": {"type": "Feature", "geometry": None, "properties": properties},
        "/alerts/active?area=NY": {"type": "FeatureCollection", "features": features},
    }  # fmt: skip
    old = bulletin(1).replace(str(YEAR), "2024") + "\x03\n\x01" + bulletin(2).replace(str(YEAR), "2024")
    path = "/archive/cgi-bin/afos/retrieve.py?pil=ZFPOKX&fmt=text&sdate=2024-01-01&edate=2025-01-01&limit=200"
    return {name: tagged(json.dumps(found).encode()) for name, found in documents.items()} | {
        path: tagged(old.encode())
    }


def tagged(body: bytes) -> Answer:
    """An answer with an ETag, as all these hosts give one."""
    return Answer(body=body, headers={"ETag": f'"{zlib.crc32(body):x}"'})


def world(site: FakeSite) -> None:
    """Fill the site with every source."""
    jokes = [{"id": n, "type": "general", "setup": f"Why did the {what} stop?", "punchline": "It had run out of reasons, and winter was near."}
             for n, what in enumerate(("river", "clock", "drummer"), 1)]  # fmt: skip
    pages = {
        "/pg/feeds/pg_catalog.csv": tagged(catalogue((900, "Letters from the Upper Ferry"), (901, "Reserved"))),
        "/pg/cache/epub/900/pg900.rdf": tagged(rdf(900, "Letters from the Upper Ferry")),
        "/pg/cache/epub/901/pg901.rdf": tagged(rdf(901, "Reserved", "Copyrighted. Read the copyright notice inside.")),
        "/pg/cache/epub/900/pg900.txt": tagged(book(900, "Letters from the Upper Ferry", "Mark Twain")),
        "/pg/2/4/245/245-h/245-h.htm": tagged(html_book("Life on the Mississippi", "Mark Twain")),
        "/feed/": tagged(feed(site)),
        "/2026/07/fog/": tagged(article()),
        "/jokes/dry.json": tagged(json.dumps(jokes).encode()),
        **weather(site),
    }
    site.pages |= {path: [answer] for path, answer in pages.items()}


def profile(site: FakeSite, folder: str) -> str:
    """A profile that harvests the site, and two folders below `folder`."""
    return f"""
description: Every source over the net, as tests replay it.
rehearsal: true
base: {{ name: tiny-random }}
sources:
  gutenberg: {{ mirror: "{site.url}/pg", works: [245], authors: {{ Twain: twain }}, catalogue: "{site.url}/pg/feeds/pg_catalog.csv", delay_s: 0, recheck_s: 0 }}
  satire:
    feeds: [{{ name: gazette, url: "{site.url}/feed/", license: CC0-1.0, articles: true }}]
    delay_s: 0
    recheck_s: 0
  jokes:
    collections: [{{ name: dry, url: "{site.url}/jokes/dry.json", license: MIT, columns: {{ setup: setup, punchline: punchline, id: id }} }}]
    delay_s: 0
    recheck_s: 0
  weather:
    offices: {{ OKX: {{ products: [ZFP], points: ["40.71,-74.01"], alerts_area: NY, years: [2024] }} }}
    service: "{site.url}"
    archive: "{site.url}/archive"
    delay_s: 0
    recheck_s: 0
  transcripts: {{ folder: "{folder}/transcripts" }}
  local: {{ folder: "{folder}/local" }}
chunking: {{ size: 256, overlap: 32, min_tokens: 0 }}
dialogues: {{ batches: 1 }}
evaluation: {{}}
recipes: [default]
volume: {{ at_least: 0, at_most: 100 }}
"""
