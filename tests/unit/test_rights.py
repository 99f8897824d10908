"""Evidence about rights, resolved to the closed vocabulary; the strictest evidence wins."""

from __future__ import annotations

import itertools

import pytest

from twainbot.corpora import rights
from twainbot.records import RIGHTS, TRAINABLE_RIGHTS


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0-1.0", "cc0"),
        ("MIT", "open_license"),
        ("BSD-3-Clause", "open_license"),
        ("CC BY 4.0", "open_license"),
        ("CC-BY-SA-4.0", "open_license"),
        ("CC BY-NC 4.0", "restricted"),
        ("CC-BY-ND", "restricted"),
        ("CC-BY-NC-ND 3.0", "restricted"),
        ("All rights reserved", "restricted"),
        ("Public domain in the USA; Project Gutenberg License (in the file)", "public_domain_us"),
        ("Public domain (US Government work)", "public_domain"),
        ("UNCLEAR: scraped; research use", "unknown"),
        ("used with permission of the author", "permission"),
        ("", "unknown"),
        ("see website", "unknown"),
    ],
)
def test_licence_wording_maps_to_rights(licence, expected):
    assert rights.rights_of_licence(licence) == expected


def test_every_combination_of_evidence_gives_one_of_the_known_rights():
    declared = ("", *RIGHTS)
    licences = ("", "CC0-1.0", "MIT", "CC BY-NC", "whatever")
    headers = ("unknown", "public_domain_us", "restricted")
    for combination in itertools.product(rights.SOURCE_DEFAULTS, declared, licences, headers):
        assert rights.resolve(*combination) in RIGHTS


@pytest.mark.parametrize("declared", ["", *TRAINABLE_RIGHTS])
def test_a_restricting_header_outweighs_every_declaration(declared):
    assert rights.resolve("gutenberg", declared, "CC0-1.0", "restricted") == "restricted"


def test_a_non_commercial_licence_outweighs_a_declaration_of_openness():
    assert rights.resolve("jokes", "open_license", "CC BY-NC 4.0") == "restricted"


def test_rights_declared_unknown_stay_unknown_under_a_free_licence():
    assert rights.resolve("local", "unknown", "CC0-1.0") == "unknown"


def test_a_header_answers_what_a_catalogue_left_unknown():
    assert rights.resolve("gutenberg", "unknown", "", "public_domain_us") == "public_domain_us"


def test_only_weather_is_free_without_any_evidence():
    free = {source for source in rights.SOURCE_DEFAULTS if rights.trainable(rights.resolve(source))}
    assert free == {"weather"}


@pytest.mark.parametrize("name", RIGHTS)
def test_unknown_and_restricted_works_never_train(name):
    assert rights.trainable(name) == (name not in ("unknown", "restricted"))
