"""Weather products: frames, headings, zones, prose and forecast facts. Texts are ours; real ones are read in place."""

from __future__ import annotations

import json
import sys
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twainbot.corpora.bulletins import expand_ugc, parse_product, period_facts, split_products
from twainbot.corpora.codelines import find_zone_lines, nearest, read_zones
from twainbot.corpora.forecast_tables import is_table_line
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


DISCUSSION = """000
FXUS63 KHNB 142020 CCA
AFDHNB

Area Forecast Discussion...CORRECTED
National Weather Service Hannibal MO
220 PM CST /120 PM MST/ Wed Jan 14 2026

.SYNOPSIS...
A fast clipper is on its way.

&&

.NEAR TERM /Through Thursday/...
Snow begins by three, and ends
by supper.

            Today  Tonight
Quincy        31       12

$$

TERM...QUILL
"""
WATCH = """222
WWUS43 KHNB 231635
WSWHNB

URGENT - WINTER WEATHER MESSAGE
National Weather Service Hannibal MO
1035 AM CST Mon Feb 23 2026

.A slow storm comes out of the plains...and brings its luggage.

MOZ018-019-240045-
/O.NEW.KHNB.WS.A.0003.260225T0600Z-260226T1800Z/
Lewis-Marion-
Including the cities of Canton and Hannibal
1035 AM CST Mon Feb 23 2026

...WINTER STORM WATCH IN EFFECT FROM LATE TUESDAY NIGHT THROUGH
THURSDAY NOON...

* WHAT...Heavy snow possible.

$$
"""


def at_time(line: str, heading: str = "021745") -> str:
    return parse_product(ZFP.replace("1145 AM CST Fri Jan 2 2026", line, 1).replace("021745 AAA", heading)).issued_at


@pytest.mark.parametrize(
    ("line", "heading", "issued"),
    [
        ("1145 AM CST /1045 AM MST/ Fri Jan 2 2026", "021745", "2026-01-02T11:45:00-06:00"),
        ("/1145 AM CST/ Fri Jan 2 2026", "021745", "2026-01-02T11:45:00-06:00"),
        ("NOON CST Fri Jan 2 2026", "021800", "2026-01-02T12:00:00-06:00"),
        ("1200 AM CST Fri Jan 2 2026", "020600", "2026-01-02T00:00:00-06:00"),
        ("MIDNIGHT CST Fri Jan 2 2026", "020600", "2026-01-02T00:00:00-06:00"),
        ("11:45 am CST January 2, 2026", "021745", "2026-01-02T11:45:00-06:00"),
        ("1745 UTC Fri Jan 2 2026", "021745", "2026-01-02T17:45:00+00:00"),
        ("345 AM ChST Sat Jan 3 2026", "021745", "2026-01-03T03:45:00+10:00"),
        ("145 PM AST VIERNES 2 DE ENERO DE 2026", "021745", "2026-01-02T13:45:00-04:00"),
        ("1145 PM CST Fri Jan 2 2026", "021745", "2026-01-02T11:45:00-06:00"),  # PM for AM: 12 hours after its heading
        ("1945 AM CST Fri Jan 2 2026", "021745", "2026-01-02T11:45:00-06:00"),  # no such clock: the heading's
        ("1145 AM Fri Jan 2 2026", "021745", "2026-01-02T17:45:00+00:00"),  # no zone: the heading's
    ],
)
def test_time_lines_of_every_kind_become_instants(line, heading, issued):
    assert at_time(line, heading) == issued


def test_what_was_mended_is_noted():
    text = ZFP.replace("1145 AM CST Fri", "1145 PM CST Fri", 1)
    assert "am_pm_typo" in parse_product(text).notes
    assert "am_pm_typo" not in parse_product(ZFP).notes


def test_a_product_without_a_time_line_takes_month_and_year_from_its_vtec():
    product = parse_product(FFW.replace("510 PM CDT Sun Jun 14 2026", ""))
    assert (product.issued_at, product.notes[0]) == ("2026-06-14T22:10:00+00:00", "date_from_vtec")


def test_a_wrapper_may_say_when_a_product_was_issued():
    text = WATCH.replace("1035 AM CST Mon Feb 23 2026", "").replace("/O.NEW", "/O.NOT")
    assert parse_product(text).issued_at == ""
    assert parse_product(text, "2026-02-23T16:35:00+00:00").issued_at == "2026-02-23T16:35:00+00:00"


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("ILC001>007-092130-", ["ILC001", "ILC003", "ILC005", "ILC007"]),  # counties have odd numbers
        ("MOZALL-092130-", ["MOZALL"]),
        ("PZZ645-GMZ630>632-092130-", ["PZZ645", "GMZ630", "GMZ631", "GMZ632"]),
        ("MOZ003-003-092130-", ["MOZ003"]),
        ("MOZ010-\n012-092130-", ["MOZ010", "MOZ012"]),
        ("MOZ005>003-092130-", ["MOZ005", "MOZ003"]),  # backwards: its ends
        ("MOZ005>ILZ003-092130-", ["MOZ005", "ILZ003"]),
        ("MOZ010-IL99-012-092130-", ["MOZ010", "MOZ012"]),
    ],
)
def test_zone_lines_of_every_kind_expand(line, codes):
    assert list(expand_ugc(line)[0]) == codes


