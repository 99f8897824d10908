"""The rubric: three questions, five steps each, and a version that moves with the text."""

from __future__ import annotations

from twainbot.evals import rubric

PINNED = {
    1: "389d8003013d3370"
}  # a change of the text needs a new version here: ratings under the old one no longer count


def test_the_text_of_a_version_never_changes():
    loaded = rubric.load()
    assert PINNED[loaded.version] == loaded.digest
    assert loaded.label == f"rubric@{loaded.version}:{loaded.digest}"


def test_every_scale_says_what_each_of_its_five_scores_means():
    loaded = rubric.load()
    assert tuple(scale.name for scale in loaded.scales) == rubric.NAMES
    for scale in loaded.scales:
        assert list(scale.anchors) == [1, 2, 3, 4, 5]
        assert all(scale.anchors.values())
        assert scale.asks.endswith("?")


def test_the_judge_reads_every_anchor_that_people_read():
    loaded = rubric.load()
    assert all(
        f"{score}: {text}." in loaded.as_text() for scale in loaded.scales for score, text in scale.anchors.items()
    )
