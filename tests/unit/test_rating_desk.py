"""The desk: pairs out of the lake, ratings written whole and at once, several raters, and what is to be done next."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from resources import speaking
from resources.home import Home
from resources.lake import Lake
from tests import rated
from tests.llm_server import KEY, llm_server
from twainbot.dialogues import prompt_files, prompts
from twainbot.dialogues.asking import Answer
from twainbot.errors import BadInput, BadUse, UnknownName
from twainbot_assets import rating
from twainbot_assets.profile import load

SIX = {"first": {"style": 4, "humor": 3, "factuality": 5}, "second": {"style": 1, "humor": 2, "factuality": 3}}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with three pairs of replies."""
    monkeypatch.delenv("TWAINBOT_LAKE", raising=False)
    made = Home(tmp_path, "tiny")
    fill(made, 3)
    return made


def fill(home, count, changed=""):
    base, tuned = rated.arms(count, changed)
    Lake(home.lake).write("evals/baseline", None, base)
    Lake(home.lake).write("evals/generations", rated.RECIPE, tuned)


@pytest.fixture
def desk(home):
    return rating.open_desk(home, load("tiny"), None)


def save(desk, rater="Ann", number=0, scores=SIX):
    pair = desk.pairs[number]
    return desk.save(rater, pair.item, pair.digest, scores)


def test_a_desk_holds_the_first_recipes_pairs_and_the_personas_voice(desk):
    assert (desk.recipe, len(desk.pairs)) == (rated.RECIPE, 3)
    assert "manner" in desk.voice
    assert desk.voice == prompt_files.voice(prompts.personas()[0], "")
    assert prompts.system_prompt(prompts.personas()[0]) == speaking.system()["content"]


def test_an_unknown_recipe_and_missing_replies_name_the_repair(home, tmp_path):
    with pytest.raises(UnknownName, match="Known: default"):
        rating.open_desk(home, load("tiny"), "mild")
    with pytest.raises(BadInput, match="twainbot run --select evals/baseline"):
        rating.open_desk(Home(tmp_path / "empty", "tiny"), load("tiny"), None)


def test_a_rating_is_written_at_once_under_the_right_arms(desk):
    from twainbot.evals.pairs import sides

    assert save(desk) == 1
    rows = {row["arm"]: row for row in rating.stored(desk.file)}
    first, second = sides(desk.recipe, desk.pairs[0].item, "ann")
    assert (rows[first]["style"], rows[second]["style"]) == (4, 1)
    assert (rows[first]["place"], rows[second]["place"]) == ("first", "second")
    assert {row["pair"] for row in rows.values()} == {desk.pairs[0].digest}
    assert all(row["rated_at"].endswith("+00:00") for row in rows.values())


def test_a_rater_finds_the_scores_again_where_they_were_given_and_sees_nobody_elses(desk, home):
    save(desk)
    again = rating.open_desk(home, load("tiny"), None)
    assert again.scores_of("  ANN") == {desk.pairs[0].item: SIX}
    assert again.scores_of("Bo") == {}


def test_a_second_thought_replaces_the_first(desk):
    save(desk)
    changed = {**SIX, "first": {"style": 5, "humor": 5, "factuality": 5}}
    assert save(desk, scores=changed) == 1
    assert desk.scores_of("Ann") == {desk.pairs[0].item: changed}
    assert len(rating.stored(desk.file)) == 4


@pytest.mark.parametrize("score", [0, 6, None, "3", 2.5, True])
def test_a_score_off_the_scale_is_refused_and_nothing_is_written(desk, score):
    with pytest.raises(BadInput, match="The second reply has no score from 1 to 5 for humor"):
        save(desk, scores={**SIX, "second": {**SIX["second"], "humor": score}})
    assert not desk.file.exists()


def test_a_pair_that_is_not_the_one_shown_now_is_refused(desk):
    with pytest.raises(rating.OutOfDate, match="Load the page again"):
        desk.save("Ann", desk.pairs[0].item, "0" * 16, SIX)
    with pytest.raises(rating.OutOfDate):
        desk.save("Ann", "chat/none", desk.pairs[0].digest, SIX)


def test_a_new_reply_asks_for_a_new_rating_and_says_so(desk, home):
    for number in range(3):
        save(desk, number=number)
    fill(home, 3, changed="c01")
    now = rating.open_desk(home, load("tiny"), None)
    assert set(now.scores_of("Ann")) == {"chat/c00", "chat/c02"}
    assert "2 ratings of replies that have since changed do not count." in rating.standing(now)