def test_malformed_zones_are_named():
    assert read_zones("MOZ010-IL99-ILZ005>003-092130-")[2] == ("IL99", "ILZ005>003")
    assert "malformed_ugc=MOZ19" in parse_product(WATCH.replace("MOZ018-019", "MOZ018-MOZ19")).notes


@given(st.lists(st.integers(1, 999), min_size=1, max_size=30, unique=True), st.sampled_from(["MOZ", "ILC", "PZZ"]))
def test_zones_survive_writing_and_reading(numbers, prefix):
    codes = [f"{prefix}{number:03d}" for number in numbers]
    line = "-".join([codes[0], *(code[3:] for code in codes[1:]), "092130"]) + "-"
    assert expand_ugc(line) == (tuple(codes), "092130")


def test_purge_times_are_instants_also_over_the_end_of_a_month():
    assert parse_product(ZFP).segments[0].expires_at == "2026-01-03T05:45:00+00:00"
    december = ZFP.replace("Jan 2 2026", "Dec 31 2025").replace("021745", "311745").replace("030545", "010545")
    assert parse_product(december).segments[0].expires_at == "2026-01-01T05:45:00+00:00"
    evening = datetime.fromisoformat("2026-01-31T20:00+00:00")
    assert nearest("312400", evening) == datetime.fromisoformat("2026-02-01T00:00:00+00:00")
    assert nearest("320000", evening) is None


def test_events_have_instants_and_rivers_are_read():
    segment = parse_product(FFW.replace("/00000.0.ER.000000T0000Z", "/HNBM7.2.ER.260614T2210Z")).segments[0]
    assert segment.vtec[0]["begins_at"] == "2026-06-14T22:10:00+00:00"
    (river,) = segment.hvtec
    assert (river["gauge"], river["severity"], river["cause"]) == ("HNBM7", "2", "ER")
    assert (river["begins_at"], river["crest_at"], river["record"]) == ("2026-06-14T22:10:00+00:00", "", "OO")


def test_outline_and_track_are_degrees():
    segment = parse_product(FFW).segments[0]
    assert segment.outline == ((39.9, -91.6), (39.8, -91.5), (39.7, -91.7))
    assert segment.track == {"time": "2210", "from_degrees": 270, "knots": 10, "points": [(39.9, -91.6)]}


def test_guam_lies_east_and_packed_outlines_regain_their_hundred():
    east = FFW.replace("KHNB", "PGUM").replace("3990 9160", "1349 14463", 1)
    assert parse_product(east).segments[0].outline[0] == (13.49, 144.63)
    packed = FFW.replace("LAT...LON 3990 9160 3980 9150\n      3970 9170", "LAT...LON 39909160 41430378")
    assert parse_product(packed).segments[0].outline == ((39.9, -91.6), (41.43, -103.78))


def test_an_overview_above_the_zones_is_kept():
    product = parse_product(WATCH)
    assert product.segments[0].ugc == ()
    assert "brings its luggage" in product.text
    assert product.title == "WINTER WEATHER MESSAGE"
    assert product.sections == ()  # a dot opens the overview too


def test_headlines_are_joined_over_their_lines():
    assert parse_product(WATCH).segments[1].headlines == (
        "WINTER STORM WATCH IN EFFECT FROM LATE TUESDAY NIGHT THROUGH THURSDAY NOON",
    )


def test_sections_are_spans_of_the_text():
    product = parse_product(DISCUSSION)
    assert [section.name for section in product.sections] == ["SYNOPSIS", "NEAR TERM /Through Thursday/"]
    assert (
        product.text[product.sections[0].start : product.sections[0].end]
        == ".SYNOPSIS...\nA fast clipper is on its way."
    )
    assert product.text[product.sections[1].start : product.sections[1].end].endswith("by supper.")
    assert product.amendment == "CCA"


def test_signatures_and_table_rows_are_no_prose():
    product = parse_product(DISCUSSION)
    assert "QUILL" not in product.text
    assert "Quincy" not in product.text
    assert "table_lines=2" in product.notes


