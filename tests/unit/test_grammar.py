"""The grammar engine on small grammars written here, then the shipped grammars as a whole."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot import personas
from twainbot.dialogues import figures, grammar, pieces, weather
from twainbot.errors import BadConfig
from twainbot.evals.claims import assertions

PIECES = ("piece_twain", "piece_franklin", "piece_satirist")
SHIPPED = ("questions", "twain", "franklin", "satirist", "chat", "transfer", "bulletin", *PIECES)


def built(text: str, **more: str) -> grammar.Grammar:
    return grammar.build("g", {"g": text, **more})


def expansions(made: grammar.Grammar, rule: str, context: dict[str, str], draws: int = 200) -> set[str]:
    return {made.expand(rule, context, random.Random(seed)) for seed in range(draws)}


def test_a_rule_yields_exactly_its_lines_with_choices_and_slots_filled():
    made = built("slots: town\nsay: |\n  <Hot|Cold> in {town}.\n  {town}!\n")
    assert expansions(made, "say", {"town": "Reno"}) == {"Hot in Reno.", "Cold in Reno.", "Reno!"}


def test_a_weight_of_nine_takes_nine_tenths_of_the_draws():
    made = built("say: |\n  9* a\n  b\n")
    rng = random.Random(0)
    drawn = [made.expand("say", {}, rng) for _ in range(1000)]
    assert 860 <= drawn.count("A") <= 940  # mean 900, standard deviation 9.5; four of them are 38


def test_a_keyed_mention_takes_the_rule_of_that_key_or_the_other_one():
    made = built("slots: sky\nsay: |\n  {of@sky}\nof@rain: |\n  wet\nof@other: |\n  fine\n")
    assert made.expand("say", {"sky": "rain"}, random.Random(1)) == "Wet"
    assert made.expand("say", {"sky": "fog"}, random.Random(1)) == "Fine"


def test_included_rules_are_there_and_the_including_file_wins():
    made = built("include: [base]\nb: |\n  mine\n", base="slots: x\na: |\n  {b}\nb: |\n  theirs {x}\n")
    assert made.expand("a", {}, random.Random(1)) == "Mine"


def test_rules_may_recurse_as_long_as_there_is_a_way_out():
    made = built("very: |\n  very {very}\n  3* tall\n")
    assert all(text.endswith("tall") for text in (made.expand("very", {}, random.Random(s)).lower() for s in range(20)))
    with pytest.raises(BadConfig, match="nests deeper"):
        built("loop: |\n  {loop}\n").expand("loop", {}, random.Random(1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("say: |\n  {nowhere}\n", "neither rule nor slot"),
        ("say: |\n  <a|b\n", "has no '>'"),
        ("say: |\n  {not a slot}\n", "no slot can be read"),
        ("slots: x\nsay: |\n  {x|shout}\n", "unknown filters"),
        ("include: [gone]\nsay: |\n  a\n", "no grammar 'gone'"),
        ("- a\n- b\n", "must map rules"),
        ("say: ''\n", "has no line"),
    ],
)
def test_a_broken_grammar_is_refused_with_the_reason(text, said):
    with pytest.raises(BadConfig, match=said):
        built(text)


def test_an_unfilled_slot_is_named():
    with pytest.raises(BadConfig, match="'town'"):
        built("slots: town\nsay: |\n  {town}\n").expand("say", {}, random.Random(1))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("80", "an 80"),
        ("8", "an 8"),
        ("11", "an 11"),
        ("18", "an 18"),
        ("1", "a 1"),
        ("110", "a 110"),
        ("east", "an east"),
        ("5%", "a 5%"),
        ("one-eyed cooper", "a one-eyed cooper"),
        ("hour", "an hour"),
        ("honorary chairman", "an honorary chairman"),
    ],
)
def test_the_article_goes_by_sound(word, expected):
    assert grammar.article(word) == expected


def test_a_possessive_after_s_takes_the_apostrophe_alone():
    assert (grammar.possessive("Reno"), grammar.possessive("Los Angeles")) == ("Reno's", "Los Angeles'")


def test_a_capital_follows_a_sentence_but_not_a_question_that_somebody_asks():
    assert grammar.tidy('"fine." he went. so it was') == '"fine." He went. So it was'
    assert grammar.tidy('"Well?" said he. he left') == '"Well?" said he. He left'


@given(st.text(alphabet="ab .,!?", max_size=40))
def test_tidying_twice_changes_nothing_more(text):
    assert grammar.tidy(grammar.tidy(text)) == grammar.tidy(text)


def test_equal_seeds_give_equal_words():
    chat = grammar.load("chat")
    words = {"persona": "twain", "topic": "joke"}
    assert chat.expand("reply", words, random.Random(5)) == chat.expand("reply", words, random.Random(5))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_grammar_loads_and_checks(name):
    assert len(grammar.load(name).rules) > 10


def test_the_weather_call_is_asked_for_in_at_least_120_distinct_frames():
    rules = grammar.load("questions").rules
    frames = {line for rule, lines in rules.items() if rule.startswith(("q@", "now@", "casual@")) for line in lines}
    assert len(frames) >= 120


@pytest.mark.parametrize("persona", ["twain", "franklin", "satirist"])
def test_no_opening_or_closing_of_a_persona_holds_a_number(persona):
    made = grammar.load(persona)
    context = {"town": "Reno", "when": "tomorrow", "alert": "Wind Advisory"}
    rules = [name for name in made.rules if name.startswith(("open", "close_", "coda", "thanks", "which_", "sorry"))]
    said = {text for rule in rules for text in expansions(made, rule, context, 60)}
    assert len(said) > 100
    assert [text for text in said if figures.read(text)] == []


@pytest.mark.parametrize("persona", ["twain", "franklin", "satirist"])
def test_each_persona_has_words_for_each_kind_of_sky_band_and_failure(persona):
    made = grammar.load(persona)
    kinds = {"sunny", "clear", "partly", "cloudy", "nightcloud", "rain", "storm", "snow", "sleet", "fog", "windy"}
    assert set(made.family("close_sky")) == kinds
    assert set(made.family("close_band")) == {"hot", "warm", "mild", "cool", "cold", "night"}
    assert set(made.family("failed")) == {"unknown_location", "service_unavailable", "timeout", "no_data_for_date"}


@pytest.mark.parametrize("name", PIECES)
def test_each_pieces_grammar_has_every_device_for_every_sky_and_an_opening_and_a_close_for_every_tone(name):
    made = grammar.load(name)
    kinds = {kind for kind, _ in pieces._KINDS} | {"clear", "nightcloud", "hot", "cold"}
    for device in ("tall", "wry", "maxim", "head"):
        assert set(made.family(device)) == kinds, device
    assert set(made.family("open")) == set(made.family("close")) == set(pieces.TONES)
    assert set(made.family("point")) == set(personas.of("twain").devices)
    assert set(made.family("news")) == set(made.family("piece")) == set(pieces.LENGTHS)


def test_the_people_of_the_personas_hold_no_number_and_no_word_of_the_sky():
    # a sentence with one would count as a claim, or as a fact with no voice
    made = grammar.load("people")
    said = {text for rule in made.rules for text in expansions(made, rule, {"persona": "twain"}, 60)}
    assert len(said) > 400
    assert [text for text in said if figures.read(text) or assertions(text)] == []
    assert [text for text in said if any(sky in text.lower() for sky in weather.CONDITIONS)] == []


def test_small_talk_has_an_answer_to_every_topic_it_asks_about():
    chat = grammar.load("chat")
    assert chat.family("ask") == chat.family("say")
