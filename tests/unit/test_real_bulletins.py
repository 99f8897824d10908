"""Every real bulletin of the shared folder: parsed, or rejected for a reason that a person agreed with."""

from __future__ import annotations

import pytest

from twainbot.corpora.bulletins import parse_product, split_products
from twainbot.corpora.codelines import is_code

pytestmark = pytest.mark.shared

TESTS = {"TORILX.txt", "TSU_TSUWCA.txt"}  # a statewide drill (VTEC class T) and a communications test
TABLES = {"CLI", "LSR", "SFT", "RTP", "RVA", "RVD", "FWA", "HCM", "LCO", "MIS", "SMF", "ESF", "HYD"}
# Administrative and accident messages without a local time line.
TIMELESS = {"wwa_ADM.txt", "wwa_ADMNES.txt", "wwa_HMD.txt", "wwa_OAV.txt", "wwa_SPE.txt", "wwa_WRK.txt"}


@pytest.fixture(scope="module")
def products(shared_data):
    found = {}
    for path in sorted((shared_data / "nws" / "products").glob("*.txt")):
        (text,) = split_products(path.read_bytes())
        found[path.name] = parse_product(text)
    assert len(found) == 300
    return found


def test_every_product_has_its_identity(products):
    for name, product in products.items():
        assert product.wmo, name
        assert product.office, name
        assert product.awips, name
        assert product.title, name
    keys = {product.key for product in products.values()}
    assert len(keys) > 290  # a few files are one bulletin, edited by its collector, and keep its key


def test_only_tests_and_tables_are_rejected(products):
    for name, product in products.items():
        if product.reject_reason not in (None, "test_message"):
            assert (product.reject_reason, product.kind in TABLES) == ("tabular", True), name
    assert {name for name, product in products.items() if product.reject_reason == "test_message"} == TESTS


def test_every_product_with_a_time_line_has_its_instant(products):
    assert {name for name, product in products.items() if not product.issued_at} == TIMELESS
    assert all(product.issued_at[-6] in "+-" for product in products.values() if product.issued_at)


def test_prose_holds_no_code_and_no_control_character(products):
    for name, product in products.items():
        assert product.text or product.reject_reason, name
        assert not any(mark in product.text for mark in "\x01\x03\x1e\r"), name
        assert not any(is_code(line) for line in product.text.split("\n")), name
        assert "/O." not in product.text, name
        assert "LAT...LON" not in product.text, name


def test_prose_parses_to_itself(products):
    for name, product in products.items():
        assert parse_product(product.text).text == product.text, name


def test_every_zone_line_is_understood_to_its_purge_time(products):
    for name, product in products.items():
        assert not any(note.startswith(("malformed", "cut")) for note in product.notes), name
        for segment in product.segments:
            assert bool(segment.ugc) == bool(segment.expires) or product.kind == "SPE", name  # a zone in running text
            dated = segment.expires not in ("", "000000") and product.issued_at  # 000000: until further notice
            assert bool(segment.expires_at) == bool(dated), name


def test_climate_reports_name_place_and_extremes(products):
    reports = [product for product in products.values() if product.kind == "CLI"]
    facts = [fact for product in reports for fact in product.facts]
    assert len(facts) == len(reports) > 10
    assert all(fact["location"] and fact["low_f"] is not None for fact in facts)
    assert [fact["location"] for fact in facts if fact["high_f"] is None] == ["Missoula Mt"]  # MM, missing
    assert all(fact["low_f"] <= fact["high_f"] for fact in facts if fact["high_f"] is not None)


def test_tabular_forecasts_and_storm_reports_give_facts(products):
    assert len(products["SFTPQ2.txt"].facts) == 21  # three places, seven days
    assert products["SFTPQ2.txt"].facts[0]["location"] == "Koror"
    assert all(product.facts for product in products.values() if product.kind == "LSR")