@pytest.mark.parametrize(
    ("line", "is_table"),
    [
        ("Quincy        31       12", True),
        ("----------------", True),
        (":VALUES ARE FOR YESTERDAY", True),
        ("..TIME...   ...EVENT...      ...CITY LOCATION...", True),
        ("It rained.  It stopped.  It rained.", False),
        ("...WINTER STORM WARNING...", False),
        ("* WHAT...Heavy snow possible.", False),
        ("", False),
    ],
)
def test_tables_are_told_from_prose_by_the_line(line, is_table):
    assert is_table_line(line) == is_table


@pytest.mark.parametrize(
    "text",
    [
        FFW.replace("/O.NEW", "/T.NEW"),
        FFW.replace("/O.NEW", "/E.NEW"),
        FFW.replace("Flash Flood Warning\nNational", "TEST...Flash Flood Warning...TEST\nNational"),
        FFW.replace("The office", "THIS IS ONLY A TEST. The office"),
        FFW.replace("FFWHNB", "TSTHNB"),
    ],
)
def test_test_messages_are_rejected(text):
    assert parse_product(text).reject_reason == "test_message"


@pytest.mark.parametrize(
    "text", [FFW.replace("/O.NEW", "/X.NEW"), FFW.replace("The office", "This flood will test the levee. The office")]
)
def test_what_only_speaks_of_tests_is_kept(text):
    assert parse_product(text).reject_reason is None


def test_a_test_segment_among_real_ones_is_left_out_of_the_prose():
    product = parse_product(WATCH + WATCH[WATCH.index("MOZ018") :].replace("/O.NEW", "/T.NEW").replace("Heavy", "Mock"))
    assert product.reject_reason is None
    assert "Mock" not in product.text
    assert "test_segments=1" in product.notes


def test_spanish_products_are_told():
    text = ZFP.replace("National Weather Service Hannibal MO", "Servicio Nacional de Meteorologia San Juan PR", 1)
    assert (parse_product(text).language, parse_product(ZFP).language) == ("es", "en")


SFT = """123
FPUS63 KHNB 240602
SFTHNB

Tabular State Forecast
National Weather Service Hannibal MO
102 AM CDT Wed Jun 24 2026

   FCST     FCST     FCST
   Today    Thu      Fri
   Jun 24   Jun 25   Jun 26

...Northeast Missouri...
   Hannibal
   Sunny    Ptcldy   Tstrms
   MM/86    68/-5    70/85
   MM/10    20/40    60/50

$$
"""


def test_the_tabular_forecast_gives_facts_and_no_prose():
    product = parse_product(SFT)
    assert product.reject_reason == "tabular"
    keys = ("location", "period", "condition", "low_f", "high_f", "precipitation_chance")
    assert [tuple(fact[key] for key in keys) for fact in product.facts] == [
        ("Hannibal", "Today Jun 24", "sunny", None, 86, 10),
        ("Hannibal", "Thu Jun 25", "ptcldy", 68, -5, 40),
        ("Hannibal", "Fri Jun 26", "tstrms", 70, 85, 60),
    ]


def test_the_climate_report_gives_yesterdays_extremes():
    table = (
        "...THE HANNIBAL CLIMATE SUMMARY FOR JUNE 23 2026...\n\nTEMPERATURE (F)\n"
        "  MAXIMUM         79R   418 PM  99\n  MINIMUM         -2   1041 AM  42\n"
    )
    (fact,) = parse_product(SFT.replace("SFTHNB", "CLIHNB") + table).facts
    assert (fact["location"], fact["period"], fact["high_f"], fact["low_f"]) == ("Hannibal", "June 23 2026", 79, -2)


def test_the_station_table_reads_its_columns_from_its_opening_line():
    table = (
        ".BR HNB  0609  CS DH00/TAIRZX/DH06/TAIRZP/PPDRZZ\n HAN : HANNIBAL AIRPORT:  90  /  59  / 0.00 \n"
        " CAN : CANTON : M / M / 0.1\n.END\n"
    )
    (fact,) = parse_product(SFT.replace("SFTHNB", "RTPHNB") + table).facts
    assert (fact["location"], fact["high_f"], fact["low_f"]) == ("Hannibal Airport", 90, 59)


def test_a_storm_report_is_a_fact_with_its_remark():
    report = (
        "0330 PM     HAIL             2 SW CANTON             40.11N 91.55W\n"
        "06/23/2026  E1.00 INCH       LEWIS              MO   PUBLIC\n\n"
        "            IT DENTED THE MAYOR.\n"
    )
    (fact,) = parse_product(SFT.replace("SFTHNB", "LSRHNB") + report).facts
    assert (fact["location"], fact["period"]) == ("2 SW CANTON, Lewis, MO", "06/23/2026 0330 PM")
    assert (fact["condition"], fact["text"]) == ("hail", "E1.00 INCH IT DENTED THE MAYOR.")


