"""Tags come from closed vocabularies, and each is explained by cues in view."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from twainbot.chunks.tags import TONES, TOPICS, WEATHER_SCALE, tag, weather_relevance
from twainbot.records import STYLES


@given(st.text(max_size=300), st.sampled_from(STYLES))
def test_every_text_gets_tags_of_the_closed_vocabulary(text, style):
    tags = tag(text, style)
    assert tags["tone"] in TONES
    assert tags["topic"] in TOPICS
    assert 0 <= tags["weather_relevance"] <= 1
    assert tags["humor_density"] >= 0
    assert tags["is_satire"] == (style == "satire")


def test_humor_density_is_cues_per_hundred_words():
    text = "laugh " * 2 + "plain " * 48  # 2 cues in 50 words
    assert tag(text, "twain")["humor_density"] == 4.0


def test_weather_relevance_reaches_63_percent_at_four_hits_per_hundred_words():
    text = "rain " * 4 + "plain " * 96
    assert WEATHER_SCALE == 4.0
    assert weather_relevance(text) == round(1 - math.exp(-1), 4) == 0.6321


def test_a_text_without_a_cue_is_neutral_general_and_irrelevant():
    tags = tag("Quite plain wording stands here.", "twain")
    assert (tags["tone"], tags["topic"], tags["weather_relevance"], tags["humor_density"]) == (
        "neutral",
        "general",
        0.0,
        0.0,
    )


def test_a_style_speaks_where_no_word_does():
    assert [tag("Plain.", style)["tone"] for style in ("weather_fact", "joke", "satire")] == [
        "factual", "humorous", "satirical",
    ]  # fmt: skip


def test_topics_follow_the_words():
    assert tag("The steamboat pilot read the river by night.", "twain")["topic"] == "river"
    assert tag("Rain and thunder tonight, then a clear and sunny sky.", "weather_fact")["topic"] == "weather"
    assert tag("The congress passed a tax and the governor won the election.", "satire")["topic"] == "politics"
    assert (
        tag("Diligence and frugality make an honest, wise man; idleness is a vice.", "franklin")["topic"] == "conduct"
    )


def test_a_cue_inside_another_word_does_not_count():
    assert weather_relevance("The train had a brainy grain dealer aboard") == 0.0
