"""Weather products: frames, headings, zones, prose and forecast facts. Texts are ours; real ones are read in place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.corpora.bulletins import expand_ugc, parse_product, period_facts, split_products
from twainbot.errors import UnreadableSource

ZFP = """371
FPUS53 KHNB 021745 AAA
ZFPHNB

Zone Forecast Product
National Weather Service Hannibal MO
1145 AM CST Fri Jan 2 2026

MOZ018-019-027>029-030545-
Lewis-Marion-Ralls-
Including the cities of Canton, Hannibal, and New London
1145 AM CST Fri Jan 2 2026

.TONIGHT...Clearing and bitterly cold. Lows around 2 below zero.
North winds 5 to 10 mph, becoming light after midnight.
.SATURDAY...Mostly sunny with a 20 percent chance of snow
showers. Highs in the lower 30s. Southwest winds around 15 mph.

$$

MOZ036-030545-
Pike MO-
1145 AM CST Fri Jan 2 2026

.TONIGHT...Cloudy. Lows 10 to 14. Chance of snow 60 percent.

$$

QUILL
"""

FFW = """222
WGUS53 KHNB 142210
FFWHNB
MOC111-127-150115-
/O.NEW.KHNB.FF.W.0009.260614T2210Z-260615T0115Z/
/00000.0.ER.000000T0000Z.000000T0000Z.000000T0000Z.OO/

BULLETIN - EAS ACTIVATION REQUESTED
Flash Flood Warning
National Weather Service Hannibal MO
510 PM CDT Sun Jun 14 2026

The office in Hannibal has issued a

* Flash Flood Warning for two counties in northeast Missouri.

&&

LAT...LON 3990 9160 3980 9150
      3970 9170
TIME...MOT...LOC 2210Z 270DEG 10KT 3990 9160