def test_marine_winds_are_knots():
    text = ZFP.replace("ZFP", "CWF").replace("North winds 5 to 10 mph", "NW winds 10 to 20 kt")
    fact = parse_product(text).facts[0]
    assert (fact["wind_mph"], fact["wind_direction"]) == (23, "NW")  # 20 kt = 23.02 mph


def test_fire_weather_keys_are_read_under_their_period():
    fact = period_facts(
        "TODAY",
        "* SKY/WEATHER....MOSTLY CLOUDY. * MAX TEMPERATURE.....87-95. * WINDS - 20 FEET....SOUTHWEST 5 TO 15 MPH. "
        "* CHANCE OF PRECIP......60 PERCENT.",
    )
    assert (fact["condition"], fact["high_f"], fact["precipitation_chance"]) == ("mostly cloudy", 91, 60)
    assert (fact["wind_mph"], fact["wind_direction"]) == (15, "SW")


@pytest.mark.parametrize("cut", range(1, len(ZFP), 23))
def test_a_bulletin_cut_anywhere_still_parses(cut):
    for text in split_products(ZFP[:cut].encode()):
        assert parse_product(text).reject_reason in (None, "no_wmo_heading", "no_text")


def test_a_bulletin_cut_in_its_zones_says_so():
    product = parse_product(ZFP[: ZFP.index("027>029")])
    assert product.segments[-1].ugc == ("MOZ018", "MOZ019")
    assert "cut_in_ugc" in product.notes
    assert "cut_in_ugc" not in parse_product(ZFP).notes


_LINES = [line for text in (ZFP, FFW, WATCH, DISCUSSION, SFT) for line in text.split("\n")]
_SHUFFLED = st.lists(
    st.one_of(st.sampled_from([*_LINES, "\x01", "MOZ001-"]), st.text(max_size=30)), max_size=40
).map("\n".join)  # fmt: skip


@settings(deadline=None)
@given(_SHUFFLED)
def test_parsing_never_raises_and_is_idempotent_on_its_own_prose(text):
    product = parse_product(f"123\nFPUS53 KHNB 021745\nZFPHNB\n{text}")
    assert parse_product(product.text).text == product.text


@settings(deadline=None)
@given(_SHUFFLED)
def test_sections_and_segments_lie_in_the_text(text):
    product = parse_product(f"123\nFXUS53 KHNB 021745\nAFDHNB\n{text}")
    for section in product.sections:
        assert 0 <= section.start < section.end <= len(product.text)
        assert product.text[section.start] == "."
    assert all(segment.is_test or segment.text in product.text for segment in product.segments)


@given(st.text())
def test_any_text_at_all_gives_a_product_with_a_key(text):
    assert parse_product(text).key
    assert all(zone.start < zone.end <= len(text) for zone in find_zone_lines(text))


@pytest.mark.parametrize(
    "garbage", ["MOZ001-\n", "LAT...LON 3990\n", "x" * 79 + "\n", ".SUNDAY...Sunny.\n", "1200 PM CST\n", "$$\n", "A-\n"]
)
def test_work_grows_in_step_with_garbage(garbage):
    # Calls of Python and C functions are counted, not seconds: twice the text may cost twice the calls, not four times.
    small, large = (_calls_to_parse(ZFP + garbage * (size // len(garbage))) for size in (20_000, 40_000))
    assert large < 2.3 * small


def _calls_to_parse(text: str) -> int:
    count = 0

    def counted(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        parse_product(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.slow
def test_five_megabytes_between_two_headings_lose_neither_product():
    raw = (FFW + "MOZ001-002 and then some 1234\n" * 170_000 + FFW).encode()
    assert len(raw) > 5_000_000
    assert [parse_product(text).awips for text in split_products(raw)] == ["FFWHNB", "FFWHNB"]


@pytest.mark.parametrize("preamble", ["ZCZC HNBZFPHNB", "ZCZC HNBZFPHNB ALL\n\nTTAA00 KHNB"])
def test_what_the_wire_sets_above_a_heading_is_noted_and_no_product(preamble):
    bare = ZFP[ZFP.index("FPUS53") :]
    (text,) = split_products(f"{preamble}\n{bare}".encode())
    product, alone = parse_product(text), parse_product(bare)
    assert (product.text, product.key, product.reject_reason) == (alone.text, alone.key, None)
    assert product.notes == (f"preamble={' '.join(preamble.split())}", *alone.notes)


def test_a_letter_above_a_heading_is_still_told_apart():
    letter = "Dear Sir, it rained here for a week, and the river has come up to the second step of the church."
    reasons = [parse_product(text).reject_reason for text in split_products(f"{letter}\n\n{ZFP}".encode())]
    assert reasons == ["no_wmo_heading", None]
