"""What became of every unit, and which rights stand behind which uses."""

from __future__ import annotations

import itertools

import polars as pl
import pytest

from tests import builders as make
from twainbot.corpora.inventory import audit, matrix, matrix_lines
from twainbot.corpora.rights import SOURCE_DEFAULTS, USES, ruling, trainable
from twainbot.records import AUDIT, RIGHTS, RIGHTS_LINE


def rows(table: pl.DataFrame) -> dict[tuple[str, str], dict]:
    return {(row["source"], row["unit"]): row for row in table.to_dicts()}


def test_each_unit_is_told_with_works_rejects_and_reasons():
    works = make.works(
        make.work("tales/a", text="It rained."),
        make.work("tales/b", text="", reject_reason="empty", warnings=["short_text=3"]),
        make.work("notes/a", text="", reject_reason="malformed_json (line 2)"),
    )
    found = rows(audit(works, {"local": ["notes", "tales"]}, {}))
    tales = found[("local", "tales")]
    assert (tales["state"], tales["works"], tales["rejects"], tales["characters"]) == ("works", 1, 1, len("It rained."))
    assert (tales["reasons"], tales["warnings"]) == (["empty"], ["short_text=3"])
    assert found[("local", "notes")]["state"] == "rejected"


def test_a_registered_unit_without_a_file_and_a_thing_not_taken_are_told_too():
    found = rows(audit(make.works().clear(), {"jokes": ["dry"]}, {"gutenberg": {"pg74": "not on the mirror"}}))
    assert found[("jokes", "dry")]["state"] == "no good version"
    assert (found[("gutenberg", "pg74")]["state"], found[("gutenberg", "pg74")]["reasons"]) == (
        "not taken",
        ["not on the mirror"],
    )
    assert audit(make.works().clear(), {}, {}).schema == pl.Schema(AUDIT)


def test_the_matrix_counts_usable_works_by_right_licence_and_rule():
    works = make.works(
        make.work("a/1"), make.work("a/2"), make.work("a/3", text="", reject_reason="empty"),
        make.work("a/4", rights="unknown", license="unknown", rights_claim="none", rights_rule="nobody_knows"),
    )  # fmt: skip
    found = matrix(works)
    assert found.schema == pl.Schema(RIGHTS_LINE)
    assert found.select("rights", "works", "train").rows() == [("cc0", 2, "yes"), ("unknown", 1, "no")]
    assert matrix_lines(found.to_dicts())[0] == (
        "local", 2, "CC0-1.0", "cc0", "declared: declared by whoever listed it", "yes",
    )  # fmt: skip
    assert matrix(works.clear()).height == 0


@pytest.mark.parametrize("rights", RIGHTS)
def test_only_trainable_rights_allow_training(rights):
    assert (USES[rights]["train"] == "yes") is trainable(rights)


def test_every_ruling_names_who_claims_it_and_the_rule():
    licences = ("", "CC0-1.0", "MIT", "CC BY-NC", "unclear", "whatever")
    for source, declared, licence, header in itertools.product(
        SOURCE_DEFAULTS, ("", *RIGHTS), licences, ("unknown", "public_domain_us", "restricted")
    ):
        found = ruling(source, declared, licence, header)
        assert found.rights in RIGHTS
        assert found.claim in ("header", "licence", "declared", "source", "none")
        assert found.rule
        assert (found.claim == "none") <= (found.rights == "unknown")


@pytest.mark.parametrize(
    ("evidence", "claim", "rule"),
    [
        (("gutenberg", "cc0", "", "restricted"), "header", "header_restricts"),
        (("jokes", "open_license", "CC BY-NC 4.0", "unknown"), "licence", "licence_reserves"),
        (("local", "permission", "", "unknown"), "declared", "declared_by_whoever_listed_it"),
        (("gutenberg", "", "", "public_domain_us"), "header", "header_frees"),
        (("gutenberg", "public_domain_us", "", "unknown", "catalogue"), "catalogue", "catalogue_record_frees"),
        (("jokes", "", "MIT", "unknown"), "licence", "licence_is_open"),
        (("weather", "", "", "unknown"), "source", "works_of_this_source_are_free"),
        (("jokes", "", "unclear: scraped", "unknown"), "licence", "licence_is_unclear"),
        (("jokes", "", "", "unknown"), "none", "nobody_knows"),
    ],
)
def test_the_strictest_evidence_decides_and_is_named(evidence, claim, rule):
    found = ruling(*evidence)
    assert (found.claim, found.rule) == (claim, rule)
