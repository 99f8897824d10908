"""What ties dialogues to places and bulletins, and what is held back because it would tie two splits together."""

from __future__ import annotations

import json

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.home import PROJECT
from tests import builders as make
from tests.examples import examples
from twainbot.dialogues import rows
from twainbot.records import HELD_BACK, SPLITS
from twainbot.splits.assign import assign
from twainbot.splits.export import dialogue_sample, place_name, places_of, samples, sft_rows
from twainbot.splits.leakage import leaks
from twainbot.splits.straddling import hold_back, straddling
from twainbot_assets.scorecards import split_counts


def table(*found: tuple[str, str | None, list[str] | None]) -> pl.DataFrame:
    """Samples by (id, home place, touched things)."""
    return pl.DataFrame(
        [
            {"sample_id": name, "kind": "dialogue", "cluster_id": None, "work_id": None, "seed_id": name,
             "stratum": "dialogue/tool_calls", "place_id": home, "touches": touched}
            for name, home, touched in found
        ],
        schema={"sample_id": pl.String, "kind": pl.String, "cluster_id": pl.String, "work_id": pl.String,
                "seed_id": pl.String, "stratum": pl.String, "place_id": pl.String, "touches": pl.List(pl.String)},
    )  # fmt: skip


def assigned(**splits: str) -> pl.DataFrame:
    return pl.DataFrame({"sample_id": list(splits), "group_id": list(splits), "split": list(splits.values())})


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Hannibal, MO", "hannibal, missouri"),
        ("hannibal, missouri", "hannibal, missouri"),
        ("Nowhere in Particular", "nowhere in particular"),
    ],
)
def test_a_place_has_one_name_however_it_is_written(written, name):
    assert place_name(written) == name


def test_the_places_of_a_dialogue_are_those_of_its_calls_in_order_and_once():
    turns = [rows.call("Hannibal, MO", "today"), rows.turn("user", "And Elko?"), rows.call("Elko, NV", "today")]
    assert places_of([*turns, rows.call("Hannibal, Missouri", "tomorrow")]) == ["hannibal, missouri", "elko, nevada"]


def test_a_dialogue_with_a_call_is_at_home_in_its_first_place_and_touches_the_rest_and_its_bulletin():
    origin = json.dumps({"generator": "grammar", "parents": ["okx/1:0-9"]})
    home = {"okx/1:0-9": {"chunk_id": "okx/1:0-9", "cluster_id": "c", "work_id": "okx/1"}}
    made = dialogue_sample(make.dialogue(origin=origin), home)
    assert (made["place_id"], made["cluster_id"], made["work_id"]) == ("hannibal, missouri", None, None)
    assert made["touches"] == ["hannibal, missouri", "bulletin okx/1"]


def test_a_pair_touches_what_its_dialogue_touches():
    listed = samples(make.passages(), make.judged_dialogues(), make.preferences())
    own = listed.filter(pl.col("kind") == "preference").row(0, named=True)
    assert (own["place_id"], own["touches"]) == ("hannibal, missouri", ["hannibal, missouri"])


def test_a_dialogue_whose_second_town_lives_in_another_split_is_held_back_and_names_it():
    listed = table(("a", "reno", ["reno"]), ("b", "elko", ["elko"]), ("ab", "reno", ["reno", "elko"]))
    made = assigned(a="train", ab="train", b="validation")
    assert straddling(made, listed) == {"ab": "elko"}
    [leak] = leaks(made, listed)
    assert leak.startswith(
        "What dialogues touch, 'elko' is in train (first 'ab') and in validation (first 'b'). Split by"
    )
    held = hold_back(made, listed)
    assert dict(held.select("sample_id", "split").iter_rows()) == {"a": "train", "ab": HELD_BACK, "b": "validation"}
    assert leaks(held, listed) == []


def test_a_bulletin_belongs_to_the_split_that_most_of_its_dialogues_have():
    listed = table(*((name, name, [name, "bulletin x"]) for name in "abc"))
    assert straddling(assigned(a="train", b="test", c="train"), listed) == {"b": "bulletin x"}
    assert straddling(assigned(a="test", b="train"), listed.head(2)) == {"a": "bulletin x"}  # of equals the first split


def test_a_town_at_home_nowhere_still_lies_in_one_split_only():
    listed = table(("a", "reno", ["reno", "ely"]), ("b", "elko", ["elko", "ely"]))
    assert straddling(assigned(a="train", b="test"), listed) == {"b": "ely"}


def test_what_is_held_back_reaches_no_training_table():
    dialogues = make.judged_dialogues(make.judged_dialogue("a"), make.judged_dialogue("b"))
    made = sft_rows(dialogues, assigned(a="train", b=HELD_BACK))
    assert made["sample_id"].to_list() == ["a"]
    assert made.select("persona", "scenario").row(0) == ("twain", "single")


TOWNS = st.lists(st.sampled_from("pqrstuvwxyz"), min_size=1, max_size=3, unique=True)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(TOWNS, min_size=3, max_size=40), st.integers(0, 99))
def test_after_holding_back_no_town_is_in_two_splits(found, seed):
    listed = table(*((f"d{at:02d}", towns[0], towns) for at, towns in enumerate(found)))
    made = hold_back(assign(listed, seed=seed), listed)
    assert leaks(made, listed) == []
    homed = [at for at, towns in enumerate(found) if len(towns) == 1]
    kept = dict(made.select("sample_id", "split").iter_rows())
    assert HELD_BACK not in {kept[f"d{at:02d}"] for at in homed}  # a dialogue about one place is never held back


def test_the_suite_of_the_assignments_knows_every_split_and_the_held_back():
    text = (PROJECT / "checks/suites/splits_assignments.yaml").read_text("utf-8")
    known = next(each for each in yaml.safe_load(text)["expectations"] if each["check"] == "splits_are_known")
    assert set(known["arguments"]["value_set"]) == {*SPLITS, HELD_BACK}


def test_the_scorecard_counts_what_is_held_back_beside_the_splits():
    rows = pl.DataFrame({"split": ["train", "train", HELD_BACK], "kind": ["dialogue", "passage", "dialogue"]})
    assert split_counts(rows) == {
        "train": {"dialogue": 1, "passage": 1}, "validation": {}, "test": {}, HELD_BACK: {"dialogue": 1},
    }  # fmt: skip
