"""Feedback by rule: scores spread over a batch, and each planted flaw costs on its own axis."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import polars as pl
import pytest

from twainbot.dialogues import feedback, preferences, rows, seeds, talk
from twainbot.evals.tool_calls import parse_calls
from twainbot.records import DIALOGUE, frame

NO_PASSAGES = pl.DataFrame(schema={"chunk_id": pl.String, "style": pl.String, "text": pl.String})
AXIS = {  # flaw -> the axis on which the rejected reply must lose, and by how much on average
    "wrong_number": ("factuality", 2.0),
    "invented_alert": ("factuality", 2.0),
    "swapped_high_low": ("factuality", 2.0),
    "forecast_despite_failure": ("factuality", 2.0),
    "flat_voice": ("style", 1.0),
    "raw_data": ("style", 1.0),
    "off_persona": ("style", 0.5),
    "over_long": ("style", 0.4),
}


@pytest.fixture(scope="module")
def batch() -> tuple[pl.DataFrame, pl.DataFrame]:
    wanted = seeds.DialogueSettings(tool_calls=150, style_transfer=0, contrastive=140)
    frozen = seeds.make_seeds(NO_PASSAGES, "b0", wanted, 8)
    dialogues = talk.tool_calls(frozen)
    return dialogues, preferences.contrastive(frozen, dialogues)


@pytest.fixture(scope="module")
def rated(batch: tuple[pl.DataFrame, pl.DataFrame]) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Ratings of the chosen and the rejected reply of each pair, by flaw."""
    dialogues, pairs = batch
    parents = {row["conversation_id"]: row for row in dialogues.to_dicts()}
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = defaultdict(list)
    for pair in pairs.to_dicts():
        if parse_calls(pair["chosen"])[0]:
            continue
        ends = [
            {**parents[pair["seed_id"]], "turns": [*pair["prompt"], rows.turn("assistant", pair[side])]}
            for side in ("chosen", "rejected")
        ]
        chosen, rejected = feedback.feedback(frame(ends, DIALOGUE)).to_dicts()
        found[pair["flaw"]].append((chosen, rejected))
    return found


@pytest.mark.slow
def test_scores_spread_over_the_scale(batch):
    scores = feedback.feedback(batch[0])
    for axis in ("style", "humor"):
        shares = scores[axis].value_counts(normalize=True)
        assert shares.height == 5, axis
        assert shares["proportion"].max() < 0.6, axis


@pytest.mark.slow
def test_each_planted_flaw_costs_on_its_own_axis(rated):
    for flaw, (axis, gap) in AXIS.items():
        pairs = rated[flaw]
        assert len(pairs) >= 5, flaw
        mean = sum(chosen[axis] - rejected[axis] for chosen, rejected in pairs) / len(pairs)
        assert mean >= gap, (flaw, mean)
        assert axis == "style" or {rejected[axis] for _, rejected in pairs} == {1}, flaw


def test_the_rationale_names_what_was_found(rated):
    assert all("ungrounded_number" in rejected["rationale"] for _, rejected in rated["wrong_number"])
    assert any("help desk" in rejected["rationale"] for _, rejected in rated["off_persona"])
    assert any("more than" in rejected["rationale"] for _, rejected in rated["over_long"])


def piece(reply: str, bulletin: str) -> pl.DataFrame:
    asked = f'Alder Bend, MO, Saturday: "{bulletin}" As Mark Twain would, please.'
    row = {
        "conversation_id": "t/0", "kind": "style_transfer", "scenario": "style_transfer", "tools": "[]",
        "turns": [rows.turn("user", asked), rows.turn("assistant", reply)],
        "style_tags": ["twain", "style_transfer", "bulletin"], "seed_id": "t/0", "origin": "{}", "disclaimer": "x",
    }  # fmt: skip
    return frame([row], DIALOGUE)


@pytest.mark.parametrize(
    "bulletin", ["Sunny. Highs around 71. West winds 10 mph.", "SUNNY. HIGHS AROUND 71. WEST WINDS 10 MPH."]
)
def test_a_piece_is_held_to_the_bulletin_that_its_user_quoted(bulletin):
    sound = (
        "I asked the mule. Alder Bend will be sunny on Saturday, with a high of 71 degrees and a west wind at 10 mph."
    )
    wrong_sky = sound.replace("will be sunny", "will have snow")
    wrong_figure = sound.replace("71", "88")
    scores = [feedback.feedback(piece(reply, bulletin))["factuality"][0] for reply in (sound, wrong_sky, wrong_figure)]
    assert scores == [5, 1, 1]