def test_many_raters_at_once_lose_no_line(desk):
    threads = [threading.Thread(target=save, args=(desk, f"R{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rating.stored(desk.file)) == 16
    assert len(desk.counted().raters()) == 8


def test_what_is_next_depends_on_who_has_rated(desk):
    assert "2 more of 2 raters must rate 3 dialogues" in rating.standing(desk)[-1]
    for rater in ("Ann", "Bo"):
        for number in range(3):
            save(desk, rater, number)
    told = rating.standing(desk)
    assert told[0] == "Rated so far: Ann 3 of 3, Bo 3 of 3."
    assert told[-1].startswith("Next: `twainbot refresh`")
    assert "a verdict that passes needs 50" in told[-1]


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\x07b", "judge:m", "Judge:m"])
def test_a_name_that_cannot_be_a_persons_is_refused(name):
    with pytest.raises(BadUse):
        rating.clean_name(name)


def test_a_name_loses_stray_spaces_only():
    assert rating.clean_name("  Ann   Björk-O'Neil ") == "Ann Björk-O'Neil"


# ---- a judge model


class Door:
    """A generator that gives the first reply 5 and the second 1, or says what it is told to."""

    model = "m9"
    report = SimpleNamespace(requests=6, cache_hits=0, spent="0 tokens")

    def __init__(self, text=""):
        self.text = text

    def ask(self, requests):
        scores = dict.fromkeys(rating.SCORES, 5), dict.fromkeys(rating.SCORES, 1)
        fine = json.dumps({"rationale": "r", "first": scores[0], "second": scores[1]})
        return [Answer(self.text or fine)] * len(requests)


def test_a_judge_rates_every_pair_and_what_the_order_did_is_told(desk):
    told = rating.judge(desk, Door())
    assert told[0] == (
        "m9 rated 3 of 3 dialogues in both orders; in 3 of them the order decided which reply it liked better in style."
    )
    assert {row["rater"] for row in rating.stored(desk.file)} == {"judge:m9"}
    assert "1 more of 2 raters must rate" in told[-1]


def test_a_judge_that_answers_nothing_usable_leaves_no_rating(desk):
    with pytest.raises(BadInput, match="No answer of m9 was a rating"):
        rating.judge(desk, Door("Fine weather."))
    assert not desk.file.exists()


def test_two_judges_still_need_a_person(desk):
    rating.judge(desk, Door())
    other = Door()
    other.model = "m10"
    assert "a person must rate 3 dialogues" in rating.judge(desk, other)[-1]


def test_without_a_judge_in_the_profile_the_repair_is_named(home):
    with pytest.raises(BadUse, match="judge:"):
        rating.open_judge(home, load("tiny"))


def test_the_base_cannot_judge_itself(home):
    chosen = load("tiny")
    judge = chosen.dialogues.judge.model_copy(update={"backend": "local", "model": ""})
    own = chosen.model_copy(update={"dialogues": chosen.dialogues.model_copy(update={"judge": judge})})
    with pytest.raises(BadUse, match="cannot judge its own replies"):
        rating.open_judge(home, own)


def compared(messages):
    """A judge's answer in plain words: whoever speaks of the river gets 5 in style."""
    shown = json.loads(messages[1]["content"].split("Dialogue:\n")[1])
    scores = {place: {"style": 5 if "river" in json.dumps(shown[place]) else 2, "humor": 3, "factuality": 4}
              for place in ("first", "second")}  # fmt: skip
    return {"rationale": "the river", **scores}


def test_a_judge_behind_an_api_is_asked_through_the_generators_door_and_paid_for_once(home, desk, monkeypatch):
    chosen = load("tiny")
    judge = chosen.dialogues.judge.model_copy(update={"backend": "openai", "model": "m9", "budget_tokens": 100_000})
    own = chosen.model_copy(update={"dialogues": chosen.dialogues.model_copy(update={"judge": judge})})
    monkeypatch.setenv("TWAINBOT_LLM_API_KEY", KEY)
    with llm_server(write=compared) as server:
        monkeypatch.setenv("TWAINBOT_LLM_URL", f"{server.url}/v1")
        told = rating.judge(desk, rating.open_judge(home, own))
        again = rating.judge(desk, rating.open_judge(home, own))
        assert len(server.calls()) == 6
    assert told[0].startswith("m9 rated 3 of 3 dialogues in both orders; in 0 of them")
    assert again[1].startswith("6 requests, 6 from the cache")
    assert {(each.arm, each.style) for each in desk.counted().given} == {("adapter", 5.0), ("base", 2.0)}
    assert KEY not in desk.file.read_text()


def test_the_graph_is_told_who_rated_and_in_which_version(home, desk, tmp_path):
    import dagster as dg

    from twainbot_assets.sources import ratings_version

    save(desk)
    with dg.DagsterInstance.ephemeral() as instance:
        rating.report(home, desk, instance)
        (event,) = instance.fetch_observations(dg.AssetKey(["sources", "ratings"]), limit=5).records
    assert event.asset_observation.tags["dagster/data_version"] == ratings_version(home.ratings)
    assert event.asset_observation.metadata["raters"].value.records[0].data["rater"] == "Ann"


def test_a_torn_file_names_its_line(desk):
    save(desk)
    desk.file.write_text(desk.file.read_text() + '{"recipe": "de')
    with pytest.raises(BadInput, match="line 3 is not JSON"):
        desk.counted()


def test_a_desk_is_not_changed_by_what_is_built_meanwhile(desk, home):
    fill(home, 3, changed="c01")
    assert replace(desk).by_item["chat/c01"].digest == desk.by_item["chat/c01"].digest