$$
"""


def frames(*products: str) -> bytes:
    return "".join(f"\x01\n{product}\n\x03\n" for product in products).replace("\n", "\r\r\n").encode()


def test_products_are_cut_at_their_frames():
    assert [parse_product(text).kind for text in split_products(frames(ZFP, FFW))] == ["ZFP", "FFW"]


def test_products_without_frames_are_cut_at_their_headings():
    assert [parse_product(text).kind for text in split_products((ZFP + FFW + ZFP).encode())] == ["ZFP", "FFW", "ZFP"]


def test_a_lost_end_mark_loses_no_product():
    assert len(split_products(f"\x01\n{ZFP}\n\x01\n{FFW}".encode())) == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_line_ends_do_not_matter(end):
    assert parse_product(ZFP.replace("\n", end)) == parse_product(ZFP)


def test_the_heading_is_read():
    product = parse_product(ZFP)
    assert (product.wmo, product.office, product.issued_ddhhmm, product.amendment) == (
        "FPUS53",
        "KHNB",
        "021745",
        "AAA",
    )
    assert (product.awips, product.title) == ("ZFPHNB", "Zone Forecast Product")


def test_the_local_time_gets_its_offset():
    # 11:45 Central Standard Time is six hours behind UTC: 17:45, as the WMO heading says
    assert parse_product(ZFP).issued_at == "2026-01-02T11:45:00-06:00"
    assert parse_product(FFW).issued_at == "2026-06-14T17:10:00-05:00"


@pytest.mark.parametrize(
    "line", ["1145 AM CST Fri Jan 32 2026", "2561 AM CST Fri Jan 2 2026", "1145 AM CST Fri Foo 2 2026"]
)
def test_a_garbled_time_line_gives_no_time(line):
    assert parse_product(FFW.replace("510 PM CDT Sun Jun 14 2026", line)).issued_at == ""


def test_zones_expand_with_their_state_and_purge_time():
    assert expand_ugc("ILZ003>005-008-MOC111-092130-") == (("ILZ003", "ILZ004", "ILZ005", "ILZ008", "MOC111"), "092130")


@given(st.integers(0, 900), st.integers(0, 60))
def test_a_range_of_zones_has_as_many_codes_as_numbers(first, width):
    codes, _ = expand_ugc(f"MOZ{first:03d}>{first + width:03d}-010000-")
    assert len(codes) == width + 1
    assert codes[0] == f"MOZ{first:03d}"


def test_segments_carry_zones_areas_and_cities():
    first, second = parse_product(ZFP).segments
    assert first.ugc == ("MOZ018", "MOZ019", "MOZ027", "MOZ028", "MOZ029")
    assert (first.expires, first.areas) == ("030545", "Lewis, Marion, Ralls")
    assert first.cities == ("Canton", "Hannibal", "New London")
    assert (second.areas, second.cities) == ("Pike MO", ())


def test_vtec_is_taken_apart():
    (event,) = parse_product(FFW).segments[0].vtec
    assert (event["action"], event["phenomenon"], event["significance"], event["number"]) == ("NEW", "FF", "W", "0009")
    assert (event["begins"], event["ends"]) == ("260614T2210Z", "260615T0115Z")


def test_prose_has_no_codes_left():
    text = parse_product(FFW).text
    assert text.startswith("The office in Hannibal has issued a")
    assert not any(code in text for code in ("MOC111", "/O.", "LAT...LON", "TIME...MOT", "$$", "&&", "3970"))


def test_prose_keeps_its_case_and_names_its_zones():
    assert parse_product(ZFP).text.startswith("Lewis, Marion, Ralls\n\n.TONIGHT...Clearing and bitterly cold.")
    assert "MOSTLY SUNNY" in parse_product(ZFP.upper().replace("AND NEW LONDON", "NEW LONDON")).text


def test_facts_follow_the_periods():
    facts = parse_product(ZFP).facts
    assert [fact["period"] for fact in facts] == ["Tonight", "Saturday", "Tonight"]
    assert facts[0] | {"text": "", "zones": [], "cities": []} == {
        "location": "Lewis, Marion, Ralls",
        "cities": [],
        "zones": [],
        "period": "Tonight",
        "condition": "clearing and bitterly cold",
        "high_f": None,
        "low_f": -2,
        "precipitation_chance": None,
        "wind_mph": 10,
        "wind_direction": "N",
        "text": "",
    }
    assert (facts[1]["high_f"], facts[1]["precipitation_chance"], facts[1]["wind_direction"]) == (32, 20, "SW")
    assert facts[1]["condition"] == "mostly sunny"
    assert (facts[2]["low_f"], facts[2]["precipitation_chance"]) == (12, 60)  # (10 + 14) / 2


@pytest.mark.parametrize(
    ("text", "high"),
    [
        ("Highs in the lower 70s.", 72),
        ("Highs in the mid 70s.", 75),
        ("HIGHS IN THE UPPER 70S.", 78),
        ("Highs in the 70s.", 75),
        ("Highs around 71.", 71),
        ("Highs near 100.", 100),
        ("Highs 70 to 74.", 72),
        ("Highs in the mid 70s to lower 80s.", 78),  # (75 + 82) / 2, halves to even
        ("Highs in the mid to upper 70s.", 76),  # (75 + 78) / 2, halves to even
        ("Highs zero to 5 above.", 2),
        ("Highs 5 to 15 below.", -10),
        ("Lows in the 50s.", None),
        ("Highway 71 is closed.", None),
    ],
)
def test_spoken_highs_become_degrees(text, high):
    assert period_facts("SATURDAY", text)["high_f"] == high


@pytest.mark.parametrize(
    ("text", "mph", "direction"),
    [
        ("East winds 5 to 10 mph.", 10, "E"),
        ("Northwest winds around 20 mph with gusts to 35 mph.", 20, "NW"),
        ("Southeast wind 5 mph.", 5, "SE"),
        ("South to southwest winds 10 to 15 mph.", 15, "S"),
        ("Light winds.", None, None),
        ("Light winds becoming south around 5 mph.", 5, "S"),
        ("Gusts to 55 mph.", None, None),
    ],
)
def test_spoken_winds_become_miles_per_hour(text, mph, direction):
    fact = period_facts("TONIGHT", text)
    assert (fact["wind_mph"], fact["wind_direction"]) == (mph, direction)


def test_two_products_of_one_minute_in_different_months_have_different_keys():
    other = ZFP.replace("Fri Jan 2 2026", "Mon Feb 2 2026")
    assert parse_product(ZFP).key == "zfphnb-20260102-021745-aaa"
    assert parse_product(other).key != parse_product(ZFP).key


@pytest.mark.parametrize(
    ("text", "reason"),
    [("Dear Sir, it rained here for a week.", "no_wmo_heading"), ("123\nFPUS53 KHNB 021745\nZFPHNB\n\n$$", "no_text")],
)
def test_what_is_no_product_says_why(text, reason):
    assert parse_product(text).reject_reason == reason


def test_the_services_json_is_unwrapped():
    raw = json.dumps({"id": "x", "productText": "\n000\n" + ZFP.split("\n", 1)[1]}).encode()
    assert [parse_product(text).awips for text in split_products(raw)] == ["ZFPHNB"]


@pytest.mark.parametrize("raw", [b"", b"<html><body>403</body></html>", b'{"@graph": []}', b"{not json"])
def test_files_without_products_are_refused(raw):
    with pytest.raises(UnreadableSource):
        split_products(raw)


@pytest.mark.shared
def test_every_real_product_parses_or_says_why(shared_data):
    paths = sorted((shared_data / "nws" / "products").glob("*.txt"))
    assert len(paths) == 300
    timeless = set()
    for path in paths:
        products = [parse_product(text) for text in split_products(path.read_bytes())]
        assert len(products) == 1, path.name
        for product in products:
            assert product.reject_reason is None, path.name
            assert product.office, path.name
            assert product.text, path.name
            assert not any(mark in product.text for mark in "\x01\x03\x1e\r"), path.name
            timeless |= set() if product.issued_at else {path.name}
    # No local time line at all, a garbled one, or Spanish month names.
    assert len(timeless) <= 10


@pytest.mark.shared
def test_the_real_zone_forecast_gives_facts_for_every_segment(shared_data):
    (text,) = split_products((shared_data / "nws" / "products" / "wwa_ZFP.txt").read_bytes())
    product = parse_product(text)
    assert len(product.segments) > 30
    assert all(segment.facts and segment.areas and segment.ugc for segment in product.segments)
    assert product.facts[0]["condition"] == "sunny"
    assert all(fact["high_f"] or fact["low_f"] for fact in product.facts)
    known = {"N", "NE", "E", "SE", "S", "SW", "W", "NW", None}
    assert {fact["wind_direction"] for fact in product.facts} <= known


@pytest.mark.shared
def test_every_real_product_of_the_service_is_unwrapped(shared_data):
    paths = sorted((shared_data / "nws" / "api" / "weathergov").glob("testing__products__*-*.json"))
    assert paths
    for path in paths:
        for text in split_products(path.read_bytes()):
            assert parse_product(text).reject_reason is None, path.name
