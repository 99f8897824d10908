"""The figures of a dialogue's text, read for their exact values (twainbot/dialogues/figures.py)."""

from __future__ import annotations

import pytest

from twainbot.dialogues import figures


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("ſeventy degrees", [(70, "degrees", 0)]),
        ("sıxty-ſix degreeſ", [(66, "degrees", 0)]),
        ("near seventy\u2011one degrees", [(71, "degrees", 5)]),
        ("near seventy\u2010one degrees", [(71, "degrees", 5)]),
        ("near seventy\u2013one degrees", [(71, "degrees", 5)]),
        ("60\u201370 degrees", [(60, "", 0), (70, "degrees", 3)]),
        ("sixty\u2013seventy degrees", [(60, "", 0), (70, "degrees", 6)]),
    ],
)
def test_letters_and_hyphens_that_look_alike_spell_the_same_number(text, read):
    assert [(figure.value, figure.unit, figure.start) for figure in figures.read(text)] == read
