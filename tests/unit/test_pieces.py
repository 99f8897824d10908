"""Pieces about bulletins: what is said stands in them, controls show, seeds give equal bytes, voices keep their share."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import product

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot import personas
from twainbot.dialogues import figures, grammar, pieces, quality, rows, seeds, transfer
from twainbot.dialogues.observations import Observation
from twainbot.dialogues.tools import FORECAST_TOOL
from twainbot.evals import grounding

SKIES = (  # condition, what the bulletin says of it, high, low, chance, wind, direction
    ("sunny", "Sunny. Highs around 71. South winds 5 to 10 mph.", 71, None, None, 10, "S"),
    ("mostly clear and cool", "Mostly clear and cool. Lows around 44.", None, 44, None, None, None),
    (
        "rain, ending by noon",
        "Rain, ending by noon. Highs around 55. Chance of rain 80 percent.",
        55,
        None,
        80,
        None,
        None,
    ),
    ("flurries", "Flurries. Lows around 4 below zero. West winds 15 mph.", None, -4, None, 15, "W"),
    ("dense fog", "Dense fog. Highs near 39. Light winds.", 39, None, None, None, None),
    (
        "partly sunny",
        "Partly sunny with a 40 percent chance of thunderstorms. Highs near 91.",
        91,
        None,
        40,
        None,
        None,
    ),
    ("cloudy", "CLOUDY. HIGHS AROUND 50. A 30 PERCENT CHANCE OF LIGHT SNOW.", 50, None, 30, None, None),
    (
        "freezing drizzle",
        "Freezing drizzle. Highs 28 to 33. Chance of precipitation 60 percent.",
        31,
        None,
        60,
        None,
        None,
    ),
    ("windy", "Windy. Highs around 62. Northwest winds 25 to 35 mph.", 62, None, None, 35, "NW"),
    ("thunderstorms likely", "Thunderstorms likely. Highs near 84. East winds 10 mph.", 84, None, None, 10, "E"),
)
PASSAGES = pl.DataFrame(
    {
        "chunk_id": ["jokes/a:0-80", "local/b:0-60"],
        "style": ["joke", "franklin"],
        "text": [
            "Why did the mule cross the river? Because the ferry was closed and nobody told him.",
            "A man who lends tools makes rust his heir.",
        ],
    }
)


def seen(at: int = 0, *, town: str = "Alder Bend", period: str = "Saturday") -> Observation:
    condition, text, high, low, chance, wind, direction = SKIES[at]
    issued = date(2026, 5, 1)
    return Observation(
        f"weather/w{at}:0-90", f"weather/w{at}", town, "MO", issued, issued + timedelta(days=1), period, condition,
        high, low, chance, wind, direction, text,
    )  # fmt: skip


ALL = [seen(at, town=town) for at in range(len(SKIES)) for town in ("Alder Bend", "Mill Fork", "Quarry", "Nine Oaks")]
CONTROLS = [
    {"persona": persona, "device": device, "tone": tone, "length": length}
    for persona, each in personas.shipped().items()
    for device, tone, length in product(each.devices, pieces.TONES, pieces.LENGTHS)
]


def written(count: int, seed: int = 3, **changes: object) -> pl.DataFrame:
    wanted = seeds.DialogueSettings(**{"tool_calls": 0, "contrastive": 0, "style_transfer": count, **changes})  # type: ignore[arg-type]
    return transfer.style_transfer(seeds.make_seeds(PASSAGES, "b0", wanted, seed, ALL))


def told(rows_: pl.DataFrame) -> list[str]:
    return [quality.replies(row)[0] for row in rows_.to_dicts()]


@pytest.mark.slow
@pytest.mark.parametrize("at", range(len(SKIES)), ids=[sky[0] for sky in SKIES])
def test_every_persona_device_tone_and_length_tells_any_sky_without_an_unfounded_claim(at):
    observation = seen(at, period="Saturday Night" if SKIES[at][3] is not None else "Saturday")
    for number, controls in enumerate(CONTROLS[at % 5 :: 5]):  # each sky a fifth of the 108
        rng = random.Random(number)
        asked, reply = pieces.request(observation, controls, rng), pieces.piece(observation, controls, rng)
        claims = grounding.judge(reply, [pieces.as_result(observation)])
        assert [claim for claim in claims if claim.verdict in grounding.ERRORS] == [], reply
        assert any(claim.verdict == grounding.SUPPORTED for claim in claims), reply
        row = {"kind": "style_transfer", "turns": [rows.turn("user", asked), rows.turn("assistant", reply)]}
        assert quality.problems(row, FORECAST_TOOL) == []


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, len(SKIES) - 1), st.sampled_from(CONTROLS), st.integers(0, 2**31))
def test_every_figure_of_a_piece_stands_in_the_bulletin(at, controls, seed):
    observation = seen(at)
    reply = pieces.piece(observation, controls, random.Random(seed))
    said = {figure.value for figure in figures.read(observation.text)}
    assert {figure.value for figure in figures.read(reply)} <= said


def test_a_midpoint_that_a_reader_computed_is_never_spoken():
    sleet = seen(7)  # "Highs 28 to 33", read as 31
    assert pieces.stated(sleet, "high_f") is None
    replies = [pieces.piece(sleet, controls, random.Random(1)) for controls in CONTROLS[::5]]
    assert not any("31" in reply or "thirty-one" in reply for reply in replies)


def test_a_temperature_given_by_its_decade_is_told_by_its_decade():
    mild = Observation(**{**seen(0).__dict__, "text": "Sunny. Highs in the mid 70s.", "high_f": 75, "wind_mph": None})
    assert pieces.fit(mild)
    for controls in CONTROLS[::9]:
        reply = pieces.piece(mild, controls, random.Random(5))
        assert "in the mid 70s" in reply
        assert "75" not in reply


def test_the_user_quotes_the_bulletin_and_names_place_master_device_and_length():
    controls = {"persona": "franklin", "device": "aphorism", "tone": "dry", "length": "line"}
    asked = [pieces.request(seen(0), controls, random.Random(seed)) for seed in range(60)]
    assert all(SKIES[0][1] in text and "Alder Bend, MO" in text for text in asked)
    assert all(re.search("Franklin|printer", text) for text in asked)
    assert all(re.search("maxim|aphorism|moral|saying|proverb", text, re.IGNORECASE) for text in asked)
    assert len(set(asked)) > 55


def test_a_line_is_shorter_than_a_short_piece_and_that_shorter_than_a_full_one():
    def mean_words(length: str) -> float:
        made = [
            pieces.piece(seen(at), controls, random.Random(at))
            for at in (0, 2, 6)
            for controls in CONTROLS
            if controls["length"] == length and controls["tone"] == "dry"
        ]
        return sum(len(reply.split()) for reply in made) / len(made)

    line, short, full = (mean_words(length) for length in ("line", "short", "full"))
    assert line + 5 < short < full - 5


def test_mock_news_has_a_headline_in_capitals():
    for persona in personas.shipped():
        controls = {"persona": persona, "device": "mock_news", "tone": "dry", "length": "short"}
        head = pieces.piece(seen(0), controls, random.Random(2)).split(". ")[0]
        assert head == head.upper()
        assert "ALDER BEND" in head


def test_no_line_of_the_grammars_states_a_number_of_its_own():
    def literals(template: grammar.Template) -> Iterator[str]:
        for node in template:
            if isinstance(node, str):
                yield node
            elif isinstance(node, grammar.Choice):
                for option in node.options:
                    yield from literals(option)

    for name in ("piece_twain", "piece_franklin", "piece_satirist", "figures"):
        for rule, lines in grammar.load(name).rules.items():
            for text in (text for line in lines for text in literals(line.template)):
                assert figures.read(text) == [], (name, rule, text)


@settings(max_examples=examples(4), deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_row_n_is_the_same_however_many_rows_there_are(seed, count):
    few, many = written(count, seed), written(count + 6, seed)
    assert few.equals(many.head(count))


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_pieces():
    first = written(12)
    assert first.equals(written(12))
    assert told(first) != told(written(12, seed=4))


def test_more_bulletins_after_the_freeze_change_nothing():
    wanted = seeds.DialogueSettings(tool_calls=0, contrastive=0, style_transfer=12)
    frozen = seeds.make_seeds(PASSAGES, "b0", wanted, 1, ALL[:8])
    again = transfer.style_transfer(frozen)
    assert again.equals(transfer.style_transfer(frozen))
    assert [json.loads(text)["seen"]["town"] for text in frozen["payload"] if "seen" in json.loads(text)] != []


def test_an_observation_survives_the_seed():
    assert pieces.thawed(json.loads(json.dumps(pieces.frozen(seen(3))))) == seen(3)


def test_no_piece_is_about_a_town_that_the_evaluation_keeps():
    wanted = seeds.DialogueSettings(tool_calls=0, contrastive=0, style_transfer=12, bulletin_share=1.0)
    kept, free = seen(0, town="Bowling Green"), seen(1, town="Quarry")
    made = seeds.make_seeds(PASSAGES, "b0", wanted, 3, [kept, free])
    told_of = {json.loads(text)["seen"]["town"] for text in made["payload"] if '"seen"' in text}
    assert told_of == {"Quarry"}


def test_bulletins_and_retellings_take_turns_by_the_share_asked_for():
    forms = Counter(row["style_tags"][2] for row in written(20, bulletin_share=0.75).to_dicts())
    assert forms["bulletin"] == 15  # 0.75 x 20; the five others are 2 lines of which each may serve three times
    assert sum(forms.values()) == 20


@pytest.fixture(scope="module")
def everything() -> pl.DataFrame:
    """As many pieces as there is stuff for: 40 periods six times and two lines three times."""
    return written(1000)


@pytest.mark.slow
def test_what_is_used_up_leaves_its_turns_to_the_other_and_no_period_serves_more_than_six_times(everything):
    forms = Counter(row["style_tags"][2] == "bulletin" for row in everything.to_dicts())
    assert forms == {True: len(ALL) * seeds.PERIOD_USES, False: 2 * seeds.LINE_USES}


def test_a_piece_names_its_bulletins_passage_as_parent_and_its_controls_as_tags():
    row = next(row for row in written(10).to_dicts() if row["style_tags"][2] == "bulletin")
    persona, scenario, form, device, tone, length = row["style_tags"]
    assert (scenario, form) == ("style_transfer", "bulletin")
    assert device in personas.of(persona).devices
    assert tone in pieces.TONES
    assert length in pieces.LENGTHS
    assert json.loads(row["origin"])["parents"][0].startswith("weather/w")


def test_pieces_seldom_repeat_each_other(everything):
    replies = told(everything)
    assert len(quality.near_duplicates(replies)) <= 0.02 * len(replies)
    words = [quality.words_of(reply) for reply in replies]
    grams = [tuple(reply[at : at + 3]) for reply in words for at in range(len(reply) - 2)]
    assert len(set(grams)) / len(grams) > 0.45  # 0.28 before pieces, over the same number of retold lines


def test_no_voice_drowns_the_others():
    weights = {"twain": 0.4, "franklin": 0.3, "satirist": 0.3}
    report = transfer.voices(written(150, personas=weights), weights)
    assert [row["persona"] for row in report] == list(weights)
    for row in report:
        # 150 draws at 0.3: standard deviation 0.037
        assert abs(row["share"] - row["weight"]) < 0.13
        assert abs(row["word_share"] - row["share"]) < 0.1
    assert sum(row["dialogues"] for row in report) == 150


def test_without_dialogues_every_voice_has_no_share():
    report = transfer.voices(written(1).clear(), {"twain": 1.0})
    assert report == [
        {"persona": "twain", "weight": 1.0, "dialogues": 0, "share": 0.0, "word_share": 0.0, "mean_words": 0.0}
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"condition": "variable"}, "no sky that the grammars know"),
        (
            {"text": "Rain. Highs from 55 to 61.", "condition": "rain", "high_f": 58, "wind_mph": None},
            "no stated figure",
        ),
        ({"text": "Sunny, 71. " * 40}, "too long"),
    ],
)
def test_a_period_that_no_piece_can_be_made_of_is_left_out(changes, why):
    odd = Observation(**{**seen(0).__dict__, **changes})
    assert not pieces.fit(odd), why


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (17, "seventeen"),
        (40, "forty"),
        (82, "eighty-two"),
        (100, "one hundred"),
        (104, "one hundred and four"),
    ],
)
def test_figures_in_words_read_back_as_the_figure(value, words):
    assert pieces.spelled_out(value) == words
    assert [figure.value for figure in figures.read(f"{words} degrees")] == [value]


@pytest.mark.parametrize(
    ("period", "phrase"),
    [("Saturday", "on Saturday"), ("Monday Night", "on Monday night"), ("Rest Of Today", "for the rest of today")],
)
def test_a_period_stands_in_a_sentence(period, phrase):
    assert pieces.when(period) == phrase


def test_a_dangling_condition_is_cut_at_its_last_whole_word():
    assert pieces.sky_words("mostly sunny in the morning, then") == "mostly sunny in the morning"
    assert pieces.sky_words("cloudy early...then clear") == "cloudy early, then clear"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A slight chance of thunderstorms after midnight. Lows around 76. Chance of rain 20 percent.", "rain"),
        ("Cloudy with a 20 percent chance of light snow, mainly in the afternoon.", "light snow"),
        ("A slight chance of snow showers. Chance of precipitation 20 percent.", "precipitation"),
        ("A chance of thunderstorms. Chance of snow or rain near 20 percent.", "snow or rain"),
    ],
)
def test_a_chance_is_of_what_stands_beside_its_figure(text, said):
    assert pieces.chance_of(replace(ALL[0], text=text, precipitation_chance=20)) == said
