"""Personal data: what is found in the words of a weather chatbot's users, and which figures must survive it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.personal import introduced_names, scrub, scrub_json, scrub_result

# Credentials are put together here, so that no scanner takes this file for a leak.
AWS, GITHUB, GOOGLE = "AKIA" + "Q7WEATHER0VANE12", "ghp_" + "a1B2c3" * 6, "AIza" + "Sy0_" + "w3Ather" * 4 + "abc"
JWT = ".".join(["eyJ" + "hbGciOi1", "eyJzdWIiOiJhZGEi", "c2lnbmF0dXJl0"])
PEM = "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----"

FOUND = [
    # what is written, what is kept of it, what was counted
    ("Write to ada.quill@example.org please", "Write to [email] please", {"email": 1}),
    ("ada+storms@mail.example.co.uk, bob@example.com", "[email], [email]", {"email": 2}),
    ("ADA_QUILL@EXAMPLE.ORG.", "[email].", {"email": 1}),
    ("ada [at] example [dot] org", "[email]", {"email": 1}),
    ("mailto:ada(at)example.org", "mailto:[email]", {"email": 1}),
    ("Call (319) 555-0142 tonight", "Call [phone] tonight", {"phone": 1}),
    ("319-555-0142", "[phone]", {"phone": 1}),
    ("319.555.0142, ext. 12", "[phone], ext. 12", {"phone": 1}),
    ("+1 319 555 0142", "[phone]", {"phone": 1}),
    ("1-800-555-0199", "[phone]", {"phone": 1}),
    ("It is 319 555 0142.", "It is [phone].", {"phone": 1}),
    ("my number is 3195550142", "my number is [phone]", {"phone": 1}),
    ("phone: 555-0142", "phone: [phone]", {"phone": 1}),
    ("text me at 555 0142", "text me at [phone]", {"phone": 1}),
    ("+44 20 7946 0958", "[phone]", {"phone": 1}),
    ("+49 (0)30 901820", "[phone]", {"phone": 1}),
    ("+33 6 12 34 56 78", "[phone]", {"phone": 1}),
    ("from 203.0.113.7", "from [ip]", {"ip": 1}),
    ("client 198.51.100.23:443", "client [ip]:443", {"ip": 1}),
    ("2001:db8::8a2e:370:7334 asked", "[ip] asked", {"ip": 1}),
    ("card 4111 1111 1111 1111", "card [card]", {"card": 1}),
    ("5555-5555-5555-4444", "[card]", {"card": 1}),
    ("378282246310005", "[card]", {"card": 1}),
    ("SSN 219-09-9999", "SSN [ssn]", {"ssn": 1}),
    ("my social security number is 219 09 9999", "my social security number is [ssn]", {"ssn": 1}),
    ("ssn: 219099999", "ssn: [ssn]", {"ssn": 1}),
    ("I live at 1420 Bluff Street, Keokuk", "I live at [address], Keokuk", {"address": 1}),
    ("1420 bluff st apt 4b please", "[address] please", {"address": 1}),
    ("17 N. Third Ave., Hannibal", "[address], Hannibal", {"address": 1}),
    ("221B Baker Street", "[address]", {"address": 1}),
    ("9 Old Mill Road and back", "[address] and back", {"address": 1}),
    ("600 42nd Street, Suite 210", "[address]", {"address": 1}),
    ("12 Cardinal Way", "[address]", {"address": 1}),
    ("P.O. Box 77, Quincy", "[address], Quincy", {"address": 1}),
    ("Quincy, IL 62301-4477", "Quincy, IL 62301", {"zip": 1}),
    ("https://ada:rain@example.org/feed", "[url]", {"url": 1}),
    ("get https://api.example.org/v1?city=Quincy&appid=0f1e2d now", "get [url] now", {"url": 1}),
    ("https://example.org/cb?access_token=abc.def", "[url]", {"url": 1}),
    (f"Authorization: Bearer {GITHUB}", "Authorization: Bearer [secret]", {"secret": 1}),
    ("Bearer q1w2e3r4t5y6u7", "Bearer [secret]", {"secret": 1}),
    ("key sk-" + "proj-4f5e6d7c8b9a0011", "key [secret]", {"secret": 1}),
    (AWS, "[secret]", {"secret": 1}),
    (f"use {GOOGLE}", "use [secret]", {"secret": 1}),
    (f"token {JWT}", "token [secret]", {"secret": 1}),
    (PEM, "[secret]", {"secret": 1}),
    ("api key: 7f8e9d0c1b2a", "api key: [secret]", {"secret": 1}),
    ("password = rain4ever", "password = [secret]", {"secret": 1}),
    ("I am at 39.7456, -97.0892", "I am at 39.75, -97.09", {"coordinates": 1}),
    ("weather.example/points/40.39713,-91.38485", "weather.example/points/40.40,-91.38", {"coordinates": 1}),
    ("40.3971° N, 91.3849° W", "40.40° N, 91.38° W", {"coordinates": 1}),
    ("lat 40.3971 lon -91.3849", "lat 40.40 lon -91.38", {"coordinates": 2}),
    ("latitude: 40.397", "latitude: 40.40", {"coordinates": 1}),
    ("40°23'50\"N 91°23'05\"W", "[coordinates] [coordinates]", {"coordinates": 2}),
    ("N40.712776 W74.005974", "N40.71 W74.01", {"coordinates": 1}),
    ("at S 33.85678, E 151.21530 now", "at S 33.86, E 151.22 now", {"coordinates": 1}),
    ("Hauptstra\u00dfe 12, 10115 Berlin", "[address], 10115 Berlin", {"address": 1}),
    ("Ich wohne Berliner Str. 4b in Jena", "Ich wohne [address] in Jena", {"address": 1}),
    ("Alexanderplatz 3, bitte", "[address], bitte", {"address": 1}),
    ("12 Rue de Rivoli, 75001 Paris", "[address], 75001 Paris", {"address": 1}),
    ("J'habite 4 bis, avenue Victor Hugo", "J'habite [address]", {"address": 1}),
    ("8 place de la Mairie", "[address]", {"address": 1}),
    ("my name is Ada Quill and it rains", "my name is [name] and it rains", {"name": 1}),
    ("Hi, my name's ada", "Hi, my name's [name]", {"name": 1}),
    ("my name is ada quill, hello", "my name is [name], hello", {"name": 1}),
    ("I'm Ada calling from Keokuk", "I'm [name] calling from Keokuk", {"name": 1}),
    ("this is ada calling from keokuk", "this is [name] calling from keokuk", {"name": 1}),
    ("This is Ada B. Quill, writing from Quincy", "This is [name], writing from Quincy", {"name": 1}),
    ("My name is Ada. Tell Ada when it stops.", "My name is [name]. Tell [name] when it stops.", {"name": 2}),
]

SURVIVES = [
    "Highs 70 to 75, lows near 55.",
    "Temperature 72F (22.2C), dew point 61.",
    "-40 to -45 with wind chill",
    "wind 10-20 mph, gusts to 35",
    "Northwest wind 5 to 10 mph becoming 15 to 20 mph in the afternoon.",
    "precipitation chance 20-30 percent",
    "Pressure 29.92 inHg, falling to 29.875",
    "Pressure readings 29.921, 29.934",
    "1013.25 hPa",
    "Snow 3-5 inches by 2026-05-16",
    "June 5, 2026 at 10:22:31 AM CDT",
    "2026-05-16T10:00:00-05:00/PT3H",
    "20260516102231",
    "Stardate 1778925751 seconds",
    "1778925751000",
    "since 1847, 1851-1899 and 2025-2026",
    "May 12-15 2026",
    "05/16/2026 10:22",
    "ILZ003>006-008-010>014-092130-",
    "MOZ018-027-035-030545-",
    "IAC005-043-191-022300-",
    "/O.NEW.KDMX.TO.W.0001.130108T2123Z-130108T2200Z/",
    "/00000.0.ER.000000T0000Z.000000T0000Z.000000T0000Z.OO/",
    "FPUS53 KDVN 021745",
    "LAT...LON 4045 9012 4048 9000 4041 8996 4038 9001",
    "LAT...LON 4111 1111 1111 1111",
    "41262456 42872488\n    43822458 44592437",
    "TIME...MOT...LOC 2123Z 245DEG 35KT 4045 9012",
    "KDVN 161752Z 31012G20KT 10SM FEW050 22/11 A2992 RMK AO2 SLP132 T02220106",
    "Min 212  345  1998\nMax 319  555  2024",
    "Call 1-800 for nothing",
    "1-800-BLIZZARD",
    "Dial 911, or 511 for road conditions",
    "Weather radio on 162.400 MHz, 162.550 MHz",
    "version 1.2.3.4 of the bot",
    "v10.0.2.1",
    "firmware: 2.4.10.3",
    "section 4.3.2.1 of the manual",
    "pypdf 7.1.1, python 3.11.7",
    "300.1.2.3",
    "10:22:31 and 04:05:06",
    "std::chrono and bad::cafe",
    "Keokuk, IA 52632",
    "ZIP 63401, please",
    "order 4111 1111 1111 1112",
    "gauge 12345678901234567890",
    "ISBN 978-0-14-243717-9",
    "Mile 123-45 on the river",
    "a 20 minute drive down the road",
    "5 miles down the river road",
    "3 inches of snow on the street",
    "10 miles east of St. Louis",
    "72 in East St. Louis",
    "Highway 61 north of Hannibal",
    "Interstate 80 at 7 PM Central",
    "Lock and Dam 19 stage 12.4 ft",
    "crest 21.35 feet Friday, 22.10 feet Saturday",
    "45.5, -91.25",
    "40.40, -91.38",
    "ask @examplebureau or look at weather dot gov",
    "wind @ 10 mph",
    "https://api.weather.gov/gridpoints/DVN/33,44/forecast?units=us",
    "https://example.org/radar?station=KDVN&loop=1",
    "the bearer of bad news, as 2025 showed",
    "The password is rain.",
    "Tokens cost 0.0025 each",
    "task-force-of-the-weather-2026",
    "I'm calling from Keokuk",
    "I'm still calling from Keokuk",
    "My name is not important",
    "The forecast is named Hurricane Ada",
    "Call me later, I am from Quincy",
    "This is Tuesday; it will rain by 5",
    "UV index 8, AQI 42, 0.25 in of rain",
    "+10 to +15 above normal",
    "UTC+01:00 and UTC-0500",
    "+1 2 3 4 5 6 7 8 9 10 11",
    "+" + "1" * 40,
    "N40.71 W74.01",
    "N 40 W 74, moving N 12.5 kt",
    "Auf dem Alexanderplatz 12 Grad",
    "Hauptstra\u00dfe 12 cm Schnee",
    "Spring 2026, during 10 days",
    "In Berlin 12 Grad, auf Platz 3 der Liste",
    "Route 66 and 3 place settings",
    "12 rue the day",
    "La route de 12 km",
    "4 Lake St. Clair buoys",
]


@pytest.mark.parametrize(("text", "clean", "counts"), FOUND)
def test_personal_data_is_replaced_and_counted(text, clean, counts):
    assert scrub(text) == (clean, counts)


@pytest.mark.parametrize("text", SURVIVES)
def test_weather_figures_codes_and_plain_talk_survive(text):
    assert scrub(text) == (text, {})


def test_the_tables_hold_at_least_40_finds_and_60_survivors():
    assert len(FOUND) >= 40
    assert len(SURVIVES) >= 60
    assert {kind for _, _, counts in FOUND for kind in counts} == {
        "address", "card", "coordinates", "email", "ip", "name", "phone", "secret", "ssn", "url", "zip"
    }  # fmt: skip


@pytest.mark.parametrize("text", [row[0] for row in FOUND] + SURVIVES)
def test_scrubbed_text_is_left_alone(text):
    clean, _ = scrub(text)
    assert scrub(clean) == (clean, {})


PIECES = st.sampled_from(
    [row[0] for row in FOUND]
    + SURVIVES
    + [" ", "", "-", ".", "@", "my name is ", "I'm ", " calling from ", "1", "4111", "[", "]", "(", ")", ":", "+", "°"]
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(PIECES, max_size=6), st.sampled_from(["", " ", "\n", "-"]))
def test_scrubbing_twice_is_scrubbing_once(pieces, glue):
    clean, _ = scrub(glue.join(pieces))
    assert scrub(clean) == (clean, {})


@settings(max_examples=examples(200), deadline=None)
@given(st.text(alphabet="0123456789 .-+:()@axSt\n", max_size=60))
def test_any_row_of_digits_and_marks_is_scrubbed_once(text):
    clean, _ = scrub(text)
    assert scrub(clean) == (clean, {})


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-50, 120), st.sampled_from([29.92, 0.25, 40.3971]), PIECES)
KEYS = st.sampled_from(
    ["high_f", "location", "lat", "phone", "note", "ada@example.org", "bob@example.org", "coordinates"]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


@settings(max_examples=examples(200), deadline=None)
@given(VALUES)
def test_json_stays_json_of_the_same_shape_and_is_scrubbed_once(value):
    clean, _ = scrub_json(value)
    assert scrub_json(clean) == (clean, {})
    assert json.loads(json.dumps(clean)) == clean
    assert shape(clean) == shape(value)


def shape(value):
    if isinstance(value, dict):
        return [shape(item) for item in value.values() if isinstance(item, dict | list)], len(value)
    return [shape(item) for item in value if isinstance(item, dict | list)] if isinstance(value, list) else None


def test_figures_of_the_weather_survive_in_json_and_positions_are_rounded():
    result = {"lat": 40.39713, "longitude": "-91.38485", "high_f": 74, "wind_mph": 7.125, "pressure": 29.921}
    assert scrub_json(result) == (
        {"lat": 40.4, "longitude": "-91.38", "high_f": 74, "wind_mph": 7.125, "pressure": 29.921},
        {"coordinates": 2},
    )


def test_a_key_condemns_its_value_whatever_it_looks_like():
    value = {"phone": 3195550142, "firstName": "Ada", "api_key": "x", "name": "Keokuk", "email": None, "cell": 12}
    clean, counts = scrub_json(value)
    assert clean == {
        "phone": "[phone]", "firstName": "[name]", "api_key": "[secret]", "name": "Keokuk", "email": None, "cell": 12
    }  # fmt: skip
    assert counts == {"name": 1, "phone": 1, "secret": 1}


def test_two_addresses_as_keys_stay_two_entries():
    clean, counts = scrub_json({"ada@example.org": 1, "bob@example.org": 2})
    assert clean == {"[email]": 1, "[email]~2": 2}
    assert counts == {"email": 2}


def test_a_result_without_a_find_is_kept_byte_for_byte():
    content = '{ "high_f":74.0,  "note": "caf\\u00e9" }'
    assert scrub_result(content) == (content, {})


def test_a_result_with_a_find_stays_valid_json_and_plain_text_is_scrubbed_as_text():
    clean, counts = scrub_result('{"high_f":74,"reporter":"ada@example.org"}')
    assert (clean, counts) == ('{"high_f":74,"reporter":"[email]"}', {"email": 1})
    assert scrub_result("Sunny, says ada@example.org") == ("Sunny, says [email]", {"email": 1})
    assert scrub_result("[" * 100_000) == ("[" * 100_000, {})


def test_names_given_elsewhere_are_removed_unless_they_stand_as_a_place():
    assert introduced_names("Hello, my name is Paris Quill.") == ("Paris Quill", "Paris", "Quill")
    text = "Well, Paris, it will rain in Paris and at Paris, Quill."
    assert scrub(text, ("Paris Quill", "Paris", "Quill")) == (
        "Well, [name], it will rain in Paris and at Paris, [name].",
        {"name": 2},
    )


def test_a_name_that_is_also_a_month_or_the_sky_is_removed_only_where_it_is_given():
    assert scrub("My name is May. Rain in May? May I go?")[0] == "My name is [name]. Rain in May? May I go?"


def test_a_shouted_line_loses_one_word_as_the_name():
    assert scrub("MY NAME IS ADA AND IT RAINS")[0] == "MY NAME IS [name] AND IT RAINS"


def test_a_bots_own_introduction_may_stay():
    assert scrub("My name is Stormy.", introductions=False) == ("My name is Stormy.", {})


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["a" * 200_000, "1" * 200_000, "1 " * 100_000, "1.234 " + " " * 200_000, "+1 " * 60_000, "my name is " * 20_000,
     "http://" * 30_000, "4111 " * 40_000, "a.b@" * 50_000, "12 main " * 25_000, "::" * 100_000,
     f"+{'1' * 40}x " * 4_600, "12 rue de la " * 15_000, "Hauptstr" * 25_000, "N40.1234 " * 22_000],
)  # fmt: skip
def test_hostile_text_is_scrubbed_to_an_end(text):
    """A quadratic rule takes hours on 200,000 characters; these take 0.1 to 2.3 s."""
    clean, _ = scrub(text)
    assert scrub(clean) == (clean, {})
