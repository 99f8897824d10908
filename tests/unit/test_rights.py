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
        ("used with permission of the author", "unknown"),  # permission is declared; words of a licence only claim it
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


@pytest.mark.parametrize(
    "licence",
    [
        "Alle Rechte vorbehalten. Nachdruck nur mit Genehmigung",  # "mit" is German for "with"
        "Tous droits r\u00e9serv\u00e9s",
        "only with permission of the publisher",
        "This text is not in the public domain",
        "CC BY NC 4.0",
        "CC BY NC ND",
        "CC BY (non commercial)",
        "CC-BY-SA-NC",
        "Attribution-No-Derivatives CC BY",
        "CC BY 4.0 except where noted",
        "CC0-1.0; no derivatives",
        "unclear: CC BY 4.0 / CC BY-NC-ND 3.0",
        "https://creativecommons.org/licenses/by-nc/4.0/",
    ],
)
def test_a_fragment_of_a_free_licence_frees_nothing_and_a_reserving_word_restricts(licence):
    assert rights.reserves(licence)
    assert rights.resolve("jokes", "open_license", licence) == "restricted"


@pytest.mark.parametrize(
    "licence",
    [
        "mit", "MIT License", "CC BY-SA 4.0", "CC0 1.0", "Apache-2.0", "GFDL-1.3-only", "MIT OR Apache-2.0",
        "Public domain", "https://creativecommons.org/licenses/by/4.0/deed.de", "PD-USGov / CC0-1.0",
    ],
)  # fmt: skip
def test_a_licence_that_is_known_word_for_word_frees(licence):
    assert rights.trainable(rights.rights_of_licence(licence))


@pytest.mark.parametrize(
    "licence", ["mit freundlichen Gruessen", "CC BY my leave", "MIT or something", "open data", "x" * 400 + "; MIT"]
)
def test_a_licence_that_only_begins_like_one_stays_unknown(licence):
    assert rights.rights_of_licence(licence) == "unknown"


def test_the_licence_that_we_stamp_on_every_gutenberg_book_frees_none():
    # The header says nothing, or is Project Gutenberg Australia's: neither frees, and the sidecar is our own word.
    assert rights.resolve("gutenberg", "", "Project Gutenberg License", "unknown") == "unknown"
    assert rights.resolve("gutenberg", "", "Project Gutenberg License", "public_domain_us") == "public_domain_us"
    assert rights.resolve("gutenberg", "public_domain_us", "Project Gutenberg License") == "public_domain_us"


def test_a_bare_copyright_notice_yields_to_a_declaration_and_alone_restricts():
    notice = "Copyright 2026 The Gazette"
    assert (rights.reserves(notice), rights.notices(notice)) == (False, True)
    assert rights.resolve("satire", "cc0", notice) == "cc0"
    assert rights.resolve("satire", "", notice) == "restricted"
    assert rights.resolve("satire", "cc0", f"{notice}. All rights reserved.") == "restricted"


def test_permission_has_to_be_declared():
    assert rights.resolve("jokes", "", "by letter, with permission of the author") == "unknown"
    assert rights.resolve("jokes", "permission", "by letter, with permission of the author") == "permission"
